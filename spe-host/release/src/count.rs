#![doc = include_str!("proof/count.md")]

use spe_kernel::units::grid_one;

/// One person in grid units where `y` is not 0, else 0; -0 is 0.
///
/// # Privacy
/// Claim: 0 or 2ᵇⁱᵗˢ, which is the sensitivity. Watched by `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn value(y: f64, bits: u8) -> i64 {
    if y == 0.0 { 0 } else { grid_one(bits).into() }
}
