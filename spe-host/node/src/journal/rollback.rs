//! That these records are not those that the node had: an old copy of the ledger's file was put back, or another history.
//!
//! # Privacy
//! A copy has fewer charges than were made, so that what it adds up is less than what was disclosed. A node that is shown it, by a
//! checkpoint of its own that is ahead of its records, or by the witness that saw more of its log, answers nothing until its operator has put
//! the right files back or acknowledged it. Watched by `an_old_copy_of_the_folder_answers_nothing` in `spe-host/cli/tests/it/audit.rs`.

use rusqlite::params;
use serde::Serialize;
use spe_kernel::{
    audit::{Event, Who},
    fault::Fault,
    ids::Digest,
};

use super::{LogFiles, Records, log};

/// What was found, by whom it was shown; `reason` once the operator has acknowledged it.
pub(super) const TABLES: &str = "
CREATE TABLE rollback (
  shown_by TEXT PRIMARY KEY, why TEXT NOT NULL, found_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  reason TEXT CHECK (length(reason) > 0)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER rollback_stays BEFORE DELETE ON rollback BEGIN SELECT RAISE(ABORT, 'what was found stays'); END;
";

const READING: &str = "looking up whether an old ledger was put back";
const WRITING: &str = "noting that an old ledger was put back";

/// That the records were found not to be those that the node had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// When it was found, RFC 3339.
    pub found_at: String,
    /// What was found.
    pub why: String,
    /// Why the node goes on all the same, in its operator's words; none as long as it answers nothing.
    pub acknowledged: Option<String>,
}

/// Who shows that the records are not those that the node had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownBy<'a> {
    /// The node's own checkpoint, in its files.
    Files,
    /// The witness of the log with that key. It goes on saying so in the same words, which are heard once; of what is put back later, it says others.
    Witness(&'a str),
}

impl Records {
    /// Notes that these are not the records that the node had, durably; nothing if the operator acknowledged what the witness says.
    ///
    /// # Privacy
    /// What was acknowledged is one history, and not the witness: it is heard again when another old copy is put back. Watched by
    /// `what_the_witness_said_is_acknowledged_once` in `log/tests/growth.rs`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn found_rolled_back(&self, by: ShownBy<'_>, why: &str) -> Result<(), Fault> {
        // One that says something else each time fills nothing: until it is acknowledged, the first is enough.
        const NOTE: &str = "INSERT INTO rollback (shown_by, why) SELECT ?1, ?2 WHERE NOT EXISTS (
             SELECT 1 FROM rollback WHERE reason IS NULL AND substr(shown_by, 1, length(?3)) = ?3) ON CONFLICT DO NOTHING";
        // What the files showed was made good when it was acknowledged: it is another time.
        const ANEW: &str =
            "INSERT INTO rollback (shown_by, why) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET why = ?2, reason = NULL,
             found_at = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE reason IS NOT NULL";
        let noted = match by {
            ShownBy::Files => self.connection().execute(ANEW, params!["the node's own checkpoint", why]),
            ShownBy::Witness(log) => {
                let which = format!("{log} {}", Digest::of(why.as_bytes()));
                self.connection().execute(NOTE, params![which, why, log])
            }
        };
        let new = noted.map_err(Fault::while_(WRITING))? == 1;
        if new {
            tracing::error!(
                "THE LEDGER IS NOT THE ONE THAT THIS NODE HAD: {why}. Charges may be missing from it, so nothing is answered until the right \
                 files are put back, or `spe audit acknowledge` says why not: \"Restoring\" in docs/operations.md"
            );
        }
        Ok(())
    }

    /// Why these are not the records that the node had, as far as nobody has acknowledged it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rolled_back(&self) -> Result<Vec<String>, Fault> {
        let db = self.connection();
        let mut statement = db
            .prepare_cached("SELECT why FROM rollback WHERE reason IS NULL ORDER BY found_at")
            .map_err(Fault::while_(READING))?;
        let rows = statement.query_map([], |r| r.get(0)).map_err(Fault::while_(READING))?;
        rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))
    }

    /// All that was ever found of these records, acknowledged or not, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rollbacks(&self) -> Result<Vec<Rollback>, Fault> {
        const FOUND: &str = "SELECT found_at, why, reason FROM rollback ORDER BY found_at";
        let db = self.connection();
        let mut statement = db.prepare_cached(FOUND).map_err(Fault::while_(READING))?;
        let row = |r: &rusqlite::Row<'_>| Ok(Rollback { found_at: r.get(0)?, why: r.get(1)?, acknowledged: r.get(2)? });
        let rows = statement.query_map([], row).map_err(Fault::while_(READING))?;
        rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))
    }

    /// Has the node go on from these records, whatever charges may be missing from them; what had been found. The log tells of it, and the
    /// files are made anew from it when they are published next.
    ///
    /// # Errors
    /// No reason; the file cannot be written.
    pub fn acknowledge_rollback(&self, files: &LogFiles, reason: &str, by: &Who) -> Result<Vec<String>, Fault> {
        const SINCE: &str = "SELECT MIN(found_at) FROM rollback WHERE reason IS NULL";
        let found = self.rolled_back()?;
        if found.is_empty() {
            return Ok(found);
        }
        self.in_one(|db| {
            let since: String = db.query_row(SINCE, [], |r| r.get(0)).map_err(Fault::while_(READING))?;
            let found_at = since.parse().map_err(Fault::while_(READING))?;
            db.execute("UPDATE rollback SET reason = ?1 WHERE reason IS NULL", [reason.trim()])
                .map_err(Fault::while_("acknowledging that an old ledger was put back, which needs a reason"))?;
            log::append(db, log::actor(db, by)?, Event::RollbackAcknowledged { found_at }).map(drop)
        })?;
        files.forget_checkpoint()?;
        Ok(found)
    }
}
