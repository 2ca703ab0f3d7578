#![doc = include_str!("proof/mean.md")]

use spe_kernel::{
    manifest::Bounds,
    units::{grid_one, to_grid},
};

/// One person in two shares, (1 − y)/2 and (1 + y)/2 of the normalised `y`, in grid units.
///
/// # Privacy
/// Claim: neither is negative and they add up to one person, exactly: of norm 2ᵇⁱᵗˢ in L1, and at most that in L2. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity` and `sensitivity::shares_add_up_to_one_person`.
#[inline]
pub(crate) fn shares(y: f64, bounds: Bounds, bits: u8) -> [i64; 2] {
    let high = to_grid(f64::midpoint(1.0, bounds.normal(y)), bits);
    [i64::from(grid_one(bits)) - high, high]
}
