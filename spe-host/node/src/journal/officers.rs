//! What waits for an officer, and what officers decided.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    fault::Fault,
    ids::Digest,
    officer::{Matter, Verdict},
    refusal::{Refusal, Stop},
};

use super::Records;

/// The tables: what waits is kept for the officers; a verdict is final.
pub(super) const TABLES: &str = "
CREATE TABLE matter (
  kind TEXT NOT NULL CHECK (kind IN ('run', 'release')), digest BLOB NOT NULL, about TEXT NOT NULL,
  since TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdict (
  kind TEXT NOT NULL CHECK (kind IN ('run', 'release')), digest BLOB NOT NULL, envelope BLOB NOT NULL,
  recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER verdict_stays BEFORE DELETE ON verdict BEGIN SELECT RAISE(ABORT, 'a verdict stays'); END;
CREATE TRIGGER verdict_is_final BEFORE UPDATE ON verdict BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;
";

/// Something that waits for an officer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What is to be decided about.
    pub matter: Matter,
    /// Since when, RFC 3339.
    pub since: String,
    /// What an officer needs to know.
    pub about: serde_json::Value,
}

const fn kind(matter: Matter) -> &'static str {
    match matter {
        Matter::Run(_) => "run",
        Matter::Release(_) => "release",
    }
}

impl Records {
    /// Has `matter` wait for an officer; telling it again changes nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn wait_for_officer(&self, matter: Matter, about: &serde_json::Value) -> Result<(), Fault> {
        const WAIT: &str = "INSERT OR IGNORE INTO matter (kind, digest, about) VALUES (?1, ?2, ?3)";
        let (digest, about) = (matter.digest(), about.to_string());
        let values = params![kind(matter), digest.as_bytes(), about];
        self.connection().execute(WAIT, values).map(drop).map_err(Fault::while_("noting what waits for an officer"))
    }

    /// What waits, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, Fault> {
        const ALL: &str = "SELECT kind, digest, since, about FROM matter
             WHERE NOT EXISTS (SELECT 1 FROM verdict WHERE verdict.kind = matter.kind AND verdict.digest = matter.digest)
             ORDER BY since";
        let reading = "reading what waits for an officer";
        let connection = self.connection();
        let mut statement = connection.prepare(ALL).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| {
            let digest = Digest::from_bytes(r.get(1)?);
            let matter = if r.get::<_, String>(0)? == "run" { Matter::Run(digest) } else { Matter::Release(digest) };
            Ok((matter, r.get(2)?, r.get::<_, String>(3)?))
        };
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        rows.map(|row| {
            let (matter, since, about) = row.map_err(Fault::while_(reading))?;
            let about = serde_json::from_str(&about).map_err(Fault::while_(reading))?;
            Ok(Pending { matter, since, about })
        })
        .collect()
    }

    /// Keeps a verdict about something that waits. Recording the same again changes nothing.
    ///
    /// # Errors
    /// Nothing like it waits, or somebody decided before; the file cannot be written.
    pub fn decide(&self, verdict: &Verdict, envelope: &[u8]) -> Result<(), Stop> {
        const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM matter WHERE kind = ?1 AND digest = ?2)";
        const DECIDE: &str = "INSERT INTO verdict (kind, digest, envelope) VALUES (?1, ?2, ?3)";
        let matter = verdict.body().matter;
        match self.verdict(matter)? {
            Some(before) if before == envelope => return Ok(()),
            Some(_) => {
                let what = "decide about this: it was decided before, and a verdict is final".into();
                return Err(Refusal::NotAllowed { who: verdict.body().officer.to_string(), what }.into());
            }
            None => {}
        }
        let writing = "recording a verdict";
        let (kind, digest) = (kind(matter), matter.digest());
        let connection = self.connection();
        let waits: bool = connection
            .query_row(WAITS, params![kind, digest.as_bytes()], |r| r.get(0))
            .map_err(Fault::while_(writing))?;
        if !waits {
            return Err(Refusal::NotFound { what: format!("a {kind} of {digest} that waits for an officer") }.into());
        }
        connection
            .execute(DECIDE, params![kind, digest.as_bytes(), envelope])
            .map(drop)
            .map_err(|e| Fault::new(writing, e).into())
    }

    /// The signed verdict about `matter`, if there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verdict(&self, matter: Matter) -> Result<Option<Vec<u8>>, Fault> {
        const FIND: &str = "SELECT envelope FROM verdict WHERE kind = ?1 AND digest = ?2";
        let digest = matter.digest();
        let values = params![kind(matter), digest.as_bytes()];
        let found = self.connection().query_row(FIND, values, |r| r.get(0)).optional();
        found.map_err(Fault::while_("looking up a verdict"))
    }
}
