//! Refusals that anybody could cause without end: jobs whose signers no permit names, and what nobody signed as it came.
//!
//! # Security
//! A key costs nothing, and a changed byte less, so that an entry for each would let anybody who may submit a job, and the hub, write into the
//! log without end. Each kind is counted in one row, and told in one entry an hour at most. Watched by
//! `strangers_and_damage_write_one_entry_an_hour` beside this.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use spe_kernel::{
    audit::{ActorId, Event},
    fault::Fault,
};

use super::{READING, Records, Told, WRITING, append, number};

/// How many strangers were refused that no entry tells of yet, and since when.
pub(in crate::journal) const STRANGERS: &str = "
CREATE TABLE log_stranger (one INTEGER PRIMARY KEY CHECK (one = 1), since_ms INTEGER NOT NULL, jobs INTEGER NOT NULL) STRICT;
";

/// The same of documents that were damaged.
pub(in crate::journal) const DAMAGED: &str = "
CREATE TABLE log_damaged (one INTEGER PRIMARY KEY CHECK (one = 1), since_ms INTEGER NOT NULL, documents INTEGER NOT NULL) STRICT;
";

/// How long something is counted before it is told of.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Jobs of strangers.
    Strangers,
    /// Documents whose signature does not hold, or that are none.
    Damaged,
}

impl Counted {
    /// Its table, and the column with the number.
    const fn kept(self) -> (&'static str, &'static str) {
        match self {
            Self::Strangers => ("log_stranger", "jobs"),
            Self::Damaged => ("log_damaged", "documents"),
        }
    }

    const fn event(self, number: u64, since: Timestamp) -> Event {
        match self {
            Self::Strangers => Event::StrangersRefused { jobs: number, since },
            Self::Damaged => Event::DamagedRefused { documents: number, since },
        }
    }

    /// Tells of what was counted until `latest` or longer.
    fn tell(self, db: &Connection, latest: i64) -> Result<Told, Fault> {
        let (table, column) = self.kept();
        let due = format!("SELECT since_ms, {column} FROM {table} WHERE since_ms <= ?1");
        let due = db.query_row(&due, [latest], |r| Ok((r.get(0)?, r.get(1)?))).optional();
        let Some((since, counted)) = due.map_err(Fault::while_(READING))? else { return Ok(Told::Known) };
        let since = Timestamp::from_millisecond(since).map_err(Fault::while_(READING))?;
        append(db, ActorId::node(), self.event(number(counted)?, since))?;
        db.execute(&format!("DELETE FROM {table}"), []).map_err(Fault::while_(WRITING))?;
        Ok(Told::New)
    }
}

impl Records {
    /// Counts one more that was refused.
    ///
    /// # Errors
    /// The storage's own.
    pub fn count(&self, what: Counted, now: Timestamp) -> Result<Told, Fault> {
        let (table, column) = what.kept();
        let count = format!(
            "INSERT INTO {table} (one, since_ms, {column}) VALUES (1, ?1, 1) ON CONFLICT DO UPDATE SET {column} = {column} + 1"
        );
        self.connection().execute(&count, [now.as_millisecond()]).map_err(Fault::while_(WRITING))?;
        self.tell_counted(now)
    }

    /// Tells of what was counted for an hour.
    ///
    /// # Errors
    /// The storage's own.
    pub fn tell_counted(&self, now: Timestamp) -> Result<Told, Fault> {
        let latest = now.as_millisecond().saturating_sub(i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX));
        self.in_one(|db| {
            let told = [Counted::Strangers.tell(db, latest)?, Counted::Damaged.tell(db, latest)?];
            Ok(if told.contains(&Told::New) { Told::New } else { Told::Known })
        })
    }
}
