//! Refusals of strangers: jobs whose signers no permit names.
//!
//! # Security
//! A key costs nothing, so that an entry for each job would let anybody who may submit one write into the log without end. Strangers are
//! counted in one row, and told in one entry an hour at most. Watched by `strangers_write_one_entry_an_hour` beside this.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};
use spe_kernel::{
    audit::{ActorId, Event},
    fault::Fault,
};

use super::{READING, Records, Told, WRITING, append, number};

/// How many strangers were refused that no entry tells of yet, and since when.
pub(in crate::journal) const STRANGERS: &str = "
CREATE TABLE log_stranger (one INTEGER PRIMARY KEY CHECK (one = 1), since_ms INTEGER NOT NULL, jobs INTEGER NOT NULL) STRICT;
";

/// How long strangers are counted before they are told of.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

impl Records {
    /// Counts a stranger's job that came to nothing.
    ///
    /// # Errors
    /// The storage's own.
    pub fn count_stranger(&self, now: Timestamp) -> Result<Told, Fault> {
        const COUNT: &str = "INSERT INTO log_stranger (one, since_ms, jobs) VALUES (1, ?1, 1)
            ON CONFLICT DO UPDATE SET jobs = jobs + 1";
        self.connection().execute(COUNT, [now.as_millisecond()]).map_err(Fault::while_(WRITING))?;
        self.tell_of_strangers(now)
    }

    /// Tells of the strangers that were counted, if they were for an hour.
    ///
    /// # Errors
    /// The storage's own.
    pub fn tell_of_strangers(&self, now: Timestamp) -> Result<Told, Fault> {
        const DUE: &str = "SELECT since_ms, jobs FROM log_stranger WHERE since_ms <= ?1";
        let latest = now.as_millisecond().saturating_sub(i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX));
        self.in_one(|db| {
            let due = db.query_row(DUE, [latest], |r| Ok((r.get(0)?, r.get(1)?))).optional();
            let Some((since, jobs)) = due.map_err(Fault::while_(READING))? else { return Ok(Told::Known) };
            let since = Timestamp::from_millisecond(since).map_err(Fault::while_(READING))?;
            append(db, ActorId::node(), Event::StrangersRefused { jobs: number(jobs)?, since })?;
            db.execute("DELETE FROM log_stranger", params![]).map_err(Fault::while_(WRITING))?;
            Ok(Told::New)
        })
    }
}
