//! What permits have brought to this node, and the certificates that it is gone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    audit::{ActorId, Event},
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, PermitNumber},
    permit::PermitId,
};

use super::{Records, log, officers, permits};

pub(super) const TABLES: &str = "
CREATE TABLE brought (line TEXT NOT NULL, module BLOB NOT NULL, PRIMARY KEY (line, module)) STRICT, WITHOUT ROWID;
CREATE TABLE ending (
  line TEXT PRIMARY KEY, certificate BLOB, ended_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ending_stays BEFORE DELETE ON ending BEGIN SELECT RAISE(ABORT, 'a certificate stays'); END;
CREATE TRIGGER ending_is_final BEFORE UPDATE ON ending BEGIN SELECT RAISE(ABORT, 'a certificate is final'); END;
";

const READING: &str = "reading what permits have brought";
const WRITING: &str = "noting what permits have brought";

/// A line that goes on after its end, by a renewal, ends again; what it brought is noted anew each time.
pub(super) const AGAIN: &str = "
DROP TRIGGER ending_stays;
DROP TRIGGER ending_is_final;
ALTER TABLE ending RENAME TO ending_9;
CREATE TABLE ending (
  line TEXT NOT NULL, number INTEGER NOT NULL CHECK (number > 0), certificate BLOB,
  ended_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), PRIMARY KEY (line, number)
) STRICT, WITHOUT ROWID;
INSERT INTO ending (line, number, certificate, ended_at) SELECT line, 1, certificate, ended_at FROM ending_9;
DROP TABLE ending_9;
CREATE TRIGGER ending_stays BEFORE DELETE ON ending BEGIN SELECT RAISE(ABORT, 'a certificate stays'); END;
CREATE TRIGGER ending_is_final BEFORE UPDATE ON ending BEGIN SELECT RAISE(ABORT, 'a certificate is final'); END;
DELETE FROM brought WHERE EXISTS (SELECT 1 FROM ending WHERE ending.line = brought.line AND NOT EXISTS (
  SELECT 1 FROM permit WHERE permit.line = ending.line AND permit.last_seen_at > ending.ended_at));
";

/// A line of permits that is over, and what it brought.
pub(crate) struct Over {
    pub(crate) line: PermitId,
    /// Why, in words.
    pub(crate) why: String,
    /// Modules that nobody else's permit brought.
    pub(crate) modules: Vec<Digest>,
}

/// The end of a line of permits at this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Number and issuer of the line's first permit.
    pub line: String,
    /// 1 for the first end of the line; after a renewal it ends again.
    pub number: u32,
    /// When what it brought was deleted, RFC 3339.
    pub ended_at: String,
    /// DSSE envelope of a [`spe_kernel::deletion::DeletionBody`]; none where nothing was left to delete.
    pub certificate: Option<String>,
}

impl Records {
    /// Notes that `line` brought `module`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn brought(&self, line: &PermitId, module: Digest) -> Result<(), Fault> {
        const NOTE: &str = "INSERT OR IGNORE INTO brought (line, module) VALUES (?1, ?2)";
        let values = params![line.to_string(), module.as_bytes()];
        self.connection().execute(NOTE, values).map(drop).map_err(Fault::while_(WRITING))
    }

    /// The lines of permits that are over at `now` and of which something is left here, or that were charged here and of whose end nothing was
    /// said yet. A line that the hub merely told of, or whose jobs were all refused, brought nothing that could end. `revoked` says since when
    /// one of an issuer's numbers is revoked.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn over(
        &self,
        revoked: impl Fn(PublicKey, &[PermitNumber]) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Over>, Fault> {
        let db = self.connection();
        // From left to right.
        let left = "SELECT permit FROM charge EXCEPT SELECT line FROM ending UNION SELECT line FROM brought
             UNION SELECT line FROM matter WHERE kind = 'run'";
        let left = strings(&db, left)?;
        let seen = permits::seen(&db, None)?;
        let why = |line: &PermitId| {
            let versions = || seen.iter().filter(|s| s.line == *line).map(|s| &s.version);
            let numbers = permits::numbers(line, versions());
            if let Some(since) = revoked(line.issuer, &numbers).filter(|since| *since <= now) {
                return Some(format!("permit {} was revoked at {since} (Art. 63(3))", line.number));
            }
            let until = versions().map(|version| version.valid_until).max()?;
            (until <= now).then(|| format!("permit {} expired at {until} (Art. 68(12))", line.number))
        };
        let lines: BTreeSet<PermitId> = seen.iter().map(|s| s.line.clone()).collect();
        let mut over = Vec::new();
        for line in lines {
            if left.contains(&line.to_string())
                && let Some(why) = why(&line)
            {
                over.push(Over { modules: modules(&db, &line)?, line, why });
            }
        }
        Ok(over)
    }

    /// Notes that what `over` brought is gone, and forgets what that was and which of its jobs waited to be approved.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn end(&self, over: &Over, certificate: Option<&[u8]>) -> Result<(), Fault> {
        const END: &str = "INSERT INTO ending (line, number, certificate)
             VALUES (?1, (SELECT COUNT(*) + 1 FROM ending WHERE line = ?1), ?2)";
        let line = over.line.to_string();
        self.in_one(|db| {
            officers::forget_line(db, &over.line)?;
            db.execute("DELETE FROM brought WHERE line = ?1", [&line]).map_err(Fault::while_(WRITING))?;
            db.execute(END, params![line, certificate]).map_err(Fault::while_(WRITING))?;
            let document = certificate.map(Digest::of);
            log::append(db, ActorId::node(), Event::PermitEnded { permit: (&over.line).into(), document }).map(drop)
        })
    }

    /// The lines that ended here, in the order of their numbers.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn endings(&self) -> Result<Vec<Ending>, Fault> {
        let db = self.connection();
        let mut statement = db
            .prepare("SELECT line, number, ended_at, certificate FROM ending ORDER BY line, number")
            .map_err(Fault::while_(READING))?;
        let row = |r: &rusqlite::Row<'_>| {
            let certificate: Option<Vec<u8>> = r.get(3)?;
            let certificate = certificate.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Ok(Ending { line: r.get(0)?, number: r.get(1)?, ended_at: r.get(2)?, certificate })
        };
        let rows = statement.query_map([], row).map_err(Fault::while_(READING))?;
        rows.map(|row| row.map_err(Fault::while_(READING))).collect()
    }
}

fn strings(db: &rusqlite::Connection, sql: &str) -> Result<BTreeSet<String>, Fault> {
    let mut statement = db.prepare_cached(sql).map_err(Fault::while_(READING))?;
    let rows = statement.query_map([], |r| r.get(0)).map_err(Fault::while_(READING))?;
    rows.map(|row| row.map_err(Fault::while_(READING))).collect()
}

/// The modules that `line` brought, and no line that has not ended.
fn modules(db: &rusqlite::Connection, line: &PermitId) -> Result<Vec<Digest>, Fault> {
    const ONLY: &str = "SELECT module FROM brought WHERE line = ?1 AND NOT EXISTS (
         SELECT 1 FROM brought AS other WHERE other.module = brought.module AND other.line <> ?1)";
    let mut statement = db.prepare_cached(ONLY).map_err(Fault::while_(READING))?;
    let rows = statement
        .query_map([line.to_string()], |r| Ok(Digest::from_bytes(r.get(0)?)))
        .map_err(Fault::while_(READING))?;
    rows.map(|row| row.map_err(Fault::while_(READING))).collect()
}
