//! The log of governance: what was submitted, decided, withdrawn and published, in order. It is only ever added to; how
//! anything stands is worked out from it and the time.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use spe_kernel::{
    audit::Person,
    fault::Fault,
    ids::{Digest, NodeName, PersonName},
};

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
    /// What was granted is there: the data, or the answer to a data request; the body is the permit's number.
    Provided,
    /// The hub's operator invited or dismissed a member, or gave a person roles; the body is JSON of it.
    Members,
}

impl What {
    const ALL: [Self; 12] = [
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
        Self::Provided,
        Self::Members,
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
            Self::Provided => "provided",
            Self::Members => "members",
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

/// An entry that is there and cannot be read: a byte of it has changed, or another version of this program wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    /// Which entry.
    pub(crate) number: i64,
    /// What it is about; nothing, where that cannot be read either.
    pub(crate) subject: String,
    /// As far as they can be read: when it was written, for which node, by whom.
    pub(crate) at: Option<Timestamp>,
    pub(crate) node: Option<NodeName>,
    pub(crate) person: Option<PersonName>,
    pub(crate) why: String,
}

impl Unreadable {
    /// An entry whose fields can be read, and not what it says.
    pub(crate) fn entry(number: i64, event: &Event, why: &Stop) -> Self {
        let Event { at, subject, node, person, .. } = event.clone();
        Self { number, subject, at: Some(at), node, person: Some(person), why: why.to_string() }
    }

    /// For the operator's log.
    pub(crate) fn fault(&self) -> Fault {
        Fault::new("reading the log of governance", self)
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {} (about {:?}) cannot be read: {}", self.number, self.subject, self.why)
    }
}

/// An entry with its number.
pub(crate) type Entry = (i64, Result<Event, Unreadable>);

/// Whether it is in the log already.
pub(crate) fn has(db: &Connection, event: &Event) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM governance WHERE subject = ?1 AND what = ?2 AND node = ?3 AND digest = ?4";
    let node = event.node.as_ref().map_or("", NodeName::as_str);
    let given = [&event.subject, event.what.name(), node, &Digest::of(&event.body).to_string()];
    Ok(super::first(db, sql, given, |_| Ok(()))?.is_some())
}

/// Adds to the log; the same again changes nothing. Its times never go back: a clock that does stands still here.
pub(crate) fn append(db: &Connection, event: &Event) -> Result<(), Stop> {
    append_by(db, event, None)
}

/// The same, of what the person did who works at the hub's machine under that account.
pub(crate) fn append_by(db: &Connection, event: &Event, account: Option<&Person>) -> Result<(), Stop> {
    let at = last(db)?.map_or(event.at, |last| last.max(event.at));
    let sql = "INSERT OR IGNORE INTO governance (at, what, subject, node, person, digest, body, account)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (at, what, digest) = (at.to_string(), event.what.name(), Digest::of(&event.body).to_string());
    let node = event.node.as_ref().map_or("", NodeName::as_str);
    let account = account.map(|account| account.name.as_str());
    let given = params![at, what, event.subject, node, event.person.as_str(), digest, event.body, account];
    db.execute(sql, given)?;
    Ok(())
}

/// Who wrote entries about `subject` at the hub's machine: the entry's body, and the account.
///
/// # Privacy
/// For the hub's operator alone: nothing that members or the public are given is made of it. Watched by
/// `who_operates_the_hub_is_in_its_log_and_in_nothing_that_leaves` in `spe-host/hub/tests/it/agreements.rs`.
pub(crate) fn accounts(db: &Connection, subject: &str) -> Result<Vec<(Vec<u8>, String)>, Stop> {
    let sql = "SELECT body, account FROM governance WHERE subject = ?1 AND account IS NOT NULL ORDER BY number";
    rows(db, sql, [subject], |row| Ok((row.get("body")?, row.get("account")?)))
}

/// Everything that was done at the hub's machine, in order: the entry, and the account. As private as [`accounts`].
pub(crate) fn operated(db: &Connection) -> Result<Vec<(Entry, String)>, Stop> {
    let sql = "SELECT * FROM governance WHERE account IS NOT NULL ORDER BY number";
    rows(db, sql, [], |row| Ok((read(row)?, row.get("account")?)))
}

/// Whether something of that kind is in the log about that node's part of `subject`.
pub(crate) fn happened(db: &Connection, subject: &str, what: What, node: &NodeName) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM governance WHERE subject = ?1 AND what = ?2 AND node = ?3";
    Ok(first(db, sql, [subject, what.name(), node.as_str()], |_| Ok(()))?.is_some())
}

/// How many applications a person has submitted.
pub(crate) fn submitted_by(db: &Connection, person: &PersonName) -> Result<i64, Stop> {
    let sql = "SELECT COUNT(*) AS submitted FROM governance WHERE what = 'submitted' AND person = ?1";
    Ok(first(db, sql, [person.as_str()], |row| Ok(row.get("submitted")?))?.unwrap_or(0))
}

/// What happened to one application, or job, in order.
pub(crate) fn of(db: &Connection, subject: &str) -> Result<Vec<Entry>, Stop> {
    rows(db, "SELECT * FROM governance WHERE subject = ?1 ORDER BY number", [subject], read)
}

/// The first revocation, or decision on an application of which `node` has a part, after entry `after`, with its number.
pub(crate) fn next(db: &Connection, node: &NodeName, after: i64) -> Result<Option<Entry>, Stop> {
    let sql = "SELECT * FROM governance WHERE number > ?2 AND (what = 'revoked' OR (what = 'decision' AND EXISTS
        (SELECT 1 FROM governance AS part WHERE part.subject = governance.subject AND part.what = 'part' AND part.node = ?1)))
        ORDER BY number LIMIT 1";
    first(db, sql, params![node.as_str(), after], read)
}

/// Everything of one kind, in order; among it what may be of that kind, since its kind cannot be read.
fn every(db: &Connection, what: What) -> Result<Vec<Entry>, Stop> {
    let kinds = What::ALL.map(|what| format!("'{}'", what.name())).join(", ");
    let sql = format!("SELECT * FROM governance WHERE what = ?1 OR what NOT IN ({kinds}) ORDER BY number");
    rows(db, &sql, [what.name()], read)
}

/// Everything of one kind as `open` reads it, in order, and what cannot be read: whoever says that something did not happen looks at both.
pub(crate) fn opened<T>(
    db: &Connection,
    what: What,
    open: impl Fn(&Event) -> Result<T, Stop>,
) -> Result<(Vec<T>, Vec<Unreadable>), Stop> {
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    for (number, entry) in every(db, what)? {
        let read = match entry {
            Ok(event) => open(&event).map_err(|why| Unreadable::entry(number, &event, &why)),
            Err(lost) => Err(lost),
        };
        match read {
            Ok(one) => all.push(one),
            Err(lost) => unreadable.push(lost),
        }
    }
    Ok((all, unreadable))
}

/// Everything of one kind that can be read, in order: for lists that say elsewhere what is missing in them.
pub(crate) fn readable(db: &Connection, what: What) -> Result<Vec<Event>, Stop> {
    Ok(every(db, what)?.into_iter().filter_map(|(_, entry)| entry.ok()).collect())
}

/// Everything, in order.
pub(crate) fn all(db: &Connection) -> Result<Vec<Entry>, Stop> {
    rows(db, "SELECT * FROM governance ORDER BY number", [], read)
}

/// When the last entry was made of which that can be read.
pub(crate) fn last(db: &Connection) -> Result<Option<Timestamp>, Stop> {
    let mut query = db.prepare_cached("SELECT at FROM governance ORDER BY number DESC")?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        if let Ok(at) = parsed(row, "at") {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Reads an entry. One that cannot be read is an entry all the same: it must not keep others from being read.
fn read(row: &Row<'_>) -> Result<Entry, Stop> {
    let number = row.get("number")?;
    let event = event(row).map_err(|why| Unreadable {
        number,
        subject: row.get("subject").unwrap_or_default(),
        at: parsed(row, "at").ok(),
        node: parsed(row, "node").ok(),
        person: parsed(row, "person").ok(),
        why: why.to_string(),
    });
    Ok((number, event))
}

fn event(row: &Row<'_>) -> Result<Event, Stop> {
    let (node, digest, body): (String, String, Vec<u8>) = (row.get("node")?, row.get("digest")?, row.get("body")?);
    if Digest::of(&body).to_string() != digest {
        return Err(Fault::new("reading an entry", "it is not what was written: its digest is another").into());
    }
    Ok(Event {
        at: parsed(row, "at")?,
        what: parsed(row, "what")?,
        subject: row.get("subject")?,
        node: (!node.is_empty()).then(|| parsed(row, "node")).transpose()?,
        person: parsed(row, "person")?,
        body,
    })
}
