//! A transparency log in the formats of C2SP: an append-only Merkle tree (RFC 6962), checkpoints as signed notes, receipts that are
//! checked offline.
//!
//! Sources: RFC 6962 sections 2.1 to 2.1.4 (hashes and proofs), c2sp.org/tlog-checkpoint, c2sp.org/signed-note,
//! c2sp.org/tlog-cosignature (version 1), c2sp.org/tlog-proof, c2sp.org/tlog-tiles. No I/O: [`Hashes`] reads what is stored.

mod merkle;
mod note;
mod receipt;

pub use merkle::{Consistency, Hash, Hashes, Inclusion, Tree, leaf_hash};
pub use note::{Checkpoint, Cosignature, NoteError, VerifierKey};
pub use receipt::Receipt;
