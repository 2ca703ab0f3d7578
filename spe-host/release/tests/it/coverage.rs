//! 95 % intervals hold the truth 95 times in a hundred.

use serde_json::json;
use spe_kernel::{
    plan::Plan,
    statistic::{Estimate, Noise, decode},
};
use spe_release::noise;

use crate::plans::{categories, plan};

const UNIT: i128 = 1 << 20;

/// The noise of `nodes` nodes added up, until there is some for `wanted` cells.
fn merged(plan: &Plan, nodes: u32, wanted: usize) -> (Noise, Vec<Vec<i128>>) {
    let planned = &plan.outputs()[0];
    let one = || noise(planned).unwrap();
    let first = one();
    let sum = |_| {
        let mut sums = vec![0; first.noise.len()];
        (0..nodes).for_each(|_| sums.iter_mut().zip(&one().noise).for_each(|(sum, z)| *sum += z));
        sums
    };
    let rounds = wanted / first.noise.len();
    (Noise { mechanism: first.mechanism, scale: first.scale, nodes }, (0..rounds).map(sum).collect())
}

/// Estimates where every category's sums are `truth`.
fn estimates(plan: &Plan, truth: &[i128], (noise, rounds): &(Noise, Vec<Vec<i128>>)) -> Vec<Estimate> {
    let noisy = |z: &Vec<i128>| z.iter().zip(truth.iter().cycle()).map(|(z, x)| z + x).collect::<Vec<_>>();
    rounds.iter().flat_map(|z| decode(&plan.outputs()[0], &noisy(z), *noise).estimates).collect()
}

fn coverage(estimates: &[Estimate], truth: f64) -> f64 {
    let held = estimates.iter().filter(|e| (e.low..=e.high).contains(&truth)).count();
    held as f64 / estimates.len() as f64
}

/// Lower coverage would be false precision, which is what policymakers would act on; higher would be noise that is not there.
#[test]
fn counts_are_covered() {
    let histogram = json!({"name": "o", "kind": "histogram", "categories": categories(9_999)});
    for (loss, nodes) in [("rho=0.005", 1), ("rho=0.005", 3), ("epsilon=0.1", 1), ("epsilon=0.1", 3)] {
        let plan = plan(&histogram, 20, loss);
        let estimates = estimates(&plan, &[100 * UNIT], &merged(&plan, nodes, 100_000));
        let held = coverage(&estimates, 100.0);
        assert!((0.945..0.955).contains(&held), "{loss} at {nodes} nodes: {held}");
    }
}

/// Noise has a standard deviation of 14 (Gaussian) or 28 (Laplace) people; groups go from far below to far above it.
#[test]
fn means_are_covered_however_few_people() {
    let groups =
        json!({"name": "o", "kind": "grouped_mean", "categories": categories(4_999), "lower": 10, "upper": 30});
    for (loss, nodes) in [("rho=0.005", 1), ("rho=0.005", 3), ("epsilon=0.1", 1)] {
        let plan = plan(&groups, 20, loss);
        let noise = merged(&plan, nodes, 40_000);
        for (people, tenths) in [(3, 5), (30, 0), (30, -9), (100, 10), (300, 5), (10_000, -5)] {
            let estimates = estimates(&plan, &[people * UNIT, people * UNIT * tenths / 10], &noise);
            let truth = 20.0 + tenths as f64;
            let held = coverage(&estimates, truth);
            assert!(held >= 0.94, "{people} people, mean {truth}, {loss} at {nodes} nodes: {held}");
            let wide =
                estimates.iter().all(|e| e.low <= e.value && e.value <= e.high && e.low >= 10.0 && e.high <= 30.0);
            assert!(wide, "an estimate lies outside its interval, or an interval outside the bounds");
            let sharp = people < 10_000 || held <= 0.97;
            assert!(sharp, "{people} people, mean {truth}, {loss} at {nodes} nodes: {held}, wider than the noise");
        }
    }
}
