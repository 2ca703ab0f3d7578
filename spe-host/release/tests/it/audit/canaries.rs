//! The whole path audited in one run (after Steinke, Nasr & Jagielski, NeurIPS 2023): many data subjects, each of whom moves one
//! coordinate only and is there or not by a fair coin; whoever sees the answer guesses which.

use serde_json::json;
use spe_kernel::{federation::merge, plan::Plan, record::Contribution};
use spe_release::Accumulator;

use super::{ALPHA, Random};
use crate::{
    path::answer,
    plans::plan,
    statistics::{clopper_pearson, normal_quantile},
};

/// Data subjects, and coordinates.
const CANARIES: usize = 10_000;

/// A vector of one coordinate for each canary, of norm 1.
pub(super) fn vector(loss: &str) -> Plan {
    plan(&json!({"name": "o", "kind": "vector_sum", "labels": CANARIES, "norm": 1}), 20, loss)
}

/// The least μ that explains the guesses after `runs` releases, up to [`ALPHA`]: of one coordinate's two Gaussians, μ apart, a
/// guess is right with probability Φ(μ/2) at most.
///
/// Who is there goes through accumulator, ledger, noise, signature and merge, writing far more than the norm, `times` times.
pub(super) fn guessed(plan: &Plan, runs: u64, times: usize) -> f64 {
    let (mut right, mut coins) = (0, Random(1));
    for _ in 0..runs {
        let there: Vec<bool> = (0..CANARIES).map(|_| coins.next() >> 63 == 1).collect();
        let mut sums = Accumulator::new(plan);
        let mut numbers = vec![0.0; CANARIES];
        for canary in (0..CANARIES).filter(|canary| there[*canary]) {
            numbers[canary] = 1e300;
            (0..times).for_each(|_| sums.add(Contribution::Numbers(&numbers)));
            numbers[canary] = 0.0;
        }
        let merged = merge(plan, &[answer(plan, "north", sums)]);
        let guesses = merged[0].estimates.iter().map(|estimate| estimate.value >= 0.5);
        right += guesses.zip(there).filter(|(guess, there)| guess == there).count() as u64;
    }
    let (least, _) = clopper_pearson(right, runs * CANARIES as u64, ALPHA);
    2.0 * normal_quantile(least)
}
