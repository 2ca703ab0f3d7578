//! A witness (c2sp.org/tlog-witness): remembers the largest tree that it has seen of a log, and signs only what continues it.

use std::fmt::Write as _;

use super::{LogError, NoteKey, SignedCheckpoint, TreeHash, malformed, proof::beginning, text};

const WHAT: &str = "the request to a witness";

/// A log asks for a cosignature: body of `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The size that the witness saw last, as far as the log knows.
    pub old: u64,
    /// Consistency proof from there.
    pub path: Vec<TreeHash>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

impl Ask {
    /// As it is sent.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.path {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{hash}");
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads one.
    ///
    /// # Errors
    /// Not such a request.
    pub fn parse(ask: &str) -> Result<Self, LogError> {
        let (lines, checkpoint) = text::head(ask, WHAT)?;
        let (first, path) = lines.split_first().ok_or_else(|| malformed(WHAT, "it is empty"))?;
        let old =
            first.strip_prefix("old ").ok_or_else(|| malformed(WHAT, "its first line is not `old` and a size"))?;
        let (old, path) = (text::number(old, WHAT)?, text::hashes(path, WHAT)?);
        Ok(Self { old, path, checkpoint: checkpoint.into() })
    }
}

/// The largest tree that a witness has seen of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Number of entries.
    pub size: u64,
    /// Root.
    pub root: TreeHash,
}

/// What a witness finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It continues what was seen: remember it, then sign it.
    Consistent(SignedCheckpoint),
    /// The log does not know what the witness saw last: ask again from that size.
    Unknown {
        /// The size that was seen last.
        size: u64,
    },
    /// The log is shorter than it was: an old copy was restored.
    Shorter(SignedCheckpoint),
    /// The log has another history than the one that was seen, and has signed both.
    Forked(SignedCheckpoint),
}

/// What a witness that has seen `known` of the log with `key` says to `ask`.
///
/// # Security
/// [`Verdict::Forked`] accuses, and whoever has both checkpoints and `ask` can repeat the finding: the log has signed another root of the
/// size that was seen; or it has signed the root of a larger tree, to which the path leads, and the same path shows that its beginning has
/// another root than the one that was seen. To build that path to a signed root without such a tree, one would have to find a collision of
/// SHA-256. A path that does not lead to the signed root says nothing about the log, for nobody signed the path: it is an error,
/// and a good one may be sent later. Watched by `a_witness_signs_only_what_continues` and
/// `a_witness_accuses_of_nothing_that_was_not_signed`.
///
/// One fork is refused like that, and not accused: where the size that was seen is a power of two, its root is not in the path. It is not
/// signed either, and the log cannot go on with a witness.
///
/// # Errors
/// Not signed by the log, or a path that does not lead to what it signed: then it says nothing about the log.
pub fn judge(known: Option<Known>, ask: &Ask, key: &NoteKey) -> Result<Verdict, LogError> {
    let shown = SignedCheckpoint::open(&ask.checkpoint, key)?;
    let known = known.unwrap_or(Known { size: 0, root: TreeHash::of_nothing() });
    let size = shown.checkpoint().size;
    if size < known.size {
        return Ok(Verdict::Shorter(shown));
    }
    // At the same size there is nothing to prove.
    let proof = if size == known.size { Some(&[][..]) } else { (ask.old == known.size).then_some(ask.path.as_slice()) };
    let Some(path) = proof else { return Ok(Verdict::Unknown { size: known.size }) };
    if beginning((known.size, known.root), shown.tree(), path)? == known.root {
        Ok(Verdict::Consistent(shown))
    } else {
        Ok(Verdict::Forked(shown))
    }
}

/// What a witness answers to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// One signature line, to be added to the checkpoint.
    Cosigned(String),
    /// Ask again with a proof from that size.
    From(u64),
}
