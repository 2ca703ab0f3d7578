//! The participation agreement, the node's side: a folder of signed statements, the hub's and its own. Without a live agreement no job runs.
//!
//! A statement counts as soon as its file is there. Beside it is, until the audit log has told of it, who made it: so the operator can state
//! something beside a node that runs, whose records are its own, and the log names the person all the same.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use spe_kernel::{
    agreement::{Act, Agreement, AgreementBody, Party, Standing},
    audit::{Event, Statement, Who},
    document::{self, Document, Opened},
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::{Digest, NodeName},
    refusal::{Refusal, Stop},
    sparing::Sparing,
};
use spe_wire::{HubClient, limits::STATEMENTS_MAX};
use tokio::task::spawn_blocking;

use self::files::Files;
use crate::{
    journal::{Records, Told},
    site::Site,
};

/// The folder's name in a node's data folder.
pub const FOLDER: &str = "agreement";

/// Lines about what the hub states and is none. As the log itself, there is one in a process.
static LEFT_OUT: Mutex<Sparing> = Mutex::new(Sparing::new());

/// Statements of the hub that a connection remembers: more than a hub can make on one agreement.
const HEARD_MAX: usize = 10 * STATEMENTS_MAX;

/// What the hub answers to what it is told: all that it has stated.
pub type Answer = Result<Vec<Vec<u8>>, Refusal>;

/// What has passed on one connection: it is not told, or looked at, again.
#[derive(Debug, Default)]
pub struct Passed {
    /// All that was kept when the hub was last told.
    told: Option<Digest>,
    /// What the hub has stated.
    heard: BTreeSet<Digest>,
    /// The hub has refused what it does not know.
    without_seconds: bool,
    /// Something has passed since the log was last looked at.
    news: bool,
}

/// A node's agreement with its hub.
pub struct Book<'a> {
    files: Files<'a>,
    node: &'a NodeName,
    key: &'a SecretKey,
    hub: PublicKey,
}

impl<'a> Book<'a> {
    /// That of the node of that name and key, kept in `folder`, with the hub of that key.
    pub const fn new(folder: &'a Path, (node, key): (&'a NodeName, &'a SecretKey), hub: PublicKey) -> Self {
        Self { files: Files::new(folder), node, key, hub }
    }

    /// What was stated so far.
    ///
    /// # Errors
    /// A file that cannot be read, or is no statement of either party.
    pub fn read(&self) -> Result<Agreement, Stop> {
        let mut agreement = Agreement::new(self.node.clone(), self.hub, self.key.public());
        self.take(&mut agreement, &self.files.envelopes()?)?;
        Ok(agreement)
    }

    /// Takes statements in, and gives those that are new. Countersignatures that are none are left out, and the operator reads why.
    fn take<'b>(&self, agreement: &mut Agreement, envelopes: &'b [Vec<u8>]) -> Result<Vec<(Digest, &'b [u8])>, Stop> {
        let opened: Result<Vec<_>, Refusal> = envelopes.iter().map(|one| document::open(one)).collect();
        let opened: Vec<Opened<AgreementBody>> = opened?;
        let all: BTreeMap<Digest, &[u8]> =
            opened.iter().map(Opened::digest).zip(envelopes.iter().map(Vec::as_slice)).collect();
        let taken = agreement.take(opened)?;
        for why in &taken.left_out {
            let more = LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).line(Timestamp::now());
            if let Some(more) = more {
                tracing::warn!("left out of the agreement with the hub: {why}{more}");
            }
        }
        Ok(taken.new.into_iter().filter_map(|new| Some((new, *all.get(&new)?))).collect())
    }

    /// Makes a statement of the node's, for `who`, which follows from what was stated so far. It counts at once.
    ///
    /// # Errors
    /// What `act` refuses; a statement that is none, or cannot be kept.
    pub fn state(
        &self,
        act: impl FnOnce(&Agreement) -> Result<Act, Refusal>,
        who: &Who,
        now: Timestamp,
    ) -> Result<Agreement, Stop> {
        let _turn = self.files.turn()?;
        let mut agreement = self.read()?;
        let act = act(&agreement)?;
        self.write(&mut agreement, act, who, now)?;
        Ok(agreement)
    }

    /// Signs a statement and keeps it: part of the caller's turn.
    fn write(&self, agreement: &mut Agreement, act: Act, who: &Who, now: Timestamp) -> Result<(), Stop> {
        let (format, number) = (AgreementBody::FORMAT.into(), agreement.next_number(Party::Node));
        let signed_at = agreement.signed_at(Party::Node, now);
        let body = AgreementBody { format, node: self.node.clone(), number, signed_at, act };
        body.check()?;
        let envelope = document::sign(&body, self.key);
        let statement = document::open(&envelope)?;
        let digest = Opened::digest(&statement);
        agreement.add(statement)?;
        Ok(self.files.keep(digest, &envelope, who)?)
    }

    /// Keeps what the hub states, and signs nothing.
    ///
    /// # Errors
    /// A statement that is none, or cannot be kept.
    pub fn hear(&self, stated: &[Vec<u8>]) -> Result<(), Stop> {
        let _turn = self.files.turn()?;
        self.keep(stated).map(drop)
    }

    /// Part of the caller's turn.
    fn keep(&self, stated: &[Vec<u8>]) -> Result<Agreement, Stop> {
        let mut agreement = self.read()?;
        for (digest, envelope) in self.take(&mut agreement, stated)? {
            self.files.keep(digest, envelope, &Who::Node)?;
        }
        Ok(agreement)
    }

    /// Keeps what the hub states, and what it gives back of the node's own, and signs what waits for the node's signature: the first offer, if
    /// there is no other, since whoever runs a node with an invitation joins on its terms, and each suspension, resumption and end, as received.
    /// Later offers the operator accepts. Says whether it signed something.
    ///
    /// # Security
    /// A crash at any point leaves whole statements, each once: what is still to be signed is worked out from them each time. Watched by
    /// `a_crash_between_any_two_writes_leaves_nothing_half_done` beside this.
    ///
    /// # Errors
    /// A statement that is none, or cannot be kept.
    pub fn answer(&self, stated: &[Vec<u8>], now: Timestamp) -> Result<(Agreement, bool), Stop> {
        let _turn = self.files.turn()?;
        let mut agreement = self.keep(stated)?;
        let offered = agreement.only_offer().filter(|_| agreement.accepted().is_none()).map(Opened::digest);
        let received = agreement.uncountersigned(Party::Node).into_iter();
        let acts: Vec<Act> = received.map(|statement| Act::Countersign { statement }).collect();
        let acts = acts.into_iter().chain(offered.map(|offer| Act::Accept { offer }));
        let mut any = false;
        for act in acts {
            self.write(&mut agreement, act, &Who::Node, now)?;
            any = true;
        }
        Ok((agreement, any))
    }

    /// One step of an exchange with the hub: takes in what it answered to the step before (none = begin), and gives what it is to be told
    /// next; nothing once neither has anything new for the other.
    ///
    /// # Errors
    /// The hub's refusal, or a statement that is none or cannot be kept.
    pub fn step(&self, passed: &mut Passed, answer: Option<Answer>) -> Result<Option<Vec<Vec<u8>>>, Stop> {
        match answer {
            None => {}
            // An earlier version refuses all that comes with an act that it does not know. It must still be heard: it may resume.
            Some(Err(Refusal::Malformed { why, .. })) if !passed.without_seconds => {
                tracing::warn!(
                    "the hub does not take what it is told ({why}); it is told again, without countersignatures"
                );
                (passed.without_seconds, passed.told) = (true, None);
            }
            Some(Err(why)) => return Err(why.into()),
            Some(Ok(mut stated)) => {
                // A hub that states something else each time takes no more memory for it.
                if passed.heard.len() > HEARD_MAX {
                    passed.heard.clear();
                }
                stated.retain(|one| passed.heard.insert(Digest::of(one)));
                passed.news |= !stated.is_empty();
                if stated.is_empty() || !self.answer(&stated, Timestamp::now())?.1 {
                    return Ok(None);
                }
            }
        }
        let all = self.files.envelopes()?;
        let known = Digest::of(&all.concat());
        if passed.told.replace(known) == Some(known) {
            return Ok(Some(Vec::new()));
        }
        passed.news = true;
        Ok(Some(self.told(all, passed.without_seconds)))
    }

    /// What the hub is told: what the node has stated, and what the hub has, so that one whose store was put back from an old copy has it
    /// again. The node's own comes first, by which a hub learns its key.
    fn told(&self, all: Vec<Vec<u8>>, without_seconds: bool) -> Vec<Vec<u8>> {
        let opened = all.into_iter().filter_map(|one| Some((document::open::<AgreementBody>(&one).ok()?, one)));
        let is_own = |one: &Opened<AgreementBody>| one.signer() == self.key.public();
        let (mut own, mut hubs): (Vec<_>, Vec<_>) = opened.partition(|(one, _)| is_own(one));
        if without_seconds {
            own.retain(|(one, _)| !matches!(one.body().act, Act::Countersign { .. }));
            hubs.clear();
        }
        own.into_iter().chain(hubs).map(|(_, envelope)| envelope).take(STATEMENTS_MAX).collect()
    }

    /// Exchanges with the hub until neither has anything new for the other.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn exchange(&self, hub: &HubClient) -> Result<(), Stop> {
        let (mut passed, mut answer) = (Passed::default(), None);
        while let Some(tell) = self.step(&mut passed, answer)? {
            answer = Some(hub.agree(tell).await);
        }
        Ok(())
    }

    /// Writes each statement down in the audit log that the log has not told of, with both signatures' digests and keys where it is the
    /// second. Says whether there was any.
    ///
    /// # Errors
    /// An agreement that cannot be read, or the storage's own.
    pub fn log(&self, records: &Records) -> Result<bool, Stop> {
        let _turn = self.files.turn()?;
        let agreement = self.read()?;
        let mut any = false;
        for statement in agreement.statements() {
            let (document, act) = (statement.digest(), &statement.body().act);
            let first = act.seconds().and_then(|first| agreement.statement(first));
            let event = Event::AgreementChanged {
                document,
                stated: Some(act.name().into()),
                signer: Some(statement.signer()),
                seconds: first.map(|first| Statement { document: first.digest(), signer: first.signer() }),
            };
            let who = self.files.who(document)?;
            any |= records.log_change_by(&who, &format!("agreement {document}"), document, event)? == Told::New;
        }
        self.files.tidy()?;
        Ok(any)
    }
}

impl Site {
    /// Nothing, if there is a live agreement with the hub of that key: read anew for each job, so that an operator's word counts at once.
    ///
    /// # Errors
    /// [`Refusal::AgreementNotLive`], or an agreement that cannot be read.
    pub(crate) fn takes_part(&self, hub: Option<PublicKey>) -> Result<(), Stop> {
        let why = || "the invitation names no key of the hub; ask for a new one".into();
        let hub = hub.ok_or_else(|| Refusal::AgreementNotLive { node: self.name.clone(), why: why() })?;
        let folder = self.vault_dir.with_file_name(FOLDER);
        let agreement = Book::new(&folder, (&self.name, &self.key), hub).read()?;
        Ok(agreement.live(self.now())?)
    }

    /// Whether what it knows is that the hub has suspended it.
    fn is_suspended_by_hub(&self, hub: Option<PublicKey>) -> bool {
        let folder = self.vault_dir.with_file_name(FOLDER);
        let read = |hub| Book::new(&folder, (&self.name, &self.key), hub).read().ok();
        hub.and_then(read).is_some_and(|agreement| {
            let hubs = agreement.name(Party::Hub);
            matches!(agreement.standing(self.now()), Standing::Suspended { by, .. } if by == hubs)
        })
    }

    /// As [`Self::takes_part`], for a job that the hub has sent. Where it does not, the hub is heard first: it sends jobs as soon as it has
    /// resumed what it had suspended, and the node may not know that yet.
    ///
    /// # Errors
    /// As [`Self::takes_part`].
    pub(crate) async fn takes_part_now(
        self: &Arc<Self>,
        client: &HubClient,
        hub: Option<PublicKey>,
    ) -> Result<(), Stop> {
        let known = self.takes_part(hub);
        if known.is_ok() || !self.is_suspended_by_hub(hub) {
            return known;
        }
        // What cannot be heard changes nothing.
        self.exchange_agreement(client, hub, &mut Passed::default()).await.ok();
        self.takes_part(hub)
    }

    /// Tells the hub of that key what has not `passed` yet, keeps and countersigns what the hub states, and writes both down. The disk is
    /// waited for beside what else the node does.
    ///
    /// # Errors
    /// As [`Book::step`].
    pub(crate) async fn exchange_agreement(
        self: &Arc<Self>,
        client: &HubClient,
        hub: Option<PublicKey>,
        passed: &mut Passed,
    ) -> Result<(), Stop> {
        let Some(key) = hub else { return Ok(()) };
        let mut answer = None;
        loop {
            let (site, mut passing) = (Arc::clone(self), mem::take(passed));
            let stepping = spawn_blocking(move || {
                let folder = site.vault_dir.with_file_name(FOLDER);
                let next = Book::new(&folder, (&site.name, &site.key), key).step(&mut passing, answer)?;
                if next.is_none() && mem::take(&mut passing.news) {
                    site.log_agreement(hub)?;
                }
                Ok::<_, Stop>((next, passing))
            });
            let (next, passing) = stepping.await.map_err(Fault::while_("exchanging the agreement"))??;
            *passed = passing;
            let Some(tell) = next else { return Ok(()) };
            answer = Some(client.agree(tell).await);
        }
    }

    /// Writes down what was stated since the log last told of it.
    ///
    /// # Errors
    /// As [`Book::log`].
    pub(crate) fn log_agreement(&self, hub: Option<PublicKey>) -> Result<(), Stop> {
        let Some(hub) = hub else { return Ok(()) };
        let folder = self.vault_dir.with_file_name(FOLDER);
        if Book::new(&folder, (&self.name, &self.key), hub).log(self.records())? {
            self.publish(false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
