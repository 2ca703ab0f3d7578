//! The permits that jobs were submitted under here, or of which the hub told, each version of each line, with the times when it was seen. None
//! is forgotten as long as its line may be asked under.

use jiff::Timestamp;
use rusqlite::{Connection, params, params_from_iter};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, PermitNumber},
    permit::{Line, Permit, PermitId, Standing, Status, Version},
    refusal::{Refusal, Stop},
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
const KEEPING: &str = "keeping a permit";
const SEEN: &str = "SELECT digest, line, number, status, replaces, issued_at, valid_from, valid_until, first_seen_at,
     last_seen_at FROM permit";

/// A permit that was seen here.
#[derive(Debug, Clone)]
pub struct SeenPermit {
    /// Its line.
    pub line: PermitId,
    /// What it is in the line.
    pub version: Version,
    /// When a job first named it here, or the hub told of it.
    pub first_seen_at: Timestamp,
    /// When a job last named it; the same as before, if none did.
    pub last_seen_at: Timestamp,
}

/// A permit that was seen here, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitReport {
    /// Number of the line's first permit.
    pub line: String,
    /// Its own number.
    pub number: String,
    /// Who signed it.
    pub issuer: String,
    /// How it stands: `granted`, `amended`, `renewed`, `replaced`, `expired`, `revoked` or `not-yet`; what stands and will be
    /// revoked before its end has ` until revoked` after it.
    pub standing: String,
    /// Its period.
    pub valid_from: String,
    /// Its end.
    pub valid_until: String,
    /// In force from when on: valid, and issued.
    pub active_from: String,
    /// And until when, as far as is known: its end, its replacement, or its revocation, whichever is first.
    pub active_until: String,
    /// When a job first named it here, or the hub told of it.
    pub first_seen_at: String,
    /// When a job last named it; the same as before, if none did.
    pub last_seen_at: String,
}

impl Records {
    /// Keeps `permit`, if its line may have it, and says how it stands; `revoked` says since when one of a line's numbers is revoked.
    ///
    /// # Errors
    /// A line that may not have it; a number that another document has; the file cannot be read or written.
    pub fn see(
        &self,
        permit: &Permit,
        revoked: impl Fn(&[PermitNumber]) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Standing, Stop> {
        const SEEN: &str = "UPDATE permit SET last_seen_at = ?2 WHERE digest = ?1";
        let (id, version) = (permit.id(), Version::of(permit));
        let db = self.connection();
        let versions = keep(&db, &id, &version, now)?;
        db.execute(SEEN, params![version.digest.as_bytes(), format!("{now:.3}")]).map_err(Fault::while_(KEEPING))?;
        let revoked_at = revoked(&numbers(&id, versions.iter()));
        let standing = Line::new(versions, revoked_at).standing(version.digest, now);
        standing.ok_or_else(|| Fault::new(KEEPING, "it is not in its own line").into())
    }

    /// Keeps a permit of that line of which the hub tells, before any job names it; whether it is new.
    ///
    /// # Errors
    /// As [`Self::see`].
    pub fn learn(&self, line: &PermitId, version: &Version, now: Timestamp) -> Result<bool, Stop> {
        let db = self.connection();
        let known = seen(&db, Some(line))?.iter().any(|seen| seen.version.digest == version.digest);
        if !known {
            keep(&db, line, version, now)?;
        }
        Ok(!known)
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
            one.report(&line, revoked_at, now)
        };
        Ok(seen.iter().map(report).collect())
    }
}

impl SeenPermit {
    /// `revoked_at`: since when its line is revoked, or will be.
    fn report(&self, line: &Line, revoked_at: Option<Timestamp>, now: Timestamp) -> PermitReport {
        let Version { digest, number, valid_from, valid_until, .. } = &self.version;
        let until_then = if revoked_at.is_some_and(|end| end < *valid_until) { " until revoked" } else { "" };
        let standing = match line.standing(*digest, now) {
            None => "unknown".to_owned(),
            Some(Standing::InForce(status)) => format!("{}{until_then}", status_text(status)),
            Some(Standing::NotYet { .. }) => format!("not-yet{until_then}"),
            Some(Standing::Replaced { by, .. }) => format!("replaced by {by}"),
            Some(Standing::Expired { .. }) => "expired".to_owned(),
            Some(Standing::Revoked { .. }) => "revoked".to_owned(),
        };
        let (from, until) = line.in_force(*digest).unwrap_or((*valid_from, *valid_until));
        PermitReport {
            line: self.line.number.to_string(),
            number: number.to_string(),
            issuer: self.line.issuer.to_string(),
            standing,
            valid_from: valid_from.to_string(),
            valid_until: valid_until.to_string(),
            active_from: from.to_string(),
            active_until: until.to_string(),
            first_seen_at: self.first_seen_at.to_string(),
            last_seen_at: self.last_seen_at.to_string(),
        }
    }
}

/// Keeps a permit, unless it is known, and gives all of its line.
///
/// # Security
/// A number is one document's: under a second one of the same issuer nobody could tell which of them a job, a charge or a revocation
/// means. Which came first only this node knows, so that two nodes may take different ones. Watched by
/// `a_number_is_one_document_s` and `what_is_learnt_takes_the_place_of_what_was_seen`.
fn keep(db: &Connection, line: &PermitId, version: &Version, now: Timestamp) -> Result<Vec<Version>, Stop> {
    const KEEP: &str =
        "INSERT INTO permit (digest, line, number, status, replaces, issued_at, valid_from, valid_until, first_seen_at,
         last_seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (digest) DO NOTHING";
    let versions: Vec<_> = seen(db, Some(line))?.into_iter().map(|seen| seen.version).collect();
    if versions.iter().any(|known| known.digest == version.digest) {
        return Ok(versions);
    }
    if is_taken(db, line.issuer, &version.number)? {
        return Err(Refusal::PermitNumberTaken { number: version.number.clone() }.into());
    }
    let mut with = Line::new(versions, None);
    with.add(version.clone())?;
    let values = params![
        version.digest.as_bytes(),
        line.to_string(),
        version.number.as_str(),
        status_text(version.status),
        version.replaces.as_ref().map(|number| number.as_str().to_owned()),
        version.issued_at.to_string(),
        version.valid_from.to_string(),
        version.valid_until.to_string(),
        format!("{now:.3}"),
    ];
    db.execute(KEEP, values).map_err(Fault::while_(KEEPING))?;
    Ok(with.versions().to_vec())
}

/// Whether a permit that was seen here has that number of that issuer; a line is kept as the number of its first, a space, and the issuer.
fn is_taken(db: &Connection, issuer: PublicKey, number: &PermitNumber) -> Result<bool, Fault> {
    const TAKEN: &str =
        "SELECT EXISTS (SELECT 1 FROM permit WHERE number = ?1 AND substr(line, instr(line, ' ') + 1) = ?2)";
    let values = params![number.as_str(), issuer.to_string()];
    let asked = db.prepare_cached(TAKEN).and_then(|mut statement| statement.query_row(values, |r| r.get(0)));
    asked.map_err(Fault::while_(READING))
}

/// All numbers of a line: of its first permit, and of those that were seen.
pub(super) fn numbers<'a>(line: &PermitId, versions: impl Iterator<Item = &'a Version>) -> Vec<PermitNumber> {
    std::iter::once(&line.number).chain(versions.map(|version| &version.number)).cloned().collect()
}

/// All that were seen of one line, or of all.
pub(super) fn seen(db: &Connection, line: Option<&PermitId>) -> Result<Vec<SeenPermit>, Fault> {
    let which = line.map_or("", |_| "WHERE line = ?1");
    let sql = format!("{SEEN} {which} ORDER BY line, issued_at");
    let mut statement = db.prepare_cached(&sql).map_err(Fault::while_(READING))?;
    let row = |r: &rusqlite::Row<'_>| {
        let texts: rusqlite::Result<Vec<Option<String>>> = (1..10).map(|column| r.get(column)).collect();
        Ok((Digest::from_bytes(r.get(0)?), texts?))
    };
    let values = params_from_iter(line.map(ToString::to_string));
    let rows = statement.query_map(values, row).map_err(Fault::while_(READING))?;
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

#[cfg(test)]
mod tests {
    use spe_kernel::{
        dsse::SecretKey,
        ids::PersonName,
        job::Purpose,
        permit::{PermitBody, PermitPerson},
        purpose::Article53,
        refusal::{Refusal, Stop},
    };

    use super::*;
    use crate::journal::tests::File;

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn now() -> Timestamp {
        at("2026-06-01T00:00:00Z")
    }

    fn body(number: &str, application: &str) -> PermitBody {
        let number: PermitNumber = number.parse().expect("a number");
        let period = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let mut body = PermitBody::granted(number, period, "rho=1".parse().expect("a loss"));
        let ada: PersonName = "ada".parse().expect("a name");
        body.application = application.parse().expect("a number");
        body.persons = vec![PermitPerson::investigator(ada, SecretKey::from_seed(&[5; 32]).public())];
        body.purpose.article53 = vec![Article53(Purpose::ScientificResearch)];
        body
    }

    /// The same line under another number, from that day on.
    fn amended(number: &str, from: &str) -> PermitBody {
        let number = number.parse().expect("a number");
        let (status, replaces) = (Status::Amended, Some("p-1".parse().expect("a number")));
        PermitBody { number, status, replaces, valid_from: at(from), ..body("p-1", "app") }
    }

    fn body_key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn see(records: &Records, body: &PermitBody, seed: u8) -> Result<Standing, Stop> {
        let key = body_key(seed);
        let permit = Permit::verify(&body.sign(&key), &[key.public()], now()).expect("a permit");
        records.see(&permit, |_| None, now())
    }

    fn learn(records: &Records, body: &PermitBody, seed: u8) -> Result<bool, Stop> {
        let (line, version) =
            Version::opened(&spe_kernel::document::open(&body.sign(&body_key(seed))).expect("a permit"));
        records.learn(&line, &version, now())
    }

    fn taken<T>(result: Result<T, Stop>) -> bool {
        matches!(result, Err(Stop::Refused(Refusal::PermitNumberTaken { .. })))
    }

    /// What would be a bug: two documents that a job, a charge or a revocation cannot tell apart.
    #[test]
    fn a_number_is_one_document_s() {
        let file = File::new("numbers");
        let records = Records::open(&file.0).expect("a file");
        let first = body("p-1", "app-1");
        for _ in 0..2 {
            assert!(matches!(see(&records, &first, 1), Ok(Standing::InForce(Status::Granted))));
        }
        let second = body("p-1", "app-2");
        assert!(taken(see(&records, &second, 1)), "two documents have one number");
        assert!(taken(learn(&records, &second, 1)), "the hub made a second document of that number known");
        assert!(matches!(see(&records, &second, 2), Ok(Standing::InForce(_))), "another body counts for itself");
        assert!(matches!(see(&records, &body("p-2", "app-2"), 1), Ok(Standing::InForce(_))));
        assert!(
            taken(see(&records, &amended("p-2", "2026-02-01T00:00:00Z"), 1)),
            "an amendment took another line's number"
        );
        assert!(matches!(see(&records, &first, 1), Ok(Standing::InForce(_))), "the first lost its number");
    }

    /// What would be a bug: a permit that is listed as granted to its end, and of which the node knows that it is revoked before.
    #[test]
    fn a_revocation_to_come_is_listed() {
        let file = File::new("to-come");
        let records = Records::open(&file.0).expect("a file");
        assert!(matches!(see(&records, &body("p-1", "app"), 1), Ok(Standing::InForce(_))));
        let listed = |revoked: Option<Timestamp>| {
            let reports = records.permits(|_, _| revoked, now()).expect("readable");
            reports.iter().map(|p| (p.standing.clone(), p.active_until.clone())).collect::<Vec<_>>()
        };
        let is = |standing: &str, until: &str| vec![(standing.to_owned(), until.to_owned())];
        assert_eq!(listed(None), is("granted", "2027-01-01T00:00:00Z"));
        assert_eq!(listed(Some(at("2026-11-01T00:00:00Z"))), is("granted until revoked", "2026-11-01T00:00:00Z"));
        assert_eq!(listed(Some(at("2028-01-01T00:00:00Z"))), is("granted", "2027-01-01T00:00:00Z"));
        assert_eq!(listed(Some(at("2026-05-01T00:00:00Z"))), is("revoked", "2026-05-01T00:00:00Z"));
    }

    /// What would be a bug: a permit that goes on though the node was told of the one in its place, also after a restart; or one that gives
    /// way before the other begins.
    #[test]
    fn what_is_learnt_takes_the_place_of_what_was_seen() {
        let file = File::new("learnt");
        let records = Records::open(&file.0).expect("a file");
        let first = body("p-1", "app");
        assert!(matches!(see(&records, &first, 1), Ok(Standing::InForce(_))));
        assert!(matches!(learn(&records, &amended("p-3", "2026-12-01T00:00:00Z"), 1), Ok(true)));
        assert!(matches!(see(&records, &first, 1), Ok(Standing::InForce(_))), "the other begins later");
        let second = amended("p-2", "2026-05-01T00:00:00Z");
        for new in [true, false] {
            assert_eq!(learn(&records, &second, 1).expect("its line may have it"), new);
        }
        drop(records);
        let records = Records::open(&file.0).expect("a file");
        let standing = see(&records, &first, 1).expect("it is known");
        assert!(matches!(&standing, Standing::Replaced { by, .. } if by.as_str() == "p-2"), "{standing:?}");
        assert!(matches!(see(&records, &second, 1), Ok(Standing::InForce(Status::Amended))));
        let longer = PermitBody { valid_until: at("2028-01-01T00:00:00Z"), ..amended("p-4", "2026-05-02T00:00:00Z") };
        assert!(matches!(learn(&records, &longer, 1), Err(Stop::Refused(Refusal::Unlawful { .. }))), "Art. 68(12)");
    }
}
