//! The permits that jobs were submitted under here, each version of each line, with the times when it was seen. None is forgotten as long
//! as its line may be asked under.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use spe_kernel::{
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, PermitNumber},
    permit::{Line, Permit, PermitId, Standing, Status, Version},
    refusal::Stop,
};

use super::Records;

pub(super) const TABLES: &str = "
CREATE TABLE permit (
  digest BLOB PRIMARY KEY, line TEXT NOT NULL, number TEXT NOT NULL, status TEXT NOT NULL, replaces TEXT,
  issued_at TEXT NOT NULL, valid_from TEXT NOT NULL, valid_until TEXT NOT NULL, first_seen_at TEXT NOT NULL, last_seen_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX permit_line ON permit (line, issued_at);
CREATE TRIGGER permit_stays BEFORE DELETE ON permit BEGIN SELECT RAISE(ABORT, 'a permit that was seen stays'); END;
CREATE TRIGGER permit_is_final BEFORE UPDATE ON permit
  WHEN NEW.digest <> OLD.digest OR NEW.line <> OLD.line OR NEW.number <> OLD.number OR NEW.status <> OLD.status
    OR NEW.replaces IS NOT OLD.replaces OR NEW.issued_at <> OLD.issued_at OR NEW.valid_from <> OLD.valid_from
    OR NEW.valid_until <> OLD.valid_until OR NEW.first_seen_at <> OLD.first_seen_at
  BEGIN SELECT RAISE(ABORT, 'a permit that was seen stays as it is'); END;
";

const READING: &str = "reading the permits";
const ALL: &str =
    "SELECT digest, line, number, status, replaces, issued_at, valid_from, valid_until, first_seen_at, last_seen_at
     FROM permit WHERE ?1 IS NULL OR line = ?1 ORDER BY line, issued_at";

/// A permit that was seen here.
#[derive(Debug, Clone)]
pub struct SeenPermit {
    /// Its line.
    pub line: PermitId,
    /// What it is in the line.
    pub version: Version,
    /// When a job first named it here.
    pub first_seen_at: Timestamp,
    /// When one last did.
    pub last_seen_at: Timestamp,
}

/// A permit that was seen here, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct PermitReport {
    /// Number of the line's first permit.
    pub line: String,
    /// Its own number.
    pub number: String,
    /// Who signed it.
    pub issuer: String,
    /// How it stands: `granted`, `amended`, `renewed`, `replaced`, `expired`, `revoked` or `not-yet`.
    pub standing: String,
    /// Its period.
    pub valid_from: String,
    /// Its end.
    pub valid_until: String,
    /// In force here from when on.
    pub active_from: String,
    /// And until when, if that is over or known: its end, its replacement, or its revocation.
    pub active_until: String,
    /// When a job first named it here.
    pub first_seen_at: String,
    /// When one last did.
    pub last_seen_at: String,
}

impl Records {
    /// Keeps `permit`, if its line may have it, and says how it stands; `revoked` says since when one of a line's numbers is revoked.
    ///
    /// # Errors
    /// A line that may not have it; the file cannot be read or written.
    pub fn see(
        &self,
        permit: &Permit,
        revoked: impl Fn(&[PermitNumber]) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Standing, Stop> {
        const KEEP: &str = "INSERT INTO permit (digest, line, number, status, replaces, issued_at, valid_from, valid_until, first_seen_at,
             last_seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (digest) DO UPDATE SET last_seen_at = ?9";
        let (id, version) = (permit.id(), Version::of(permit));
        let db = self.connection();
        let versions: Vec<_> = seen(&db, Some(&id))?.into_iter().map(|seen| seen.version).collect();
        let revoked_at = revoked(&numbers(&id, versions.iter().chain([&version])));
        let mut line = Line::new(versions, revoked_at);
        line.add(version.clone())?;
        let values = params![
            version.digest.as_bytes(),
            id.to_string(),
            version.number.as_str(),
            status_text(version.status),
            version.replaces.as_ref().map(|number| number.as_str().to_owned()),
            version.issued_at.to_string(),
            version.valid_from.to_string(),
            version.valid_until.to_string(),
            now.to_string(),
        ];
        db.execute(KEEP, values).map_err(Fault::while_("keeping a permit"))?;
        let standing = line.standing(version.digest, now);
        standing.ok_or_else(|| Fault::new("keeping a permit", "it is not in its own line").into())
    }

    /// All permits that were seen here, by line, and how each stands at `now`; `revoked` says since when one of an issuer's numbers is
    /// revoked.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn permits(
        &self,
        revoked: impl Fn(PublicKey, &[PermitNumber]) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<PermitReport>, Fault> {
        let seen = seen(&self.connection(), None)?;
        let report = |one: &SeenPermit| {
            let siblings = seen.iter().filter(|other| other.line == one.line).map(|other| &other.version);
            let revoked_at = revoked(one.line.issuer, &numbers(&one.line, siblings.clone()));
            let line = Line::new(siblings.cloned().collect(), revoked_at);
            one.report(line.standing(one.version.digest, now))
        };
        Ok(seen.iter().map(report).collect())
    }
}

impl SeenPermit {
    fn report(&self, standing: Option<Standing>) -> PermitReport {
        let Version { number, valid_from, valid_until, .. } = &self.version;
        let (standing, until) = match standing {
            None => ("unknown".to_owned(), *valid_until),
            Some(Standing::InForce(status)) => (status_text(status).to_owned(), *valid_until),
            Some(Standing::NotYet { .. }) => ("not-yet".to_owned(), *valid_until),
            Some(Standing::Replaced { by, since }) => (format!("replaced by {by}"), since),
            Some(Standing::Expired { since }) => ("expired".to_owned(), since),
            Some(Standing::Revoked { since }) => ("revoked".to_owned(), since),
        };
        PermitReport {
            line: self.line.number.to_string(),
            number: number.to_string(),
            issuer: self.line.issuer.to_string(),
            standing,
            valid_from: valid_from.to_string(),
            valid_until: valid_until.to_string(),
            active_from: valid_from.to_string(),
            active_until: until.to_string(),
            first_seen_at: self.first_seen_at.to_string(),
            last_seen_at: self.last_seen_at.to_string(),
        }
    }
}

/// All numbers of a line: of its first permit, and of those that were seen.
pub(super) fn numbers<'a>(line: &PermitId, versions: impl Iterator<Item = &'a Version>) -> Vec<PermitNumber> {
    std::iter::once(&line.number).chain(versions.map(|version| &version.number)).cloned().collect()
}

pub(super) fn seen(db: &Connection, line: Option<&PermitId>) -> Result<Vec<SeenPermit>, Fault> {
    let mut statement = db.prepare_cached(ALL).map_err(Fault::while_(READING))?;
    let row = |r: &rusqlite::Row<'_>| {
        let texts: rusqlite::Result<Vec<Option<String>>> = (1..10).map(|column| r.get(column)).collect();
        Ok((Digest::from_bytes(r.get(0)?), texts?))
    };
    let rows = statement.query_map([line.map(ToString::to_string)], row).map_err(Fault::while_(READING))?;
    rows.map(|row| {
        let (digest, texts) = row.map_err(Fault::while_(READING))?;
        parse(digest, &texts)
    })
    .collect()
}

fn parse(digest: Digest, texts: &[Option<String>]) -> Result<SeenPermit, Fault> {
    let damaged = || Fault::new(READING, "a line of the table is damaged");
    let text = |at: usize| texts.get(at).and_then(Option::as_deref).ok_or_else(damaged);
    let time = |at: usize| text(at)?.parse::<Timestamp>().map_err(Fault::while_(READING));
    let replaces = texts.get(3).and_then(Option::as_deref).map(str::parse).transpose();
    let version = Version {
        digest,
        number: text(1)?.parse().map_err(Fault::while_(READING))?,
        status: status(text(2)?).ok_or_else(damaged)?,
        replaces: replaces.map_err(Fault::while_(READING))?,
        issued_at: time(4)?,
        valid_from: time(5)?,
        valid_until: time(6)?,
    };
    let line = text(0)?.parse().map_err(|why: &str| Fault::new(READING, why))?;
    Ok(SeenPermit { line, version, first_seen_at: time(7)?, last_seen_at: time(8)? })
}

const fn status_text(status: Status) -> &'static str {
    match status {
        Status::Granted => "granted",
        Status::Amended => "amended",
        Status::Renewed => "renewed",
    }
}

fn status(text: &str) -> Option<Status> {
    [Status::Granted, Status::Amended, Status::Renewed].into_iter().find(|status| status_text(*status) == text)
}
