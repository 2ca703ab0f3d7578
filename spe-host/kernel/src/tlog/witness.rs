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

impl Known {
    /// The size from which the path to a larger tree has this root in it, where that from its own has not: its first hash is the entry that follows,
    /// which is joined with this root.
    fn next(&self) -> Option<u64> {
        (self.size > 1 && self.size.is_power_of_two()).then(|| self.size.saturating_add(1))
    }

    /// Whether a path from `size` may show that another tree does not continue this one.
    pub fn is_judged_from(&self, size: u64) -> bool {
        size == self.size || self.next() == Some(size)
    }
}

/// What a witness finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It continues what was seen: remember it, then sign it.
    Consistent(SignedCheckpoint),
    /// The log does not know what the witness saw last, or its path from there shows nothing: ask again from that size.
    Unknown {
        /// The size that was seen last, or the next one.
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
/// Where the size that was seen is a power of two, its root is not in the path, and a path that does not lead to the signed root may be damaged as
/// well as that of another tree. The path from the next size has that root: it is asked for, and judged by. There is one where two entries or more
/// were seen, and are followed by two or more: until then such a fork is an error like a damaged path, and not signed either. Watched by
/// `a_fork_from_a_power_of_two_is_accused_by_the_path_from_the_next_size`.
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
    let next = known.next().filter(|next| *next < size);
    let (expected, path) = match ask.path.first() {
        // There is nothing to prove.
        _ if size == known.size => (known, &[][..]),
        _ if ask.old == known.size => (known, ask.path.as_slice()),
        Some(last) if next == Some(ask.old) => {
            (Known { size: ask.old, root: TreeHash::of_both(known.root, *last) }, ask.path.as_slice())
        }
        _ => return Ok(Verdict::Unknown { size: known.size }),
    };
    match (beginning((expected.size, expected.root), shown.tree(), path), next) {
        (Ok(root), _) if root == expected.root => Ok(Verdict::Consistent(shown)),
        (Ok(_), _) => Ok(Verdict::Forked(shown)),
        (Err(_), Some(size)) if ask.old == known.size => Ok(Verdict::Unknown { size }),
        (Err(why), _) => Err(why),
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
