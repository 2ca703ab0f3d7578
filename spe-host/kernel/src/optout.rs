//! The register of opt-outs (Regulation (EU) 2025/327, Art. 71): who does not want their data used, which of
//! it, what for, and since when.
//!
//! A dataset's register at one node is a list that only grows. Each entry has two times: when the choice takes effect (*valid
//! time*), and when the register learnt of it (*transaction time*). A permit reads the register as it stood when the permit was
//! issued, in both: later choices do not change what earlier permits cover (Art. 71(3)), and whoever comes back is there
//! again for later permits. Nothing is ever changed or taken out, so that every earlier state can be read again.

use std::fmt;

use jiff::Timestamp;

use crate::{
    category::{Categories, Category},
    dataset::DatasetSchema,
    ids::{Digest, IdError},
    job::{Job, Purpose},
    permit::Permit,
};

mod history;
pub use history::{Addition, Clock, ClockBehind, Damage, Decision, Header, History, founding};

/// Longest source, and longest account, of a [`Channel`], in bytes.
pub const CHANNEL_BYTES_MAX: usize = 64;
/// Separates the digests of cohorts with people who are in them for the rows that they have from all others.
const ELSEWHERE_CONTEXT: &str = "spe 2026-11-23 cohort without those who have rows only in what they refused";
/// Separates the digests of cohorts from all others.
const COHORT_CONTEXT: &str = "spe 2026-01-01 cohort of a snapshot without those who opted out";

/// A [`Scope`] that is about all purposes.
const EVERYTHING: &str = "everything";

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

/// What a choice is about: purposes, and categories of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// In the order of the article; none = all.
    purposes: Vec<Purpose>,
    categories: Categories,
}

impl Scope {
    /// About any use of any data.
    pub const EVERYTHING: Self = Self { purposes: Vec::new(), categories: Categories::ALL };

    /// About the use of data of these categories for these purposes; for any purpose when none is named, any data when no category is.
    pub fn of(purposes: &[Purpose], categories: &[Category]) -> Self {
        let purposes = Purpose::ALL.into_iter().filter(|p| purposes.contains(p)).collect();
        let categories = match categories {
            [] => Categories::ALL,
            named => named.iter().copied().collect(),
        };
        Self { purposes, categories }
    }

    /// Of which categories it is about for `purpose`.
    pub fn covers(&self, purpose: Purpose) -> Categories {
        let about = self.purposes.is_empty() || self.purposes.iter().any(|about| about.covers(purpose));
        if about { self.categories } else { Categories::NONE }
    }
}

/// `everything`, `education,scientific-research`; and of some data only, `everything:f` or `education:a,f`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purposes = match self.purposes.as_slice() {
            [] => EVERYTHING.to_owned(),
            named => named.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        match self.categories {
            Categories::ALL => f.pad(&purposes),
            some => f.pad(&format!("{purposes}:{some}")),
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (purposes, categories) = match text.split_once(':') {
            Some((purposes, categories)) => (purposes, categories.parse::<Categories>()?.iter().collect()),
            None => (text, Vec::new()),
        };
        if purposes == EVERYTHING {
            return Ok(Self::of(&[], &categories));
        }
        let purposes: Vec<_> = purposes.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self::of(&purposes, &categories))
    }
}

/// How a choice reached the register: a source such as `web form` or `letter`, with nothing about the person; and which account of the node's
/// machine entered it, where that is known. Each is short, and one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    source: String,
    by: Option<String>,
}

impl Channel {
    /// The source.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The account that entered it; entries of earlier versions have none.
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// The same, entered by `account`, of which the first 64 bytes are kept: what an operating system calls somebody stops no choice.
    #[must_use]
    pub fn entered_by(self, account: &str) -> Self {
        let tame: String = account.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = tame.get(..tame.floor_char_boundary(CHANNEL_BYTES_MAX)).unwrap_or_default().trim();
        Self { by: (!cut.is_empty()).then(|| cut.to_owned()), ..self }
    }
}

/// Whether `text` is one line of a register's field.
fn is_tame(text: &str) -> bool {
    let one_line = text.trim() == text && !text.chars().any(char::is_control);
    one_line && (1..=CHANNEL_BYTES_MAX).contains(&text.len())
}

impl std::str::FromStr for Channel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if is_tame(text) {
            return Ok(Self { source: text.to_owned(), by: None });
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

/// Which state of a register counts, and for which use: as it stood at an instant, for a purpose and the data that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The instant, in valid time and in transaction time.
    pub at: Timestamp,
    /// The purpose.
    pub purpose: Purpose,
    /// Of which categories the data is that is read.
    pub reads: Categories,
}

impl AsOf {
    /// What counts for `job` under `permit`: the state when the permit was issued, for the purpose that the job is signed for, and the
    /// categories of the tables that its plan reads.
    pub fn of(permit: &Permit, job: &Job, schema: &DatasetSchema) -> Self {
        let reads = schema.categories(job.body().plan.inputs().iter().map(|input| &input.table));
        Self { at: permit.body().issued_at, purpose: job.body().purpose, reads }
    }
}

/// Who is left out: sorted, each once. No `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Whatever rows they have.
    everywhere: Vec<Subject>,
    /// If all the rows that they have in the dataset are of these categories.
    elsewhere: Vec<(Subject, Categories)>,
}

/// Who had opted out, by the state of a register that `as_of` names, for a dataset of that schema: of all or some of the data that is read;
/// or of other data of it, and so of being there without rows, where they have none but in that.
///
/// # Privacy
/// Claim: an entry made at `t` changes nothing for any `as_of` before `t`, and counts for every one from `t` on once it is in
/// effect. Watched by the model test in `spe-host/kernel/tests/it/optout.rs`.
pub fn excluded(entries: &[Entry], as_of: AsOf, schema: &DatasetSchema) -> Excluded {
    let AsOf { at, purpose, reads } = as_of;
    let out = refused(entries, at, purpose).into_iter();
    let (everywhere, mut elsewhere): (Vec<_>, Vec<_>) = out.partition(|(_, categories)| categories.meets(reads));
    let held = schema.categories(schema.tables.iter().map(|table| &table.name));
    elsewhere.retain(|(_, categories)| categories.meets(held));
    Excluded { everywhere: everywhere.into_iter().map(|(subject, _)| subject).collect(), elsewhere }
}

/// Who had opted out of the use of which data for `purpose`, by the state of a register at an instant: ascending, each once.
///
/// Of all entries about the purpose and a category that were known and in effect then, the one that took effect last decides for its data
/// subject; of two that took effect together, the later entry. An entry was known since the earliest `recorded_at` of itself and all
/// that follow it: it is older than they are, whatever a clock said that was ahead for a while.
pub fn refused(entries: &[Entry], at: Timestamp, purpose: Purpose) -> Vec<(Subject, Categories)> {
    let known = entries.iter().enumerate().rev().scan(Timestamp::MAX, |earliest, (place, entry)| {
        *earliest = entry.recorded_at.min(*earliest);
        Some((*earliest, place, entry))
    });
    let counts = |(known, place, entry): (Timestamp, usize, &Entry)| {
        let about = entry.scope.covers(purpose);
        let counts = known <= at && entry.effective_at <= at && about != Categories::NONE;
        counts.then_some((entry.subject, entry.effective_at, place, entry.choice, about))
    };
    let mut counting: Vec<_> = known.filter_map(counts).collect();
    counting.sort_unstable_by_key(|(subject, effective_at, place, ..)| (*subject, *effective_at, *place));
    let of_one = |acts: &[(Subject, Timestamp, usize, Choice, Categories)]| {
        let out = acts.iter().fold(Categories::NONE, |out, (.., choice, about)| match choice {
            Choice::OptsOut => out.and(*about),
            Choice::ComesBack => out.without(*about),
        });
        acts.first().filter(|_| out != Categories::NONE).map(|(subject, ..)| (*subject, out))
    };
    counting.chunk_by(|a, b| a.0 == b.0).filter_map(of_one).collect()
}

impl Excluded {
    /// Pseudonyms of those who are left out whatever rows they have, ascending.
    pub fn subjects(&self) -> &[Subject] {
        &self.everywhere
    }

    /// Pseudonyms of those who are left out if all their rows are of the categories beside them, ascending.
    pub fn elsewhere(&self) -> &[(Subject, Categories)] {
        &self.elsewhere
    }

    /// What identifies the data that is left of `snapshot`: the snapshot's own digest when nobody is left out.
    ///
    /// # Privacy
    /// It stands in answers. Claim: it tells whether two cohorts are the same and nothing else, for pseudonyms are 128 bits that nobody
    /// outside can guess; that a choice changed can be told (`docs/threat-model.md`). It is made of the register alone and not of who is
    /// in the data: whoever is left out for the rows that they have counts whether they have them or not.
    pub fn cohort(&self, snapshot: Digest) -> Digest {
        let digest = |hasher: &blake3::Hasher| Digest::from_bytes(*hasher.finalize().as_bytes());
        let mut left = snapshot;
        if !self.everywhere.is_empty() {
            let mut hasher = blake3::Hasher::new_derive_key(COHORT_CONTEXT);
            hasher.update(left.as_bytes()).update(self.everywhere.as_flattened());
            left = digest(&hasher);
        }
        if !self.elsewhere.is_empty() {
            let mut hasher = blake3::Hasher::new_derive_key(ELSEWHERE_CONTEXT);
            hasher.update(left.as_bytes());
            for (subject, categories) in &self.elsewhere {
                hasher.update(subject).update(&categories.bits().to_le_bytes());
            }
            left = digest(&hasher);
        }
        left
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
