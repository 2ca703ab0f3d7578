#![doc = include_str!("proof/quantiles.md")]

use spe_kernel::{manifest::Edges, units::grid_one};

use crate::clip::Entry;

/// One unit for every node on the way from the root of the tree to the bin of `y`; below and above the edges counts as in the
/// first and last bin.
///
/// # Privacy
/// Assumption: `y` is not NaN. Claim: one node of each level. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn entries(bins: &Edges, y: f64, bits: u8, entries: &mut Vec<Entry>) -> bool {
    let leaf = bins.bin(y.clamp(bins.first(), bins.last())).unwrap_or_default();
    let leaves = bins.bins().next_power_of_two();
    let levels = leaves.trailing_zeros();
    // Node 1 is the root and cell 0; the children of node i are 2i and 2i + 1.
    let node = leaves + leaf;
    entries.extend((0..=levels).rev().map(|up| Entry { cell: (node >> up) - 1, value: grid_one(bits).into() }));
    true
}
