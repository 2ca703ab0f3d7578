//! The loss of a mechanism, measured from outside, as a lower bound that holds whatever the mechanism is.
//!
//! A trial adds noise to what one data subject changes, or to nothing, and gives one score: the likelihood ratio's. The event
//! "score ≥ t" is chosen on a quarter of the trials and judged on the rest by exact Clopper–Pearson bounds, so a sound mechanism is
//! accused with probability at most [`ALPHA`].

use std::thread;

use serde_json::{Value, json};
use spe_kernel::{
    plan::{Plan, Planned},
    units::Measure,
};

use crate::{
    plans::{categories, cells, drawn, histogram, plan},
    statistics::{clopper_pearson, normal_quantile},
};

/// How often a sound mechanism may be accused.
pub(crate) const ALPHA: f64 = 1e-6;

/// How a loss shows in probabilities. Claims are audited at 1, where few trials tell most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// ε: P(event with) ≤ e^ε · P(event without).
    Epsilon,
    /// μ = √(2ρ) of a Gaussian on a fine grid: Φ⁻¹(P with) − Φ⁻¹(P without) ≤ μ.
    Mu,
}

impl Claim {
    /// The loss that buys a claim of 1.
    pub(crate) const fn of_one(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon=1",
            Self::Mu => "rho=0.5",
        }
    }

    /// The loss that buys noise of so many times the scale.
    pub(crate) fn with_noise(self, times: f64) -> String {
        match self {
            Self::Epsilon => format!("epsilon={:.12}", 1.0 / times),
            Self::Mu => format!("rho={:.12}", 0.5 / (times * times)),
        }
    }

    /// The least claim that explains events of these scores, up to [`ALPHA`].
    pub(crate) fn audited(self, with: &[f64], without: &[f64]) -> f64 {
        let bound = |threshold: f64, with: &[f64], without: &[f64]| {
            let above = |scores: &[f64]| scores.iter().filter(|s| **s >= threshold).count() as u64;
            let (p, _) = clopper_pearson(above(with), with.len() as u64, ALPHA / 2.0);
            let (_, q) = clopper_pearson(above(without), without.len() as u64, ALPHA / 2.0);
            match self {
                Self::Epsilon => (p / q).ln(),
                Self::Mu => normal_quantile(p) - normal_quantile(q),
            }
        };
        let (train_with, test_with) = with.split_at(with.len() / 4);
        let (train_without, test_without) = without.split_at(without.len() / 4);
        let thresholds = (-4..=12).map(|t| f64::from(t) / 4.0);
        let trained = |t: &f64| bound(*t, train_with, train_without);
        let best = thresholds.max_by(|a, b| trained(a).total_cmp(&trained(b)));
        bound(best.unwrap_or(1.0), test_with, test_without)
    }
}

/// A kind of output, and two neighbouring datasets that are as far apart as the kind allows.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    output: Value,
    /// Cells of one trial: one draw of noise for a wide output serves many.
    width: usize,
    with: Vec<Vec<f64>>,
    without: Vec<Vec<f64>>,
}

impl Case {
    /// What adding the data subject changes, trial by trial, on the way through the accumulator.
    pub(crate) fn share(&self, plan: &Plan) -> Vec<i128> {
        cells(plan, &self.with).iter().zip(cells(plan, &self.without)).map(|(with, without)| with - without).collect()
    }

    /// So many trials, or fewer where each has several cells.
    pub(crate) fn trials(&self, most: usize) -> usize {
        most.min(most * 6 / 5 / self.width)
    }

    /// Its plan at that loss, on the default grid.
    pub(crate) fn plan(&self, loss: &str) -> Plan {
        plan(&self.output, 20, loss)
    }

    /// The least claim that explains what comes out of `plan` where one data subject changes the sums by `share`.
    pub(crate) fn audited(&self, claim: Claim, plan: &Plan, share: &[i128], trials: usize) -> f64 {
        let zeros = vec![0; share.len()];
        let planned = &plan.outputs()[0];
        let scores = |added: &[i128]| scores(planned, added, share, self.width, trials);
        let (with, without) = thread::scope(|scope| {
            let with = scope.spawn(|| scores(share));
            let without = scores(&zeros);
            (with.join().unwrap(), without)
        });
        claim.audited(&with, &without)
    }

    /// The same for an honest run at a claim of 1.
    pub(crate) fn audited_at_one(&self, claim: Claim, trials: usize) -> f64 {
        let plan = self.plan(claim.of_one());
        self.audited(claim, &plan, &self.share(&plan), trials)
    }
}

/// How much each noisy trial speaks for `share` having been added: 1 is what it is worth without noise.
fn scores(planned: &Planned, added: &[i128], share: &[i128], width: usize, trials: usize) -> Vec<f64> {
    let mut scores = Vec::with_capacity(trials + share.len() / width);
    while scores.len() < trials {
        let (_, noise) = drawn(planned);
        let noisy: Vec<i128> = noise.iter().zip(added).map(|(z, x)| z + x).collect();
        let trials =
            noisy.chunks_exact(width).zip(share.chunks_exact(width)).filter(|(_, x)| x.iter().any(|x| *x != 0));
        scores.extend(trials.map(|(y, x)| score(planned.loss.measure(), y, x)));
    }
    scores
}

/// For the Gaussian the projection on `x`, for the Laplace Σ |y| − |y − x|; each divided by its value at y = x.
fn score(measure: Measure, y: &[i128], x: &[i128]) -> f64 {
    let sum = |term: fn(i128, i128) -> i128| y.iter().zip(x).map(|(y, x)| term(*y, *x)).sum::<i128>() as f64;
    match measure {
        Measure::Zcdp => sum(|y, x| x * y) / sum(|_, x| x * x),
        Measure::Pure => sum(|y, x| y.abs() - (y - x).abs()) / sum(|_, x| x.abs()),
    }
}

/// Kinds whose contributions differ in shape, each with a guest that does its worst.
pub(crate) fn cases() -> Vec<Case> {
    let each = |n: u32, numbers: &dyn Fn(f64) -> Vec<f64>| (0..n).map(|i| numbers(f64::from(i))).collect::<Vec<_>>();
    let (groups, edges) = (categories(4_999), (0..5_000).collect::<Vec<u32>>());
    let case = |name, output, width, with| Case { name, output, width, with, without: Vec::new() };
    vec![
        case("one cell of a histogram", histogram(10_000, 1), 1, each(10_000, &|i| vec![i])),
        case(
            "four cells of a histogram",
            histogram(10_000, 4),
            4,
            each(2_500, &|i| vec![4.0 * i, 4.0 * i + 1.0, 4.0 * i + 2.0, 4.0 * i + 3.0]),
        ),
        case(
            "mean",
            json!({"name": "o", "kind": "grouped_mean", "categories": groups, "lower": -1, "upper": 1}),
            2,
            each(5_000, &|i| vec![i, f64::INFINITY]),
        ),
        case("variance", json!({"name": "o", "kind": "variance", "lower": -1, "upper": 1}), 3, vec![vec![f64::MAX]]),
        case(
            "tree of quantiles",
            json!({"name": "o", "kind": "quantiles", "edges": [0, 1, 2, 3, 4], "quantiles": [0.5]}),
            7,
            vec![vec![f64::INFINITY]],
        ),
        case("vector", json!({"name": "o", "kind": "vector_sum", "labels": 4, "norm": 1}), 4, vec![vec![1e300; 4]]),
        Case {
            name: "block",
            output: json!({"name": "o", "kind": "block_mean", "coordinates": [
                {"name": "u", "lower": -1, "upper": 1}, {"name": "v", "lower": 0, "upper": 1}]}),
            width: 2,
            with: vec![vec![f64::INFINITY; 2]],
            without: vec![vec![f64::NEG_INFINITY; 2]],
        },
        case("count", json!({"name": "o", "kind": "count"}), 1, vec![vec![f64::MAX]]),
        case("sum", json!({"name": "o", "kind": "sum", "lower": -3, "upper": 5}), 1, vec![vec![f64::INFINITY]]),
        case("survival", json!({"name": "o", "kind": "survival", "edges": edges}), 1, each(4_999, &|i| vec![i, 1.0])),
    ]
}
