//! What the hub's operator records for the activity report of Art. 59(1): what nothing here can know.

use std::{fmt, path::Path, str::FromStr};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};
use spe_kernel::{audit::Person, fault::Fault, refusal::Refusal};

use crate::{
    config::Config,
    stop::{NotDone, Stop},
    store::{
        self,
        governance::{self, Event, What},
    },
};

/// Longest [`Record::of`], in bytes.
const OF_BYTES_MAX: usize = 200;

/// A point of Art. 59(1) that is known to people alone, wholly or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "points are named after their letters, and explained by `asks`")]
pub enum Point {
    B,
    C,
    D,
    E,
    F,
    I,
    J,
    K,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::B, Self::C, Self::D, Self::E, Self::F, Self::I, Self::J, Self::K];

    /// Its letter, and what it asks for.
    const fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::B => ("b", "fulfilment of commitments by users and holders; administrative fines"),
            Self::C => ("c", "audits of health data users"),
            Self::D => ("d", "audits of secure processing environments"),
            Self::E => ("e", "requests of natural persons on their rights"),
            Self::F => ("f", "engagement with stakeholders"),
            Self::I => ("i", "data quality labels"),
            Self::J => ("j", "publications, policy documents and regulatory procedures"),
            Self::K => ("k", "digital health products and services"),
        }
    }

    /// Its letter.
    pub const fn letter(self) -> &'static str {
        self.named().0
    }

    /// What it asks for.
    pub const fn asks(self) -> &'static str {
        self.named().1
    }
}

impl FromStr for Point {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|point| format!("{point} ({})", point.asks())).join(", ");
        let found = Self::ALL.into_iter().find(|point| point.letter() == text);
        found
            .ok_or_else(|| format!("{text:?} is no point of Art. 59(1) that is recorded by hand; there is {}", known()))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letter())
    }
}

/// A number that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The point that it belongs to.
    pub point: Point,
    /// What was counted; public, so it names no person.
    pub of: String,
    /// How many, or how much; below 0 to correct what was recorded before.
    pub count: i64,
    /// When it was: the report's period decides on it.
    pub at: Timestamp,
    /// When it was recorded: the same number again is another one.
    pub recorded_at: Timestamp,
}

/// Records a number in the hub in `dir`, for ever, for the operator `by`, whom the report does not name. Works beside a running hub.
///
/// # Errors
/// [`NotDone::Refused`]: no words or too many, or a time in the future; the file that cannot be used.
pub fn record(dir: &Path, record: &Record, by: &Person) -> Result<(), NotDone> {
    let config = Config::read(dir)?;
    let mut db = store::open(&config.store)?;
    let mut recording = || -> Result<(), Stop> {
        let malformed = |why: String| Refusal::Malformed { document: "the record".into(), why };
        if record.of.trim().is_empty() || record.of.len() > OF_BYTES_MAX {
            return Err(malformed(format!("what was counted is said in 1 to {OF_BYTES_MAX} bytes")).into());
        }
        if record.at > record.recorded_at {
            return Err(malformed(format!("{} is in the future", record.at)).into());
        }
        let writing = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let person = "hub".parse().map_err(Fault::while_("naming a party"))?;
        let (at, body) = (record.recorded_at, serde_json::to_vec(record)?);
        let subject = format!("report {}", record.point);
        let event = Event { at, what: What::Recorded, subject, node: None, person, body };
        governance::append_by(&writing, &event, Some(by))?;
        Ok(writing.commit()?)
    };
    recording().map_err(NotDone::at(&config.store))
}

/// Everything that was recorded and can be read, in order.
pub(crate) fn all(db: &Connection) -> Result<Vec<Record>, Stop> {
    let recorded = governance::readable(db, What::Recorded)?;
    Ok(recorded.iter().filter_map(|event| serde_json::from_slice(&event.body).ok()).collect())
}
