//! What waits for an officer, and what officers decided.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    audit::{Event, Person, Who},
    fault::Fault,
    ids::Digest,
    officer::{Matter, Verdict},
    permit::PermitId,
    refusal::{Refusal, Stop},
};

use super::{Records, log};

/// The tables: what waits is kept for the officers; a verdict is final.
pub(super) const TABLES: &str = "
CREATE TABLE matter (
  kind TEXT NOT NULL CHECK (kind IN ('run', 'release')), digest BLOB NOT NULL, line TEXT NOT NULL, about TEXT NOT NULL,
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

/// Writes a verdict into the audit log.
fn tell(db: &Connection, verdict: &Verdict, document: Digest) -> Result<(), Fault> {
    let body = verdict.body();
    let who = Who::Person(Person { name: body.officer.to_string(), key: None, identity: None });
    let event = match body.matter {
        Matter::Run(job) => Event::RunDecided { job: log::job_of(db, job, None)?.tag, allowed: body.allowed, document },
        Matter::Release(envelope) => Event::GateDecided { envelope, released: body.allowed, document: Some(document) },
    };
    log::append(db, log::actor(db, &who)?, event).map(drop)
}

/// The first two columns.
fn matter(r: &rusqlite::Row<'_>) -> rusqlite::Result<Matter> {
    let digest = Digest::from_bytes(r.get(1)?);
    Ok(if r.get::<_, String>(0)? == "run" { Matter::Run(digest) } else { Matter::Release(digest) })
}

const UNDECIDED: &str =
    "NOT EXISTS (SELECT 1 FROM verdict WHERE verdict.kind = matter.kind AND verdict.digest = matter.digest)";

/// Forgets which jobs under permits of `line` waited to be approved, or were, but not the verdicts.
pub(super) fn forget_line(db: &Connection, line: &PermitId) -> Result<(), Fault> {
    let forgetting = "forgetting what waited for an officer";
    let forget = "DELETE FROM matter WHERE line = ?1 AND kind = 'run'";
    db.execute(forget, [line.to_string()]).map(drop).map_err(Fault::while_(forgetting))
}

/// What waits for officers at a node, at most: whoever asks again and again must not fill it.
const WAITING_MAX: i64 = 1_000;

impl Records {
    /// Has `matter`, under a permit of `line`, wait for an officer; telling it again changes nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn wait_for_officer(&self, matter: Matter, line: &PermitId, about: &serde_json::Value) -> Result<(), Fault> {
        const WAIT: &str = "INSERT OR IGNORE INTO matter (kind, digest, line, about) VALUES (?1, ?2, ?3, ?4)";
        let (digest, about) = (matter.digest(), about.to_string());
        let values = params![kind(matter), digest.as_bytes(), line.to_string(), about];
        self.connection().execute(WAIT, values).map(drop).map_err(Fault::while_("noting what waits for an officer"))
    }

    /// Whether `matter` waits for an officer, or was decided by one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_officers(&self, matter: Matter) -> Result<bool, Fault> {
        const IS: &str = "SELECT EXISTS (SELECT 1 FROM matter WHERE kind = ?1 AND digest = ?2)
             OR EXISTS (SELECT 1 FROM verdict WHERE kind = ?1 AND digest = ?2)";
        let digest = matter.digest();
        let values = params![kind(matter), digest.as_bytes()];
        self.connection()
            .query_row(IS, values, |r| r.get(0))
            .map_err(Fault::while_("looking up what waits for an officer"))
    }

    /// Whether officers have too much to decide already.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn officers_are_busy(&self) -> Result<bool, Fault> {
        let sql = format!("SELECT COUNT(*) FROM matter WHERE {UNDECIDED}");
        let count: i64 = self
            .connection()
            .query_row(&sql, [], |r| r.get(0))
            .map_err(Fault::while_("counting what waits for an officer"))?;
        Ok(count >= WAITING_MAX)
    }

    /// What waits, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, Fault> {
        let reading = "reading what waits for an officer";
        let sql = format!("SELECT kind, digest, since, about FROM matter WHERE {UNDECIDED} ORDER BY since");
        let connection = self.connection();
        let mut statement = connection.prepare(&sql).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| Ok((matter(r)?, r.get(2)?, r.get::<_, String>(3)?));
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
        drop(connection);
        self.in_one(|db| {
            db.execute(DECIDE, params![kind, digest.as_bytes(), envelope]).map_err(Fault::while_(writing))?;
            tell(db, verdict, Digest::of(envelope))
        })?;
        Ok(())
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
