#![doc = include_str!("proof/variance.md")]

use spe_kernel::{manifest::Bounds, units::to_grid};

/// One person, `y` normalised and clamped to [−1, 1], and y² − ½, in grid units.
///
/// # Privacy
/// Assumption: `y` is not NaN. Claim: of norm at most 3/2 units in L2 and 5/2 in L1, but for rounding. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn values(y: f64, bounds: Bounds, bits: u8) -> [i64; 3] {
    let normal = ((y - bounds.middle()) / bounds.half_width()).clamp(-1.0, 1.0);
    [1 << bits, to_grid(normal, bits), to_grid(normal * normal - 0.5, bits)]
}
