//! The register of opt-outs (Regulation (EU) 2025/327, Art. 71): who does not want their data used, what for, and since when.
//!
//! A dataset's register at one node is a list that only grows. Each entry has two times: when the choice takes effect (*valid
//! time*), and when the register learnt of it (*transaction time*). A permit reads the register as it stood when the permit was
//! issued, in both: later choices do not change what earlier permits cover (Art. 71(3)), and whoever comes back is there
//! again for later permits. Nothing is ever changed or taken out, so that every earlier state can be read again.

use std::fmt;

use jiff::Timestamp;

use crate::{
    ids::{Digest, IdError},
    job::{Job, Purpose},
    permit::Permit,
};

mod history;
pub use history::{Addition, Clock, ClockBehind, Damage, Decision, Header, History, founding};

/// Longest [`Channel`], in bytes.
pub const CHANNEL_BYTES_MAX: usize = 64;
/// Separates the digests of cohorts from all others.
const COHORT_CONTEXT: &str = "spe 2026-01-01 cohort of a snapshot without those who opted out";

/// The pseudonym of one data subject in one dataset at one node. Stays at the node.
pub type Subject = [u8; 16];

/// What a data subject has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Does not want to be in the data.
    OptsOut,
    /// Takes an opt-out back.
    ComesBack,
}

/// Which purposes a choice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Everything,
    /// These.
    Only(Vec<Purpose>),
}

impl Scope {
    /// About `purposes`; about everything when there are none.
    pub fn of(purposes: &[Purpose]) -> Self {
        let named: Vec<_> = Purpose::ALL.into_iter().filter(|p| purposes.contains(p)).collect();
        if named.is_empty() { Self::Everything } else { Self::Only(named) }
    }

    /// Whether it is about `purpose` too.
    pub fn covers(&self, purpose: Purpose) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(purposes) => purposes.iter().any(|about| about.covers(purpose)),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.pad("everything"),
            Self::Only(purposes) => f.pad(&purposes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "everything" {
            return Ok(Self::Everything);
        }
        text.split(',').map(str::parse).collect::<Result<Vec<_>, _>>().map(|purposes| Self::of(&purposes))
    }
}

/// How a choice reached the register, such as `web form` or `letter`: short, one line, and nothing about the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel(String);

impl Channel {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Channel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let tame = text.trim() == text && !text.chars().any(char::is_control);
        if tame && (1..=CHANNEL_BYTES_MAX).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("a source is one line of 1 to {CHANNEL_BYTES_MAX} bytes, such as \"web form\" or \"letter\""))
    }
}

/// One entry of a register. No `Debug`: whose it is stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose choice it is.
    pub subject: Subject,
    /// Of which pseudonym key that pseudonym is. One of an older key is about nobody in a newer snapshot until the person is met again.
    pub version: u32,
    /// The choice.
    pub choice: Choice,
    /// What it is about.
    pub scope: Scope,
    /// Since when it holds (valid time).
    pub effective_at: Timestamp,
    /// When it was written down (transaction time).
    pub recorded_at: Timestamp,
    /// How it came.
    pub channel: Channel,
}

/// Which state of a register counts: as it stood at an instant, for a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The instant, in valid time and in transaction time.
    pub at: Timestamp,
    /// The purpose.
    pub purpose: Purpose,
}

impl AsOf {
    /// What counts for `job` under `permit`: the state when the permit was issued, for the purpose that the job is signed for.
    pub const fn of(permit: &Permit, job: &Job) -> Self {
        Self { at: permit.body().issued_at, purpose: job.body().purpose }
    }
}

/// Who is left out: sorted, each once. No `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Excluded(Vec<Subject>);

/// Who had opted out, by the state of a register that `as_of` names.
///
/// Of all entries about the purpose that were known and in effect then, the one that took effect last decides for its data subject;
/// of two that took effect together, the later entry. An entry was known since the earliest `recorded_at` of itself and all
/// that follow it: it is older than they are, whatever a clock said that was ahead for a while.
///
/// # Privacy
/// Claim: an entry made at `t` changes nothing for any `as_of` before `t`, and counts for every one from `t` on once it is in
/// effect. Watched by the model test in `spe-host/kernel/tests/it/optout.rs`.
pub fn excluded(entries: &[Entry], as_of: AsOf) -> Excluded {
    let known = entries.iter().enumerate().rev().scan(Timestamp::MAX, |earliest, (place, entry)| {
        *earliest = entry.recorded_at.min(*earliest);
        Some((*earliest, place, entry))
    });
    let counts = |(known, _, entry): &(Timestamp, usize, &Entry)| {
        *known <= as_of.at && entry.effective_at <= as_of.at && entry.scope.covers(as_of.purpose)
    };
    let mut counting: Vec<_> =
        known.filter(counts).map(|(_, place, e)| (e.subject, e.effective_at, place, e.choice)).collect();
    counting.sort_unstable_by_key(|(subject, effective_at, place, _)| (*subject, *effective_at, *place));
    let last = counting.chunk_by(|a, b| a.0 == b.0).filter_map(<[_]>::last);
    Excluded(last.filter(|(.., choice)| *choice == Choice::OptsOut).map(|(subject, ..)| *subject).collect())
}

impl Excluded {
    /// Their pseudonyms, ascending.
    pub fn subjects(&self) -> &[Subject] {
        &self.0
    }

    /// Whether `subject` is left out.
    pub fn holds(&self, subject: &Subject) -> bool {
        self.0.binary_search(subject).is_ok()
    }

    /// What identifies the data that is left of `snapshot`: the snapshot's own digest when nobody is left out.
    ///
    /// # Privacy
    /// It stands in answers. Claim: it tells whether two cohorts are the same and nothing else, for pseudonyms are 128 bits that nobody
    /// outside can guess; that a choice changed can be told (`docs/threat-model.md`). It is made of the register alone and not of who is
    /// in the data.
    pub fn cohort(&self, snapshot: Digest) -> Digest {
        if self.0.is_empty() {
            return snapshot;
        }
        let mut hasher = blake3::Hasher::new_derive_key(COHORT_CONTEXT);
        hasher.update(snapshot.as_bytes()).update(self.0.as_flattened());
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// The first eight digits of a pseudonym, for an operator's eyes.
pub fn short(subject: &Subject) -> String {
    hex(subject).chars().take(8).collect()
}

fn hex(subject: &Subject) -> String {
    format!("{:032x}", u128::from_be_bytes(*subject))
}

fn from_hex(text: &str) -> Result<Subject, IdError> {
    let wrong = || IdError::Digest(text.chars().take(32).collect());
    let tame = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = tame.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(u128::to_be_bytes).ok_or_else(wrong)
}
