//! Keys that a node works with and does not own: pseudonyms and data keys come from a key holder (Art. 66(3)).
//!
//! The derivations are here, pure, so that the key holder and tests share one; who may call them is the architecture's question
//! (`docs/keyholder.md`): outside of tests and the self-test a [`PseudonymKey`] exists in the key holder's process only.

pub use zeroize::{Zeroize, Zeroizing};

use crate::{
    ids::{DatasetName, Digest},
    optout::Subject,
};

/// Separate the purposes that one key serves.
const PSEUDONYM_CONTEXT: &str = "spe 2026-01-01 pseudonyms of data subjects";
const PSEUDONYM_CHECK_CONTEXT: &str = "spe 2026-01-01 check value of the pseudonym key";
const FILES_CONTEXT: &str = "spe 2026-01-01 files of a dataset";
const DATA_CHECK_CONTEXT: &str = "spe 2026-01-01 check value of a data key";
const SNAPSHOT_CONTEXT: &str = "spe 2026-01-01 digests of snapshots";

/// Longest identifier of one data subject, all its key columns together, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 64 << 10;

fn derive(context: &str, key: &[u8; 32], dataset: &DatasetName) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(key).update(dataset.as_str().as_bytes());
    *hasher.finalize().as_bytes()
}

/// Identifiers of data subjects, packed one after the other; neighbours that are equal are kept once.
///
/// # Privacy
/// No `Debug`; zeroed when dropped or cleared. Lives in memory and on mutual TLS to the key holder, and nowhere else. Watched by
/// `spe-host/cli/tests/it/keyholder.rs`.
#[derive(Default)]
pub struct Identifiers {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Identifiers {
    /// Adds a part of the identifier under construction. Lengths are packed too: ("ab", "c") is not ("a", "bc").
    pub fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&part.len().to_le_bytes());
        self.bytes.extend_from_slice(part);
    }

    /// Ends the identifier under construction; its place in the list. Rows of one person usually follow each other, so one that is
    /// equal to the one before has the same place.
    pub fn close(&mut self) -> usize {
        let new = self.bytes.get(self.end()..).unwrap_or_default();
        let before = self.ends.len().checked_sub(1);
        if let Some(before) = before
            && self.get(before) == Some(new)
        {
            let end = self.end();
            self.bytes.truncate(end);
            return before;
        }
        self.ends.push(self.bytes.len());
        self.ends.len() - 1
    }

    /// Adds an identifier that was packed elsewhere.
    pub fn push_packed(&mut self, packed: &[u8]) {
        self.bytes.extend_from_slice(packed);
        self.ends.push(self.bytes.len());
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The packed identifier at a place.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..*self.ends.get(place)?)
    }

    /// All of them, packed.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.zeroize();
        self.ends.clear();
    }
}

/// The secret that turns identifiers into pseudonyms, 32 random bytes: one for each node, dataset and version.
///
/// # Privacy
/// Who has it can test whether a known person is in the data, so it stays with the key holder. No `Debug`; zeroed when dropped.
pub struct PseudonymKey(Zeroizing<[u8; 32]>);

impl PseudonymKey {
    /// A key made elsewhere, from a cryptographic random generator.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The pseudonyms of `identifiers` in `dataset`: the first half of keyed BLAKE3. The same person has unrelated pseudonyms in two
    /// datasets.
    pub fn pseudonyms(&self, dataset: &DatasetName, identifiers: &Identifiers) -> Vec<Subject> {
        let key = Zeroizing::new(derive(PSEUDONYM_CONTEXT, &self.0, dataset));
        let pseudonym = |identifier| {
            let hash = blake3::keyed_hash(&key, identifier);
            hash.as_bytes().first_chunk().copied().unwrap_or_default()
        };
        identifiers.iter().map(pseudonym).collect()
    }

    /// Tells this key from others, for one dataset; says nothing about it.
    pub fn check_value(&self, dataset: &DatasetName) -> Digest {
        Digest::from_bytes(derive(PSEUDONYM_CHECK_CONTEXT, &self.0, dataset))
    }
}

/// Which pseudonyms a dataset has: the version of their key, and its check value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// The key's version, from 1.
    pub version: u32,
    /// Its check value.
    pub check: Digest,
}

/// What a dataset's files are sealed with, handed out by the key holder and kept in memory only.
///
/// # Security
/// No `Debug`; zeroed when dropped. Without it the files of the dataset are noise. Watched by `spe-host/vault/tests/it/sealed.rs`.
pub struct DataKey {
    version: u32,
    key: Zeroizing<[u8; 32]>,
    digest_key: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// A key and its version, and the key of the dataset's digests, which all versions share.
    pub fn from_bytes(version: u32, key: [u8; 32], digest_key: [u8; 32]) -> Self {
        Self { version, key: Zeroizing::new(key), digest_key: Zeroizing::new(digest_key) }
    }

    /// Its version, from 1.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The key and the digest key as they are, for the way from the key holder to the node.
    pub fn expose(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.key, &self.digest_key)
    }

    /// The key of the files of `dataset`, for AES-256-GCM.
    pub fn files(&self, dataset: &DatasetName) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(FILES_CONTEXT, &self.key, dataset))
    }

    /// Starts a digest of records of `dataset`; keyed, so that it says nothing about them. The same for all versions: files that were
    /// sealed anew are the same snapshot, whose answers are not paid for twice.
    pub fn snapshot_hasher(&self, dataset: &DatasetName) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&derive(SNAPSHOT_CONTEXT, &self.digest_key, dataset))
    }

    /// Tells this key from others, for one dataset; says nothing about it.
    pub fn check_value(&self, dataset: &DatasetName) -> Digest {
        Digest::from_bytes(derive(DATA_CHECK_CONTEXT, &self.key, dataset))
    }
}

/// What a new snapshot is made with.
pub struct Newest {
    /// Seals its files.
    pub data: DataKey,
    /// Makes its pseudonyms.
    pub pseudonyms: Scheme,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key holder cannot be reached; it may be there later.
    #[error("{0}")]
    Away(String),
    /// There is no such key, or it was destroyed: what it sealed cannot be read by anybody any more.
    #[error("{0}")]
    Gone(String),
    /// The key holder does not give it to this node.
    #[error("{0}")]
    Refused(String),
}

/// Where keys and pseudonyms come from: a key holder, seen from a node.
pub trait KeySource: Send + Sync {
    /// What a new snapshot of `dataset` is made with; made when there is none.
    ///
    /// # Errors
    /// A key holder that is away or refuses; keys that were destroyed.
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError>;

    /// A data key of `dataset`.
    ///
    /// # Errors
    /// As [`Self::newest`].
    fn data_key(&self, dataset: &DatasetName, version: u32) -> Result<DataKey, KeyError>;

    /// The pseudonyms of `identifiers` in `dataset`, in their order.
    ///
    /// # Errors
    /// As [`Self::newest`].
    fn pseudonyms(
        &self,
        dataset: &DatasetName,
        version: u32,
        identifiers: &Identifiers,
    ) -> Result<Vec<Subject>, KeyError>;
}

/// Keys of nobody's data: a source in this process, for tests, benchmarks and a node's self-test over made-up people.
pub struct LocalKeys {
    seed: Zeroizing<[u8; 32]>,
    pseudonyms: u32,
    data: u32,
}

impl LocalKeys {
    /// The first versions of all keys.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::rotated(seed, 1, 1)
    }

    /// The same keys, after so many rotations that these versions are the newest.
    pub fn rotated(seed: [u8; 32], pseudonyms: u32, data: u32) -> Self {
        Self { seed: Zeroizing::new(seed), pseudonyms, data }
    }

    fn key(&self, purpose: &str, version: u32) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("spe 2026-01-01 local keys");
        hasher.update(&*self.seed).update(purpose.as_bytes()).update(&version.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    fn pseudonym_key(&self, version: u32) -> PseudonymKey {
        PseudonymKey::from_bytes(self.key("pseudonyms", version))
    }

    fn known(version: u32, newest: u32) -> Result<(), KeyError> {
        let known = (1..=newest).contains(&version);
        if known { Ok(()) } else { Err(KeyError::Gone(format!("there is no key of version {version}"))) }
    }
}

impl KeySource for LocalKeys {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        let check = self.pseudonym_key(self.pseudonyms).check_value(dataset);
        let data = self.data_key(dataset, self.data)?;
        Ok(Newest { data, pseudonyms: Scheme { version: self.pseudonyms, check } })
    }

    fn data_key(&self, _: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        Self::known(version, self.data)?;
        Ok(DataKey::from_bytes(version, self.key("data", version), self.key("digests", 0)))
    }

    fn pseudonyms(
        &self,
        dataset: &DatasetName,
        version: u32,
        identifiers: &Identifiers,
    ) -> Result<Vec<Subject>, KeyError> {
        Self::known(version, self.pseudonyms)?;
        Ok(self.pseudonym_key(version).pseudonyms(dataset, identifiers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(people: &[&[&[u8]]]) -> Identifiers {
        let mut identifiers = Identifiers::default();
        for parts in people {
            parts.iter().for_each(|part| identifiers.push(part));
            identifiers.close();
        }
        identifiers
    }

    fn one(key: u8, dataset: &str, parts: &[&[u8]]) -> Subject {
        PseudonymKey::from_bytes([key; 32]).pseudonyms(&dataset.parse().unwrap(), &packed(&[parts]))[0]
    }

    /// What would be a bug: one person who can be followed from one dataset or node to another, or two who become one.
    #[test]
    fn pseudonyms_are_separated() {
        let x = one(7, "a", &[b"x"]);
        assert_eq!(x, one(7, "a", &[b"x"]));
        assert_ne!(x, one(7, "b", &[b"x"]), "datasets share pseudonyms");
        assert_ne!(x, one(8, "a", &[b"x"]), "nodes share pseudonyms");
        assert_ne!(one(7, "a", &[b"ab", b"c"]), one(7, "a", &[b"a", b"bc"]), "parts run together");
    }

    #[test]
    fn neighbours_that_are_equal_are_asked_about_once() {
        let mut list = Identifiers::default();
        let places: Vec<usize> = ["a", "a", "b", "b", "a"]
            .map(|id| {
                list.push(id.as_bytes());
                list.close()
            })
            .into();
        assert_eq!((places, list.len()), (vec![0, 0, 1, 1, 2], 3));
        assert_ne!(list.get(0), list.get(1));
        assert_eq!(list.get(0), list.get(2));
        assert_eq!((list.get(3), list.iter().count()), (None, 3));
        list.clear();
        assert!(list.is_empty() && list.bytes.is_empty());
        list.push(b"a");
        assert_eq!(list.close(), 0, "what was forgotten is still there");
    }

    /// What would be a bug: files of two datasets, or of two versions, that one key opens; or a snapshot that is another one after
    /// its files were sealed anew.
    #[test]
    fn data_keys_are_separated_and_digests_outlive_them() {
        let (a, b): (DatasetName, DatasetName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let keys = LocalKeys::rotated([1; 32], 1, 2);
        let (one, two) = (keys.data_key(&a, 1).unwrap(), keys.data_key(&a, 2).unwrap());
        assert_ne!(*one.files(&a), *two.files(&a));
        assert_ne!(*one.files(&a), *one.files(&b));
        assert_ne!(one.check_value(&a), two.check_value(&a));
        let digest = |key: &DataKey, dataset| key.snapshot_hasher(dataset).update(b"records").finalize();
        assert_eq!(digest(&one, &a), digest(&two, &a));
        assert_ne!(digest(&one, &a), digest(&one, &b));
        assert!(keys.data_key(&a, 3).is_err() && keys.data_key(&a, 0).is_err());
    }
}
