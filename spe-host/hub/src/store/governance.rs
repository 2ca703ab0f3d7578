//! The log of governance: what was submitted, decided, withdrawn and published, in order. It is only ever added to; how
//! anything stands is worked out from it and the time.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::ids::{Digest, NodeName, PersonName};

use super::{first, parsed, rows};
use crate::stop::Stop;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// An application was submitted; the body is its envelope.
    Submitted,
    /// A part of it went to a node; the body is JSON of the datasets there.
    Part,
    /// A data access body told something about a part; the body is its envelope.
    Notice,
    /// It decided; the body is JSON of both envelopes.
    Decision,
    /// The applicant added something; the body is its envelope.
    Added,
    /// The applicant took it back.
    Withdrawn,
    /// A result was published; the body is JSON of it.
    Published,
    /// A party stated something on a participation agreement; the body is its envelope.
    Agreement,
    /// A data access body took permits back or excluded a person; the body is its envelope.
    Revoked,
    /// The hub's operator recorded a number for the activity report; the body is JSON of it.
    Recorded,
}

impl What {
    const ALL: [Self; 10] = [
        Self::Submitted,
        Self::Part,
        Self::Notice,
        Self::Decision,
        Self::Added,
        Self::Withdrawn,
        Self::Published,
        Self::Agreement,
        Self::Revoked,
        Self::Recorded,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Part => "part",
            Self::Notice => "notice",
            Self::Decision => "decision",
            Self::Added => "added",
            Self::Withdrawn => "withdrawn",
            Self::Published => "published",
            Self::Agreement => "agreement",
            Self::Revoked => "revoked",
            Self::Recorded => "recorded",
        }
    }
}

impl std::str::FromStr for What {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|what| what.name() == text).ok_or_else(|| format!("{text:?} never happens"))
    }
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// The application, or the job that was published.
    pub(crate) subject: String,
    /// The node whose part it is about.
    pub(crate) node: Option<NodeName>,
    /// Who did it.
    pub(crate) person: PersonName,
    pub(crate) body: Vec<u8>,
}

/// Whether it is in the log already.
pub(crate) fn has(db: &Connection, event: &Event) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM governance WHERE subject = ?1 AND what = ?2 AND node = ?3 AND digest = ?4";
    let node = event.node.as_ref().map_or("", NodeName::as_str);
    let given = [&event.subject, event.what.name(), node, &Digest::of(&event.body).to_string()];
    Ok(super::first(db, sql, given, |_| Ok(()))?.is_some())
}

/// Adds to the log; the same again changes nothing. Its times never go back: a clock that does stands still here.
pub(crate) fn append(db: &Connection, event: &Event) -> Result<(), Stop> {
    let last = super::first(db, "SELECT at FROM governance ORDER BY number DESC LIMIT 1", [], |row| parsed(row, "at"))?;
    let at = last.map_or(event.at, |last: Timestamp| last.max(event.at));
    let sql = "INSERT OR IGNORE INTO governance (at, what, subject, node, person, digest, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (at, what, digest) = (at.to_string(), event.what.name(), Digest::of(&event.body).to_string());
    let node = event.node.as_ref().map_or("", NodeName::as_str);
    let given = params![at, what, event.subject, node, event.person.as_str(), digest, event.body];
    db.execute(sql, given)?;
    Ok(())
}

/// How many applications a person has submitted.
pub(crate) fn submitted_by(db: &Connection, person: &PersonName) -> Result<i64, Stop> {
    let sql = "SELECT COUNT(*) AS submitted FROM governance WHERE what = 'submitted' AND person = ?1";
    Ok(first(db, sql, [person.as_str()], |row| Ok(row.get("submitted")?))?.unwrap_or(0))
}

/// What happened to one application, or job, in order.
pub(crate) fn of(db: &Connection, subject: &str) -> Result<Vec<Event>, Stop> {
    rows(db, "SELECT * FROM governance WHERE subject = ?1 ORDER BY number", [subject], read)
}

/// The first revocation, or decision on an application of which `node` has a part, after entry `after`, with its number.
pub(crate) fn next(db: &Connection, node: &NodeName, after: i64) -> Result<Option<(i64, Event)>, Stop> {
    let sql = "SELECT * FROM governance WHERE number > ?2 AND (what = 'revoked' OR (what = 'decision' AND EXISTS
        (SELECT 1 FROM governance AS part WHERE part.subject = governance.subject AND part.what = 'part' AND part.node = ?1)))
        ORDER BY number LIMIT 1";
    first(db, sql, params![node.as_str(), after], |row| Ok((row.get("number")?, read(row)?)))
}

/// Everything of one kind, in order.
pub(crate) fn every(db: &Connection, what: What) -> Result<Vec<Event>, Stop> {
    rows(db, "SELECT * FROM governance WHERE what = ?1 ORDER BY number", [what.name()], read)
}

/// Everything, in order.
pub(crate) fn all(db: &Connection) -> Result<Vec<Event>, Stop> {
    rows(db, "SELECT * FROM governance ORDER BY number", [], read)
}

fn read(row: &rusqlite::Row<'_>) -> Result<Event, Stop> {
    let node: String = row.get("node")?;
    Ok(Event {
        at: parsed(row, "at")?,
        what: parsed(row, "what")?,
        subject: row.get("subject")?,
        node: (!node.is_empty()).then(|| parsed(row, "node")).transpose()?,
        person: parsed(row, "person")?,
        body: row.get("body")?,
    })
}
