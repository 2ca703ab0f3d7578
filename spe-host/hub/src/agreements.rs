//! Participation agreements, the hub's side: offers, what nodes state, and whether jobs may go to a node.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use spe_kernel::{
    agreement::{Act, Agreement, AgreementBody, Move, Party, Standing, Terms},
    audit::Person,
    document::{self, Document, Opened},
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::{Digest, NodeName},
    refusal::Refusal,
};
use spe_wire::{FileError, Peer, limits::STATEMENTS_MAX};
use tokio::task::spawn_blocking;

use crate::{
    Hub,
    calendar::Calendar,
    config::Config,
    roles::{Endpoint, authorise},
    sparing,
    stop::{NotDone, Stop},
    store::{
        self,
        governance::{self, Event, What},
        jobs, members, nodes,
    },
    witness,
};

/// The terms that a node is offered when it first comes.
pub const TERMS: &str = include_str!("../../../policies/agreement/participation.md");

fn subject(node: &NodeName) -> String {
    format!("agreement {node}")
}

/// The statements of both on the agreement with `node` that can be read, the hub's first: a node whose folder was lost has its own again. Of
/// very many the first.
fn kept(db: &Connection, node: &NodeName, hub: PublicKey) -> Result<Vec<Vec<u8>>, Stop> {
    let all = governance::of(db, &subject(node))?.into_iter().filter_map(|(_, entry)| Some(entry.ok()?.body));
    let signed = all.filter_map(|one| Some((document::open::<AgreementBody>(&one).ok()?.signer() == hub, one)));
    let (hubs, nodes): (Vec<_>, Vec<_>) = signed.partition(|(is_hubs, _)| *is_hubs);
    Ok(hubs.into_iter().chain(nodes).map(|(_, one)| one).take(STATEMENTS_MAX).collect())
}

/// The agreement with `node`, as far as it went. A node without a key has said nothing yet.
///
/// # Security
/// What cannot be read may have suspended or ended it: it is not live, and nothing is stated on it, which is a refusal of this node's alone.
/// Watched by `an_agreement_that_cannot_be_read_stops_its_own_node_and_no_other`.
fn read(db: &Connection, node: &NodeName, hub: PublicKey) -> Result<Result<Agreement, Refusal>, Stop> {
    let key = nodes::key(db, node)?.unwrap_or(hub);
    let mut statements = Vec::new();
    for (number, entry) in governance::of(db, &subject(node))? {
        match entry.ok().and_then(|event| document::open(&event.body).ok()) {
            Some(statement) => statements.push(statement),
            None => return Ok(Err(unreadable(node, number))),
        }
    }
    let mut agreement = Agreement::new(node.clone(), hub, key);
    Ok(agreement.take(statements).map(|_| agreement))
}

fn unreadable(node: &NodeName, entry: i64) -> Refusal {
    let why = format!(
        "entry {entry} of the hub's log, which is about it, cannot be read; the hub's operator puts `hub.sqlite` back from a copy \
         (docs/governance.md)"
    );
    Refusal::AgreementNotLive { node: node.clone(), why }
}

/// What a node states: whole statements, signed by whoever signed them.
pub(crate) struct Stated(Vec<(Opened<AgreementBody>, Vec<u8>)>);

impl Stated {
    fn open(envelopes: Vec<Vec<u8>>) -> Result<Self, Refusal> {
        envelopes.into_iter().map(|one| Ok((document::open(&one)?, one))).collect::<Result<_, _>>().map(Self)
    }
}

impl Hub {
    /// One exchange of a node. Its signatures are verified beside the store, which others need meanwhile. It is gone through with whether the
    /// caller waits for it or not, so that nobody has a turn without the rest after it.
    pub(crate) async fn agreed(&self, peer: Peer, sent: Vec<Vec<u8>>) -> Result<(Vec<Vec<u8>>, NodeName), Stop> {
        let hub = self.clone();
        tokio::spawn(async move { hub.in_turn(peer, sent).await })
            .await
            .map_err(Fault::while_("exchanging statements"))?
    }

    async fn in_turn(&self, peer: Peer, sent: Vec<Vec<u8>>) -> Result<(Vec<Vec<u8>>, NodeName), Stop> {
        let authorised = self.store.read(move |db| authorise(db, peer, Endpoint::Agree)?.node());
        let node = authorised.await?;
        let turn = self.turns.of(peer.fingerprint.unwrap_or_else(|| Digest::of(&[]))).await;
        let start = Instant::now();
        let opening = spawn_blocking(move || (Stated::open(sent), start.elapsed()));
        let (stated, opened) = opening.await.map_err(Fault::while_("opening statements"))?;
        let (key, now) = (Arc::clone(&self.witness), self.calendar.now());
        // What is refused changes nothing, and has kept the store busy all the same.
        let busy = Arc::new(Mutex::new(opened));
        let done = match stated {
            Ok(stated) => {
                let busy = Arc::clone(&busy);
                let exchanging = self.store.write(move |db| {
                    let start = Instant::now();
                    let node = authorise(db, peer, Endpoint::Agree)?.node()?;
                    let done = exchange(db, &node, stated, &key, now);
                    *busy.lock().unwrap_or_else(PoisonError::into_inner) += start.elapsed();
                    done
                });
                exchanging.await
            }
            Err(why) => Err(why.into()),
        };
        turn.rest(*busy.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((done?, node))
    }
}

/// Whose an entry is: a party's, and where the hub's operator acts, that person's.
struct By<'a> {
    party: &'a str,
    operator: Option<&'a Person>,
}

impl By<'_> {
    /// What the hub signs by itself.
    const HUB: By<'static> = By { party: "hub", operator: None };
}

fn file(db: &Connection, node: &NodeName, by: &By<'_>, body: Vec<u8>, at: Timestamp) -> Result<(), Stop> {
    let person = by.party.parse().map_err(Fault::while_("naming a party"))?;
    let event = Event { at, what: What::Agreement, subject: subject(node), node: None, person, body };
    governance::append_by(db, &event, by.operator)
}

fn state(
    db: &Connection,
    agreement: &mut Agreement,
    (by, key): (&By<'_>, &SecretKey),
    act: Act,
    now: Timestamp,
) -> Result<(), Stop> {
    let (node, number) = (agreement.node().clone(), agreement.next_number(Party::Hub));
    let (format, signed_at) = (AgreementBody::FORMAT.into(), agreement.signed_at(Party::Hub, now));
    let body = AgreementBody { format, node: node.clone(), number, signed_at, act };
    body.check()?;
    let envelope = document::sign(&body, key);
    agreement.add(document::open(&envelope)?)?;
    file(db, &node, by, envelope, now)
}

/// Takes what `node` states, countersigns it, and gives all that both state. Whoever comes for the first time is offered the [`TERMS`].
/// A hub whose store was put back from an old copy takes from the node what it has stated itself since then. All of it is one step of the
/// caller's.
///
/// # Security
/// What is not of the node's pinned key or the hub's own, or not that party's to state, is refused with everything that came with it. A
/// countersignature that is none is left out and told to the operator: nothing depends on one. Watched by
/// `every_change_is_countersigned_once_also_by_a_hub_that_was_away`, `a_false_countersignature_counts_for_nothing` and
/// `a_hub_whose_store_was_put_back_takes_its_own_statements_from_the_node`.
fn exchange(
    db: &Connection,
    node: &NodeName,
    Stated(stated): Stated,
    key: &SecretKey,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, Stop> {
    let (opened, sent): (Vec<_>, Vec<_>) = stated.into_iter().unzip();
    // Its certificate says who it is; the key that it signs with is pinned as in an offer of data.
    if let Some(first) = opened.iter().find(|one| one.signer() != key.public()) {
        nodes::pin(db, node, first.signer())?;
    }
    let mut agreement = match read(db, node, key.public())? {
        Ok(agreement) => agreement,
        // The node comes all the same: it is told what was revoked, and given no job. What it states now it states again when it next comes.
        Err(_) => return kept(db, node, key.public()),
    };
    let mut envelopes: BTreeMap<Digest, Vec<u8>> = opened.iter().map(Opened::digest).zip(sent).collect();
    let taken = agreement.take(opened)?;
    for why in &taken.left_out {
        if let Some(more) = sparing::line(node, "agreement") {
            tracing::warn!(%node, "left out of its participation agreement: {why}{more}");
        }
    }
    let nodes = By { party: node.as_str(), operator: None };
    let new = taken.new.iter().filter_map(|new| Some((agreement.statement(*new)?.signer(), envelopes.remove(new)?)));
    for (signer, envelope) in new {
        file(db, node, if signer == key.public() { &By::HUB } else { &nodes }, envelope, now)?;
    }
    if agreement.latest_offer().is_none() {
        let act = Terms::of(TERMS.as_bytes()).offered(now, None);
        state(db, &mut agreement, (&By::HUB, key), act, now)?;
    }
    for statement in agreement.uncountersigned(Party::Hub) {
        state(db, &mut agreement, (&By::HUB, key), Act::Countersign { statement }, now)?;
    }
    settle(db, node, &agreement, now)?;
    kept(db, node, key.public())
}

/// How long jobs wait for a node that is suspended.
const SUSPENDED_MAX: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Nothing, if jobs may wait for the node at `now`: it takes part, or may again soon without another offer.
fn awaited(agreement: &Agreement, now: Timestamp) -> Result<(), Refusal> {
    match agreement.standing(now) {
        Standing::Suspended { at, .. } if now.duration_since(at) <= SUSPENDED_MAX => Ok(()),
        Standing::NotYet { .. } => Ok(()),
        _ => agreement.live(now),
    }
}

/// Jobs no longer wait for a node whose agreement was ended, is over, or has been suspended for long.
fn settle(db: &Connection, node: &NodeName, agreement: &Agreement, now: Timestamp) -> Result<(), Stop> {
    match awaited(agreement, now) {
        Err(why) if agreement.accepted().is_some() => jobs::give_up(db, node, &why),
        _ => Ok(()),
    }
}

/// Whether jobs may go to `node` at `now`.
pub(crate) fn live(
    db: &Connection,
    node: &NodeName,
    hub: PublicKey,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Stop> {
    Ok(read(db, node, hub)?.and_then(|agreement| agreement.live(now)))
}

/// Whether jobs for `node` are taken at `now`.
pub(crate) fn may_wait(
    db: &Connection,
    node: &NodeName,
    hub: PublicKey,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Stop> {
    Ok(read(db, node, hub)?.and_then(|agreement| awaited(&agreement, now)))
}

/// How an agreement stands; of one that cannot be read, why.
type Stands = Result<Standing, Refusal>;

/// How the agreements with all nodes stand. Works beside a running hub.
///
/// # Errors
/// The file that cannot be used.
pub fn agreements(dir: &Path) -> Result<Vec<(NodeName, Stands)>, FileError> {
    let config = Config::read(dir)?;
    let hub = witness::key(&config)?.public();
    let db = store::open(&config.store)?;
    let read_all = || -> Result<Vec<_>, Stop> {
        let now = Calendar::of_log(&db)?.now();
        let standing =
            |node: &NodeName| -> Result<_, Stop> { Ok(read(&db, node, hub)?.map(|agreement| agreement.standing(now))) };
        members::nodes(&db)?.into_iter().map(|node| Ok((node.clone(), standing(&node)?))).collect()
    };
    read_all().map_err(FileError::at(&config.store))
}

/// The agreement with a node, for the hub's operator.
#[derive(Debug)]
pub struct Kept {
    /// What both parties stated.
    pub agreement: Agreement,
    /// Under which account at the hub's machine a statement of the hub's was made, by its digest; what the hub signed by itself has none.
    pub accounts: BTreeMap<Digest, String>,
    /// When it was read, by the hub's calendar.
    pub at: Timestamp,
}

/// What was stated on the agreement with `node`. Works beside a running hub.
///
/// # Errors
/// [`NotDone::Refused`]: no such node; the file that cannot be used.
pub fn agreement(dir: &Path, node: &NodeName) -> Result<Kept, NotDone> {
    let config = Config::read(dir)?;
    let hub = witness::key(&config)?.public();
    let db = store::open(&config.store)?;
    let reading = || -> Result<Kept, Stop> {
        let (agreement, at) = (read_known(&db, node, hub)?, Calendar::of_log(&db)?.now());
        let accounts = governance::accounts(&db, &subject(node))?.into_iter();
        let digest = |body: Vec<u8>| document::open::<AgreementBody>(&body).map(|one| one.digest());
        let accounts: Result<_, Refusal> = accounts.map(|(body, account)| Ok((digest(body)?, account))).collect();
        Ok(Kept { agreement, accounts: accounts?, at })
    };
    reading().map_err(NotDone::at(&config.store))
}

/// That of a member, or of a node that was one and has left something behind: it can still be ended.
fn read_known(db: &Connection, node: &NodeName, hub: PublicKey) -> Result<Agreement, Stop> {
    let agreement = read(db, node, hub)??;
    match agreement.statements().is_empty() && !members::nodes(db)?.contains(node) {
        true => Err(Refusal::NotFound { what: format!("node {node}") }.into()),
        false => Ok(agreement),
    }
}

/// Makes a statement of the hub's on the agreement with `node`, for the operator `by`, and says how it stands then. Works beside a running
/// hub. It counts at once; the node countersigns when it next asks.
///
/// # Errors
/// No such node; as [`Agreement::decide`]; the file that cannot be used.
pub fn agree(dir: &Path, node: &NodeName, step: Move, by: &Person) -> Result<Standing, NotDone> {
    let config = Config::read(dir)?;
    let key = witness::key(&config)?;
    let mut db = store::open(&config.store)?;
    let stating = || -> Result<Standing, Stop> {
        let writing = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = Calendar::of_log(&writing)?.now();
        let mut agreement = read_known(&writing, node, key.public())?;
        let act = agreement.decide(Party::Hub, step, now)?;
        let by = By { operator: Some(by), ..By::HUB };
        state(&writing, &mut agreement, (&by, &key), act, now)?;
        settle(&writing, node, &agreement, now)?;
        writing.commit()?;
        Ok(agreement.standing(now))
    };
    stating().map_err(NotDone::at(&config.store))
}
