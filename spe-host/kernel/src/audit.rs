//! The audit log: what every node writes down, in an order that cannot be changed (Regulation (EU) 2025/327, Art. 73(1)(e)).
//!
//! An [`Entry`] is one line of JSON. Entries are the leaves of a Merkle tree ([`crate::tlog`]); the form is in `docs/audit-log.md`.

mod event;
mod paid;
mod salt;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{disclosure::Released, dsse::PublicKey, fault::Fault, gate::Cleared, ids::Digest, ledger::AnswerKey};

pub use event::{Answer, Event, PermitRef, Statement};
pub use paid::PaidUnder;
pub use salt::Salt;

/// [`Entry::format`] of this version.
pub const ENTRY_FORMAT: &str = "spe.log/1";
/// Art. 73(1)(e): access logs are kept at least a year.
pub const RETENTION_DAYS_MIN: u32 = 365;

/// One line of the log.
///
/// # Privacy
/// Says nothing about a data subject, and names no natural person: who acted is an [`ActorId`], and what that stands for is kept
/// elsewhere, where it can be erased. Watched by `no_name_key_or_address_is_in_the_log` in `spe-host/cli/tests/it/audit.rs`.
///
/// Whoever holds a receipt, and the witness, has hashes of entries that are none of theirs, and could guess what these say: which permit
/// somebody else uses, say. So each has a salt of its own, without which no guess can be checked. Watched by
/// `the_hash_of_an_entry_tells_of_no_guess_whether_it_is_right` in `spe-host/node/src/journal/log/tests/hidden.rs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: String,
    /// When it was written, always with three decimals: the length tells nothing.
    #[serde(serialize_with = "to_the_millisecond")]
    pub at: Timestamp,
    /// Who acted.
    pub actor: ActorId,
    /// What happened.
    pub event: Event,
    /// Hides the entry from whoever has its hash. None in entries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
}

fn to_the_millisecond<S: serde::Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.3}"))
}

impl Entry {
    /// An entry of this version; `salt` is its own, and drawn at random.
    pub fn new(at: Timestamp, actor: ActorId, event: Event, salt: Salt) -> Self {
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        Self { format: ENTRY_FORMAT.into(), at, actor, event, salt: Some(salt) }
    }

    /// The bytes that are hashed.
    ///
    /// # Errors
    /// An entry that cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self).map_err(Fault::while_("writing an entry of the audit log"))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Not an entry of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if entry.format == ENTRY_FORMAT { Ok(entry) } else { Err(format!("its format is not {ENTRY_FORMAT}")) }
    }
}

/// Who acts, as far as it is known. Kept beside the log, and erased when it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// As permits name the person, or as the node's operator does.
    pub name: String,
    /// The key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Issuer and subject of OpenID Connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// Who is answerable for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The program itself.
    Node,
    /// A natural person.
    Person(Person),
}

impl Who {
    /// Whoever runs a command in the node's folder, by the name of the account: the operating system knows no more.
    pub fn account(name: &str) -> Self {
        Self::Person(Person { name: format!("account {name}"), key: None, identity: None })
    }
}

/// A random-looking name for something that is itself kept elsewhere: the first 16 bytes of SHA-256 of a salt and it.
///
/// # Privacy
/// Without the salt, not even a guess can be checked; with it, nobody can say later that it stood for something else.
fn commitment(salt: &Salt, content: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::new().chain_update(salt.as_bytes()).chain_update(content).finalize().into();
    Digest::from_bytes(hash).hex().chars().take(32).collect()
}

/// `node`, or `person-` and 32 hexadecimal digits that stand for a [`Person`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActorId(String);

/// `job-` and 32 hexadecimal digits that stand for a signed job, which names a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobTag(String);

impl ActorId {
    /// The program itself.
    pub fn node() -> Self {
        Self("node".into())
    }

    /// The person of that salt.
    pub fn of(person: &Person, salt: &Salt) -> Self {
        // Plain data always serialises.
        Self(format!("person-{}", commitment(salt, &serde_json::to_vec(person).unwrap_or_default())))
    }
}

impl JobTag {
    /// The signed job with that digest and salt.
    pub fn of(job: Digest, salt: &Salt) -> Self {
        Self(format!("job-{}", commitment(salt, job.as_bytes())))
    }
}

fn is_tag(text: &str, prefix: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(hex))
}

macro_rules! tag {
    ($name:ident, $is:expr, $expected:literal) => {
        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                if $is(text) { Ok(Self(text.into())) } else { Err(format!("{text:.80?} is not {}", $expected)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(tag: $name) -> Self {
                tag.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

tag!(ActorId, |text| text == "node" || is_tag(text, "person-"), "an actor: node, or person- and 32 hexadecimal digits");
tag!(JobTag, |text| is_tag(text, "job-"), "a job: job- and 32 hexadecimal digits");

/// An append-only log of releases.
pub trait AuditLog {
    /// Records that the answer of `key`, with bytes of that digest, is released. Recording the same again changes nothing.
    ///
    /// # Errors
    /// The storage's own.
    fn record(&mut self, key: &AnswerKey, envelope: Digest) -> Result<(), Fault>;
}

/// Logs what the output gate let pass, and lets it leave.
///
/// # Errors
/// The log's own; nothing leaves then.
pub fn append(log: &mut impl AuditLog, Cleared { committed }: Cleared) -> Result<Released, Fault> {
    log.record(&committed.key, Digest::of(&committed.envelope))?;
    Ok(Released::from_committed(committed))
}

/// Whether a log may be kept for so many days.
///
/// # Errors
/// Fewer than [`RETENTION_DAYS_MIN`].
pub fn check_retention(days: u32) -> Result<u32, String> {
    if days >= RETENTION_DAYS_MIN {
        return Ok(days);
    }
    Err(format!(
        "log_retention_days = {days}: Regulation (EU) 2025/327, Art. 73(1)(e) has access logs kept for at least one year, \
         so it must be {RETENTION_DAYS_MIN} or more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: an entry of an earlier version that is not read, or not written again to the byte; a salt that is none.
    #[test]
    fn an_entry_of_an_earlier_version_reads_as_it_was() {
        let before = r#"{"format":"spe.log/1","at":"2026-01-01T00:00:00.000Z","actor":"node","event":{"kind":"node-stopped","software":"spe"}}"#;
        let entry = Entry::parse(before.as_bytes()).expect("an entry");
        assert_eq!(entry.salt, None);
        assert_eq!(entry.to_bytes().expect("bytes"), before.as_bytes());
        let new = Entry::new(entry.at, entry.actor, entry.event, [7; 32].into()).to_bytes().expect("bytes");
        assert_eq!(Entry::parse(&new).map(|entry| entry.salt), Ok(Some([7; 32].into())));
        let short = String::from_utf8(new).expect("text").replace("0707", "");
        assert!(Entry::parse(short.as_bytes()).is_err(), "a salt of no length");
    }
}
