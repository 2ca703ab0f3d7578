#![doc = include_str!("proof/vector_sum.md")]

use spe_kernel::units::to_grid;

use crate::clip::Entry;

/// The coordinates that are not 0, in grid units; [`clip`](crate::clip::clip) bounds them.
///
/// A vector that is far too long keeps its direction: it is scaled down in `f64` first, which is for accuracy only.
///
/// # Privacy
/// Assumption: no coordinate is NaN. Claim: distinct cells of the output. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn entries(norm: f64, numbers: &[f64], bits: u8, entries: &mut Vec<Entry>) -> bool {
    let largest = numbers.iter().fold(0.0_f64, |largest, y| largest.max(y.abs()));
    // Infinite coordinates share what finite ones cannot compete with.
    let scale = if largest.is_infinite() {
        0.0
    } else if largest > norm {
        norm / largest
    } else {
        1.0
    };
    for (cell, y) in numbers.iter().enumerate() {
        let y = if y.is_infinite() { norm.copysign(*y) } else { y * scale };
        let value = to_grid(y, bits);
        if value != 0 {
            entries.push(Entry { cell, value });
        }
    }
    true
}
