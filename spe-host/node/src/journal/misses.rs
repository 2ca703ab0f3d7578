//! Runs that were late, and when their operator looked at them.
//!
//! # Privacy
//! That a run was late shows, and a module may have brought it about for one person. So it is counted, durably, and past the policy's
//! `misses_max` the dataset answers nothing: a function of these rows alone (`docs/threat-model.md`). Watched by
//! `a_dataset_that_was_late_too_often_answers_nothing` in `spe-host/cli/tests/it/evil_late.rs`.

use jiff::Timestamp;
use rusqlite::{Transaction, params};
use spe_kernel::{
    audit::{Event, Person, Who},
    fault::Fault,
    ids::{DatasetName, Digest},
    ledger::{AnswerKey, Charge},
};

use super::{Records, ledger, log};

const COUNTING: &str = "counting missed deadlines";

/// Both may be added to, and nothing else may ever happen to them.
pub(super) const TABLES: &str = "
CREATE TABLE miss (
  id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, plan BLOB NOT NULL, snapshot BLOB NOT NULL, round INTEGER NOT NULL,
  permit TEXT NOT NULL, person TEXT NOT NULL, missed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX miss_dataset ON miss (dataset);
CREATE TRIGGER miss_stays BEFORE DELETE ON miss BEGIN SELECT RAISE(ABORT, 'a miss stays'); END;
CREATE TRIGGER miss_is_final BEFORE UPDATE ON miss BEGIN SELECT RAISE(ABORT, 'a miss is final'); END;
CREATE TABLE resumption (
  id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, last_miss INTEGER NOT NULL, reason TEXT NOT NULL CHECK (length(reason) > 0),
  resumed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE INDEX resumption_dataset ON resumption (dataset, last_miss);
CREATE TRIGGER resumption_stays BEFORE DELETE ON resumption BEGIN SELECT RAISE(ABORT, 'a resumption stays'); END;
CREATE TRIGGER resumption_is_final BEFORE UPDATE ON resumption BEGIN SELECT RAISE(ABORT, 'a resumption is final'); END;
";

/// Has tags stand for the persons of runs that were late, as everywhere else in the file: names are kept where they can be erased.
pub(super) fn without_names(db: &Transaction<'_>) -> rusqlite::Result<()> {
    let final_again =
        "CREATE TRIGGER miss_is_final BEFORE UPDATE ON miss BEGIN SELECT RAISE(ABORT, 'a miss is final'); END;";
    let names: Vec<String> = {
        let mut statement = db.prepare("SELECT DISTINCT person FROM miss")?;
        statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?
    };
    db.execute_batch("DROP TRIGGER miss_is_final")?;
    for name in names {
        let tag = log::actor(db, &Who::Person(Person { name: name.clone(), key: None, identity: None }));
        let tag = tag.map_err(|fault| rusqlite::Error::ToSqlConversionFailure(Box::new(fault)))?;
        db.execute("UPDATE miss SET person = ?2 WHERE person = ?1", [&name, tag.as_str()])?;
    }
    db.execute_batch(final_again)
}

/// A run that was late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Its place among all, from 1.
    pub number: i64,
    /// When.
    pub missed_at: Timestamp,
    /// The dataset.
    pub dataset: DatasetName,
    /// Digest of the plan.
    pub plan: Digest,
    /// Its round.
    pub round: u32,
    /// The permit that it was asked under.
    pub permit: String,
    /// Who asked: a name, or the tag of a person who was forgotten.
    pub person: String,
    /// Why the operator let the dataset go on after it, once that was so.
    pub resumed: Option<String>,
}

impl Records {
    /// Remembers that round `round` of `charge` was late.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn missed(&self, charge: &Charge, round: u32) -> Result<(), Fault> {
        const MISS: &str =
            "INSERT INTO miss (dataset, plan, snapshot, round, permit, person) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let AnswerKey { plan, dataset, snapshot, .. } = &charge.key;
        self.in_one(|db| {
            let (permit, person) = (charge.permit.to_string(), ledger::payer(db, charge)?);
            let values =
                params![dataset.as_str(), plan.as_bytes(), snapshot.as_bytes(), round, permit, person.as_str()];
            db.execute(MISS, values).map(drop).map_err(Fault::while_("writing down a missed deadline"))
        })
    }

    /// How many runs on `dataset` were late since its operator last let it go on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn misses(&self, dataset: &DatasetName) -> Result<u32, Fault> {
        const COUNT: &str = "SELECT COUNT(*) FROM miss WHERE dataset = ?1
             AND id > (SELECT COALESCE(MAX(last_miss), 0) FROM resumption WHERE dataset = ?1)";
        let connection = self.connection();
        let counted = connection.prepare_cached(COUNT).and_then(|mut s| s.query_row([dataset.as_str()], |r| r.get(0)));
        counted.map_err(Fault::while_(COUNTING))
    }

    /// Has `by` let `dataset` go on, for that reason, which the audit log tells of; how many late runs it is about.
    ///
    /// # Errors
    /// No reason, or the file cannot be written.
    pub fn resume(&self, dataset: &DatasetName, reason: &str, by: &Who) -> Result<u32, Fault> {
        const RESUME: &str = "INSERT INTO resumption (dataset, last_miss, reason)
             VALUES (?1, (SELECT COALESCE(MAX(id), 0) FROM miss WHERE dataset = ?1), ?2)";
        let misses = self.misses(dataset)?;
        self.in_one(|db| {
            let resumed = db.execute(RESUME, params![dataset.as_str(), reason.trim()]);
            resumed.map_err(Fault::while_("letting a dataset go on, which needs a reason"))?;
            log::append(db, log::actor(db, by)?, Event::BreakerReset { dataset: dataset.clone(), misses }).map(drop)
        })?;
        Ok(misses)
    }

    /// All runs that were late, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all_misses(&self) -> Result<Vec<Miss>, Fault> {
        const ALL: &str = "SELECT id, missed_at, dataset, plan, round, permit,
             COALESCE((SELECT name FROM log_person WHERE log_person.id = miss.person), person),
             (SELECT reason FROM resumption r WHERE r.dataset = miss.dataset AND r.last_miss >= miss.id ORDER BY r.id LIMIT 1)
             FROM miss ORDER BY id";
        let connection = self.connection();
        let mut statement = connection.prepare(ALL).map_err(Fault::while_(COUNTING))?;
        let row = |r: &rusqlite::Row<'_>| {
            let texts: (String, String) = (r.get(1)?, r.get(2)?);
            Ok((texts, (r.get(0)?, Digest::from_bytes(r.get(3)?), r.get(4)?), (r.get(5)?, r.get(6)?, r.get(7)?)))
        };
        let rows = statement.query_map([], row).map_err(Fault::while_(COUNTING))?;
        rows.map(|row| {
            let ((missed_at, dataset), (number, plan, round), (permit, person, resumed)) =
                row.map_err(Fault::while_(COUNTING))?;
            let missed_at = missed_at.parse().map_err(Fault::while_(COUNTING))?;
            let dataset = dataset.parse().map_err(Fault::while_(COUNTING))?;
            Ok(Miss { number, missed_at, dataset, plan, round, permit, person, resumed })
        })
        .collect()
    }
}
