//! What an earlier version kept, told to the log that this version begins.

use rusqlite::{Connection, Transaction, params};
use spe_kernel::{
    audit::{ActorId, Event},
    fault::Fault,
    ids::Digest,
    ledger::AnswerKey,
};

use super::{READING, TABLES, WRITING, append, append_release, job_of, ledger};

const RELEASE: &str = "INSERT INTO release (plan, dataset, snapshot, round, envelope, log_idx, released_at)
    SELECT plan, dataset, snapshot, round, envelope, ?5, released_at FROM release_3
    WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";

/// Lays out the log's tables and writes an entry for each row that is there, so that rows and entries agree from the beginning.
pub(in crate::journal) fn carry_over(db: &Transaction<'_>) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)?;
    carry(db).map_err(|fault| rusqlite::Error::ToSqlConversionFailure(Box::new(fault)))?;
    db.execute_batch("DROP TABLE release_3")
}

fn carry(db: &Connection) -> Result<(), Fault> {
    let count = |table: &str| -> Result<u64, Fault> {
        let found = db.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |r| r.get::<_, i64>(0));
        super::number(found.map_err(Fault::while_(READING))?)
    };
    let (charges, releases) = (count("charge")?, count("release_3")?);
    if charges + releases == 0 {
        return Ok(());
    }
    let version = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(Fault::while_(READING))?;
    let last = "SELECT chain FROM release_3 ORDER BY position DESC LIMIT 1";
    let chain: Vec<[u8; 32]> = rows(db, last, |r| r.get(0))?;
    let chain = chain.first().copied().map(Digest::from_bytes);
    append(db, ActorId::node(), Event::CarriedOver { version, charges, releases, chain })?;
    let first = "SELECT plan, dataset, snapshot, 0, envelope FROM charge ORDER BY id";
    let later = "SELECT plan, dataset, snapshot, round, envelope FROM round ORDER BY began_at, plan, round";
    let released = "SELECT plan, dataset, snapshot, round, envelope FROM release_3 ORDER BY position";
    for (key, envelope) in answers(db, first)? {
        let bought = ledger::bought(db, &key)?.ok_or_else(|| Fault::new(READING, "a charge is gone"))?;
        let job = job_of(db, bought.job, None)?.tag;
        let (permit, answer, loss) = ((&bought.permit).into(), (&key).into(), bought.loss);
        append(db, ActorId::node(), Event::Charged { job, permit, answer, loss })?;
        committed(db, &key, envelope.as_deref())?;
    }
    for (key, envelope) in answers(db, later)? {
        append(db, ActorId::node(), Event::RoundBegan { answer: (&key).into() })?;
        committed(db, &key, envelope.as_deref())?;
    }
    for (key, envelope) in answers(db, released)? {
        let digest = envelope.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Digest::from_bytes);
        let digest = digest.ok_or_else(|| Fault::new(READING, "a release has no digest"))?;
        let index = append_release(db, &key, digest, None)?;
        let AnswerKey { plan, dataset, snapshot, round } = &key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round, super::stored(index)?];
        db.execute(RELEASE, values).map_err(Fault::while_(WRITING))?;
    }
    Ok(())
}

fn committed(db: &Connection, key: &AnswerKey, envelope: Option<&[u8]>) -> Result<(), Fault> {
    let Some(envelope) = envelope else { return Ok(()) };
    let event = Event::Committed { answer: key.into(), envelope: Digest::of(envelope) };
    append(db, ActorId::node(), event).map(drop)
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare(sql).map_err(Fault::while_(READING))?;
    let found = statement.query_map(params![], read).map_err(Fault::while_(READING))?;
    found.collect::<Result<_, _>>().map_err(Fault::while_(READING))
}

/// A key and what stands beside it.
type Beside = (AnswerKey, Option<Vec<u8>>);

/// Keys and what stands beside them.
pub(super) fn answers(db: &Connection, sql: &str) -> Result<Vec<Beside>, Fault> {
    let read = |r: &rusqlite::Row<'_>| {
        let (plan, snapshot) = (Digest::from_bytes(r.get(0)?), Digest::from_bytes(r.get(2)?));
        Ok(((plan, r.get::<_, String>(1)?, snapshot, r.get(3)?), r.get(4)?))
    };
    rows(db, sql, read)?
        .into_iter()
        .map(|((plan, dataset, snapshot, round), envelope)| {
            let dataset = dataset.parse().map_err(Fault::while_(READING))?;
            Ok((AnswerKey { plan, dataset, snapshot, round }, envelope))
        })
        .collect()
}
