//! Participation agreements, the hub's side: offers, what nodes state, and whether jobs may go to a node.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use spe_kernel::{
    agreement::{Act, Agreement, AgreementBody, Party, Standing},
    document::{self, Document, Opened},
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::{Digest, NodeName},
    refusal::Refusal,
};
use spe_wire::FileError;

use crate::{
    config::Config,
    stop::Stop,
    store::{
        self,
        governance::{self, Event, What},
        jobs, members, nodes,
    },
    witness,
};

/// The terms that a node is offered when it first comes.
pub const TERMS: &str = include_str!("../../../policies/agreement/participation.md");

/// What the hub's operator does.
#[derive(Debug, Clone)]
pub enum Move {
    /// Offers terms: the first, or others.
    Offer {
        /// Digest of their text.
        terms: Digest,
        /// The end; none = until it is ended.
        until: Option<Timestamp>,
    },
    /// Suspends, with a reason.
    Suspend(String),
    /// Resumes what the hub suspended.
    Resume,
    /// Ends it, with a reason.
    Terminate(String),
}

fn subject(node: &NodeName) -> String {
    format!("agreement {node}")
}

fn statements(db: &Connection, node: &NodeName) -> Result<Vec<Vec<u8>>, Stop> {
    let events = governance::of(db, &subject(node))?;
    Ok(events.into_iter().map(|event| event.body).collect())
}

/// The agreement with `node`, as far as it went. A node without a key has said nothing yet.
fn read(db: &Connection, node: &NodeName, hub: PublicKey) -> Result<Agreement, Stop> {
    let key = nodes::key(db, node)?.unwrap_or(hub);
    let mut agreement = Agreement::new(node.clone(), hub, key);
    for envelope in statements(db, node)? {
        agreement.add(document::open(&envelope)?)?;
    }
    Ok(agreement)
}

fn file(db: &Connection, node: &NodeName, who: &str, body: Vec<u8>, at: Timestamp) -> Result<(), Stop> {
    let person = who.parse().map_err(Fault::while_("naming a party"))?;
    governance::append(db, &Event { at, what: What::Agreement, subject: subject(node), node: None, person, body })
}

fn state(
    db: &Connection,
    agreement: &mut Agreement,
    (node, key): (&NodeName, &SecretKey),
    act: Act,
    now: Timestamp,
) -> Result<(), Stop> {
    let number = agreement.next_number(Party::Hub);
    let body = AgreementBody { format: AgreementBody::FORMAT.into(), node: node.clone(), number, signed_at: now, act };
    body.check()?;
    let envelope = document::sign(&body, key);
    agreement.add(document::open(&envelope)?)?;
    file(db, node, "hub", envelope, now)
}

/// Takes what `node` states, and gives all that the hub states. Whoever comes for the first time is offered the [`TERMS`].
pub(crate) fn exchange(
    db: &Connection,
    node: &NodeName,
    sent: Vec<Vec<u8>>,
    key: &SecretKey,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, Stop> {
    let opened: Result<Vec<Opened<AgreementBody>>, Refusal> = sent.iter().map(|one| document::open(one)).collect();
    let opened = opened?;
    // Its certificate says who it is; the key that it signs with is pinned as in an offer of data.
    if let Some(first) = opened.first().filter(|first| first.signer() != key.public()) {
        nodes::pin(db, node, first.signer())?;
    }
    let mut agreement = read(db, node, key.public())?;
    if agreement.latest_offer().is_none() {
        let act = Act::Offer { terms: Digest::of(TERMS.as_bytes()), from: now, until: None };
        state(db, &mut agreement, (node, key), act, now)?;
    }
    for (statement, envelope) in opened.into_iter().zip(sent) {
        if agreement.add(statement)? {
            file(db, node, node.as_str(), envelope, now)?;
        }
    }
    settle(db, node, &agreement, now)?;
    let ours =
        |envelope: &Vec<u8>| document::open::<AgreementBody>(envelope).is_ok_and(|one| one.signer() == key.public());
    Ok(statements(db, node)?.into_iter().filter(ours).collect())
}

/// Jobs no longer wait for a node whose agreement was ended.
fn settle(db: &Connection, node: &NodeName, agreement: &Agreement, now: Timestamp) -> Result<(), Stop> {
    match (agreement.standing(now), agreement.live(now)) {
        (Standing::Terminated { .. }, Err(why)) => jobs::give_up(db, node, &why),
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
    Ok(read(db, node, hub)?.live(now))
}

/// How the agreements with all nodes stand. Works beside a running hub.
///
/// # Errors
/// The file that cannot be used.
pub fn agreements(dir: &Path) -> Result<Vec<(NodeName, Standing)>, FileError> {
    let config = Config::read(dir)?;
    let hub = witness::key(&config)?.public();
    let db = store::open(&config.store)?;
    let read_all = || -> Result<Vec<_>, Stop> {
        let all = members::nodes(&db)?.into_iter();
        all.map(|node| Ok((node.clone(), read(&db, &node, hub)?.standing(Timestamp::now())))).collect()
    };
    read_all().map_err(FileError::at(&config.store))
}

/// Makes a statement of the hub's on the agreement with `node`, and says how it stands then. Works beside a running hub.
///
/// # Errors
/// The file that cannot be used; nothing that was agreed on.
pub fn agree(dir: &Path, node: &NodeName, step: Move) -> Result<Standing, FileError> {
    let config = Config::read(dir)?;
    let key = witness::key(&config)?;
    let mut db = store::open(&config.store)?;
    let now = Timestamp::now();
    let mut stating = || -> Result<Standing, Stop> {
        let writing = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut agreement = read(&writing, node, key.public())?;
        let offer = agreement.accepted().map(Opened::digest);
        let nothing = || Refusal::NotFound { what: format!("an agreement with node {node}") };
        let act = match step.clone() {
            Move::Offer { terms, until } => Act::Offer { terms, from: now, until },
            Move::Suspend(reason) => Act::Suspend { offer: offer.ok_or_else(nothing)?, reason },
            Move::Resume => Act::Resume { offer: offer.ok_or_else(nothing)? },
            Move::Terminate(reason) => Act::Terminate { offer: offer.ok_or_else(nothing)?, reason },
        };
        state(&writing, &mut agreement, (node, &key), act, now)?;
        settle(&writing, node, &agreement, now)?;
        writing.commit()?;
        Ok(agreement.standing(now))
    };
    stating().map_err(FileError::at(&config.store))
}
