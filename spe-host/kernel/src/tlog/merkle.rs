//! The Merkle tree of RFC 6962, kept as the hashes of its complete subtrees.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Hash {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text).map_err(|_| "not base64")?;
        bytes.try_into().map(Self).map_err(|_| "not 32 bytes")
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// The hash of an entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Hashes of complete subtrees, as a log stores them.
pub trait Hashes {
    /// Why a hash cannot be read.
    type Error;
    /// The hash over the 2^`level` entries from `index`·2^`level` on, all of which are in the log.
    ///
    /// # Errors
    /// The storage's own.
    fn hash(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The right edge of a tree: enough to append to it and to know its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// Hashes of the complete subtrees from left to right, one for each bit of the size that is set.
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree over the first `size` entries.
    ///
    /// # Errors
    /// The storage's own.
    pub fn open<H: Hashes>(hashes: &H, size: u64) -> Result<Self, H::Error> {
        let peaks = peaks(0, size).map(|(level, index)| hashes.hash(level, index)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// How many entries it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry. Returns the subtrees that it completes, to be stored: level, index and hash.
    pub fn append(&mut self, leaf: Hash) -> Vec<(u32, u64, Hash)> {
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        let mut complete = vec![(level, index, hash)];
        while index % 2 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node_hash(left, hash);
            (level, index) = (level + 1, index / 2);
            complete.push((level, index, hash));
        }
        self.peaks.push(hash);
        self.size += 1;
        complete
    }

    /// The root; of an empty tree the hash of nothing.
    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// The complete subtrees that make up the entries `from..to`, from left to right, where `from` is a multiple of a power of two that is
/// at least `to − from`, or 0.
fn peaks(from: u64, to: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let left = to.checked_sub(at).filter(|left| *left > 0)?;
        let level = left.ilog2();
        let peak = (level, at >> level);
        at += 1 << level;
        Some(peak)
    })
}

/// Subtrees from left to right as one hash: the right ones are joined first.
fn fold(peaks: &[Hash]) -> Hash {
    let mut from_right = peaks.iter().rev().copied();
    match from_right.next() {
        None => Hash(Sha256::new().finalize().into()),
        Some(last) => from_right.fold(last, |right, left| node_hash(left, right)),
    }
}

/// Where a range of entries is cut: the largest power of two below its length.
fn cut(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

fn range_hash<H: Hashes>(hashes: &H, from: u64, to: u64) -> Result<Hash, H::Error> {
    let parts = peaks(from, to).map(|(level, index)| hashes.hash(level, index)).collect::<Result<Vec<_>, _>>()?;
    Ok(fold(&parts))
}

/// That an entry is in a tree: the hashes beside the way from it to the root, from the bottom up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion(pub Vec<Hash>);

impl Inclusion {
    /// Of entry `index` in the tree over the first `size` entries; `None` when there is no such entry.
    ///
    /// # Errors
    /// The storage's own.
    pub fn prove<H: Hashes>(hashes: &H, index: u64, size: u64) -> Result<Option<Self>, H::Error> {
        if index >= size {
            return Ok(None);
        }
        let (mut from, mut to, mut beside) = (0, size, Vec::new());
        while to - from > 1 {
            let middle = from + cut(to - from);
            if index < middle {
                beside.push(range_hash(hashes, middle, to)?);
                to = middle;
            } else {
                beside.push(range_hash(hashes, from, middle)?);
                from = middle;
            }
        }
        beside.reverse();
        Ok(Some(Self(beside)))
    }

    /// Whether `leaf` is entry `index` of the tree of that size and root (RFC 9162, section 2.1.3.2).
    pub fn holds(&self, leaf: Hash, index: u64, size: u64, root: Hash) -> bool {
        if index >= size {
            return false;
        }
        let (mut fnode, mut snode, mut hash) = (index, size - 1, leaf);
        for beside in &self.0 {
            if snode == 0 {
                return false;
            }
            if fnode % 2 == 1 || fnode == snode {
                hash = node_hash(*beside, hash);
                while fnode % 2 == 0 && fnode != 0 {
                    (fnode, snode) = (fnode / 2, snode / 2);
                }
            } else {
                hash = node_hash(hash, *beside);
            }
            (fnode, snode) = (fnode / 2, snode / 2);
        }
        snode == 0 && hash == root
    }
}

/// That a tree is the beginning of a larger one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency(pub Vec<Hash>);

impl Consistency {
    /// Of the first `old` entries with the first `new`; empty where there is nothing to prove.
    ///
    /// # Errors
    /// The storage's own.
    pub fn prove<H: Hashes>(hashes: &H, old: u64, new: u64) -> Result<Self, H::Error> {
        if old == 0 || old >= new {
            return Ok(Self(Vec::new()));
        }
        let (mut from, mut to, mut beside, mut whole) = (0, new, Vec::new(), true);
        while to != old {
            let middle = from + cut(to - from);
            if old <= middle {
                beside.push(range_hash(hashes, middle, to)?);
                to = middle;
            } else {
                beside.push(range_hash(hashes, from, middle)?);
                (from, whole) = (middle, false);
            }
        }
        if !whole {
            beside.push(range_hash(hashes, from, to)?);
        }
        beside.reverse();
        Ok(Self(beside))
    }

    /// Whether the tree of `old` entries and root is the beginning of the other (RFC 9162, section 2.1.4.2).
    pub fn holds(&self, old: (u64, Hash), new: (u64, Hash)) -> bool {
        let ((old_size, old_root), (new_size, new_root)) = (old, new);
        if old_size > new_size {
            return false;
        }
        if old_size == new_size || old_size == 0 {
            return self.0.is_empty() && (old_size == 0 || old_root == new_root);
        }
        let mut rest = self.0.iter().copied();
        let (mut fnode, mut snode) = (old_size - 1, new_size - 1);
        while fnode % 2 == 1 {
            (fnode, snode) = (fnode / 2, snode / 2);
        }
        let first = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
        let Some(first) = first else { return false };
        let (mut from_old, mut from_new) = (first, first);
        for beside in rest {
            if snode == 0 {
                return false;
            }
            if fnode % 2 == 1 || fnode == snode {
                (from_old, from_new) = (node_hash(beside, from_old), node_hash(beside, from_new));
                while fnode % 2 == 0 && fnode != 0 {
                    (fnode, snode) = (fnode / 2, snode / 2);
                }
            } else {
                from_new = node_hash(from_new, beside);
            }
            (fnode, snode) = (fnode / 2, snode / 2);
        }
        snode == 0 && from_old == old_root && from_new == new_root
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, convert::Infallible};

    use super::*;

    struct Stored(HashMap<(u32, u64), Hash>);

    impl Hashes for Stored {
        type Error = Infallible;
        fn hash(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            Ok(self.0[&(level, index)])
        }
    }

    /// The definition of RFC 6962, section 2.1, word by word.
    fn by_definition(entries: &[Hash]) -> Hash {
        match entries {
            [] => Hash(Sha256::new().finalize().into()),
            [one] => *one,
            _ => {
                let (left, right) = entries.split_at(1 << (entries.len() - 1).ilog2());
                node_hash(by_definition(left), by_definition(right))
            }
        }
    }

    fn grown(size: u64) -> (Tree, Stored, Vec<Hash>) {
        let (mut tree, mut stored, mut leaves) = (Tree::default(), Stored(HashMap::new()), Vec::new());
        for i in 0..size {
            let leaf = leaf_hash(&i.to_be_bytes());
            leaves.push(leaf);
            stored.0.extend(tree.append(leaf).into_iter().map(|(level, index, hash)| ((level, index), hash)));
        }
        (tree, stored, leaves)
    }

    #[test]
    fn roots_are_those_of_the_rfc() {
        // Of no entries, of one empty entry, and of entries 0x00, 0x10, … of certificate transparency's test vectors.
        let hex = |hash: Hash| hash.0.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(Tree::default().root()), empty);
        let mut tree = Tree::default();
        let entries: [&[u8]; 4] = [&[], &[0x00], &[0x10], &[0x20, 0x21]];
        let expected = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        for (entry, root) in entries.iter().zip(expected) {
            tree.append(leaf_hash(entry));
            assert_eq!(hex(tree.root()), root);
        }
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other() {
        for size in 0..33 {
            let (tree, stored, leaves) = grown(size);
            assert_eq!(tree.root(), by_definition(&leaves));
            assert_eq!(Tree::open(&stored, size), Ok(tree.clone()));
            for (index, leaf) in (0..).zip(&leaves) {
                let Ok(Some(proof)) = Inclusion::prove(&stored, index, size) else { panic!("no proof") };
                for (other, another) in (0..).zip(&leaves) {
                    let holds = proof.holds(*another, index, size, tree.root());
                    assert_eq!(holds, other == index, "entry {other} passes for entry {index} of {size}");
                    assert!(other == index || !proof.holds(*leaf, other, size, tree.root()));
                }
                for at in 0..proof.0.len() {
                    let mut forged = proof.clone();
                    forged.0[at] = leaf_hash(b"forged");
                    assert!(!forged.holds(*leaf, index, size, tree.root()));
                }
            }
            for old in 0..=size {
                let (small, ..) = grown(old);
                let Ok(proof) = Consistency::prove(&stored, old, size);
                assert!(proof.holds((old, small.root()), (size, tree.root())), "{old} of {size}");
                let forked = leaf_hash(b"another history");
                assert!(
                    old == 0 || !proof.holds((old, forked), (size, tree.root())),
                    "a fork at {old} of {size} passes"
                );
                assert!(old == size || old == 0 || !proof.holds((old, small.root()), (size, forked)));
            }
        }
    }
}
