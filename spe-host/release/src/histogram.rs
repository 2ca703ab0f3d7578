#![doc = include_str!("proof/histogram.md")]

use spe_kernel::{manifest::Axes, units::grid_one};

use crate::clip::Entry;

/// One unit for each distinct group that the numbers name: they are as many tuples as one data subject may be in groups.
///
/// # Privacy
/// Claim: the groups are cells of the output, each named once. Watched by `sums::codes_follow_the_abi` and
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn entries(axes: &Axes, numbers: &[f64], bits: u8, entries: &mut Vec<Entry>) -> bool {
    for tuple in numbers.chunks_exact(axes.axes.len()) {
        if let Some(cell) = axes.group(tuple)
            && entries.iter().all(|entry| entry.cell != cell)
        {
            entries.push(Entry { cell, value: grid_one(bits).into() });
        }
    }
    !entries.is_empty()
}
