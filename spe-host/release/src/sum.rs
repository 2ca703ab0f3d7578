#![doc = include_str!("proof/sum.md")]

use spe_kernel::{manifest::Bounds, units::to_grid};

/// `y` clamped to the bounds, in grid units.
///
/// # Privacy
/// Assumption: `y` is not NaN. Claim: between the bounds' own grid points, because rounding is monotone. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn value(y: f64, bounds: Bounds, bits: u8) -> i64 {
    to_grid(y.clamp(bounds.lower(), bounds.upper()), bits)
}
