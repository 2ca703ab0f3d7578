#![doc = include_str!("proof/variance.md")]

use spe_kernel::{
    manifest::Bounds,
    units::{Measure, grid_one, to_grid},
};

/// Of the normalised `y`, in grid units: one person, y and y² − ½ for [`Measure::Zcdp`]; one person in three shares, ((1 − y)/2)²,
/// (1 − y²)/2 and ((1 + y)/2)², for [`Measure::Pure`].
///
/// # Privacy
/// Claim: of norm at most 3/2 units in L2, but for rounding; no share is negative and they add up to one person, exactly: of norm one
/// unit in L1. Watched by `sensitivity::no_contribution_exceeds_the_sensitivity` and `sensitivity::shares_add_up_to_one_person`.
#[inline]
pub(crate) fn values(y: f64, bounds: Bounds, bits: u8, measure: Measure) -> [i64; 3] {
    let (normal, one) = (bounds.normal(y), i64::from(grid_one(bits)));
    match measure {
        Measure::Zcdp => [one, to_grid(normal, bits), to_grid(normal * normal - 0.5, bits)],
        Measure::Pure => {
            let square = |y: f64| to_grid(f64::midpoint(1.0, y).powi(2), bits);
            let (low, high) = (square(-normal), square(normal));
            [low, one - low - high, high]
        }
    }
}
