#![doc = include_str!("proof/mean.md")]

use spe_kernel::{manifest::Bounds, units::to_grid};

/// One person, and `y` normalised and clamped to [−1, 1], in grid units.
///
/// # Privacy
/// Assumption: `y` is not NaN. Claim: (2ᵇⁱᵗˢ, at most 2ᵇⁱᵗˢ), of norm at most √2·2ᵇⁱᵗˢ or 2·2ᵇⁱᵗˢ. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn values(y: f64, bounds: Bounds, bits: u8) -> [i64; 2] {
    let normal = ((y - bounds.middle()) / bounds.half_width()).clamp(-1.0, 1.0);
    [1 << bits, to_grid(normal, bits)]
}
