#![doc = include_str!("proof/block_mean.md")]

use spe_kernel::{manifest::Coordinate, units::to_grid};

use crate::clip::Entry;

/// Every coordinate normalised and clamped to [−1, 1], in grid units.
///
/// # Privacy
/// Assumption: no number is NaN. Claim: distinct cells, each of at most one unit: half of the sensitivity, which is the diameter.
/// Watched by `sensitivity::a_block_changes_by_no_more_than_the_diameter`.
#[inline]
pub(crate) fn entries(coordinates: &[Coordinate], numbers: &[f64], bits: u8, entries: &mut Vec<Entry>) -> bool {
    let entry =
        |(cell, (c, y)): (usize, (&Coordinate, &f64))| Entry { cell, value: to_grid(c.bounds.normal(*y), bits) };
    entries.extend(coordinates.iter().zip(numbers).enumerate().map(entry));
    true
}
