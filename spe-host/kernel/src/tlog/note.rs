//! Checkpoints as signed notes.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::merkle::Hash;
use crate::dsse::{PublicKey, SecretKey};

/// Signature types of signed notes: Ed25519, and a witness' timestamped Ed25519.
const ED25519: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;
/// Longest note in bytes.
const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// Nobody who is trusted signed it.
    #[error("the checkpoint is not signed by {0}")]
    Unsigned(String),
}

/// Who signs notes: a name and a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// The name, without spaces and plus signs; of a log its origin.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

impl VerifierKey {
    fn id(&self, kind: u8) -> [u8; 4] {
        let hash = Sha256::new().chain_update(&self.name).chain_update([b'\n', kind]).chain_update(self.key.bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }
}

/// The state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// That a witness has seen a checkpoint, and that it goes on from every one that it saw before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// When.
    pub at: Timestamp,
    /// The line to be appended to the note.
    pub line: String,
}

impl Checkpoint {
    fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The note, signed by the log itself, whose name is the origin.
    pub fn sign(&self, key: &SecretKey) -> String {
        let body = self.body();
        let by = VerifierKey { name: self.origin.clone(), key: key.public() };
        let line = signature_line(&by, ED25519, &key.sign_bytes(body.as_bytes()));
        format!("{body}\n{line}")
    }

    /// A witness' cosignature. The witness has checked that this checkpoint goes on from the last that it saw.
    pub fn cosign(&self, witness: &str, key: &SecretKey, at: Timestamp) -> Cosignature {
        let by = VerifierKey { name: witness.into(), key: key.public() };
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let mut signature = seconds.to_be_bytes().to_vec();
        signature.extend(key.sign_bytes(self.cosigned(seconds).as_bytes()));
        Cosignature { at, line: signature_line(&by, COSIGNATURE_V1, &signature) }
    }

    fn cosigned(&self, seconds: u64) -> String {
        format!("cosignature/v1\ntime {seconds}\n{}", self.body())
    }

    /// Opens a note that `log` signed.
    ///
    /// # Errors
    /// A note of another form or origin, or without that signature.
    pub fn open(note: &str, log: &VerifierKey) -> Result<Self, NoteError> {
        let (checkpoint, signatures) = Self::parse(note)?;
        let body = checkpoint.body();
        let signed = |bytes: &[u8]| log.key.verify_bytes(body.as_bytes(), bytes);
        if checkpoint.origin == log.name && signatures_of(signatures, log, ED25519).any(|s| signed(&s)) {
            return Ok(checkpoint);
        }
        Err(NoteError::Unsigned(log.name.clone()))
    }

    /// When `witness` cosigned the note, if it did.
    pub fn cosigned_at(&self, note: &str, witness: &VerifierKey) -> Option<Timestamp> {
        let (checkpoint, signatures) = Self::parse(note).ok()?;
        if checkpoint != *self {
            return None;
        }
        signatures_of(signatures, witness, COSIGNATURE_V1).find_map(|signature| {
            let (time, signature) = signature.split_first_chunk::<8>()?;
            let seconds = u64::from_be_bytes(*time);
            let holds = witness.key.verify_bytes(self.cosigned(seconds).as_bytes(), signature);
            holds.then(|| Timestamp::from_second(i64::try_from(seconds).ok()?).ok()).flatten()
        })
    }

    fn parse(note: &str) -> Result<(Self, &str), NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Form("too long"));
        }
        let (body, signatures) = note.split_once("\n\n").ok_or(NoteError::Form("it has no signatures"))?;
        let mut lines = body.split('\n');
        let mut line = |what| lines.next().ok_or(NoteError::Form(what));
        let (origin, size, root) = (line("no origin")?, line("no size")?, line("no root")?);
        let canonical = |size: &u64| size.to_string();
        let number: u64 = size.parse().map_err(|_| NoteError::Form("the size is no number"))?;
        if origin.is_empty() || canonical(&number) != size || lines.next().is_some() {
            return Err(NoteError::Form("expected origin, size and root, and nothing else"));
        }
        let root = root.parse().map_err(|_| NoteError::Form("the root is no hash"))?;
        Ok((Self { origin: origin.into(), size: number, root }, signatures))
    }
}

fn signature_line(by: &VerifierKey, kind: u8, signature: &[u8]) -> String {
    let bytes = [by.id(kind).as_slice(), signature].concat();
    format!("\u{2014} {} {}\n", by.name, STANDARD.encode(bytes))
}

/// The signatures of `by` in the lines of a note.
fn signatures_of<'a>(lines: &'a str, by: &'a VerifierKey, kind: u8) -> impl Iterator<Item = Vec<u8>> + 'a {
    lines.lines().filter_map(move |line| {
        let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        (name == by.name && *id == by.id(kind)).then(|| signature.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "node north".replace(' ', "-"), size: 7, root: Hash([9; 32]) }
    }

    #[test]
    fn a_note_is_believed_from_its_log_only() {
        let log = VerifierKey { name: "node-north".into(), key: key(1).public() };
        let note = checkpoint().sign(&key(1));
        assert_eq!(Checkpoint::open(&note, &log), Ok(checkpoint()));
        assert!(Checkpoint::open(&checkpoint().sign(&key(2)), &log).is_err(), "another key passes");
        assert!(Checkpoint::open(&note.replace("\n7\n", "\n8\n"), &log).is_err(), "another size passes");
        assert!(Checkpoint::open(&note.replace("\n7\n", "\n07\n"), &log).is_err());
        assert!(Checkpoint::open(&note.replacen("\n\n", "\nmore\n\n", 1), &log).is_err());
    }

    #[test]
    fn a_witness_adds_a_line() {
        let witness = VerifierKey { name: "hub".into(), key: key(3).public() };
        let at = Timestamp::from_second(1_800_000_000).expect("a time");
        let note = checkpoint().sign(&key(1)) + &checkpoint().cosign("hub", &key(3), at).line;
        assert_eq!(checkpoint().cosigned_at(&note, &witness), Some(at));
        let stranger = VerifierKey { name: "hub".into(), key: key(4).public() };
        assert_eq!(checkpoint().cosigned_at(&note, &stranger), None);
        let larger = Checkpoint { size: 8, ..checkpoint() };
        assert_eq!(larger.cosigned_at(&note, &witness), None, "a cosignature passes for another checkpoint");
    }
}
