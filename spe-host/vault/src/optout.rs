//! The register of opt-outs of each dataset: two files beside its snapshots, so that new data keeps it.
//!
//! ```text
//! <vault>/<dataset>/optout.log    a line for each entry, chained; only ever appended to
//! <vault>/<dataset>/optout.head   how far the log was acknowledged; replaced by one rename
//! ```
//!
//! New pseudonyms make a new generation of both, `optout.2.log` and `optout.2.head`: the snapshot says which is its own, so that both
//! change in one step.
//!
//! What the lines say, and what they mean, is the kernel's ([`spe_kernel::optout`]). An entry is acknowledged when its line is durable
//! and then the head is. Writers hold a lock on the dataset's folder; readers need none, for whatever they find behind the head
//! was made by somebody.
//!
//! # Privacy
//! Pseudonyms only; keys of data subjects are hashed before they come here. A register that is missing or damaged is an error and never
//! a register of nobody. Watched by `tests/it/optout.rs`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use spe_kernel::{
    ids::{DatasetName, Digest},
    keys::{Identifiers, KeyError, KeySource},
    optout::{Addition, Clock, ClockBehind, Damage, Decision, History, Subject},
};

use crate::snapshot;

mod cohort;
mod file;
mod turnover;
pub use cohort::Cohort;
pub(crate) use file::{lock, read};
pub(crate) use turnover::{Turnover, fits, pending};

/// Why a register cannot be used: for the operator. Ids of persons are never quoted.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// No such dataset: a choice entered for it would be heeded by nobody.
    #[error("dataset {dataset} is not in the vault; `spe data list` shows what is")]
    NoDataset {
        /// The name given.
        dataset: DatasetName,
    },
    /// The files are gone.
    #[error(
        "the register of opt-outs is gone: {} or the head beside it is missing, and without them nobody can tell who opted out. \
         Restore both from a backup",
        log.display()
    )]
    Missing {
        /// Where the log should be.
        log: PathBuf,
    },
    /// The files are not as they were written.
    #[error("the register of opt-outs in {} is damaged: {why}. Restore its two files from a backup", log.display())]
    Damaged {
        /// The log.
        log: PathBuf,
        /// Where it is damaged.
        why: Damage,
    },
    /// It is about another dataset.
    #[error("the register of opt-outs in {} is that of dataset {found}: it was put there by mistake", log.display())]
    OtherDataset {
        /// The log.
        log: PathBuf,
        /// Whose it is.
        found: DatasetName,
    },
    /// Its entries would be about nobody.
    #[error(
        "the register of opt-outs was made with another pseudonym key, under which the same persons have other pseudonyms: the key holder \
         must have the keys that the dataset was ingested with; restore its backup"
    )]
    OtherKey,
    /// Entries that the ingest under way has not seen, under pseudonyms that it replaces.
    #[error("persons opted out while their pseudonyms were being renewed: ingest again")]
    Meanwhile,
    /// No pseudonyms.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A key of another shape: it would be about nobody.
    #[error(
        "person {number} is named by {found} values; the dataset's key has {expected} columns, and a value is not empty"
    )]
    KeyColumns {
        /// Which of the persons given, from 1.
        number: usize,
        /// Columns of the dataset's key.
        expected: usize,
        /// Values given that are not empty.
        found: usize,
    },
    /// The declaration's key has another number of columns than the register's.
    #[error(
        "the register of opt-outs is of persons named by {register} columns, the declaration names them by {declared}"
    )]
    OtherColumns {
        /// Of the register.
        register: usize,
        /// Of the declaration.
        declared: usize,
    },
    /// The clock is wrong, or was.
    #[error(transparent)]
    Clock(#[from] ClockBehind),
    /// The files cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
}

/// What was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Numbers of the first and the last entry, from 1.
    pub numbers: (usize, usize),
    /// When it was entered.
    pub recorded_at: Timestamp,
    /// Since when it holds.
    pub effective_at: Timestamp,
    /// The chain after it: a receipt.
    pub chain: Digest,
    /// Bytes that an interrupted append had left, never acknowledged, and that were cut off.
    pub torn_bytes: usize,
}

/// The register of opt-outs of one dataset at this node.
pub struct Register {
    home: PathBuf,
    dataset: DatasetName,
}

impl Register {
    /// The register of `dataset` in `vault`. Reads nothing yet.
    ///
    /// # Errors
    /// There is no such dataset.
    pub fn of(vault: &Path, dataset: &DatasetName) -> Result<Self, RegisterError> {
        let home = vault.join(dataset.as_str());
        if !snapshot::is_dataset(&home) {
            return Err(RegisterError::NoDataset { dataset: dataset.clone() });
        }
        Ok(Self { home, dataset: dataset.clone() })
    }

    /// All of it, checked.
    ///
    /// # Errors
    /// It is missing, damaged, or another dataset's.
    pub fn read(&self) -> Result<History, RegisterError> {
        read(&self.home, &self.dataset).map(|(history, _)| history)
    }

    /// Digest of the register's head, which changes with every entry: what an audit log needs of it.
    ///
    /// # Errors
    /// It is missing, or cannot be read.
    pub fn head(&self) -> Result<Digest, RegisterError> {
        file::head(&self.home)
    }

    /// The pseudonyms of `persons`, each named by the values of their key columns, in the order of the declaration, as they stand in the
    /// source. Spaces around a value do not count, as at ingest.
    ///
    /// # Privacy
    /// The values go to the key holder and nowhere else.
    ///
    /// # Errors
    /// A key holder that is away or has other keys, or a person named by too many or too few values.
    pub fn subjects(&self, keys: &dyn KeySource, persons: &[Vec<String>]) -> Result<Vec<Subject>, RegisterError> {
        let history = self.read()?;
        self.check_key(keys, &history)?;
        self.subjects_by(keys, persons, history.header().pseudonyms.version)
    }

    /// The same by the pseudonyms of one version.
    ///
    /// # Errors
    /// As [`Self::subjects`].
    pub fn subjects_by(
        &self,
        keys: &dyn KeySource,
        persons: &[Vec<String>],
        version: u32,
    ) -> Result<Vec<Subject>, RegisterError> {
        let expected = self.read()?.header().key_columns;
        let mut identifiers = Identifiers::default();
        let mut places = Vec::with_capacity(persons.len());
        for (values, number) in persons.iter().zip(1..) {
            let parts: Vec<_> = values.iter().map(|v| v.as_bytes().trim_ascii()).collect();
            let found = parts.iter().filter(|p| !p.is_empty()).count();
            if found != expected || parts.len() != found {
                return Err(RegisterError::KeyColumns { number, expected, found });
            }
            parts.iter().for_each(|part| identifiers.push(part));
            places.push(identifiers.close());
        }
        let made = keys.pseudonyms(&self.dataset, version, &identifiers)?;
        let subjects: Option<Vec<_>> = places.into_iter().map(|place| made.get(place).copied()).collect();
        subjects.ok_or_else(|| KeyError::Refused("the key holder gave too few pseudonyms".into()).into())
    }

    /// Whether the key holder has the key that the register was made with; after a rotation, until the next ingest, it has a newer one
    /// beside it.
    ///
    /// # Errors
    /// It has not, or is away.
    pub fn check_key(&self, keys: &dyn KeySource, history: &History) -> Result<(), RegisterError> {
        let (own, newest) = (history.header().pseudonyms, keys.newest(&self.dataset)?.pseudonyms);
        if own == newest || own.version < newest.version { Ok(()) } else { Err(RegisterError::OtherKey) }
    }

    /// Enters `decision` for each of `subjects`; it is durable when this returns. `clock` is asked when it is this writer's turn. A node
    /// that runs heeds it from its next job on.
    ///
    /// # Errors
    /// What cannot be read or written, or a clock that is behind the last entry; nothing is entered then.
    pub fn record(
        &self,
        subjects: &[Subject],
        decision: &Decision,
        clock: impl FnOnce() -> Clock,
    ) -> Result<Recorded, RegisterError> {
        let _turn = file::lock(&self.home)?;
        let (history, generation) = read(&self.home, &self.dataset)?;
        let addition = history.append(subjects, decision, clock())?;
        file::append(&self.home, generation, history.whole_bytes(), &addition)?;
        let Addition { numbers, recorded_at, effective_at, chain, .. } = addition;
        Ok(Recorded { numbers, recorded_at, effective_at, chain, torn_bytes: history.torn_bytes() })
    }
}
