//! The audit log's rows: entries, the hashes of their tree, and what was released.

mod carry;
mod check;
mod counted;
mod files;
mod forget;
mod people;
mod prune;
mod receipt;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    audit::{ActorId, AuditLog, Entry, Event, PaidUnder, Who},
    fault::Fault,
    ids::Digest,
    ledger::AnswerKey,
    officer::Matter,
    tlog::{self, ENTRY_BYTES_MAX, TreeHash},
    units::Loss,
};

use super::{Records, ledger, officers};

pub(super) use carry::carry_over;
pub use check::{Checked, LINES, check_files, entries_in, root_in};
pub use counted::Counted;
pub(super) use counted::{DAMAGED, STRANGERS};
pub use files::LogFiles;
pub use forget::{Forgotten, Stays};
pub use people::Told;
pub(crate) use people::login;
pub(super) use people::{actor, job_of};
pub use receipt::Witnessed;

const WRITING: &str = "writing the audit log";
const READING: &str = "reading the audit log";

/// Version 4: the log. Entries and hashes may be added; the body of an entry may be removed, and nothing else may ever happen to them.
/// `log_person` and `log_job` say whom and what the entries' tags stand for: these can be erased.
pub(super) const TABLES: &str = "
CREATE TABLE log (idx INTEGER PRIMARY KEY CHECK (idx >= 0), at_ms INTEGER NOT NULL, body BLOB) STRICT;
CREATE TRIGGER log_stays BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'an entry stays'); END;
CREATE TRIGGER log_is_final BEFORE UPDATE ON log
  WHEN NEW.idx <> OLD.idx OR NEW.at_ms <> OLD.at_ms OR NEW.body IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'an entry is final'); END;
CREATE TABLE log_hash (
  level INTEGER NOT NULL CHECK (level >= 0), idx INTEGER NOT NULL CHECK (idx >= 0), hash BLOB NOT NULL, PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER log_hash_stays BEFORE DELETE ON log_hash BEGIN SELECT RAISE(ABORT, 'a hash stays'); END;
CREATE TRIGGER log_hash_is_final BEFORE UPDATE ON log_hash BEGIN SELECT RAISE(ABORT, 'a hash is final'); END;
CREATE TABLE log_person (id TEXT PRIMARY KEY, salt BLOB NOT NULL, person TEXT NOT NULL UNIQUE, name TEXT NOT NULL) STRICT;
CREATE INDEX log_person_name ON log_person (name);
CREATE TABLE log_job (
  job BLOB PRIMARY KEY, tag TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, actor TEXT NOT NULL, module BLOB,
  admitted INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE log_seen (what TEXT NOT NULL, idx INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (what, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE log_witness (
  one INTEGER PRIMARY KEY CHECK (one = 1), key TEXT NOT NULL, size INTEGER NOT NULL, checkpoint TEXT NOT NULL
) STRICT;
DROP TRIGGER release_stays;
DROP TRIGGER release_is_final;
ALTER TABLE release RENAME TO release_3;
CREATE TABLE release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  round INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0), envelope BLOB NOT NULL, log_idx INTEGER NOT NULL UNIQUE,
  released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), UNIQUE (plan, dataset, snapshot, round)
) STRICT;
CREATE INDEX release_envelope ON release (envelope);
CREATE TRIGGER release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
";

/// The permit under which each answer was paid for: its document with the job, and beside the release what its entry hides.
pub(super) const PAID_UNDER: &str = "
ALTER TABLE log_job ADD COLUMN document BLOB;
ALTER TABLE release ADD COLUMN paid_under TEXT;
";

/// An answer that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Where in the log, from 0.
    pub index: u64,
    /// When it was logged, RFC 3339.
    pub released_at: String,
    /// Which answer.
    pub key: AnswerKey,
    /// Digest of the signed answer.
    pub answer: Digest,
    /// Under which permit it was paid for, as its entry hides it; not known of what an earlier version released.
    pub paid_under: Option<PaidUnder>,
}

/// How many entries there are.
pub(super) fn size(db: &Connection) -> Result<u64, Fault> {
    let found =
        db.prepare_cached("SELECT COALESCE(MAX(idx) + 1, 0) FROM log").and_then(|mut s| s.query_row([], |r| r.get(0)));
    number(found.map_err(Fault::while_(READING))?)
}

fn number(stored: i64) -> Result<u64, Fault> {
    u64::try_from(stored).map_err(Fault::while_(READING))
}

fn stored(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(Fault::while_(WRITING))
}

/// A hash of the tree.
fn hash(db: &Connection, level: u32, index: u64) -> Result<TreeHash, Fault> {
    let mut statement =
        db.prepare_cached("SELECT hash FROM log_hash WHERE level = ?1 AND idx = ?2").map_err(Fault::while_(READING))?;
    let found = statement.query_row(params![level, stored(index)?], |r| r.get(0)).optional();
    let missing = || Fault::new(READING, format!("hash {index} of level {level} is missing: run `spe audit verify`"));
    Ok(TreeHash::from_bytes(found.map_err(Fault::while_(READING))?.ok_or_else(missing)?))
}

/// The root of the first `size` entries.
fn root(db: &Connection, size: u64) -> Result<TreeHash, Fault> {
    tlog::root(size, |level, index| hash(db, level, index))
}

/// Adds what happened to the end, with a salt of its own; its place. Part of the caller's transaction.
pub(super) fn append(db: &Connection, actor: ActorId, event: Event) -> Result<u64, Fault> {
    add(db, &Entry::new(Timestamp::now(), actor, event, people::salt()?))
}

/// Adds an entry to the end; its place.
fn add(db: &Connection, entry: &Entry) -> Result<u64, Fault> {
    let (index, body) = (size(db)?, entry.to_bytes()?);
    if body.len() > ENTRY_BYTES_MAX {
        return Err(Fault::new(WRITING, format!("an entry has {} bytes, more than {ENTRY_BYTES_MAX}", body.len())));
    }
    let write = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(Fault::while_(WRITING))
    };
    for (level, at, hash) in tlog::appended(index, TreeHash::of_entry(&body), |level, at| hash(db, level, at))? {
        let values = params![level, stored(at)?, hash.as_bytes()];
        write("INSERT INTO log_hash (level, idx, hash) VALUES (?1, ?2, ?3)", values)?;
    }
    let values = params![stored(index)?, entry.at.as_millisecond(), body];
    write("INSERT INTO log (idx, at_ms, body) VALUES (?1, ?2, ?3)", values)?;
    Ok(index)
}

/// A place in the log and what stands there; a pruned entry has no body.
pub(super) type Place = (u64, Option<Vec<u8>>);

impl Records {
    /// Writes down that `who` did something; its place in the log. Durable when this returns.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log(&self, who: &Who, event: Event) -> Result<u64, Fault> {
        self.in_one(|db| append(db, actor(db, who)?, event))
    }

    /// Writes down that `what` is another one than it was when the log last told of it; nothing if it is the same.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log_change(&self, what: &str, digest: Digest, event: Event) -> Result<Told, Fault> {
        self.log_change_by(&Who::Node, what, digest, event)
    }

    /// The same, of a change that `who` made.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log_change_by(&self, who: &Who, what: &str, digest: Digest, event: Event) -> Result<Told, Fault> {
        let last = "SELECT digest FROM log_seen WHERE what = ?1 ORDER BY idx DESC LIMIT 1";
        self.in_one(|db| {
            let last = db.query_row(last, [what], |r| r.get::<_, [u8; 32]>(0)).optional();
            if last.map_err(Fault::while_(READING))? == Some(*digest.as_bytes()) {
                return Ok(Told::Known);
            }
            seen(db, what, digest, append(db, actor(db, who)?, event)?)?;
            Ok(Told::New)
        })
    }

    /// Runs `step` as one transaction: all of it is durable when this returns, or nothing happened.
    ///
    /// # Errors
    /// Those of `step`, and the storage's own.
    pub(super) fn in_one<T>(&self, step: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(Fault::while_(WRITING))?;
        let done = step(&transaction)?;
        transaction.commit().map_err(Fault::while_(WRITING))?;
        Ok(done)
    }

    /// Entries `from` and later, at most `limit`; a pruned one has no body.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self, from: u64, limit: u32) -> Result<Vec<Place>, Fault> {
        let db = self.connection();
        let mut statement = db
            .prepare_cached("SELECT idx, body FROM log WHERE idx >= ?1 ORDER BY idx LIMIT ?2")
            .map_err(Fault::while_(READING))?;
        let rows = statement
            .query_map(params![stored(from)?, limit], |r| Ok((r.get(0)?, r.get(1)?)))
            .map_err(Fault::while_(READING))?;
        rows.map(|row| row.map_err(Fault::while_(READING)).and_then(|(index, body)| Ok((number(index)?, body))))
            .collect()
    }

    /// The latest time of any entry, if there is one: not always the last one's, where a clock was set back.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn latest_entry_at(&self) -> Result<Option<Timestamp>, Fault> {
        let found = self.connection().query_row("SELECT MAX(at_ms) FROM log", [], |r| r.get::<_, Option<i64>>(0));
        let latest = found.map_err(Fault::while_(READING))?.map(Timestamp::from_millisecond);
        latest.transpose().map_err(Fault::while_(READING))
    }

    /// What left, from the beginning.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn releases(&self) -> Result<Vec<Release>, Fault> {
        releases(&self.connection())
    }
}

/// Keeps that entry `index` told of `what`.
fn seen(db: &Connection, what: &str, digest: Digest, index: u64) -> Result<(), Fault> {
    let insert = "INSERT INTO log_seen (what, idx, digest) VALUES (?1, ?2, ?3)";
    db.execute(insert, params![what, stored(index)?, digest.as_bytes()]).map(drop).map_err(Fault::while_(WRITING))
}

fn releases(db: &Connection) -> Result<Vec<Release>, Fault> {
    const ALL: &str = "SELECT log_idx, released_at, plan, dataset, snapshot, round, envelope, paid_under FROM release ORDER BY position";
    let digest = |r: &rusqlite::Row<'_>, i| Ok::<_, rusqlite::Error>(Digest::from_bytes(r.get(i)?));
    let row = |r: &rusqlite::Row<'_>| {
        let (dataset, round): (String, u32) = (r.get(3)?, r.get(5)?);
        let paid_under: Option<String> = r.get(7)?;
        Ok(((r.get(0)?, r.get(1)?, paid_under), dataset, round, [digest(r, 2)?, digest(r, 4)?, digest(r, 6)?]))
    };
    let mut statement = db.prepare(ALL).map_err(Fault::while_(READING))?;
    let rows = statement.query_map([], row).map_err(Fault::while_(READING))?;
    rows.map(|row| {
        let ((index, released_at, paid), dataset, round, [plan, snapshot, answer]) =
            row.map_err(Fault::while_(READING))?;
        let paid_under = paid.map(|json| opening(json.as_bytes())).transpose()?;
        let dataset = dataset.parse().map_err(Fault::while_(READING))?;
        let key = AnswerKey { plan, dataset, snapshot, round };
        Ok(Release { index: number(index)?, released_at, key, answer, paid_under })
    })
    .collect()
}

fn opening(json: &[u8]) -> Result<PaidUnder, Fault> {
    PaidUnder::parse(json)
        .map_err(|why| Fault::new(READING, format!("under which permit an answer was paid for: {why}")))
}

impl AuditLog for Records {
    /// The row and its entry are one transaction.
    fn record(&mut self, key: &AnswerKey, envelope: Digest) -> Result<(), Fault> {
        self.in_one(|db| {
            const KNOWN: &str =
                "SELECT envelope FROM release WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
            let AnswerKey { plan, dataset, snapshot, round } = key;
            let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
            let known: Option<Vec<u8>> =
                db.query_row(KNOWN, values, |r| r.get(0)).optional().map_err(Fault::while_(WRITING))?;
            match known {
                Some(bytes) if bytes == envelope.as_bytes() => return Ok(()),
                Some(_) => return Err(Fault::new(WRITING, "the same question was released with another answer")),
                None => {}
            }
            tell_of_rules(db, envelope)?;
            let paid = paid_under(db, key)?;
            let index = append_release(db, key, envelope, paid.as_ref())?;
            insert_release(db, (key, envelope), index, paid.as_ref())
        })
    }
}

fn insert_release(
    db: &Connection,
    (key, envelope): (&AnswerKey, Digest),
    index: u64,
    paid: Option<&PaidUnder>,
) -> Result<(), Fault> {
    const INSERT: &str = "INSERT INTO release (plan, dataset, snapshot, round, envelope, log_idx, paid_under) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let AnswerKey { plan, dataset, snapshot, round } = key;
    let (plan, snapshot, envelope) = (plan.as_bytes(), snapshot.as_bytes(), envelope.as_bytes());
    let paid = paid.map(PaidUnder::to_bytes).transpose()?.map(|json| String::from_utf8_lossy(&json).into_owned());
    let values = params![plan, dataset.as_str(), snapshot, round, envelope, stored(index)?, paid];
    db.execute(INSERT, values).map(drop).map_err(Fault::while_(WRITING))
}

/// Where no officer signed for an answer, the rules let it leave: the entry says so. Of officers, each has told when they signed.
fn tell_of_rules(db: &Connection, envelope: Digest) -> Result<(), Fault> {
    if officers::verdicts(db, Matter::Release(envelope))?.is_empty() {
        let event = Event::GateDecided { envelope, released: true, document: None, signature: 0, of: 0 };
        append(db, ActorId::node(), event)?;
    }
    Ok(())
}

/// The permit under which the answer of `key` was paid for, with a salt that is drawn once: the same answer has the same entry for ever.
/// None where the job was admitted by an earlier version, which did not keep the document.
fn paid_under(db: &Connection, key: &AnswerKey) -> Result<Option<PaidUnder>, Fault> {
    const DOCUMENT: &str = "SELECT document FROM log_job WHERE job = ?1 AND document IS NOT NULL";
    let Some(bought) = ledger::bought(db, key)? else { return Ok(None) };
    let found = db.query_row(DOCUMENT, [bought.job.as_bytes()], |r| Ok(Digest::from_bytes(r.get(0)?))).optional();
    let Some(document) = found.map_err(Fault::while_(READING))? else { return Ok(None) };
    Ok(Some(PaidUnder { permit: (&bought.permit).into(), document, salt: people::salt()? }))
}

/// The entry of a release says what was paid for. It leaves with the answer, to whoever asks the same: who paid, and under which permit, is
/// in the entry of the charge, and here the permit is hidden.
fn append_release(db: &Connection, key: &AnswerKey, envelope: Digest, paid: Option<&PaidUnder>) -> Result<u64, Fault> {
    let bought = ledger::bought(db, key)?.ok_or_else(|| Fault::new(WRITING, "what was released was never charged"))?;
    let module = job_of(db, bought.job, None)?.module;
    let loss = if key.round == 0 { bought.loss } else { Loss::zero(bought.loss.measure()) };
    let (answer, software, paid_under) = (key.into(), super::SOFTWARE.into(), paid.map(PaidUnder::commitment));
    append(db, ActorId::node(), Event::Released { answer, envelope, module, permit: None, paid_under, loss, software })
}

#[cfg(test)]
mod tests;
