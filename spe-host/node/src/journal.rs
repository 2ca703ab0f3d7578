//! The ledger's and audit log's storage: one SQLite file, WAL, `synchronous=FULL`. An event is durable when its call returns.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    audit::AuditLog,
    fault::Fault,
    ids::Digest,
    ledger::{AnswerKey, Entry, Event, Journal, Total},
    units::{Loss, Measure},
};

/// Charges may be added, and be given their answer once; nothing else may ever happen to them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS charge (
  id INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  permit TEXT NOT NULL, job BLOB NOT NULL, measure TEXT NOT NULL CHECK (measure IN ('rho', 'epsilon')),
  pico INTEGER NOT NULL CHECK (pico > 0), reserved_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  envelope BLOB, UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE INDEX IF NOT EXISTS charge_totals ON charge (dataset, permit, measure, pico);
CREATE INDEX IF NOT EXISTS charge_job ON charge (job);
CREATE TRIGGER IF NOT EXISTS charge_stays BEFORE DELETE ON charge BEGIN SELECT RAISE(ABORT, 'a charge stays'); END;
CREATE TRIGGER IF NOT EXISTS charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.reserved_at <> OLD.reserved_at
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE IF NOT EXISTS release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE TRIGGER IF NOT EXISTS release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER IF NOT EXISTS release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
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
        let connection = Connection::open(path).map_err(Fault::while_("opening the ledger"))?;
        let set = |name: &str, value: &str| connection.pragma_update(None, name, value).map_err(|e| in_use(path, &e));
        set("locking_mode", "EXCLUSIVE")?;
        set("journal_mode", "WAL")?;
        set("synchronous", "FULL")?;
        connection.execute_batch(SCHEMA).map_err(|e| in_use(path, &e))?;
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

fn in_use(path: &Path, error: &rusqlite::Error) -> Fault {
    let setting_up = "setting up the ledger";
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Fault::new(setting_up, format!("{} is in use by another node that runs; stop it first", path.display()))
        }
        _ => Fault::new(setting_up, format!("{}: {error}", path.display())),
    }
}

fn loss(measure: &str, pico: i64) -> Result<Loss, Fault> {
    let measure = match measure {
        "rho" => Measure::Zcdp,
        "epsilon" => Measure::Pure,
        other => return Err(Fault::new("reading the ledger", format!("unknown measure {other}"))),
    };
    Ok(Loss::from_pico(measure, u64::try_from(pico).map_err(Fault::while_("reading the ledger"))?))
}

impl Journal for Records {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        const SUMS: &str = "SELECT dataset, permit, measure, SUM(pico) FROM charge GROUP BY dataset, permit, measure";
        let reading = "adding up the ledger";
        let connection = self.connection();
        let mut statement = connection.prepare(SUMS).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?));
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        let total = |row: rusqlite::Result<(String, String, String, i64)>| {
            let (dataset, permit, measure, pico) = row.map_err(Fault::while_(reading))?;
            Ok(Total {
                dataset: dataset.parse().map_err(Fault::while_(reading))?,
                permit: permit.parse().map_err(Fault::while_(reading))?,
                spent: loss(&measure, pico)?,
            })
        };
        rows.map(total).collect()
    }

    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        const FIND: &str = "SELECT envelope FROM charge WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3";
        let AnswerKey { plan, dataset, snapshot } = key;
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes()];
        let found: Option<Option<Vec<u8>>> = self
            .connection()
            .prepare_cached(FIND)
            .and_then(|mut s| s.query_row(values, |r| r.get(0)).optional())
            .map_err(Fault::while_("looking up the ledger"))?;
        Ok(found.map(|envelope| envelope.map_or(Entry::Open, Entry::Answered)))
    }

    fn bought(&mut self, job: Digest) -> Result<bool, Fault> {
        const BOUGHT: &str = "SELECT EXISTS (SELECT 1 FROM charge WHERE job = ?1)";
        let connection = self.connection();
        let asked = connection.prepare_cached(BOUGHT).and_then(|mut s| s.query_row([job.as_bytes()], |r| r.get(0)));
        asked.map_err(Fault::while_("looking up the ledger"))
    }

    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        const RESERVE: &str = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        const COMMIT: &str = "UPDATE charge SET envelope = ?4 WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3";
        let connection = self.connection();
        let written = match event {
            Event::Reserved(charge) => {
                let AnswerKey { plan, dataset, snapshot } = &charge.key;
                let pico = i64::try_from(charge.loss.pico()).map_err(Fault::while_("writing the ledger"))?;
                let measure = charge.loss.measure().parameter();
                let values = params![
                    plan.as_bytes(),
                    dataset.as_str(),
                    snapshot.as_bytes(),
                    charge.permit.to_string(),
                    charge.job.as_bytes(),
                    measure,
                    pico
                ];
                connection.prepare_cached(RESERVE).and_then(|mut s| s.execute(values))
            }
            Event::Committed { key, envelope } => {
                let values = params![key.plan.as_bytes(), key.dataset.as_str(), key.snapshot.as_bytes(), envelope];
                connection.prepare_cached(COMMIT).and_then(|mut s| s.execute(values))
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
        const KNOWN: &str = "SELECT envelope FROM release WHERE plan = ?1 AND dataset = ?2 AND snapshot = ?3";
        const LAST: &str = "SELECT chain FROM release ORDER BY position DESC LIMIT 1";
        const INSERT: &str =
            "INSERT INTO release (plan, dataset, snapshot, envelope, chain) VALUES (?1, ?2, ?3, ?4, ?5)";
        let AnswerKey { plan, dataset, snapshot } = key;
        let writing = "writing the audit log";
        let connection = self.connection();
        let values = params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes()];
        let known: Option<Vec<u8>> =
            connection.query_row(KNOWN, values, |r| r.get(0)).optional().map_err(Fault::while_(writing))?;
        match known {
            Some(bytes) if bytes == envelope.as_bytes() => return Ok(()),
            Some(_) => return Err(Fault::new(writing, "the same question was released with another answer")),
            None => {}
        }
        let last: Option<Vec<u8>> =
            connection.query_row(LAST, [], |r| r.get(0)).optional().map_err(Fault::while_(writing))?;
        let mut chained = last.unwrap_or_default();
        for part in [
            plan.as_bytes(),
            Digest::of(dataset.as_str().as_bytes()).as_bytes(),
            snapshot.as_bytes(),
            envelope.as_bytes(),
        ] {
            chained.extend_from_slice(part);
        }
        let chain = Digest::of(&chained);
        let values =
            params![plan.as_bytes(), dataset.as_str(), snapshot.as_bytes(), envelope.as_bytes(), chain.as_bytes()];
        connection.execute(INSERT, values).map(drop).map_err(Fault::while_(writing))
    }
}
