#![doc = include_str!("proof/grouped_mean.md")]

use spe_kernel::manifest::{Axes, Bounds};

use crate::{clip::Entry, mean};

/// One person in two shares for each distinct group that the numbers name: they are as many tuples as one data subject may be
/// in groups. A group's first number counts.
///
/// # Privacy
/// Claim: pairs of cells that do not overlap, each named once. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn entries(axes: &Axes, bounds: Bounds, numbers: &[f64], bits: u8, entries: &mut Vec<Entry>) -> bool {
    for tuple in numbers.chunks_exact(axes.axes.len() + 1) {
        let Some((y, codes)) = tuple.split_last().filter(|(y, _)| !y.is_nan()) else { continue };
        let Some(cell) = axes.group(codes).map(|group| 2 * group) else { continue };
        if entries.iter().all(|entry| entry.cell != cell) {
            let [low, high] = mean::shares(*y, bounds, bits);
            entries.extend([Entry { cell, value: low }, Entry { cell: cell + 1, value: high }]);
        }
    }
    !entries.is_empty()
}
