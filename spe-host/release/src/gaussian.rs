#![doc = include_str!("proof/gaussian.md")]

use dashu::rational::RBig;
use opendp::{error::Fallible, measurements::make_gaussian, measures::ZeroConcentratedDivergence, metrics::L2Distance};

use crate::draw::{Integers, Noise};

/// opendp's discrete Gaussian mechanism over big integers, of standard deviation `scale`.
///
/// # Privacy
/// Assumption: opendp's proofs. Claim: ρ = (C/σ)²/2 in exact rationals, rounded up, is what its map answers. Watched by
/// `scale::no_scale_buys_more_than_its_loss` and `goodness::gaussian_draws_have_the_exact_distribution`.
pub(crate) fn gaussian(scale: f64) -> Fallible<Noise<L2Distance<RBig>, ZeroConcentratedDivergence>> {
    make_gaussian(Integers::default(), L2Distance::default(), scale, None)
}
