//! Receipts: that an answer is in its node's audit log, checked offline.

use crate::{
    audit::{Answer, Entry, Event, PaidUnder},
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, NodeName, PermitNumber},
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
    /// What it says of the permit is not what the log hides.
    #[error(
        "the receipt says that permit {0} paid for the answer, and its entry in the log was made for another permit or salt"
    )]
    OtherPermit(PermitNumber),
    /// Paid for under another document.
    #[error(
        "the answer was paid for under permit {number}, and not under the given document: {given} instead of {logged}"
    )]
    OtherDocument {
        /// Number of the permit.
        number: PermitNumber,
        /// Digest of its document.
        logged: Digest,
        /// Digest of what was given.
        given: Digest,
    },
    /// It does not say.
    #[error(
        "the receipt does not say under which permit the answer was paid for: it was asked for again under another one, or is of an earlier version"
    )]
    NoPermit,
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
        released(proof).map_err(Fault::while_("writing a receipt"))?;
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
    /// The permit under which it was paid for, as the entry commits to it; where the receipt says so.
    pub paid_under: Option<PaidUnder>,
}

fn released(proof: &LogProof) -> Result<Logged, ReceiptError> {
    let entry = Entry::parse(&proof.entry).map_err(ReceiptError::NotOfARelease)?;
    let Event::Released { answer, envelope, paid_under, .. } = &entry.event else {
        return Err(ReceiptError::NotOfARelease("it tells of something else".into()));
    };
    let said = proof.opening.as_deref().map(PaidUnder::parse).transpose();
    let said = said.map_err(|why| malformed("the receipt", format!("what it says of the permit: {why}")))?;
    if let Some(said) = said.as_ref().filter(|said| *paid_under != Some(said.commitment())) {
        return Err(ReceiptError::OtherPermit(said.permit.number.clone()));
    }
    Ok(Logged { answer: answer.clone(), envelope: *envelope, paid_under: said, entry: entry.clone() })
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
    released(&LogProof::parse(receipt)?)
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
    Ok(Opened { logged: released(&proof)?, index: proof.index, checkpoint })
}

impl Opened {
    /// Whether it is for that signed answer.
    ///
    /// # Errors
    /// It is for another.
    pub fn is_for(&self, envelope: &[u8]) -> Result<(), ReceiptError> {
        same(self.logged.envelope, Digest::of(envelope))
    }

    /// Under which permit the answer was paid for, which must be the one of that digest (of what was signed).
    ///
    /// # Errors
    /// With another one, or the receipt does not say.
    pub fn is_under(&self, given: Digest) -> Result<&PaidUnder, ReceiptError> {
        let paid = self.logged.paid_under.as_ref().ok_or(ReceiptError::NoPermit)?;
        if paid.document == given {
            return Ok(paid);
        }
        Err(ReceiptError::OtherDocument { number: paid.permit.number.clone(), logged: paid.document, given })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{ActorId, PermitRef},
        dsse::SecretKey,
        units::Loss,
    };

    /// What would be a bug: a receipt that is read although it says of the permit what its entry does not hide, or that has to say it.
    #[test]
    fn a_receipt_says_of_the_permit_what_its_entry_hides() {
        let permit = |number: &str| PermitRef {
            number: number.parse().expect("a number"),
            issuer: SecretKey::from_seed(&[1; 32]).public(),
        };
        let paid = PaidUnder { permit: permit("p-1"), document: Digest::of(b"document"), salt: [7; 32].into() };
        let answer = Answer {
            plan: Digest::of(b"plan"),
            dataset: "d".parse().expect("a name"),
            snapshot: Digest::of(b"snapshot"),
            round: 0,
        };
        let said = |hidden: Option<Digest>, opening: Option<&PaidUnder>| {
            let event = Event::Released {
                answer: answer.clone(),
                envelope: Digest::of(b"answer"),
                module: None,
                permit: None,
                paid_under: hidden,
                loss: "rho=0.1".parse::<Loss>().expect("a loss"),
                software: "spe".into(),
            };
            let at = "2030-01-01T00:00:00Z".parse().expect("a time");
            let entry = Entry::new(at, ActorId::node(), event, [9; 32].into()).to_bytes().expect("an entry");
            let opening = opening.map(|opening| opening.to_bytes().expect("bytes"));
            let proof = LogProof { entry, opening, index: 0, path: vec![], checkpoint: "none".into() };
            logged(&proof.to_text()).map(|logged| logged.paid_under)
        };
        let hidden = Some(paid.commitment());
        assert_eq!(said(hidden, Some(&paid)), Ok(Some(paid.clone())));
        assert_eq!((said(hidden, None), said(None, None)), (Ok(None), Ok(None)));
        let other_salt = PaidUnder { salt: [8; 32].into(), ..paid.clone() };
        let other_permit = PaidUnder { permit: permit("p-2"), ..paid.clone() };
        for (hidden, forged) in [(hidden, &other_salt), (hidden, &other_permit), (None, &paid)] {
            let refused = said(hidden, Some(forged));
            assert_eq!(refused, Err(ReceiptError::OtherPermit(forged.permit.number.clone())), "{forged:?}");
        }
    }
}
