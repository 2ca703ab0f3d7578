//! Receipts: that an entry is in a log, checked without the log.

use super::{
    merkle::{Hash, Inclusion, leaf_hash},
    note::{Checkpoint, NoteError, VerifierKey},
};

/// The first line of a receipt.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An entry's place in a log, with the checkpoint that it is proved against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry's number, from 0.
    pub index: u64,
    /// The proof.
    pub proof: Inclusion,
    /// The signed note.
    pub note: String,
}

impl Receipt {
    /// The receipt as text, in the format of c2sp.org/tlog-proof.
    pub fn text(&self) -> String {
        let hashes: String = self.proof.0.iter().map(|hash| format!("{hash}\n")).collect();
        format!("{HEADER}\nindex {}\n{hashes}\n{}", self.index, self.note)
    }

    /// Reads a receipt; says nothing about trust.
    ///
    /// # Errors
    /// A text that is not one.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Form;
        let (proof, note) = text.split_once("\n\n").ok_or(wrong("the receipt has no checkpoint"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("the receipt is of another format"));
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")?.parse().ok());
        let index = index.ok_or(wrong("the receipt has no index"))?;
        let hashes = lines.map(str::parse::<Hash>).collect::<Result<Vec<_>, _>>();
        let proof = Inclusion(hashes.map_err(|_| wrong("the receipt's proof has something that is no hash"))?);
        Ok(Self { index, proof, note: note.into() })
    }

    /// Whether `entry` is in the log that `log` signs.
    ///
    /// # Errors
    /// A checkpoint that is not the log's, or a proof that does not hold.
    pub fn check(&self, entry: &[u8], log: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::open(&self.note, log)?;
        if self.proof.holds(leaf_hash(entry), self.index, checkpoint.size, checkpoint.root) {
            return Ok(checkpoint);
        }
        Err(NoteError::Form("the entry is not where the receipt says"))
    }
}
