//! Receipts: that an answer is in its node's audit log, checked offline.

use crate::{
    audit::{Answer, Entry, Event},
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, NodeName},
    tlog::{KeyType, LogError, LogProof, NoteKey, SignedCheckpoint, malformed},
};

/// Longest receipt, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 16 << 10;

/// The key of a node's log: `spe.node/<name>`, with the key that signs the node's answers.
///
/// # Errors
/// None for a node's name.
pub fn log_key(node: &NodeName, key: PublicKey) -> Result<NoteKey, LogError> {
    NoteKey::new(&format!("spe.node/{node}"), key, KeyType::Log)
}

/// The key of a witness: `spe.witness/` and twelve digits of the key's own digest.
///
/// # Errors
/// None.
pub fn witness_key(key: PublicKey) -> Result<NoteKey, LogError> {
    NoteKey::new(&format!("spe.witness/{}", Digest::of(key.as_bytes()).short()), key, KeyType::Cosigner)
}

/// The node whose log has that name.
///
/// # Errors
/// The name of something else.
pub fn node_of_origin(origin: &str) -> Result<NodeName, LogError> {
    let name = origin.strip_prefix("spe.node/").and_then(|name| name.parse().ok());
    name.ok_or_else(|| malformed("the checkpoint", format!("{origin:.80?} is not the log of a node: spe.node/<name>")))
}

/// The node in whose log a receipt says that its entry is. Nothing is checked.
///
/// # Errors
/// Not a receipt.
pub fn node_of(receipt: &str) -> Result<NodeName, LogError> {
    let checkpoint = LogProof::parse(receipt)?.checkpoint;
    node_of_origin(checkpoint.lines().next().unwrap_or_default())
}

/// A proof in the form of c2sp.org/tlog-proof that an answer was logged before it left, with the entry in it. May leave: it says what
/// the log says of the release, and hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt(String);

/// What is wrong with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The proof.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The entry is another one.
    #[error("the receipt's entry does not tell of a release: {0}")]
    NotOfARelease(String),
    /// Of another answer.
    #[error("the receipt is for the answer {logged}, and this one is {given}")]
    OtherAnswer {
        /// Digest in the log.
        logged: Digest,
        /// Digest of what was given.
        given: Digest,
    },
    /// Too long.
    #[error("the receipt has {0} bytes; the limit is {RECEIPT_BYTES_MAX}")]
    TooLong(usize),
}

impl Receipt {
    /// The receipt that `proof` makes.
    ///
    /// # Errors
    /// An entry that does not tell of a release: others do not leave.
    pub fn of(proof: &LogProof) -> Result<Self, Fault> {
        released(&proof.entry).map_err(Fault::while_("writing a receipt"))?;
        let text = proof.to_text();
        if text.len() > RECEIPT_BYTES_MAX {
            return Err(Fault::new("writing a receipt", ReceiptError::TooLong(text.len())));
        }
        Ok(Self(text))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What the log says of an answer that left.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The whole entry.
    pub entry: Entry,
    /// What is answered.
    pub answer: Answer,
    /// Digest of the signed answer.
    pub envelope: Digest,
}

fn released(entry: &[u8]) -> Result<Logged, ReceiptError> {
    let entry = Entry::parse(entry).map_err(ReceiptError::NotOfARelease)?;
    match &entry.event {
        Event::Released { answer, envelope, .. } => {
            Ok(Logged { answer: answer.clone(), envelope: *envelope, entry: entry.clone() })
        }
        _ => Err(ReceiptError::NotOfARelease("it tells of something else".into())),
    }
}

/// A receipt whose proof holds: its entry is in the log of that node, as the node signed it. Made only by [`open`].
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    logged: Logged,
    index: u64,
    checkpoint: SignedCheckpoint,
}

/// What a receipt says, without checking its proof, as who only passes it on reads it.
///
/// # Errors
/// Not a receipt.
pub fn logged(receipt: &str) -> Result<Logged, ReceiptError> {
    if receipt.len() > RECEIPT_BYTES_MAX {
        return Err(ReceiptError::TooLong(receipt.len()));
    }
    released(&LogProof::parse(receipt)?.entry)
}

/// Whether a receipt says that it is for the answer with that digest; its proof is not checked.
///
/// # Errors
/// Not a receipt, or for another answer.
pub fn peek(receipt: &str, envelope: Digest) -> Result<(), ReceiptError> {
    same(logged(receipt)?.envelope, envelope)
}

fn same(logged: Digest, given: Digest) -> Result<(), ReceiptError> {
    if logged == given { Ok(()) } else { Err(ReceiptError::OtherAnswer { logged, given }) }
}

/// Checks a receipt of `node`, whose key is `key`.
///
/// # Errors
/// What does not hold.
pub fn open(receipt: &str, node: &NodeName, key: PublicKey) -> Result<Opened, ReceiptError> {
    if receipt.len() > RECEIPT_BYTES_MAX {
        return Err(ReceiptError::TooLong(receipt.len()));
    }
    let proof = LogProof::parse(receipt)?;
    let checkpoint = proof.verify(&log_key(node, key)?)?;
    Ok(Opened { logged: released(&proof.entry)?, index: proof.index, checkpoint })
}

impl Opened {
    /// Whether it is for that signed answer.
    ///
    /// # Errors
    /// It is for another.
    pub fn is_for(&self, envelope: &[u8]) -> Result<(), ReceiptError> {
        same(self.logged.envelope, Digest::of(envelope))
    }

    /// When the witness with `key` saw the log with this entry in it, in seconds since 1970.
    ///
    /// # Errors
    /// No cosignature by it, or one that does not hold.
    pub fn cosigned_at(&self, key: PublicKey) -> Result<u64, LogError> {
        self.checkpoint.cosigned_at(&witness_key(key)?)
    }

    /// What the log says.
    pub const fn logged(&self) -> &Logged {
        &self.logged
    }

    /// The entry's place, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}
