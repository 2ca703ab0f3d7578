#![doc = include_str!("proof/laplace.md")]

use dashu::rational::RBig;
use opendp::{error::Fallible, measurements::make_laplace, measures::MaxDivergence, metrics::L1Distance};

use crate::draw::{Integers, Noise};

/// opendp's discrete Laplace mechanism over big integers, of scale `scale`.
///
/// # Privacy
/// Assumption: opendp's proofs. Claim: ε = C/b in exact rationals, rounded up, is what its map answers. Watched by
/// `scale::no_scale_buys_more_than_its_loss` and `goodness::laplace_draws_have_the_exact_distribution`.
pub(crate) fn laplace(scale: f64) -> Fallible<Noise<L1Distance<RBig>, MaxDivergence>> {
    make_laplace(Integers::default(), L1Distance::default(), scale, None)
}
