//! The participation agreement, the node's side: a folder of signed statements, the hub's and its own. Without a live agreement no job runs.
//!
//! A statement counts as soon as its file is there. Beside it is, until the audit log has told of it, who made it: so the operator can state
//! something beside a node that runs, whose records are its own, and the log names the person all the same.

mod files;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use spe_kernel::{
    agreement::{Act, Agreement, AgreementBody, Party},
    audit::{Event, Statement, Who},
    document::{self, Document, Opened},
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::{Digest, NodeName},
    refusal::{Refusal, Stop},
};
use spe_wire::HubClient;

use self::files::Files;
use crate::{
    journal::{Records, Told},
    site::Site,
};

/// The folder's name in a node's data folder.
pub const FOLDER: &str = "agreement";
/// How often both sides tell each other something new before the node gives up.
const EXCHANGES_MAX: u32 = 3;

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
            tracing::warn!("left out of the agreement with the hub: {why}");
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
        let body = AgreementBody { format, node: self.node.clone(), number, signed_at: now, act };
        body.check()?;
        let envelope = document::sign(&body, self.key);
        let statement = document::open(&envelope)?;
        let digest = Opened::digest(&statement);
        agreement.add(statement)?;
        Ok(self.files.keep(digest, &envelope, who)?)
    }

    /// Keeps what the hub states, and signs what waits for the node's signature: the first offer, since whoever runs a node with an invitation
    /// joins on its terms, and each suspension, resumption and end, as received. Later offers the operator accepts. Says whether it signed
    /// something.
    ///
    /// # Security
    /// A crash at any point leaves whole statements, each once: what is still to be signed is worked out from them each time. Watched by
    /// `a_crash_between_any_two_writes_leaves_nothing_half_done` beside this.
    ///
    /// # Errors
    /// A statement that is none, or cannot be kept.
    pub fn answer(&self, stated: &[Vec<u8>], now: Timestamp) -> Result<(Agreement, bool), Stop> {
        let _turn = self.files.turn()?;
        let mut agreement = self.read()?;
        for (digest, envelope) in self.take(&mut agreement, stated)? {
            self.files.keep(digest, envelope, &Who::Node)?;
        }
        let offered = agreement.latest_offer().filter(|_| agreement.accepted().is_none()).map(Opened::digest);
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

    /// Tells the hub what the node states, unless it was all `told` before, and answers what the hub states.
    ///
    /// # Errors
    /// The hub's refusal, or a statement that is none.
    pub async fn exchange(&self, hub: &HubClient, told: &mut Option<Digest>) -> Result<Agreement, Stop> {
        for _ in 0..EXCHANGES_MAX {
            let own = self.own()?;
            let all = Digest::of(&own.concat());
            let stated = hub.agree(if *told == Some(all) { Vec::new() } else { own }).await?;
            *told = Some(all);
            if let (agreement, false) = self.answer(&stated, Timestamp::now())? {
                return Ok(agreement);
            }
        }
        self.read()
    }

    fn own(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let mine = |envelope: &Vec<u8>| {
            document::open::<AgreementBody>(envelope).is_ok_and(|one| one.signer() == self.key.public())
        };
        Ok(self.files.envelopes()?.into_iter().filter(mine).collect())
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

    /// Tells the hub of that key what the node states and was not `told` yet, keeps and countersigns what the hub states, and writes both
    /// down.
    ///
    /// # Errors
    /// As [`Book::exchange`].
    pub(crate) async fn exchange_agreement(
        &self,
        client: &HubClient,
        hub: Option<PublicKey>,
        told: &mut Option<Digest>,
    ) -> Result<(), Stop> {
        let Some(key) = hub else { return Ok(()) };
        let folder = self.vault_dir.with_file_name(FOLDER);
        Book::new(&folder, (&self.name, &self.key), key).exchange(client, told).await?;
        self.log_agreement(hub)
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
