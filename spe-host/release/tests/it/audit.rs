//! The claimed loss, measured from outside: contributions through accumulator and noise, judged by what comes out.
//!
//! Each cell, or pair of cells, of a large output is one trial: in one world a data subject of its own contributes to it, in
//! the neighbouring world nobody does. The event "score ≥ t" is chosen on a quarter of the trials and judged on the rest by
//! exact Clopper–Pearson bounds, so a sound mechanism is accused with probability at most [`ALPHA`], whatever it is.

use serde_json::{Value, json};
use spe_kernel::plan::Plan;
use spe_release::noise;

use crate::{
    plans::{categories, plan, sums},
    statistics::{clopper_pearson, normal_quantile},
};

const ALPHA: f64 = 1e-6;
const TRIALS: usize = 200_000;
const UNIT: i128 = 1 << 20;

/// How a loss shows in probabilities.
#[derive(Clone, Copy)]
enum Claim {
    /// ε: P(event with) ≤ e^ε · P(event without).
    Epsilon,
    /// μ = √(2ρ) of a Gaussian on a fine grid: Φ⁻¹(P with) − Φ⁻¹(P without) ≤ μ.
    Mu,
}

fn histogram() -> Value {
    json!({"name": "o", "kind": "histogram", "categories": categories(9_999)})
}

fn groups() -> Value {
    json!({"name": "o", "kind": "grouped_mean", "categories": categories(4_999), "lower": -1, "upper": 1})
}

/// Noise for `TRIALS` trials of `width` cells.
fn pool(plan: &Plan, width: usize) -> Vec<i128> {
    let mut pool = Vec::new();
    while pool.len() < TRIALS * width {
        pool.extend_from_slice(&noise(&plan.outputs()[0]).unwrap().noise);
    }
    pool
}

/// What one data subject in each trial gives, through the accumulator: `numbers` with the trial's category before them.
fn contributions(plan: &Plan, numbers: &[f64]) -> Vec<i128> {
    let trials = if numbers.is_empty() { 10_000 } else { 5_000 };
    let people: Vec<Vec<f64>> = (0..trials).map(|i| [&[f64::from(i)], numbers].concat()).collect();
    sums(plan, &people).concat()
}

/// Scores of all trials: the smallest of a trial's cells for ε, their sum for μ; each is the likelihood ratio's direction.
fn scores(claim: Claim, noise: &[i128], contribution: &[i128], width: usize) -> Vec<f64> {
    let noisy: Vec<i128> = noise.iter().zip(contribution.iter().cycle()).map(|(z, x)| z + x).collect();
    let score = |cells: &[i128]| match claim {
        Claim::Epsilon => cells.iter().min().copied().unwrap_or(0),
        Claim::Mu => cells.iter().sum(),
    };
    noisy.chunks_exact(width).map(|cells| score(cells) as f64 / UNIT as f64).collect()
}

/// The least loss that explains the scores, up to [`ALPHA`].
fn audited(claim: Claim, with: &[f64], without: &[f64]) -> f64 {
    let bound = |threshold: f64, with: &[f64], without: &[f64]| {
        let above = |scores: &[f64]| scores.iter().filter(|s| **s >= threshold).count() as u64;
        let (p, _) = clopper_pearson(above(with), with.len() as u64, ALPHA / 2.0);
        let (_, q) = clopper_pearson(above(without), without.len() as u64, ALPHA / 2.0);
        match claim {
            Claim::Epsilon => (p / q).ln(),
            Claim::Mu => normal_quantile(p) - normal_quantile(q),
        }
    };
    let (train_with, test_with) = with.split_at(with.len() / 4);
    let (train_without, test_without) = without.split_at(without.len() / 4);
    let thresholds = (-4..=12).map(|t| f64::from(t) / 4.0);
    let best =
        thresholds.max_by(|a, b| bound(*a, train_with, train_without).total_cmp(&bound(*b, train_with, train_without)));
    bound(best.unwrap(), test_with, test_without)
}

/// Audits the path at loss 1 for a person count and for a hostile mean, and checks that the audit sees what it must.
fn audit(claim: Claim, honest: &str, tenth_too_little: &str) {
    let count = plan(&histogram(), 20, honest);
    let (with, without) = (pool(&count, 1), scores(claim, &pool(&count, 1), &[0], 1));
    let one = contributions(&count, &[]);
    let loss = |contribution: &[i128]| audited(claim, &scores(claim, &with, contribution, 1), &without);
    let claimed = loss(&one);
    eprintln!("audit, count at {honest}: loses at least {claimed:.3} of a claimed 1");
    assert!(claimed <= 1.0, "a count is charged 1 and loses at least {claimed}");
    assert!(claimed >= 0.93, "the audit sees only {claimed} of a loss of 1: no test");

    let scaled = |tenths: i128| one.iter().map(|x| x * tenths / 10).collect::<Vec<_>>();
    assert!(loss(&scaled(11)) > 1.0, "no power: a clip 10 % too wide passes");
    assert!(loss(&scaled(20)) > 1.0, "no power: one person counted twice passes");

    let less = plan(&histogram(), 20, tenth_too_little);
    let (with, without) = (scores(claim, &pool(&less, 1), &one, 1), scores(claim, &pool(&less, 1), &[0], 1));
    let loss = audited(claim, &with, &without);
    eprintln!("audit, count at {honest} with noise 10 % too small: loses at least {loss:.3}");
    assert!(loss > 1.0, "no power: noise 10 % too small passes with {loss}");

    let mean = plan(&groups(), 20, honest);
    let hostile = contributions(&mean, &[f64::INFINITY]);
    let (with, without) = (scores(claim, &pool(&mean, 2), &hostile, 2), scores(claim, &pool(&mean, 2), &[0], 2));
    let loss = audited(claim, &with, &without);
    eprintln!("audit, hostile mean at {honest}: loses at least {loss:.3} of a claimed 1");
    assert!(loss <= 1.0, "a mean is charged 1 and loses at least {loss}");
    assert!(loss >= 0.88, "the audit sees only {loss} of a loss of 1: no test");
}

/// μ = 1 is ρ = 1/2; σ ten percent too small is ρ/0.81.
#[test]
fn gaussian_loses_what_it_is_charged() {
    audit(Claim::Mu, "rho=0.5", "rho=0.617283950617");
}

#[test]
fn laplace_loses_what_it_is_charged() {
    audit(Claim::Epsilon, "epsilon=1", "epsilon=1.111111111111");
}
