//! Tamper-evident logs in the formats of the Community Cryptography Specification Project (C2SP), which auditors' tools read:
//! tlog-checkpoint, tlog-tiles, tlog-cosignature, tlog-witness, tlog-proof and signed-note, over the Merkle tree of RFC 6962.
//!
//! Nothing here is random, reads a clock or knows what an entry says. `docs/audit-log.md` shows how to check a log with other tools.

mod checkpoint;
mod note;
mod proof;
mod receipt;
mod text;
mod tile;
mod tree;
mod witness;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use note::{KeyType, NoteKey};
pub use proof::{verify_consistency, verify_inclusion};
pub use receipt::LogProof;
pub use tile::{ENTRY_BYTES_MAX, Tile, bundle, entries, tiles};
pub use tree::{Node, appended, consistency, inclusion, root};
pub use witness::{Ask, Known, Reply, Verdict, judge};

/// What does not hold in a log, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not in the form that its specification gives.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Why it is not one.
        why: String,
    },
    /// No signature by the key that is asked for.
    #[error("{what} carries no signature by {name} ({key})")]
    Unsigned {
        /// What was read.
        what: &'static str,
        /// The key's name.
        name: String,
        /// The key.
        key: String,
    },
    /// A signature by that key which does not verify.
    #[error("the signature by {name} on {what} does not verify: it was changed")]
    BadSignature {
        /// What was read.
        what: &'static str,
        /// The key's name.
        name: String,
    },
    /// Hashes that do not lead to the root.
    #[error("the {what} does not lead to the root of the checkpoint")]
    NotProven {
        /// Which proof.
        what: &'static str,
    },
}

pub(crate) fn malformed(what: &'static str, why: impl fmt::Display) -> LogError {
    LogError::Malformed { what, why: why.to_string() }
}

/// A SHA-256 hash of the tree, 32 bytes, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeHash([u8; 32]);

impl TreeHash {
    /// The hash of an entry: SHA-256 of `0x00` and the entry (RFC 6962, 2.1).
    pub fn of_entry(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    /// The hash of two subtrees: SHA-256 of `0x01`, left and right (RFC 6962, 2.1).
    pub fn of_both(left: Self, right: Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// The root of a tree without entries.
    pub fn of_nothing() -> Self {
        Self(Sha256::new().finalize().into())
    }

    /// A hash that was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for TreeHash {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("a hash is 32 bytes in base64")
    }
}

impl TryFrom<String> for TreeHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TreeHash> for String {
    fn from(hash: TreeHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests;
