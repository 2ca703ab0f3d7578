//! Pseudonyms: what stands for a data subject inside the vault.

use std::{fs, path::Path};

use spe_kernel::ids::{DatasetName, Digest};
use zeroize::Zeroize;

/// Separates the purposes that one key file serves.
const PSEUDONYM_CONTEXT: &str = "spe 2026-01-01 pseudonyms of data subjects";
const SNAPSHOT_CONTEXT: &str = "spe 2026-01-01 digests of snapshots";
const CHECK_CONTEXT: &str = "spe 2026-01-01 check value of the pseudonym key";

/// 16 bytes that stand for one data subject in one dataset at one node. Never leaves the vault.
pub type Pseudonym = [u8; 16];

/// The node's secret that turns subject keys into pseudonyms, 32 random bytes.
///
/// # Privacy
/// Who has it can test whether a known person is in the vault's files, so it belongs to the data holder alone, on another
/// disk than the vault. No `Debug`; zeroed when dropped. Watched by `tests/it/ingest.rs`.
pub struct PseudonymKey([u8; 32]);

impl Drop for PseudonymKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the pseudonym key {file} {why}")]
pub struct KeyError {
    file: String,
    why: String,
}

impl PseudonymKey {
    /// A key made elsewhere, from a cryptographic random generator.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// It cannot be read or does not have exactly 32 bytes.
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let wrong = |why: String| KeyError { file: file.display().to_string(), why };
        let mut bytes = fs::read(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        let length = bytes.len();
        bytes.zeroize();
        key.map(Self).map_err(|_| wrong(format!("has {length} bytes; 32 random bytes are needed")))
    }

    /// The pseudonym of the subject whose key columns hold `parts`.
    pub fn pseudonym(&self, dataset: &DatasetName, parts: &[&[u8]]) -> Pseudonym {
        let mut pseudonyms = self.of_dataset(dataset);
        for part in parts {
            pseudonyms.push(part);
        }
        pseudonyms.next()
    }

    /// A hasher of pseudonyms for one dataset: the same person has unrelated pseudonyms in two datasets.
    pub(crate) fn of_dataset(&self, dataset: &DatasetName) -> Pseudonyms {
        let key = self.derive(PSEUDONYM_CONTEXT, dataset);
        Pseudonyms { key, parts: Vec::new(), last: (Vec::new(), [0; 16]) }
    }

    /// Starts the digest of a snapshot; keyed, so that it says nothing about the data.
    pub(crate) fn snapshot_hasher(&self, dataset: &DatasetName) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.derive(SNAPSHOT_CONTEXT, dataset))
    }

    /// Tells this key from others, for one dataset; says nothing about it.
    pub fn check_value(&self, dataset: &DatasetName) -> Digest {
        Digest::from_bytes(self.derive(CHECK_CONTEXT, dataset))
    }

    fn derive(&self, context: &str, dataset: &DatasetName) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0).update(dataset.as_str().as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// Hashes subject keys, part by part.
pub(crate) struct Pseudonyms {
    key: [u8; 32],
    parts: Vec<u8>,
    /// Rows of one subject usually follow each other.
    last: (Vec<u8>, Pseudonym),
}

impl Pseudonyms {
    /// Adds a part of the key. Lengths are hashed too: ("ab", "c") is not ("a", "bc").
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.parts.extend_from_slice(&part.len().to_le_bytes());
        self.parts.extend_from_slice(part);
    }

    /// The pseudonym of the parts pushed since the last one.
    pub(crate) fn next(&mut self) -> Pseudonym {
        if self.parts != self.last.0 {
            let hash = blake3::keyed_hash(&self.key, &self.parts);
            let (half, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
            self.last.1 = *half;
            std::mem::swap(&mut self.last.0, &mut self.parts);
        }
        self.parts.clear();
        self.last.1
    }
}

impl Drop for Pseudonyms {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Which of `ranges` equal ranges of pseudonyms holds `subject`: ⌊ranges · p / 2⁶⁴⌋, where p are its first 8 bytes.
///
/// # Privacy
/// Partitions and blocks are such ranges. Claim: the range of a subject depends on nobody else, so that one person more or less
/// changes one block. Watched by `tests/it/blocks.rs`.
pub(crate) fn range_of(subject: &Pseudonym, ranges: usize) -> usize {
    let (high, _) = subject.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let scaled = u128::from(u64::from_be_bytes(*high)) * u128::try_from(ranges).unwrap_or(1);
    usize::try_from(scaled >> 64).unwrap_or(0)
}
