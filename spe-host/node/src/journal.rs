//! The ledger's and audit log's storage: one SQLite file, WAL, `synchronous=FULL`. An event is durable when its call returns.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use spe_kernel::{
    audit::AuditLog,
    fault::Fault,
    ids::Digest,
    ledger::{AnswerKey, Entry, Event, Journal, Total},
    units::{Loss, Measure},
};

/// The version of [`SCHEMA`].
const VERSION: i64 = 2;

/// Charges and rounds may be added, and be given their answer once; nothing else may ever happen to them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS charge (
  id INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  permit TEXT NOT NULL, job BLOB NOT NULL, measure TEXT NOT NULL CHECK (measure IN ('rho', 'epsilon')),
  pico INTEGER NOT NULL CHECK (pico > 0), reserved_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  envelope BLOB, delta INTEGER NOT NULL DEFAULT 0 CHECK (delta >= 0), UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE INDEX IF NOT EXISTS charge_sums ON charge (dataset, permit, measure, pico, delta);
CREATE INDEX IF NOT EXISTS charge_job ON charge (job);
CREATE TRIGGER IF NOT EXISTS charge_stays BEFORE DELETE ON charge BEGIN SELECT RAISE(ABORT, 'a charge stays'); END;
CREATE TRIGGER IF NOT EXISTS charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.delta <> OLD.delta OR NEW.reserved_at <> OLD.reserved_at
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE IF NOT EXISTS round (
  plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL, round INTEGER NOT NULL CHECK (round > 0),
  state BLOB NOT NULL, envelope BLOB, began_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  PRIMARY KEY (plan, dataset, snapshot, round)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS round_stays BEFORE DELETE ON round BEGIN SELECT RAISE(ABORT, 'a round stays'); END;
CREATE TRIGGER IF NOT EXISTS round_is_final BEFORE UPDATE ON round
  WHEN OLD.envelope IS NOT NULL OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset OR NEW.snapshot <> OLD.snapshot
    OR NEW.round <> OLD.round OR NEW.state <> OLD.state OR NEW.began_at <> OLD.began_at
  BEGIN SELECT RAISE(ABORT, 'a round is final'); END;
CREATE TABLE IF NOT EXISTS release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  round INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0), UNIQUE (plan, dataset, snapshot, round)
) STRICT;
CREATE TRIGGER IF NOT EXISTS release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER IF NOT EXISTS release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
";

/// What makes a file of version 1, which knew neither rounds nor δ, one that [`SCHEMA`] can be laid over.
const FROM_VERSION_1: &str = "
DROP TRIGGER charge_is_final;
DROP INDEX charge_totals;
ALTER TABLE charge ADD COLUMN delta INTEGER NOT NULL DEFAULT 0 CHECK (delta >= 0);
DROP TRIGGER release_stays;
DROP TRIGGER release_is_final;
ALTER TABLE release RENAME TO release_1;
CREATE TABLE release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  round INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0), UNIQUE (plan, dataset, snapshot, round)
) STRICT;
INSERT INTO release (position, plan, dataset, snapshot, envelope, chain, released_at)
  SELECT position, plan, dataset, snapshot, envelope, chain, released_at FROM release_1;
DROP TABLE release_1;
";

/// A node's records: charges, answers and releases.
#[derive(Clone)]
pub struct Records {
    connection: Arc<Mutex<Connection>>,
}

impl Records {
    /// Opens or creates the file. One process holds it at a time.
    ///
    /// # Errors
    /// The file cannot be written, is damaged, or belongs to a running node.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let mut connection = Connection::open(path).map_err(Fault::while_("opening the ledger"))?;
        let set = |name: &str, value: &str| connection.pragma_update(None, name, value).map_err(|e| in_use(path, &e));
        set("locking_mode", "EXCLUSIVE")?;
        set("journal_mode", "WAL")?;
        set("synchronous", "FULL")?;
        let found = lay_out(&mut connection).map_err(|e| in_use(path, &e))?;
        if found > VERSION {
            let why = format!("{} has version {found}; this program reads version {VERSION}", path.display());
            return Err(Fault::new("setting up the ledger", why));
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Every statement is one transaction, so a panic elsewhere leaves nothing half-done behind.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a copy of the whole file that may be kept elsewhere.
    ///
    /// # Errors
    /// The copy exists or cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<(), Fault> {
        let path = path.to_string_lossy();
        self.connection().execute("VACUUM INTO ?1", [path]).map(drop).map_err(Fault::while_("copying the ledger"))
    }
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its place in the log, from 1.
    pub position: i64,
    /// When the answer was logged, RFC 3339.
    pub released_at: String,
    /// Which answer.
    pub key: AnswerKey,
    /// Digest of the signed answer.
    pub answer: Digest,
    /// Digest of the chain before it and of this line.
    pub chain: Digest,
    /// Whether `chain` is what the line before and this line give.
    pub holds: bool,
}

impl Records {
    /// The audit log from its beginning.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn releases(&self) -> Result<Vec<Release>, Fault> {
        const ALL: &str = "SELECT position, released_at, plan, dataset, snapshot, round, envelope, chain FROM release
             ORDER BY position";
        let reading = "reading the audit log";
        let connection = self.connection();
        let mut statement = connection.prepare(ALL).map_err(Fault::while_(reading))?;
        let digest = |r: &rusqlite::Row<'_>, i| Ok::<_, rusqlite::Error>(Digest::from_bytes(r.get(i)?));
        let row = |r: &rusqlite::Row<'_>| {
            let (dataset, round): (String, u32) = (r.get(3)?, r.get(5)?);
            let (digests, line) =
                ([digest(r, 2)?, digest(r, 4)?, digest(r, 6)?, digest(r, 7)?], (r.get(0)?, r.get(1)?));
            Ok((line, dataset, round, digests))
        };
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        let mut before = Vec::new();
        rows.map(|row| {
            let ((position, released_at), dataset, round, [plan, snapshot, answer, linked]) =
                row.map_err(Fault::while_(reading))?;
            let dataset = dataset.parse().map_err(Fault::while_(reading))?;
            let key = AnswerKey { plan, dataset, snapshot, round };
            // Version 1 knew no rounds, and what it linked stays as it is.
            let holds = [true, false]
                .into_iter()
                .any(|rounds| (rounds || round == 0) && chain(&before, &key, answer, rounds) == linked);
            before = linked.as_bytes().to_vec();
            Ok(Release { position, released_at, key, answer, chain: linked, holds })
        })
        .collect()
    }
}

/// The chain's digest after one more line; `rounds` says whether the line's round is part of it.
fn chain(before: &[u8], key: &AnswerKey, answer: Digest, rounds: bool) -> Digest {
    let AnswerKey { plan, dataset, snapshot, round } = key;
    let mut linked = before.to_vec();
    linked.extend_from_slice(plan.as_bytes());
    linked.extend_from_slice(Digest::of(dataset.as_str().as_bytes()).as_bytes());
    linked.extend_from_slice(snapshot.as_bytes());
    if rounds {
        linked.extend_from_slice(&round.to_le_bytes());
    }
    linked.extend_from_slice(answer.as_bytes());
    Digest::of(&linked)
}

/// Brings the tables to [`VERSION`], all or nothing; the version that was found. A file that is up to date, or newer, is not
/// written to: a node on a full disk still shows what it has.
fn lay_out(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version >= VERSION {
        return Ok(version);
    }
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'charge')";
    if transaction.query_row(exists, [], |r| r.get(0))? {
        transaction.execute_batch(FROM_VERSION_1)?;
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(version)
}

fn in_use(path: &Path, error: &rusqlite::Error) -> Fault {
    let setting_up = "setting up the ledger";
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Fault::new(setting_up, format!("{} is in use by another node that runs; stop it first", path.display()))
        }
        _ => Fault::new(setting_up, format!("{}: {error}", path.display())),
    }
}

fn loss(measure: &str, pico: i64, delta: i64) -> Result<Loss, Fault> {
    let measure = match measure {
        "rho" => Measure::Zcdp,
        "epsilon" => Measure::Pure,
        other => return Err(Fault::new("reading the ledger", format!("unknown measure {other}"))),
    };
    let amount = |n: i64| u64::try_from(n).map_err(Fault::while_("reading the ledger"));
    Ok(Loss::from_pico(measure, amount(pico)?).with_delta_atto(amount(delta)?))
}

impl Journal for Records {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        const SUMS: &str = "SELECT dataset, permit, measure, SUM(pico), SUM(delta) FROM charge
             GROUP BY dataset, permit, measure";
        let reading = "adding up the ledger";
        let connection = self.connection();
        let mut statement = connection.prepare(SUMS).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?));
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        let total = |row: rusqlite::Result<(String, String, String, i64, i64)>| {
            let (dataset, permit, measure, pico, delta) = row.map_err(Fault::while_(reading))?;
            Ok(Total {
                dataset: dataset.parse().map_err(Fault::while_(reading))?,
                permit: permit.parse().map_err(Fault::while_(reading))?,
                spent: loss(&measure, pico, delta)?,
            })
        };
        rows.map(total).collect()
    }

    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        const FIRST: &str = "SELECT envelope FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND ?4 = 0";
        const LATER: &str =
            "SELECT envelope FROM round WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let found: Option<Option<Vec<u8>>> = self
            .connection()
            .prepare_cached(if *round == 0 { FIRST } else { LATER })
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        Ok(found.map(|envelope| envelope.map_or(Entry::Open, Entry::Answered)))
    }

    fn state(&mut self, key: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        const STATE: &str = "SELECT state FROM round WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let found: Option<Vec<u8>> = self
            .connection()
            .prepare_cached(STATE)
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        Ok(found.map(|bytes| bytes.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect()))
    }

    fn bought(&mut self, job: Digest) -> Result<bool, Fault> {
        const BOUGHT: &str = "SELECT EXISTS (SELECT 1 FROM charge WHERE job = ?1)";
        let connection = self.connection();
        let asked = connection.prepare_cached(BOUGHT).and_then(|mut s| s.query_row([job.as_bytes()], |r| r.get(0)));
        asked.map_err(Fault::while_("looking up the ledger"))
    }

    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        const RESERVE: &str = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico, delta)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        const BEGIN: &str = "INSERT INTO round (plan, dataset, snapshot, round, state) VALUES (?1, ?2, ?3, ?4, ?5)";
        const FIRST: &str =
            "UPDATE charge SET envelope = ?5 WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND ?4 = 0";
        const LATER: &str =
            "UPDATE round SET envelope = ?5 WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        let connection = self.connection();
        let written = match event {
            Event::Reserved(charge) => {
                let AnswerKey { plan, dataset, snapshot, .. } = &charge.key;
                let amount = |n: u64| i64::try_from(n).map_err(Fault::while_("writing the ledger"));
                let (pico, delta) = (amount(charge.loss.pico())?, amount(charge.loss.delta_atto())?);
                let measure = charge.loss.measure().parameter();
                let values = params![
                    plan.as_bytes(),
                    dataset.as_str(),
                    snapshot.as_bytes(),
                    charge.permit.to_string(),
                    charge.job.as_bytes(),
                    measure,
                    pico,
                    delta
                ];
                connection.prepare_cached(RESERVE).and_then(|mut s| s.execute(values))
            }
            Event::Began { key: AnswerKey { plan, dataset, snapshot, round }, state } => {
                let state: Vec<u8> = state.iter().flat_map(|x| x.to_le_bytes()).collect();
                let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round, state];
                connection.prepare_cached(BEGIN).and_then(|mut s| s.execute(values))
            }
            Event::Committed { key: AnswerKey { plan, dataset, snapshot, round }, envelope } => {
                let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round, envelope];
                let commit = if *round == 0 { FIRST } else { LATER };
                connection.prepare_cached(commit).and_then(|mut s| s.execute(values))
            }
        };
        match written.map_err(Fault::while_("writing the ledger"))? {
            1 => Ok(()),
            rows => Err(Fault::new("writing the ledger", format!("{rows} rows changed instead of one"))),
        }
    }
}

impl AuditLog for Records {
    /// Each entry's `chain` is the digest of the chain before it and of the entry, so that no entry can be changed alone.
    fn record(&mut self, key: &AnswerKey, envelope: Digest) -> Result<(), Fault> {
        const KNOWN: &str =
            "SELECT envelope FROM release WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3 AND round = ?4";
        const LAST: &str = "SELECT chain FROM release ORDER BY position DESC LIMIT 1";
        const INSERT: &str =
            "INSERT INTO release (plan, dataset, snapshot, round, envelope, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let AnswerKey { plan, dataset, snapshot, round } = key;
        let writing = "writing the audit log";
        let connection = self.connection();
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), round];
        let known: Option<Vec<u8>> =
            connection.query_row(KNOWN, values, |r| r.get(0)).optional().map_err(Fault::while_(writing))?;
        match known {
            Some(bytes) if bytes == envelope.as_bytes() => return Ok(()),
            Some(_) => return Err(Fault::new(writing, "the same question was released with another answer")),
            None => {}
        }
        let last: Option<Vec<u8>> =
            connection.query_row(LAST, [], |r| r.get(0)).optional().map_err(Fault::while_(writing))?;
        let chain = chain(&last.unwrap_or_default(), key, envelope, true);
        let values = params![
            plan.as_bytes(),
            dataset.as_str(),
            snapshot.as_bytes(),
            round,
            envelope.as_bytes(),
            chain.as_bytes()
        ];
        connection.execute(INSERT, values).map(drop).map_err(Fault::while_(writing))
    }
}

#[cfg(test)]
mod tests;
