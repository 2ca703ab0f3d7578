//! Signed notes (c2sp.org/signed-note).

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{LogError, malformed};
use crate::dsse::PublicKey;

const WHAT: &str = "the signed note";
/// Longest note, in bytes, and most signatures that are read.
const NOTE_BYTES_MAX: usize = 32 << 10;
const SIGNATURES_MAX: usize = 16;

/// What a key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A log's own signature, type `0x01`.
    Log,
    /// A witness's cosignature with its time, type `0x04`.
    Cosigner,
}

impl KeyType {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosigner => 4,
        }
    }
}

/// A named Ed25519 key that signs notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: PublicKey,
    kind: KeyType,
}

impl NoteKey {
    /// The key of that name.
    ///
    /// # Errors
    /// A name that is empty, or has a space, a control character or a plus.
    pub fn new(name: &str, key: PublicKey, kind: KeyType) -> Result<Self, LogError> {
        let wild = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(wild) {
            return Err(malformed("the key's name", format!("{name:.80?} is empty, or has a space or a plus")));
        }
        Ok(Self { name: name.into(), key, kind })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its public half.
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// The first four bytes of SHA-256 of name, newline, type and key.
    pub fn id(&self) -> [u8; 4] {
        let hashed = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hashed.finalize());
        [a, b, c, d]
    }

    /// As other tools take it: `<name>+<hex of the id>+<base64 of type and key>`.
    pub fn vkey(&self) -> String {
        let id = self.id().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a text cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let material = [&[self.kind.byte()], self.key.as_bytes().as_slice()].concat();
        format!("{}+{id}+{}", self.name, STANDARD.encode(material))
    }

    /// A signature line with that signature.
    pub(super) fn line(&self, signature: &[u8]) -> String {
        let signature = [&self.id(), signature].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

/// A note as it is written; its signatures are not checked yet.
pub(super) struct Note<'a> {
    /// The signed text, with its last newline.
    pub(super) text: &'a str,
    signatures: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Note<'a> {
    pub(super) fn parse(note: &'a str) -> Result<Self, LogError> {
        let wrong = |why: &str| malformed(WHAT, why);
        if note.len() > NOTE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(wrong("it has a control character"));
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or_else(|| wrong("there is no empty line"))?;
        let text = note.get(..text.len() + 1).ok_or_else(|| wrong("there is no text"))?;
        let lines = lines.strip_suffix('\n').ok_or_else(|| wrong("it does not end in a newline"))?;
        let signatures = lines.split('\n').map(signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(wrong("it has more than 16 signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// The signatures by `key`, without the key's id.
    ///
    /// # Errors
    /// [`LogError::Unsigned`] if there is none.
    pub(super) fn by(&self, key: &NoteKey) -> Result<Vec<&[u8]>, LogError> {
        let id = key.id();
        let own = self.signatures.iter().filter(|(name, _)| *name == key.name);
        let own: Vec<_> = own.filter_map(|(_, signature)| signature.strip_prefix(&id)).collect();
        if own.is_empty() {
            return Err(LogError::Unsigned { what: WHAT, name: key.name.clone(), key: key.key.to_string() });
        }
        Ok(own)
    }
}

fn signature(line: &str) -> Result<(&str, Vec<u8>), LogError> {
    let wrong = || malformed(WHAT, format!("{line:.80?} is not a signature line"));
    let (name, base64) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
    let signature = STANDARD.decode(base64).map_err(|_| wrong())?;
    if name.is_empty() || signature.len() < 5 { Err(wrong()) } else { Ok((name, signature)) }
}

pub(super) fn bad(key: &NoteKey) -> LogError {
    LogError::BadSignature { what: WHAT, name: key.name.clone() }
}
