//! What waits for an officer, and what officers decided.

use jiff::Timestamp;
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

/// Since when something waits no longer, because nobody decided; and what was decided does not keep what it was about.
pub(super) const LAPSES: &str = "
ALTER TABLE matter ADD COLUMN lapsed_at TEXT;
UPDATE matter SET about = '{}' WHERE EXISTS (SELECT 1 FROM verdict WHERE verdict.kind = matter.kind AND verdict.digest = matter.digest);
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
    /// How many officers still have to sign for it.
    pub wanted: u32,
}

const fn kind(matter: Matter) -> &'static str {
    match matter {
        Matter::Run(_) => "run",
        Matter::Release(_) => "release",
    }
}

/// Writes a verdict into the audit log, which signature of how many it is.
fn tell(db: &Connection, verdict: &Verdict, document: Digest, (signature, of): (u32, u32)) -> Result<(), Fault> {
    let body = verdict.body();
    let who = Who::Person(Person { name: body.officer.to_string(), key: None, identity: None });
    let event = match body.matter {
        Matter::Run(job) => Event::RunDecided { job: log::job_of(db, job, None)?.tag, allowed: body.allowed, document },
        Matter::Release(envelope) => {
            Event::GateDecided { envelope, released: body.allowed, document: Some(document), signature, of }
        }
    };
    log::append(db, log::actor(db, &who)?, event).map(drop)
}

/// The first two columns.
fn matter(r: &rusqlite::Row<'_>) -> rusqlite::Result<Matter> {
    let digest = Digest::from_bytes(r.get(1)?);
    Ok(if r.get::<_, String>(0)? == "run" { Matter::Run(digest) } else { Matter::Release(digest) })
}

/// Fewer verdicts than are wanted, which are two at most; one refusal is enough for good.
const UNDECIDED: &str =
    "lapsed_at IS NULL AND matter.wanted > (SELECT COUNT(*) + 2 * COALESCE(MAX(refused), 0) FROM verdict
    WHERE verdict.kind = matter.kind AND verdict.digest = matter.digest)";

/// Forgets which jobs under permits of `line` waited to be approved, or were, but not the verdicts.
pub(super) fn forget_line(db: &Connection, line: &PermitId) -> Result<(), Fault> {
    let forgetting = "forgetting what waited for an officer";
    let forget = "DELETE FROM matter WHERE line = ?1 AND kind = 'run'";
    db.execute(forget, [line.to_string()]).map(drop).map_err(Fault::while_(forgetting))
}

/// What waits or was decided and names the person.
pub(super) fn stays(db: &Connection, name: &str) -> Result<[log::Stays; 2], Fault> {
    let reading = "looking for a person in what officers decide";
    let count = |sql: &str| -> Result<u64, Fault> {
        let found = db.query_row(sql, [name], |r| r.get::<_, i64>(0)).map_err(Fault::while_(reading))?;
        u64::try_from(found).map_err(Fault::while_(reading))
    };
    let waits = format!(
        "SELECT COUNT(*) FROM matter WHERE ?1 IN (json_extract(about, '$.person'), json_extract(about, '$.question.person'),
             json_extract(about, '$.run_approved_by.name')) AND {UNDECIDED}"
    );
    // A verdict is a DSSE envelope: its payload is in base64, and names its officer.
    let mut statement = db.prepare("SELECT envelope FROM verdict").map_err(Fault::while_(reading))?;
    let rows = statement.query_map([], |r| r.get::<_, Vec<u8>>(0)).map_err(Fault::while_(reading))?;
    let mut signed = 0;
    for envelope in rows {
        let verdict = Verdict::recorded(&envelope.map_err(Fault::while_(reading))?).map_err(Fault::while_(reading))?;
        signed += u64::from(verdict.body().officer.as_str() == name);
    }
    Ok([
        log::Stays {
            number: count(&waits)?,
            what: "matters that wait for an officer and say who asked, or approved the run",
            why: "nobody may decide about what they asked or approved themselves; erased when it is decided, or waited too long"
                .into(),
        },
        log::Stays {
            number: signed,
            what: "verdicts that the person signed as an officer",
            why: "who decided that an answer leaves is recorded (Art. 73(2))".into(),
        },
    ])
}

/// Jobs that wait for officers at a node, at most, and under one line of permits: asking costs nothing, and whoever asks again and again
/// must fill no more than their own share.
const RUNS_WAITING_MAX: i64 = 1_000;
const RUNS_WAITING_MAX_OF_A_LINE: i64 = 50;

impl Records {
    /// Has `matter`, under a permit of `line`, wait for so many officers; telling it again changes nothing, unless it waits no longer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn wait_for_officer(
        &self,
        (matter, wanted): (Matter, u32),
        line: &PermitId,
        about: &serde_json::Value,
    ) -> Result<(), Fault> {
        const WAIT: &str = "INSERT INTO matter (kind, digest, line, about, wanted) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET line = ?3, about = ?4, since = strftime('%Y-%m-%dT%H:%M:%fZ'), lapsed_at = NULL
             WHERE lapsed_at IS NOT NULL";
        let (digest, about) = (matter.digest(), about.to_string());
        let values = params![kind(matter), digest.as_bytes(), line.to_string(), about, wanted];
        self.connection().execute(WAIT, values).map(drop).map_err(Fault::while_("noting what waits for an officer"))
    }

    /// Has what waits since `before` or longer wait no more; how much that is. What it is about is erased. An answer still is one that an
    /// officer was to check.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn lapse(&self, before: Timestamp) -> Result<usize, Fault> {
        let sql = format!(
            "UPDATE matter SET lapsed_at = strftime('%Y-%m-%dT%H:%M:%fZ'), about = '{{}}' WHERE since <= ?1 AND {UNDECIDED}"
        );
        let lapsed = self.connection().execute(&sql, [format!("{before:.3}")]);
        lapsed.map_err(Fault::while_("ending what waited too long for an officer"))
    }

    /// Since when `matter` waits no longer, because nobody decided in time.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn lapsed_at(&self, matter: Matter) -> Result<Option<Timestamp>, Fault> {
        const LAPSED: &str = "SELECT lapsed_at FROM matter WHERE kind = ?1 AND digest = ?2 AND lapsed_at IS NOT NULL";
        let (reading, digest) = ("looking up what waits for an officer", matter.digest());
        let found: Option<String> = self
            .connection()
            .query_row(LAPSED, params![kind(matter), digest.as_bytes()], |r| r.get(0))
            .optional()
            .map_err(Fault::while_(reading))?;
        found.map(|time| time.parse().map_err(Fault::while_(reading))).transpose()
    }

    /// Whether `matter` waits for an officer, or was decided by one, or should have been.
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

    /// Whether officers have too many jobs to decide about already, for one more under a permit of `line`. Answers are paid for, and always
    /// wait.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn officers_are_busy(&self, line: &PermitId) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE line = ?1) FROM matter WHERE kind = 'run' AND {UNDECIDED}"
        );
        let (all, theirs): (i64, i64) = self
            .connection()
            .query_row(&sql, [line.to_string()], |r| Ok((r.get(0)?, r.get(1)?)))
            .map_err(Fault::while_("counting what waits for an officer"))?;
        Ok(all >= RUNS_WAITING_MAX || theirs >= RUNS_WAITING_MAX_OF_A_LINE)
    }

    /// What an officer was told about `matter`, as long as it waits.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn about(&self, matter: Matter) -> Result<Option<serde_json::Value>, Fault> {
        const ABOUT: &str = "SELECT about FROM matter WHERE kind = ?1 AND digest = ?2";
        let (reading, digest) = ("looking up what waits for an officer", matter.digest());
        let values = params![kind(matter), digest.as_bytes()];
        let found = self.connection().query_row(ABOUT, values, |r| r.get::<_, String>(0)).optional();
        let found = found.map_err(Fault::while_(reading))?;
        found.map(|about| serde_json::from_str(&about).map_err(Fault::while_(reading))).transpose()
    }

    /// What waits, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, Fault> {
        let reading = "reading what waits for an officer";
        let sql = format!(
            "SELECT kind, digest, since, about, wanted - (SELECT COUNT(*) FROM verdict WHERE verdict.kind = matter.kind
             AND verdict.digest = matter.digest) FROM matter WHERE {UNDECIDED} ORDER BY since"
        );
        let connection = self.connection();
        let mut statement = connection.prepare(&sql).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| Ok((matter(r)?, r.get(2)?, r.get::<_, String>(3)?, r.get(4)?));
        let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
        rows.map(|row| {
            let (matter, since, about, wanted) = row.map_err(Fault::while_(reading))?;
            let about = serde_json::from_str(&about).map_err(Fault::while_(reading))?;
            Ok(Pending { matter, since, about, wanted })
        })
        .collect()
    }

    /// Keeps a verdict about something that waits, and, when it is decided, no longer what it was about. Recording the same again changes
    /// nothing.
    ///
    /// # Errors
    /// Nothing like it waits, it is decided, or the officer has signed before; the file cannot be written.
    pub fn decide(&self, verdict: &Verdict, envelope: &[u8]) -> Result<(), Stop> {
        const DECIDE: &str = "INSERT INTO verdict (kind, digest, envelope, refused) VALUES (?1, ?2, ?3, ?4)";
        let matter = verdict.body().matter;
        let (kind, digest) = (kind(matter), matter.digest());
        let key = params![kind, digest.as_bytes()];
        let writing = "recording a verdict";
        // Two who decide at the same time are one after the other: the look and the entry are one transaction.
        let refused = self.in_one(|db| {
            let before = verdicts(db, matter)?;
            if before.iter().any(|before| before == envelope) {
                return Ok(None);
            }
            let waits = format!("SELECT wanted FROM matter WHERE kind = ?1 AND digest = ?2 AND {UNDECIDED}");
            let wanted: Option<u32> =
                db.query_row(&waits, key, |r| r.get(0)).optional().map_err(Fault::while_(writing))?;
            if let Some(why) = unfit(verdict, &before, wanted.is_some()) {
                return Ok(Some(why));
            }
            db.execute(DECIDE, params![kind, digest.as_bytes(), envelope, !verdict.body().allowed])
                .map_err(Fault::while_(writing))?;
            let erase =
                format!("UPDATE matter SET about = '{{}}' WHERE kind = ?1 AND digest = ?2 AND NOT ({UNDECIDED})");
            db.execute(&erase, key).map_err(Fault::while_(writing))?;
            let signature = u32::try_from(before.len() + 1).map_err(Fault::while_(writing))?;
            tell(db, verdict, Digest::of(envelope), (signature, wanted.unwrap_or(signature)))?;
            Ok(None)
        })?;
        refused.map_or(Ok(()), |why| Err(why.into()))
    }

    /// The signed verdicts about `matter`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verdicts(&self, matter: Matter) -> Result<Vec<Vec<u8>>, Fault> {
        verdicts(&self.connection(), matter)
    }
}

/// A signed verdict, what it is kept for, and since when.
pub(super) type Kept = (Matter, Vec<u8>, Timestamp);

/// All that were recorded.
pub(super) fn all_verdicts(db: &Connection) -> Result<Vec<Kept>, Fault> {
    let reading = "looking up verdicts";
    let sql = "SELECT kind, digest, envelope, recorded_at FROM verdict ORDER BY recorded_at, digest";
    let mut statement = db.prepare(sql).map_err(Fault::while_(reading))?;
    let row = |r: &rusqlite::Row<'_>| Ok((matter(r)?, r.get(2)?, r.get::<_, String>(3)?));
    let rows = statement.query_map([], row).map_err(Fault::while_(reading))?;
    rows.map(|row| {
        let (matter, envelope, at) = row.map_err(Fault::while_(reading))?;
        Ok((matter, envelope, at.parse().map_err(Fault::while_(reading))?))
    })
    .collect()
}

pub(super) fn verdicts(db: &Connection, matter: Matter) -> Result<Vec<Vec<u8>>, Fault> {
    const FIND: &str = "SELECT envelope FROM verdict WHERE kind = ?1 AND digest = ?2";
    let (reading, digest) = ("looking up verdicts", matter.digest());
    let mut statement = db.prepare_cached(FIND).map_err(Fault::while_(reading))?;
    let rows = statement.query_map(params![kind(matter), digest.as_bytes()], |r| r.get(0));
    rows.and_then(Iterator::collect).map_err(Fault::while_(reading))
}

/// Why `verdict` is not taken after those, about something that waits or does not.
fn unfit(verdict: &Verdict, before: &[Vec<u8>], waits: bool) -> Option<Refusal> {
    let (who, matter) = (verdict.body().officer.to_string(), verdict.body().matter);
    let not = |what: &str| Some(Refusal::NotAllowed { who, what: what.into() });
    // One that is damaged counts as anybody's.
    let another = |before: &Vec<u8>| Verdict::recorded(before).is_ok_and(|before| verdict.is_by_another_than(&before));
    match (waits, before.is_empty()) {
        (true, _) if before.iter().all(another) => None,
        (true, _) => not("sign twice: two different persons have to, each with a key of their own"),
        (false, false) => not("decide about this: it was decided before, and a verdict is final"),
        (false, true) => {
            let what = format!("a {} of {} that waits for an officer", kind(matter), matter.digest().short());
            Some(Refusal::NotFound { what })
        }
    }
}
