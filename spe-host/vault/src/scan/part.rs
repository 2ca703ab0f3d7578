//! How a scan is cut into parts, and a part into units: data subjects, or blocks of them.

use std::ops::Range;

use spe_kernel::manifest::Unit;

/// Partitions that are read one after the other, and the units in them.
pub(crate) struct Part {
    pub(super) partitions: Range<usize>,
    pub(super) units: Units,
}

/// Whose records are handed on together.
pub(super) enum Units {
    /// One data subject's.
    Subjects,
    /// Those of everybody in a block.
    Blocks {
        /// The blocks that are still to come.
        next: Range<usize>,
        /// All blocks of the scan.
        of: usize,
    },
}

/// Cuts a scan into as many parts as go.
///
/// Blocks may be more or fewer than partitions. Both are equal ranges of pseudonyms, so they begin together at every multiple
/// of 1 / gcd: there it is cut, no block lies in two parts, and no file is read twice.
pub(crate) fn parts(unit: Unit, partitions: usize) -> Vec<Part> {
    let Some(blocks) = unit.blocks().map(|blocks| usize::try_from(blocks).unwrap_or(usize::MAX)) else {
        return (0..partitions).map(|p| Part { partitions: p..p + 1, units: Units::Subjects }).collect();
    };
    let count = gcd(partitions, blocks);
    let share = |of: usize, part: usize| of / count * part..of / count * (part + 1);
    let part = |part| Part {
        partitions: share(partitions, part),
        units: Units::Blocks { next: share(blocks, part), of: blocks },
    };
    (0..count).map(part).collect()
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
