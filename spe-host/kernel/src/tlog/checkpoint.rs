//! Checkpoints (c2sp.org/tlog-checkpoint) and cosignatures (c2sp.org/tlog-cosignature, v1).

use super::{
    KeyType, LogError, NoteKey, TreeHash, malformed,
    note::{self, Note},
    text,
};
use crate::dsse::SecretKey;

const WHAT: &str = "the checkpoint";

/// How large a log is, and the root of its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is also that of the key that signs.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: TreeHash,
}

/// A checkpoint whose log's signature was checked, as the note that carries it. Made only by signing or opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

impl Checkpoint {
    /// The signed text.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Signs it, in the name of its origin.
    ///
    /// # Errors
    /// An origin that is no key name.
    pub fn sign(self, key: &SecretKey) -> Result<SignedCheckpoint, LogError> {
        let signer = NoteKey::new(&self.origin, key.public(), KeyType::Log)?;
        let text = self.text();
        let note = format!("{text}\n{}", signer.line(&key.sign_bytes(text.as_bytes())));
        Ok(SignedCheckpoint { checkpoint: self, note })
    }

    fn parse(text: &str) -> Result<Self, LogError> {
        let mut lines = text.split('\n');
        let mut line =
            || lines.next().filter(|line| !line.is_empty()).ok_or_else(|| malformed(WHAT, "a line is missing"));
        let (origin, size, root) = (line()?, line()?, line()?);
        Ok(Self { origin: origin.into(), size: text::number(size, WHAT)?, root: text::hash(root, WHAT)? })
    }
}

impl SignedCheckpoint {
    /// Opens a note that the log with `key` signed.
    ///
    /// # Errors
    /// Not a checkpoint, another origin than the key's name, no signature by it, or one that does not verify.
    pub fn open(note: &str, key: &NoteKey) -> Result<Self, LogError> {
        let read = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(read.text)?;
        if checkpoint.origin != key.name() {
            return Err(malformed(WHAT, format!("it is of {:.80?}, not of {:?}", checkpoint.origin, key.name())));
        }
        for signature in read.by(key)? {
            key.key().verify_bytes(read.text.as_bytes(), signature).map_err(|_| note::bad(key))?;
        }
        Ok(Self { checkpoint, note: note.into() })
    }

    /// What it says.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Size and root.
    pub const fn tree(&self) -> (u64, TreeHash) {
        (self.checkpoint.size, self.checkpoint.root)
    }

    /// The note, with all its signatures.
    pub fn note(&self) -> &str {
        &self.note
    }

    fn body(&self) -> &str {
        self.note.rsplit_once("\n\n").and_then(|(text, _)| self.note.get(..text.len() + 1)).unwrap_or_default()
    }

    /// The line with which the witness `name` says: at `time`, in seconds since 1970, this is the largest consistent tree that I
    /// have seen of this log.
    ///
    /// # Errors
    /// A name that is none.
    pub fn cosign(&self, name: &str, witness: &SecretKey, time: u64) -> Result<String, LogError> {
        let key = NoteKey::new(name, witness.public(), KeyType::Cosigner)?;
        let signature = witness.sign_bytes(cosigned(self.body(), time).as_bytes());
        Ok(key.line(&[time.to_be_bytes().as_slice(), &signature].concat()))
    }

    /// The same with one more signature line, which is checked.
    ///
    /// # Errors
    /// A line that is no cosignature by `witness`, or does not verify.
    pub fn with_cosignature(&self, line: &str, witness: &NoteKey) -> Result<Self, LogError> {
        let cosigned = Self { checkpoint: self.checkpoint.clone(), note: format!("{}{line}", self.note) };
        cosigned.cosigned_at(witness).map(|_| cosigned)
    }

    /// When `witness` cosigned it, in seconds since 1970.
    ///
    /// # Errors
    /// No cosignature by it, or one that does not verify.
    pub fn cosigned_at(&self, witness: &NoteKey) -> Result<u64, LogError> {
        let note = Note::parse(&self.note)?;
        let mut last = 0;
        for signature in note.by(witness)? {
            let (time, signature) = signature.split_at_checked(8).ok_or_else(|| note::bad(witness))?;
            let time = u64::from_be_bytes(time.try_into().map_err(|_| note::bad(witness))?);
            let signed = cosigned(note.text, time);
            witness.key().verify_bytes(signed.as_bytes(), signature).map_err(|_| note::bad(witness))?;
            last = time;
        }
        Ok(last)
    }
}

fn cosigned(body: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{body}")
}
