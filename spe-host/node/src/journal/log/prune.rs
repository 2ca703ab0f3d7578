//! Removing what was kept for long enough.

use jiff::Timestamp;
use rusqlite::params;
use spe_kernel::{
    audit::{Entry, Event, RETENTION_DAYS_MIN, Who},
    fault::Fault,
    refusal::{Refusal, Stop},
};

use super::{READING, Records, WRITING, actor, append};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Records {
    /// Removes the bodies of entries that were written before `before`; how many. Their hashes stay, so every proof still holds, and so
    /// do the entries that tell of charges and releases, for as long as the ledger's rows do.
    ///
    /// # Errors
    /// A time within the last `days` days, which are at least a year: Art. 73(1)(e).
    pub fn prune_log(&self, before: Timestamp, days: u32, by: &Who) -> Result<u64, Stop> {
        let days = days.max(RETENTION_DAYS_MIN);
        let newest = Timestamp::now().as_millisecond().saturating_sub(i64::from(days) * DAY_MS);
        if before.as_millisecond() > newest {
            let what = format!(
                "be pruned of entries of the last {days} days: Regulation (EU) 2025/327, Art. 73(1)(e) asks for at least a year, \
                 and log_retention_days in node.toml for {days} days"
            );
            return Err(Refusal::NotAllowed { who: "the audit log".into(), what }.into());
        }
        let pruned = self.in_one(|db| {
            let old = "SELECT idx, body FROM log WHERE at_ms < ?1 AND body IS NOT NULL";
            let mut statement = db.prepare(old).map_err(Fault::while_(READING))?;
            let read = |r: &rusqlite::Row<'_>| Ok((r.get::<_, i64>(0)?, r.get::<_, Vec<u8>>(1)?));
            let rows = statement.query_map([before.as_millisecond()], read).map_err(Fault::while_(READING))?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))?;
            let mut entries = 0;
            for (index, body) in rows {
                if Entry::parse(&body).is_ok_and(|entry| !stays(&entry.event)) {
                    let forget = "UPDATE log SET body = NULL WHERE idx = ?1";
                    db.execute(forget, params![index]).map_err(Fault::while_(WRITING))?;
                    entries += 1;
                }
            }
            append(db, actor(db, by)?, Event::LogPruned { before, entries })?;
            Ok(entries)
        })?;
        Ok(pruned)
    }
}

/// Whether a row of the ledger, which is kept for ever, is told of, or how the log itself came to be as it is.
const fn stays(event: &Event) -> bool {
    matches!(
        event,
        Event::Charged { .. }
            | Event::RoundBegan { .. }
            | Event::Committed { .. }
            | Event::Released { .. }
            | Event::LogPruned { .. }
            | Event::CarriedOver { .. }
    )
}
