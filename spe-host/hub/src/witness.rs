//! The hub as the witness of its nodes' audit logs: it remembers the largest tree that it has seen of each, and cosigns only what
//! continues it. It reads no entry.

use std::{fs, io::ErrorKind, path::Path};

use jiff::Timestamp;
use spe_kernel::{
    dsse::SecretKey,
    fault::Fault,
    ids::{Digest, NodeName},
    receipt::{log_key, witness_key},
    refusal::Refusal,
    tlog::{Ask, Known, LogError, NoteKey, Reply, SignedCheckpoint, Verdict, judge},
};
use spe_wire::{FileError, Peer, Token, write_secret};

use crate::{
    Config, Hub,
    roles::{Endpoint, authorise},
    sparing,
    stop::Stop,
    store::{
        self, nodes,
        witness::{self, Besides, Evidence},
    },
};

/// The key that cosigns; a new one where there is none.
///
/// # Errors
/// The file cannot be read or written, or holds no key.
pub(crate) fn key(config: &Config) -> Result<SecretKey, FileError> {
    let at = &config.witness_key;
    match fs::read_to_string(at) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let token = Token::random().map_err(FileError::at(at))?;
            let key = SecretKey::from_seed(Digest::of(token.expose_text().as_bytes()).as_bytes());
            write_secret(at, key.expose_text())?;
            Ok(key)
        }
        read => read.map_err(FileError::at(at))?.parse().map_err(FileError::at(at)),
    }
}

/// What the hub in `dir` keeps as evidence: histories of a node's log that exclude one another, each signed by the node.
///
/// # Errors
/// The store cannot be read.
pub fn evidence(dir: &Path) -> Result<Vec<Evidence>, FileError> {
    let config = Config::read(dir)?;
    let db = store::open(&config.store)?;
    witness::evidence(&db).map_err(FileError::at(&config.store))
}

/// A node, and the size and checkpoint of its log.
pub(crate) type Seen = (NodeName, u64, String);

/// What the hub in `dir` saw last of each node's log: size and checkpoint. And the key that it cosigns with.
///
/// # Errors
/// The store or the key cannot be read.
pub fn seen(dir: &Path) -> Result<(spe_kernel::dsse::PublicKey, Vec<Seen>), FileError> {
    let config = Config::read(dir)?;
    let db = store::open(&config.store)?;
    Ok((key(&config)?.public(), witness::all(&db).map_err(FileError::at(&config.store))?))
}

impl Hub {
    /// Cosigns what continues the log of the node that calls. What does not is kept: two histories, each signed by the node, prove it.
    ///
    /// # Security
    /// Evidence is of what the node has signed, and nothing else: [`judge`] says why it can be relied on. A request whose path is damaged
    /// accuses nobody. Watched by `a_fork_is_kept_as_evidence_and_a_damaged_message_is_not`.
    ///
    /// A history besides the one that was cosigned never is, and is watched all the same: when it in turn is put back, that is another one.
    /// Watched by `a_history_that_was_acknowledged_is_watched_on`.
    pub(crate) async fn cosigned(&self, peer: Peer, ask: Ask) -> Result<Reply, Stop> {
        let secret = std::sync::Arc::clone(&self.witness);
        let (node, found) = self.store.write(move |db| look(db, peer, &ask)).await?;
        match found {
            Found::Continued(shown) => {
                let time = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
                let name = witness_key(secret.public()).map_err(wrong)?;
                Ok(Reply::Cosigned(shown.cosign(name.name(), &secret, time).map_err(wrong)?))
            }
            Found::Unknown { size } => Ok(Reply::From(size)),
            Found::Besides { cosigned, name } => Err(refuse(&node, cosigned, &name)),
        }
    }
}

/// What was found of a checkpoint.
enum Found {
    /// It continues what was cosigned.
    Continued(SignedCheckpoint),
    /// The node is to prove that it continues a tree of that size.
    Unknown { size: u64 },
    /// It does not continue what was cosigned: it is of the history of that name besides that one.
    Besides { cosigned: u64, name: String },
}

fn wrong(why: LogError) -> Stop {
    Fault::new("cosigning", why).into()
}

/// The same words for the same history: the node's operator acknowledges each once, and the next one stops the node again.
fn refuse(node: &NodeName, cosigned: u64, name: &str) -> Stop {
    let why = format!(
        "its witness has cosigned another log of it, of {cosigned} entries, and this is history {name} besides that one"
    );
    if let Some(more) = sparing::line(node, "another history") {
        tracing::error!(%node, "AUDIT LOG NOT COSIGNED: {why}; the evidence: spe hub witness show{more}");
    }
    Refusal::RolledBack { node: node.clone(), why }.into()
}

/// What the hub finds, and remembers before it says so.
fn look(db: &rusqlite::Transaction<'_>, peer: Peer, ask: &Ask) -> Result<(NodeName, Found), Stop> {
    let node = authorise(db, peer, Endpoint::Witness)?.node()?;
    let unknown = || Refusal::NotFound { what: format!("the key of node {node}, which has never offered a dataset,") };
    let key = log_key(&node, nodes::key(db, &node)?.ok_or_else(unknown)?).map_err(wrong)?;
    let before = witness::last(db, &node)?;
    let verdict = judge(before.as_ref().map(|(known, _)| *known), ask, &key).map_err(|why| malformed(&node, &why))?;
    let (cosigned, seen) = before.map(|(known, checkpoint)| (known.size, checkpoint)).unwrap_or_default();
    let keep = |kind: &str, shown: &str| witness::accuse(db, &node, kind, &seen, shown);
    let besides = witness::besides(db, &node)?;
    match verdict {
        Verdict::Consistent(shown) => {
            witness::remember(db, &node, &shown)?;
            return Ok((node, Found::Continued(shown)));
        }
        Verdict::Shorter(shown) => keep("shorter", shown.note())?,
        // With the path: whoever has both can judge again.
        Verdict::Forked(_) => keep("forked", &ask.to_text())?,
        // Of the same checkpoint it was found just now.
        Verdict::Unknown { .. }
            if besides.as_ref().is_some_and(|b| b.known.is_judged_from(ask.old) && b.shown == ask.checkpoint) => {}
        Verdict::Unknown { size } => return Ok((node, Found::Unknown { size })),
    }
    let found = besides_which(db, &node, besides, ask, &key)?;
    Ok((node, found.map_or_else(|size| Found::Unknown { size }, |name| Found::Besides { cosigned, name })))
}

/// Of which history `ask` is, besides the one that was cosigned: of the last that was seen, if it continues that, or of a new one. Or from which
/// size the node has to prove it.
fn besides_which(
    db: &rusqlite::Transaction<'_>,
    node: &NodeName,
    last: Option<Besides>,
    ask: &Ask,
    key: &NoteKey,
) -> Result<Result<String, u64>, Stop> {
    let shown = SignedCheckpoint::open(&ask.checkpoint, key).map_err(|why| malformed(node, &why))?;
    let name = match last {
        None => another()?,
        Some(last) => match judge(Some(last.known), ask, key).map_err(|why| malformed(node, &why))? {
            Verdict::Consistent(_) => last.name,
            Verdict::Shorter(_) | Verdict::Forked(_) => another()?,
            Verdict::Unknown { size } => {
                witness::remember_besides(db, node, &Besides { shown: ask.checkpoint.clone(), ..last })?;
                return Ok(Err(size));
            }
        },
    };
    let (size, root) = shown.tree();
    let seen = Besides { name, known: Known { size, root }, shown: ask.checkpoint.clone() };
    witness::remember_besides(db, node, &seen)?;
    Ok(Ok(seen.name))
}

/// The name of another history.
///
/// # Security
/// Random, so that none comes again, also not at a hub whose store was put back from an older copy: what a node's operator acknowledged is one
/// history, and must not hide the next. Watched by `a_hub_whose_store_was_put_back_gives_no_history_a_name_again`.
fn another() -> Result<String, Fault> {
    Ok(Digest::of(Token::random()?.expose_text().as_bytes()).short())
}

/// Nothing that the node has signed, and so nothing against it: it may ask again.
fn malformed(node: &NodeName, why: &LogError) -> Refusal {
    if let Some(more) = sparing::line(node, "proof") {
        tracing::warn!(%node, "audit log not cosigned: {why}{more}");
    }
    Refusal::Malformed { document: format!("the log of node {node}"), why: why.to_string() }
}
