//! Tiles and entry bundles (c2sp.org/tlog-tiles): a log as a finite set of files.

use std::fmt;

use super::{LogError, malformed};

/// Largest entry, in bytes: its length is written in 16 bits.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Hashes in a full tile, and entries in a full bundle.
const WIDTH: u64 = 256;

/// A file of hashes or entries. Displayed as its path, such as `tile/0/x001/067` or `tile/entries/000.p/17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// Level of its hashes; none for a bundle of entries.
    pub level: Option<u32>,
    /// Its number within the level.
    pub number: u64,
    /// How many hashes or entries it has: 256 in a full one.
    pub width: u64,
}

impl Tile {
    /// Its first hash or entry, within its level.
    pub const fn start(&self) -> u64 {
        self.number * WIDTH
    }

    /// Whether it will never change.
    pub const fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// Level of the tree, counted in single steps, of its hashes.
    pub fn tree_level(&self) -> u32 {
        self.level.unwrap_or(0) * 8
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.number % 1000];
        let mut rest = self.number / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.number % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The files that a log of `new` entries has and one of `old` entries has not, bundles first.
pub fn tiles(old: u64, new: u64) -> Vec<Tile> {
    let mut all = level_tiles(None, old, new);
    let (mut level, mut from, mut to) = (0, old, new);
    while to > 0 {
        all.extend(level_tiles(Some(level), from, to));
        (level, from, to) = (level + 1, from / WIDTH, to / WIDTH);
    }
    all
}

fn level_tiles(level: Option<u32>, old: u64, new: u64) -> Vec<Tile> {
    if old == new {
        return Vec::new();
    }
    let full = (old / WIDTH..new / WIDTH).map(|number| Tile { level, number, width: WIDTH });
    let last = Tile { level, number: new / WIDTH, width: new % WIDTH };
    full.chain((last.width > 0).then_some(last)).collect()
}

/// A bundle: each entry after its length in 16 bits, big-endian. A pruned entry has length 0; no other has.
///
/// # Errors
/// An entry that is too long.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length =
            u16::try_from(entry.len()).map_err(|_| malformed("the entry", "it is longer than 65,535 bytes"))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle.
///
/// # Errors
/// A bundle that ends within an entry.
pub fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, LogError> {
    let (mut rest, mut all) = (bundle, Vec::new());
    while !rest.is_empty() {
        let cut = || malformed("the bundle of entries", "it ends within an entry");
        let (length, after) = rest.split_first_chunk().ok_or_else(cut)?;
        let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(cut)?;
        all.push(entry);
        rest = after;
    }
    Ok(all)
}
