//! How a register is written: a line for each entry, each chained to the one before.
//!
//! ```text
//! spe.optout/2 ⇥ dataset ⇥ key columns ⇥ version of the pseudonym key ⇥ its check value ⇥ chain
//! recorded_at ⇥ effective_at ⇥ opts-out|comes-back ⇥ everything|purpose,…[:category,…] ⇥ version:pseudonym ⇥ source[ ⇥ account] ⇥ chain
//! ```
//!
//! Format 1 had no versions: all that it says is of version 1. Entries of before there were accounts have none.
//!
//! Beside it stands the head, one line: how many bytes were acknowledged, and the chain after them. The list alone would not show
//! that its last lines are gone.

use jiff::Timestamp;

use super::{Channel, Choice, Entry, Subject, from_hex, hex, is_tame};
use crate::{
    ids::{DatasetName, Digest},
    keys::Scheme,
};

/// First word of a register.
const FORMAT: &str = "spe.optout/2";
/// First word of one from before pseudonyms had versions.
const FORMAT_1: &str = "spe.optout/1";
/// First word of its head.
const HEAD_FORMAT: &str = "spe.optout-head/1";

/// What a register is about: its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The dataset.
    pub dataset: DatasetName,
    /// How many columns the key of a data subject has.
    pub key_columns: usize,
    /// Which key makes the pseudonyms: under another key every entry would be about nobody.
    pub pseudonyms: Scheme,
}

/// Why a register cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(String);

/// A register as it was read, whole. No `Debug`: whose entries they are stays out of logs.
pub struct History {
    header: Header,
    entries: Vec<Entry>,
    chain: Digest,
    whole_bytes: usize,
    torn_bytes: usize,
}

/// A choice to be entered, for one or many data subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The choice.
    pub choice: Choice,
    /// What it is about.
    pub scope: super::Scope,
    /// Since when it holds; from its entry on when `None`.
    pub effective_at: Option<Timestamp>,
    /// How it came.
    pub channel: Channel,
}

/// What the machine's clock says, and what its operator says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The time.
    Says(Timestamp),
    /// The time; the clock was ahead when the last entry was made, and has been put right.
    WasAhead(Timestamp),
}

/// A clock that is behind the register: one of them is wrong, and an entry with a wrong time would count for the wrong permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the last entry was made at {last}, and this machine's clock says {now}: set the clock right")]
pub struct ClockBehind {
    /// When the last entry was made.
    pub last: Timestamp,
    /// What the clock says.
    pub now: Timestamp,
}

/// Lines to be appended, and the head that acknowledges them.
pub struct Addition {
    /// To be written after [`History::whole_bytes`].
    pub lines: Vec<u8>,
    /// To take the place of the old head, once the lines are durable.
    pub head: Vec<u8>,
    /// Numbers of the first and the last new entry, from 1.
    pub numbers: (usize, usize),
    /// When they were entered.
    pub recorded_at: Timestamp,
    /// Since when they hold.
    pub effective_at: Timestamp,
    /// The chain after them: a receipt.
    pub chain: Digest,
}

/// The first contents of a register, and its head.
pub fn founding(header: &Header) -> (Vec<u8>, Vec<u8>) {
    written(header, [])
}

/// A whole register, and its head.
fn written(header: &Header, entries: impl IntoIterator<Item = Entry>) -> (Vec<u8>, Vec<u8>) {
    let (mut lines, mut chain) = linked(start(FORMAT), &header.body());
    for entry in entries {
        let (line, next) = linked(chain, &body(&entry));
        lines.extend_from_slice(&line);
        chain = next;
    }
    let head = head(lines.len(), chain);
    (lines, head)
}

impl History {
    /// Reads a register, and checks every line and that nothing is gone.
    ///
    /// What was acknowledged must be there, whole and in order. After it may stand what an append left that was interrupted: whole lines
    /// count like all others, for somebody has made that choice; what is torn was never acknowledged, and is passed over.
    ///
    /// # Errors
    /// Where it is damaged.
    pub fn read(log: &[u8], head: &[u8]) -> Result<Self, Damage> {
        let (acknowledged_bytes, acknowledged_chain) =
            parse_head(head).ok_or_else(|| Damage("its head is not one".into()))?;
        let (acknowledged, beyond) = log.split_at_checked(acknowledged_bytes).ok_or_else(|| {
            Damage(format!("it has {} bytes, but {acknowledged_bytes} were acknowledged: lines are gone", log.len()))
        })?;
        let mut lines = acknowledged.split_inclusive(|b| *b == b'\n');
        let first = lines.next().unwrap_or_default();
        let begun = [FORMAT, FORMAT_1].into_iter().find_map(|format| open(first, start(format)));
        let (body, mut chain) = begun.ok_or_else(|| Damage("its first line is not whole".into()))?;
        let header = Header::parse(body).ok_or_else(|| Damage(format!("it is not of format {FORMAT}")))?;
        let mut entries = Vec::new();
        for line in lines {
            let wrong = || Damage(format!("entry {} is not as it was written", entries.len() + 1));
            let (entry, linked) = entry(line, chain).ok_or_else(wrong)?;
            entries.push(entry);
            chain = linked;
        }
        if chain != acknowledged_chain {
            return Err(Damage("its last entry is not the one that was acknowledged last".into()));
        }
        let mut history = Self { header, entries, chain, whole_bytes: acknowledged_bytes, torn_bytes: beyond.len() };
        history.take_unacknowledged(beyond);
        Ok(history)
    }

    fn take_unacknowledged(&mut self, beyond: &[u8]) {
        for line in beyond.split_inclusive(|b| *b == b'\n') {
            let Some((entry, chain)) = entry(line, self.chain) else { return };
            self.entries.push(entry);
            self.chain = chain;
            self.whole_bytes += line.len();
            self.torn_bytes -= line.len();
        }
    }

    /// What it is about.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All entries, in the order in which they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The chain after the last entry: two registers with the same are the same.
    pub const fn chain(&self) -> Digest {
        self.chain
    }

    /// The head that acknowledges all of it: the file that stands beside it, unless somebody has written since.
    pub fn head(&self) -> Vec<u8> {
        head(self.whole_bytes, self.chain)
    }

    /// Where the next entry is to be written, in bytes.
    pub const fn whole_bytes(&self) -> usize {
        self.whole_bytes
    }

    /// Bytes after that, of an append that was interrupted and never acknowledged.
    pub const fn torn_bytes(&self) -> usize {
        self.torn_bytes
    }

    /// The same entries under other pseudonyms, in their order: whoever `renamed` knows by an older pseudonym has the new one. Entries
    /// of persons whom nobody has met since stay as they are, and wait for them.
    pub fn carried(&self, header: &Header, renamed: impl Fn(u32, &Subject) -> Option<Subject>) -> (Vec<u8>, Vec<u8>) {
        let carry = |entry: &Entry| match renamed(entry.version, &entry.subject) {
            Some(subject) => Entry { subject, version: header.pseudonyms.version, ..entry.clone() },
            None => entry.clone(),
        };
        written(header, self.entries.iter().map(carry))
    }

    /// The versions of pseudonyms that its entries have, ascending.
    pub fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.entries.iter().map(|entry| entry.version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// What to write so that `decision` is entered for each of `subjects`.
    ///
    /// # Errors
    /// The clock is behind the last entry.
    pub fn append(&self, subjects: &[Subject], decision: &Decision, clock: Clock) -> Result<Addition, ClockBehind> {
        let last = self.entries.last().map(|e| e.recorded_at);
        let recorded_at = match (clock, last) {
            (Clock::Says(now), Some(last)) if now < last => return Err(ClockBehind { last, now }),
            (Clock::Says(now) | Clock::WasAhead(now), _) => now,
        };
        let Decision { choice, scope, effective_at, channel } = decision.clone();
        let effective_at = effective_at.unwrap_or(recorded_at);
        let version = self.header.pseudonyms.version;
        let mut entry =
            Entry { subject: Subject::default(), version, choice, scope, effective_at, recorded_at, channel };
        let (mut lines, mut chain) = (Vec::new(), self.chain);
        for subject in subjects {
            entry.subject = *subject;
            let (line, linked) = linked(chain, &body(&entry));
            lines.extend_from_slice(&line);
            chain = linked;
        }
        let before = self.entries.len();
        let head = head(self.whole_bytes + lines.len(), chain);
        Ok(Addition { lines, head, numbers: (before + 1, before + subjects.len()), recorded_at, effective_at, chain })
    }
}

impl Header {
    fn body(&self) -> String {
        let Scheme { version, check } = self.pseudonyms;
        format!("{FORMAT}\t{}\t{}\t{version}\t{}", self.dataset, self.key_columns, check.hex())
    }

    fn parse(body: &str) -> Option<Self> {
        let [dataset, key_columns, version, check] = match fields(body) {
            Some([FORMAT, dataset, key_columns, version, check]) => [dataset, key_columns, version, check],
            _ => match fields(body)? {
                [FORMAT_1, dataset, key_columns, check] => [dataset, key_columns, "1", check],
                _ => return None,
            },
        };
        let pseudonyms = Scheme { version: version.parse().ok()?, check: check.parse().ok()? };
        Some(Self { dataset: dataset.parse().ok()?, key_columns: key_columns.parse().ok()?, pseudonyms })
    }
}

fn body(entry: &Entry) -> String {
    let choice = match entry.choice {
        Choice::OptsOut => "opts-out",
        Choice::ComesBack => "comes-back",
    };
    let Entry { subject, version, scope, effective_at, recorded_at, channel, .. } = entry;
    let by = channel.by().map(|account| format!("\t{account}")).unwrap_or_default();
    format!("{recorded_at}\t{effective_at}\t{choice}\t{scope}\t{version}:{}\t{}{by}", hex(subject), channel.as_str())
}

/// The entry in `line`, and the chain after it; `None` when the line is not whole, or not the one that follows `before`.
fn entry(line: &[u8], before: Digest) -> Option<(Entry, Digest)> {
    let (body, chain) = open(line, before)?;
    let (body, by) = match body.match_indices('\t').nth(5) {
        Some((at, _)) => (body.get(..at)?, Some(body.get(at + 1..).filter(|by| is_tame(by))?)),
        None => (body, None),
    };
    let [recorded_at, effective_at, choice, scope, subject, source] = fields(body)?;
    let choice = match choice {
        "opts-out" => Choice::OptsOut,
        "comes-back" => Choice::ComesBack,
        _ => return None,
    };
    let (version, subject) = subject.split_once(':').unwrap_or(("1", subject));
    let entry = Entry {
        subject: from_hex(subject).ok()?,
        version: version.parse().ok()?,
        choice,
        scope: scope.parse().ok()?,
        effective_at: effective_at.parse().ok()?,
        recorded_at: recorded_at.parse().ok()?,
        channel: Channel { by: by.map(str::to_owned), ..source.parse().ok()? },
    };
    Some((entry, chain))
}

fn fields<const N: usize>(body: &str) -> Option<[&str; N]> {
    body.split('\t').collect::<Vec<_>>().try_into().ok()
}

/// The chain before the first line.
fn start(format: &str) -> Digest {
    Digest::of(format.as_bytes())
}

fn link(before: Digest, body: &str) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(body.as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

fn linked(before: Digest, body: &str) -> (Vec<u8>, Digest) {
    let chain = link(before, body);
    (format!("{body}\t{}\n", chain.hex()).into_bytes(), chain)
}

/// What a line says, and the chain after it.
fn open(line: &[u8], before: Digest) -> Option<(&str, Digest)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (body, chain) = line.rsplit_once('\t')?;
    let expected = link(before, body);
    (expected.hex() == chain).then_some((body, expected))
}

fn head(bytes: usize, chain: Digest) -> Vec<u8> {
    format!("{HEAD_FORMAT}\t{bytes}\t{}\n", chain.hex()).into_bytes()
}

fn parse_head(head: &[u8]) -> Option<(usize, Digest)> {
    let line = std::str::from_utf8(head.strip_suffix(b"\n")?).ok()?;
    let [HEAD_FORMAT, bytes, chain] = fields(line)? else { return None };
    Some((bytes.parse().ok()?, chain.parse().ok()?))
}
