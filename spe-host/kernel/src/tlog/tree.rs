//! The Merkle tree of RFC 6962, kept as the hashes of its complete subtrees: entry `i` at level 0, and at level `l` the hash of
//! entries `i·2^l` to `(i+1)·2^l`. An append writes about two of them, a proof reads a logarithmic number.

use super::TreeHash;

/// A complete subtree's place and hash.
pub type Node = (u32, u64, TreeHash);

/// The subtrees that entry `index` completes, by level; `read` gives those that are there.
///
/// # Errors
/// Those of `read`.
pub fn appended<E>(
    index: u64,
    leaf: TreeHash,
    mut read: impl FnMut(u32, u64) -> Result<TreeHash, E>,
) -> Result<Vec<Node>, E> {
    let (mut level, mut at, mut hash) = (0, index, leaf);
    let mut completed = vec![(level, at, hash)];
    while at % 2 == 1 {
        hash = TreeHash::of_both(read(level, at - 1)?, hash);
        (level, at) = (level + 1, at / 2);
        completed.push((level, at, hash));
    }
    Ok(completed)
}

/// The root of the first `size` entries.
///
/// # Errors
/// Those of `read`.
pub fn root<E>(size: u64, mut read: impl FnMut(u32, u64) -> Result<TreeHash, E>) -> Result<TreeHash, E> {
    if size == 0 { Ok(TreeHash::of_nothing()) } else { subtree(0, size, &mut read) }
}

/// The proof that entry `index` is among the first `size` (RFC 6962, 2.1.1), from the leaf's sibling upward.
///
/// # Errors
/// Those of `read`.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    mut read: impl FnMut(u32, u64) -> Result<TreeHash, E>,
) -> Result<Vec<TreeHash>, E> {
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to.saturating_sub(from) > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree(middle, to, &mut read)?);
            to = middle;
        } else {
            path.push(subtree(from, middle, &mut read)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` entries are the beginning of the first `new` (RFC 6962, 2.1.2).
///
/// # Errors
/// Those of `read`.
pub fn consistency<E>(
    old: u64,
    new: u64,
    mut read: impl FnMut(u32, u64) -> Result<TreeHash, E>,
) -> Result<Vec<TreeHash>, E> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let (mut from, mut to, mut path) = (0, new, Vec::new());
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(subtree(middle, to, &mut read)?);
            to = middle;
        } else {
            path.push(subtree(from, middle, &mut read)?);
            from = middle;
        }
    }
    // Whoever checks it knows the old root itself.
    if from > 0 {
        path.push(subtree(from, to, &mut read)?);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `size`, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The hash of entries `from` to `to`, where `from` is as the splits above make it.
fn subtree<E>(from: u64, to: u64, read: &mut impl FnMut(u32, u64) -> Result<TreeHash, E>) -> Result<TreeHash, E> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return read(level, from >> level);
    }
    let middle = from + split(size);
    let left = subtree(from, middle, read)?;
    Ok(TreeHash::of_both(left, subtree(middle, to, read)?))
}
