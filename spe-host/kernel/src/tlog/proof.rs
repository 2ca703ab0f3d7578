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
    let not_proven = || LogError::NotProven { what: "consistency proof" };
    let consistent = match old.0 {
        0 => path.is_empty() && old.1 == TreeHash::of_nothing(),
        size if size == new.0 => path.is_empty() && old.1 == new.1,
        size if size > new.0 => false,
        _ => return grown(old, new, path),
    };
    if consistent { Ok(()) } else { Err(not_proven()) }
}

fn grown(old: (u64, TreeHash), new: (u64, TreeHash), path: &[TreeHash]) -> Result<(), LogError> {
    let not_proven = || LogError::NotProven { what: "consistency proof" };
    let (first, rest) = match path {
        // The old tree is complete: its root is where the path begins.
        rest if old.0.is_power_of_two() => (old.1, rest),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(not_proven()),
    };
    let skip = (old.0 - 1).trailing_ones();
    let (mut at, mut last) = ((old.0 - 1) >> skip, (new.0 - 1) >> skip);
    let (mut old_root, mut new_root) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(not_proven());
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
    if last == 0 && old_root == old.1 && new_root == new.1 { Ok(()) } else { Err(not_proven()) }
}
