//! What the hub saw of the nodes' audit logs, and the receipts that nodes sent.

use rusqlite::{Connection, params};
use serde::Serialize;
use spe_kernel::{
    fault::Fault,
    ids::{Digest, JobId, NodeName},
    receipt::{logged, peek},
    refusal::Refusal,
    tlog::{Known, SignedCheckpoint},
};
use spe_wire::SignedAnswer;

use super::{
    first,
    jobs::not_found,
    outcomes::{Recorded, earlier},
    parsed, rows,
};
use crate::stop::Stop;

/// Version 5.
pub(crate) const TABLES: &str = "
    -- The largest tree that was seen of a node's log. checkpoint: as the node signed it.
    CREATE TABLE witness (
        node TEXT PRIMARY KEY, size INTEGER NOT NULL, root TEXT NOT NULL, checkpoint TEXT NOT NULL
    ) STRICT;
    -- Checkpoints that exclude one another. kind: shorter or forked.
    CREATE TABLE evidence (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        node TEXT NOT NULL, kind TEXT NOT NULL, seen TEXT NOT NULL, shown TEXT NOT NULL, UNIQUE (node, seen, shown)
    ) STRICT;
    CREATE TRIGGER evidence_is_not_changed BEFORE UPDATE ON evidence BEGIN SELECT RAISE(ABORT, 'append-only'); END;
    CREATE TRIGGER evidence_is_not_deleted BEFORE DELETE ON evidence BEGIN SELECT RAISE(ABORT, 'append-only'); END;
    -- The last receipt of each round that a node sent, before or after the answer itself.
    CREATE TABLE receipt (
        job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, node TEXT NOT NULL, round INTEGER NOT NULL, receipt TEXT NOT NULL,
        PRIMARY KEY (job, node, round)
    ) STRICT;
";

/// Version 6: the last history that a node showed besides the one that was cosigned. number: the how manieth, from 1. size, root: the largest
/// tree of it. shown: the checkpoint that was last found not to continue what was cosigned.
pub(crate) const BESIDES: &str = "
    CREATE TABLE besides (
        node TEXT PRIMARY KEY, number INTEGER NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, shown TEXT NOT NULL
    ) STRICT;
";

/// Version 8: histories have names, which do not come again where numbers would. Those that were numbered keep their number as a name: by it
/// they were acknowledged.
pub(crate) const NAMED: &str = "
    ALTER TABLE besides RENAME TO numbered;
    CREATE TABLE besides (
        node TEXT PRIMARY KEY, name TEXT NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, shown TEXT NOT NULL
    ) STRICT;
    INSERT INTO besides SELECT node, CAST(number AS TEXT), size, root, shown FROM numbered;
    DROP TABLE numbered;
";

/// A history besides the one that was cosigned, as far as it was seen.
pub(crate) struct Besides {
    pub(crate) name: String,
    pub(crate) known: Known,
    /// The checkpoint that was last found not to continue what was cosigned.
    pub(crate) shown: String,
}

/// Rows of evidence of one kind that are kept of one node: it cannot fill the disk by accusing itself, nor hide one kind behind the other.
const EVIDENCE_MAX: i64 = 1_000;

/// A node's log with two histories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// When the second was shown, RFC 3339.
    pub at: String,
    /// The node.
    pub node: NodeName,
    /// `shorter` or `forked`.
    pub kind: String,
    /// The checkpoint that was seen before, as the node signed it.
    pub seen: String,
    /// What excludes it: the checkpoint as the node signed it; of a fork, the whole request with it (c2sp.org/tlog-witness), whose path
    /// proves it.
    pub shown: String,
}

/// What was seen last of a node's log.
pub(crate) fn last(db: &Connection, node: &NodeName) -> Result<Option<(Known, String)>, Stop> {
    first(db, "SELECT size, root, checkpoint FROM witness WHERE node = ?1", [node.as_str()], |row| {
        Ok((Known { size: size(row)?, root: parsed(row, "root")? }, row.get("checkpoint")?))
    })
}

fn size(row: &rusqlite::Row<'_>) -> Result<u64, Stop> {
    Ok(u64::try_from(row.get::<_, i64>("size")?).map_err(Fault::while_("reading a stored size"))?)
}

/// What was seen last of every node's log.
pub(crate) fn all(db: &Connection) -> Result<Vec<(NodeName, u64, String)>, Stop> {
    rows(db, "SELECT node, size, checkpoint FROM witness ORDER BY node", [], |row| {
        Ok((parsed(row, "node")?, size(row)?, row.get("checkpoint")?))
    })
}

pub(crate) fn remember(db: &Connection, node: &NodeName, shown: &SignedCheckpoint) -> Result<(), Stop> {
    let sql = "INSERT INTO witness (node, size, root, checkpoint) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (node) DO UPDATE SET size = ?2, root = ?3, checkpoint = ?4";
    let (size, root) = shown.tree();
    let size = i64::try_from(size).map_err(Fault::while_("storing a size"))?;
    db.execute(sql, params![node.as_str(), size, root.to_string(), shown.note()])?;
    Ok(())
}

/// The last history of a node's log besides the one that was cosigned.
pub(crate) fn besides(db: &Connection, node: &NodeName) -> Result<Option<Besides>, Stop> {
    first(db, "SELECT name, size, root, shown FROM besides WHERE node = ?1", [node.as_str()], |row| {
        let known = Known { size: size(row)?, root: parsed(row, "root")? };
        Ok(Besides { name: row.get("name")?, known, shown: row.get("shown")? })
    })
}

pub(crate) fn remember_besides(db: &Connection, node: &NodeName, besides: &Besides) -> Result<(), Stop> {
    let sql = "INSERT INTO besides (node, name, size, root, shown) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (node) DO UPDATE SET name = ?2, size = ?3, root = ?4, shown = ?5";
    let Besides { name, known: Known { size, root }, shown } = besides;
    let size = i64::try_from(*size).map_err(Fault::while_("storing a size"))?;
    db.execute(sql, params![node.as_str(), name, size, root.to_string(), shown])?;
    Ok(())
}

/// Keeps two checkpoints of one log that exclude one another.
pub(crate) fn accuse(db: &Connection, node: &NodeName, kind: &str, seen: &str, shown: &str) -> Result<(), Stop> {
    let sql = "INSERT INTO evidence (node, kind, seen, shown) SELECT ?1, ?2, ?3, ?4
        WHERE (SELECT COUNT(*) FROM evidence WHERE node = ?1 AND kind = ?2) < ?5 ON CONFLICT DO NOTHING";
    db.execute(sql, params![node.as_str(), kind, seen, shown, EVIDENCE_MAX])?;
    Ok(())
}

pub(crate) fn evidence(db: &Connection) -> Result<Vec<Evidence>, Stop> {
    rows(db, "SELECT at, node, kind, seen, shown FROM evidence ORDER BY number", [], |row| {
        let (node, kind) = (parsed(row, "node")?, row.get("kind")?);
        Ok(Evidence { at: row.get("at")?, node, kind, seen: row.get("seen")?, shown: row.get("shown")? })
    })
}

/// Keeps a receipt of `node` for its answer in one round of `job`. Whether the proof holds is for whoever gets it to check.
///
/// Refuses a job that the node was not asked, and a round that the job does not have.
pub(crate) fn keep_receipt(db: &Connection, node: &NodeName, job: &JobId, receipt: &str) -> Result<Recorded, Stop> {
    earlier(db, node, job)?;
    let malformed = |why: String| Refusal::Malformed { document: "the receipt".into(), why };
    let round = logged(receipt).map_err(|why| malformed(why.to_string()))?.answer.round;
    let rounds = first(db, "SELECT COALESCE(rounds, 1) AS rounds FROM job WHERE id = ?1", [job.as_str()], |row| {
        Ok(row.get::<_, u32>("rounds")?)
    })?;
    if round >= rounds.ok_or_else(|| not_found(job.as_str()))? {
        return Err(malformed(format!("the job has no round {round}")).into());
    }
    let sql = "INSERT INTO receipt (job, node, round, receipt) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (job, node, round) DO UPDATE SET receipt = ?4";
    db.execute(sql, params![job.as_str(), node.as_str(), round, receipt])?;
    Ok(Recorded::Known)
}

/// The answers, each with the receipt that is for it.
pub(crate) fn with_receipts(
    db: &Connection,
    job: &JobId,
    answers: Vec<SignedAnswer>,
) -> Result<Vec<SignedAnswer>, Stop> {
    let with = |answer: SignedAnswer| {
        let digest = Digest::of(&answer.envelope);
        let sent = rows(
            db,
            "SELECT receipt FROM receipt WHERE job = ?1 AND node = ?2",
            [job.as_str(), answer.node.as_str()],
            |row| Ok(row.get::<_, String>("receipt")?),
        )?;
        Ok(SignedAnswer { receipt: sent.into_iter().find(|receipt| peek(receipt, digest).is_ok()), ..answer })
    };
    answers.into_iter().map(with).collect()
}
