//! Proofs that can be checked offline (c2sp.org/tlog-proof, v1).

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{LogError, NoteKey, SignedCheckpoint, TreeHash, malformed, text, verify_inclusion};

const WHAT: &str = "the proof";
const FIRST: &str = "c2sp.org/tlog-proof@v1";

/// That an entry is in a log. The proof's extra data are the entry itself, so that the file says all, and on a line of its own what the
/// entry's commitments stand for, where somebody is told: entries are one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// What a commitment in the entry stands for. Not part of what is hashed.
    pub opening: Option<Vec<u8>>,
    /// Its place in the log, from 0.
    pub index: u64,
    /// The inclusion proof.
    pub path: Vec<TreeHash>,
    /// The checkpoint as a note, with cosignatures where there are some.
    pub checkpoint: String,
}

impl LogProof {
    /// As it is stored, in a file that ends in `.tlog-proof`.
    pub fn to_text(&self) -> String {
        let Self { entry, opening, index, path, checkpoint } = self;
        let extra = [Some(entry), opening.as_ref()].into_iter().flatten().map(Vec::as_slice).collect::<Vec<_>>();
        let mut text = format!("{FIRST}\nextra {}\nindex {index}\n", STANDARD.encode(extra.join(&b'\n')));
        for hash in path {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{hash}");
        }
        text.push('\n');
        text.push_str(checkpoint);
        text
    }

    /// Reads one. Nothing in it is to be believed before [`LogProof::verify`].
    ///
    /// # Errors
    /// Not a proof, or one without its entry.
    pub fn parse(proof: &str) -> Result<Self, LogError> {
        let (lines, checkpoint) = text::head(proof, WHAT)?;
        let [FIRST, extra, index, path @ ..] = lines.as_slice() else {
            return Err(malformed(WHAT, format!("its first lines are not {FIRST}, extra and index")));
        };
        let extra = extra.strip_prefix("extra ").and_then(|base64| STANDARD.decode(base64).ok());
        let extra = extra.ok_or_else(|| malformed(WHAT, "its second line is not `extra` and the entry in base64"))?;
        let mut lines = extra.splitn(2, |byte| *byte == b'\n').map(<[u8]>::to_vec);
        let (entry, opening) = (lines.next().unwrap_or_default(), lines.next());
        let index = index.strip_prefix("index ").ok_or_else(|| malformed(WHAT, "its third line is not the index"))?;
        let (index, path) = (text::number(index, WHAT)?, text::hashes(path, WHAT)?);
        Ok(Self { entry, opening, index, path, checkpoint: checkpoint.into() })
    }

    /// The checkpoint of the log with `key`, in which the entry is.
    ///
    /// # Errors
    /// A checkpoint that the log did not sign, or in which the entry is not.
    pub fn verify(&self, key: &NoteKey) -> Result<SignedCheckpoint, LogError> {
        let checkpoint = SignedCheckpoint::open(&self.checkpoint, key)?;
        verify_inclusion(TreeHash::of_entry(&self.entry), self.index, checkpoint.tree(), &self.path)?;
        Ok(checkpoint)
    }
}
