//! The audit of `tests/it/audit.rs` with far more trials, as a table for `docs/privacy.md`: `cargo bench --bench audit`.
//!
//! `SPE_AUDIT_TRIALS` sets another number of trials on each side than 4 million.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints, and stops where something is wrong"
)]

use std::time::Instant;

use serde_json::json;
use spe_kernel::disclosure::{DrawnOutput, Fresh};
use spe_release::noise;

#[path = "../tests/it/plans.rs"]
mod plans;
#[path = "../tests/it/statistics.rs"]
mod statistics;
#[path = "../tests/it/audit/threshold.rs"]
mod threshold;

use threshold::{ALPHA, Case, Claim, cases};

/// One line of the table.
fn line(mechanism: &str, claim: &str, bound: f64, limit: f64, start: Instant) {
    let verdict = if bound <= limit { "sound" } else { "VIOLATION" };
    let digits = if limit < 0.1 { 6 } else { 4 };
    println!("| {mechanism} | {claim} | {bound:.digits$} | {verdict} | {:.0} s |", start.elapsed().as_secs_f64());
}

fn audit(case: &Case, claim: Claim, loss: &str, remark: &str, trials: usize) {
    let start = Instant::now();
    let plan = case.plan(loss);
    let bound = case.audited(claim, &plan, &case.share(&plan), trials);
    let (noise, name) = match claim {
        Claim::Mu => ("Gaussian", "μ ≤ 1"),
        Claim::Epsilon => ("Laplace", "ε ≤ 1"),
    };
    line(&format!("{noise}, {}{remark}", case.name), name, bound, 1.0, start);
}

/// A key that one person has, `trials` times.
fn lone_key(loss: &str, name: &str, trials: usize) {
    let start = Instant::now();
    let keys = json!({"name": "o", "kind": "keys", "released_max": 1});
    let plan = plans::plan(&keys, 20, loss);
    let DrawnOutput { noise: Fresh::Keys { threshold, mut next, .. }, .. } = noise(&plan.outputs()[0]).unwrap() else {
        panic!("keys have a threshold")
    };
    let shown = (0..trials).filter(|_| (1 << 20) + next().unwrap() >= threshold).count();
    let (bound, _) = statistics::clopper_pearson(shown as u64, trials as u64, ALPHA);
    line(name, "δ ≤ 0.001", bound, 0.001, start);
}

fn main() {
    let trials = std::env::var("SPE_AUDIT_TRIALS").ok().map_or(4_000_000, |n| n.parse().expect("a number of trials"));
    println!("{trials} trials on each side, α = {ALPHA}\n");
    println!("| mechanism | claim | loses at least | verdict | time |\n|---|---|---|---|---|");
    for claim in [Claim::Mu, Claim::Epsilon] {
        let cases = cases();
        cases.iter().for_each(|case| audit(case, claim, claim.of_one(), "", trials));
        audit(&cases[0], claim, &claim.with_noise(0.9), ", noise 10 % too small", trials);
        audit(&cases[0], claim, &claim.with_noise(0.98), ", noise 2 % too small", trials);
    }
    lone_key("rho=0.5,delta=0.001", "Gaussian, a lone key", trials);
    lone_key("epsilon=1,delta=0.001", "Laplace, a lone key", trials);
}
