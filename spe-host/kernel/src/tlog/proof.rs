//! Checking proofs, as RFC 9162 gives it: 2.1.3.2 and 2.1.4.2.

use super::{LogError, TreeHash};

/// Whether `leaf` is entry `index` of the tree with that size and root.
///
/// # Errors
/// [`LogError::NotProven`].
pub fn verify_inclusion(
    leaf: TreeHash,
    index: u64,
    (size, root): (u64, TreeHash),
    path: &[TreeHash],
) -> Result<(), LogError> {
    let not_proven = || LogError::NotProven { what: "inclusion proof" };
    let (mut at, mut last) = (index, size.checked_sub(1).filter(|last| index <= *last).ok_or_else(not_proven)?);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return Err(not_proven());
        }
        if at % 2 == 1 || at == last {
            hash = TreeHash::of_both(*sibling, hash);
            let skip = if at % 2 == 0 { at.trailing_zeros().min(u64::BITS - 1) } else { 0 };
            (at, last) = (at >> skip, last >> skip);
        } else {
            hash = TreeHash::of_both(hash, *sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    if last == 0 && hash == root { Ok(()) } else { Err(not_proven()) }
}

/// Whether the tree `old` is the beginning of the tree `new`, each given by size and root.
///
/// # Errors
/// [`LogError::NotProven`].
pub fn verify_consistency(old: (u64, TreeHash), new: (u64, TreeHash), path: &[TreeHash]) -> Result<(), LogError> {
    if beginning(old, new, path)? == old.1 { Ok(()) } else { Err(NOT_CONSISTENT) }
}

const NOT_CONSISTENT: LogError = LogError::NotProven { what: "consistency proof" };

/// The root of the first `old.0` entries of the tree `new`, as `path` proves it: another than `old.1` in a tree with another history.
///
/// Where `old.0` is a power of two, the path does not hold that root: it begins with the one that is expected. One that leads to `new` proves
/// it right; of one that does not, nobody can tell what it was about: the path from `old.0 + 1` holds it.
///
/// # Errors
/// [`LogError::NotProven`]: the path does not lead to the root of `new`, and proves nothing.
pub(super) fn beginning(old: (u64, TreeHash), new: (u64, TreeHash), path: &[TreeHash]) -> Result<TreeHash, LogError> {
    match old.0 {
        0 if path.is_empty() => Ok(TreeHash::of_nothing()),
        size if size == new.0 && path.is_empty() => Ok(new.1),
        size if 0 < size && size < new.0 => {
            let (old_root, new_root) = roots(old, new.0, path)?;
            if new_root == new.1 { Ok(old_root) } else { Err(NOT_CONSISTENT) }
        }
        _ => Err(NOT_CONSISTENT),
    }
}

/// The roots of both trees that a path leads to.
fn roots(old: (u64, TreeHash), new_size: u64, path: &[TreeHash]) -> Result<(TreeHash, TreeHash), LogError> {
    let (first, rest) = match path {
        // The old tree is complete: its root is where the path begins.
        rest if old.0.is_power_of_two() => (old.1, rest),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(NOT_CONSISTENT),
    };
    let skip = (old.0 - 1).trailing_ones();
    let (mut at, mut last) = ((old.0 - 1) >> skip, (new_size - 1) >> skip);
    let (mut old_root, mut new_root) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(NOT_CONSISTENT);
        }
        if at % 2 == 1 || at == last {
            old_root = TreeHash::of_both(*sibling, old_root);
            new_root = TreeHash::of_both(*sibling, new_root);
            let skip = if at % 2 == 0 { at.trailing_zeros().min(u64::BITS - 1) } else { 0 };
            (at, last) = (at >> skip, last >> skip);
        } else {
            new_root = TreeHash::of_both(new_root, *sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    if last == 0 { Ok((old_root, new_root)) } else { Err(NOT_CONSISTENT) }
}
