//! 95 % intervals hold the truth 95 times in a hundred.

use serde_json::{Value, json};
use spe_kernel::{
    disclosure::{DrawnOutput, Fresh},
    federation::key_threshold,
    plan::Plan,
    statistic::{Estimate, Noise, decode, decode_keys},
    units::Measure,
};
use spe_release::noise;

use crate::plans::{categories, cells, drawn, histogram, plan};

const UNIT: i128 = 1 << 20;

/// The noise of `nodes` nodes added up, so often.
fn merged(plan: &Plan, nodes: u32, rounds: usize) -> (Noise, Vec<Vec<i128>>) {
    let planned = &plan.outputs()[0];
    let DrawnOutput { mechanism, scale, .. } = noise(planned).unwrap();
    let sum = |_| {
        let mut sums = drawn(planned).1;
        (1..nodes).for_each(|_| sums.iter_mut().zip(drawn(planned).1).for_each(|(sum, z)| *sum += z));
        sums
    };
    (Noise { mechanism, scale, nodes }, (0..rounds).map(sum).collect())
}

/// Estimates where the exact sums are `truth`, over and over if it is shorter than the cells.
fn estimates(plan: &Plan, truth: &[i128], (noise, rounds): &(Noise, Vec<Vec<i128>>)) -> Vec<Vec<Estimate>> {
    let noisy = |z: &Vec<i128>| z.iter().zip(truth.iter().cycle()).map(|(z, x)| z + x).collect::<Vec<_>>();
    rounds.iter().map(|z| decode(plan, &plan.outputs()[0], &noisy(z), *noise).estimates).collect()
}

fn coverage<'a>(estimates: impl IntoIterator<Item = &'a Estimate>, truth: f64) -> f64 {
    let (mut held, mut all) = (0_u32, 0_u32);
    for estimate in estimates {
        let Estimate { low, value, high, .. } = estimate;
        assert!(low <= value && value <= high, "outside its own interval: {estimate:?}");
        (held, all) = (held + u32::from((*low..=*high).contains(&truth)), all + 1);
    }
    f64::from(held) / f64::from(all)
}

/// Lower coverage would be false precision, which is what policymakers would act on; higher would be noise that is not there.
#[test]
fn counts_are_covered() {
    for (loss, nodes) in [("rho=0.005", 1), ("rho=0.005", 3), ("epsilon=0.1", 1), ("epsilon=0.1", 3)] {
        let plan = plan(&histogram(10_000, 1), 20, loss);
        let estimates = estimates(&plan, &[100 * UNIT], &merged(&plan, nodes, 10));
        let held = coverage(estimates.iter().flatten(), 100.0);
        assert!((0.945..0.955).contains(&held), "{loss} at {nodes} nodes: {held}");
    }
}

/// Noise has a standard deviation of 14 (Gaussian) or 20 (Laplace) people; groups go from far below to far above it.
#[test]
fn means_are_covered_however_few_people() {
    let groups =
        json!({"name": "o", "kind": "grouped_mean", "categories": categories(4_999), "lower": 10, "upper": 30});
    for (loss, nodes) in [("rho=0.005", 1), ("rho=0.005", 3), ("epsilon=0.1", 1)] {
        let plan = plan(&groups, 20, loss);
        let noise = merged(&plan, nodes, 8);
        for (people, tenths) in [(3, 5), (30, 0), (30, -9), (100, 10), (300, 5), (10_000, -5)] {
            let shares = [10 - tenths, 10 + tenths].map(|twentieths| people * UNIT * twentieths / 20);
            let estimates = estimates(&plan, &shares, &noise).concat();
            let truth = 20.0 + tenths as f64;
            let held = coverage(&estimates, truth);
            assert!(held >= 0.94, "{people} people, mean {truth}, {loss} at {nodes} nodes: {held}");
            assert!(estimates.iter().all(|e| e.low >= 10.0 && e.high <= 30.0), "an interval outside the bounds");
            let sharp = people < 10_000 || held <= 0.97;
            assert!(sharp, "{people} people, mean {truth}, {loss} at {nodes} nodes: {held}, wider than the noise");
        }
    }
}

/// Noise has a standard deviation of 11 (Gaussian) or 24 (Laplace) people. Half of the people lie at the mean plus, half at the mean
/// minus one standard deviation.
#[test]
fn variances_are_covered_however_few_people() {
    let variance = json!({"name": "o", "kind": "variance", "lower": 10, "upper": 30});
    for (loss, nodes) in [("rho=0.01", 1), ("rho=0.01", 3), ("epsilon=0.1", 1)] {
        let plan = plan(&variance, 20, loss);
        let noise = merged(&plan, nodes, 40_000);
        for people in [2, 20, 60, 200, 1_000, 100_000] {
            for (mean, sd) in [(0.0, 0.0), (0.0, 0.25), (0.0, 1.0), (0.5, 0.5), (-0.75, 0.125), (1.0, 0.0)] {
                let square: f64 = mean * mean + sd * sd;
                let cells = match plan.measure() {
                    Measure::Zcdp => [1.0, mean, square - 0.5],
                    Measure::Pure => {
                        [(1.0 + square) / 4.0 - mean / 2.0, (1.0 - square) / 2.0, (1.0 + square) / 4.0 + mean / 2.0]
                    }
                };
                let sums = cells.map(|cell| people * (cell * UNIT as f64) as i128);
                let estimates = estimates(&plan, &sums, &noise);
                let truths = [20.0 + 10.0 * mean, 100.0 * sd * sd, 10.0 * sd];
                for (i, truth) in truths.into_iter().enumerate() {
                    let (held, case) = (coverage(estimates.iter().map(|e| &e[i]), truth), &estimates[0][i].label);
                    assert!(
                        held >= 0.945,
                        "{case} of {people} people at {mean} ± {sd}, {loss} at {nodes} nodes: {held}"
                    );
                }
            }
        }
    }
}

/// The exact tree for `people` people spread over bins in proportion to `weight`.
fn tree(plan: &Plan, people: u32, at: impl Fn(f64) -> f64) -> Vec<i128> {
    let subjects: Vec<Vec<f64>> = (0..people).map(|i| vec![at((f64::from(i) + 0.5) / f64::from(people))]).collect();
    cells(plan, &subjects)
}

/// The truth is the bin in which the q-th person is: an interval that has no part of it would name a wrong range.
#[test]
fn quantiles_are_covered() {
    let edges: Vec<f64> = (0..=20).map(f64::from).collect();
    let quantiles = json!({"name": "o", "kind": "quantiles", "edges": edges, "quantiles": [0.05, 0.5, 0.95]});
    let shapes: [(&str, fn(f64) -> f64); 3] = [
        ("even", |u| 20.0 * u),
        ("skewed", |u| 20.0 * u * u * u),
        ("in two bins", |u| if u < 0.5 { 3.5 } else { 17.5 }),
    ];
    for (loss, nodes) in [("rho=0.05", 1), ("rho=0.05", 3), ("epsilon=0.5", 1)] {
        let plan = plan(&quantiles, 20, loss);
        let noise = merged(&plan, nodes, 2_000);
        for (shape, at) in shapes {
            for people in [5, 50, 300, 5_000] {
                let estimates = estimates(&plan, &tree(&plan, people, at), &noise);
                for (i, q) in [0.05, 0.5, 0.95].into_iter().enumerate() {
                    // People are in order: the one at q of them.
                    let truth = at(((q * f64::from(people)).ceil() - 0.5) / f64::from(people));
                    let held = coverage(estimates.iter().map(|e| &e[i]), truth);
                    assert!(held >= 0.945, "{q} of {people} people, {shape}, {loss} at {nodes} nodes: {held}");
                }
            }
        }
    }
}

/// Survival at each interval's end, as in the textbook, from exact cells.
fn survival(truth: &[i128]) -> Vec<f64> {
    let mut left: i128 = truth.iter().sum();
    let mut surviving = 1.0;
    let intervals = truth.as_chunks::<2>().0;
    let step = |[events, censored]: &[i128; 2]| {
        surviving *= 1.0 - *events as f64 / left as f64;
        left -= events + censored;
        surviving
    };
    intervals.iter().map(step).collect()
}

/// Noise has a standard deviation of 3 people (Gaussian) or 4 (Laplace) on one cell; those at risk go from fewer than that to far more,
/// and so do those who stay.
#[test]
fn survival_is_covered() {
    let edges: Vec<f64> = (0..=6).map(f64::from).collect();
    let output = json!({"name": "o", "kind": "survival", "edges": edges});
    for (loss, nodes) in [("rho=0.05", 1), ("rho=0.05", 3), ("epsilon=0.5", 1)] {
        let plan = plan(&output, 20, loss);
        let noise = merged(&plan, nodes, 12_000);
        // Events and censorings of each interval, and those who are left.
        for (events, censored, left) in [
            (1, 1, 20),
            (0, 0, 30),
            (30, 0, 2),
            (30, 0, 15),
            (5, 5, 0),
            (4, 3, 30),
            (20, 10, 50),
            (10, 50, 0),
            (100, 40, 300),
            (3, 200, 2_000),
        ] {
            let each = |i| {
                if i == 12 {
                    left
                } else if i % 2 == 0 {
                    events
                } else {
                    censored
                }
            };
            let truth: Vec<i128> = (0..13).map(each).collect();
            let estimates = estimates(&plan, &truth.iter().map(|n| n * UNIT).collect::<Vec<_>>(), &noise);
            for (j, exact) in survival(&truth).into_iter().enumerate() {
                let held = coverage(estimates.iter().map(|e| &e[j]), exact);
                assert!(held >= 0.94, "interval {j}, {events}/{censored}/{left}, {loss} at {nodes} nodes: {held}");
                let width = estimates.iter().map(|e| e[j].high - e[j].low).sum::<f64>() / estimates.len() as f64;
                let sharp = events < 100 || nodes > 1 || width < 0.02;
                assert!(sharp, "interval {j}, {events}/{censored}/{left}, {loss}: {width} wide, wider than the noise");
            }
        }
    }
}

#[test]
fn means_over_blocks_are_covered() {
    let coordinates: Vec<Value> = (0..200).map(|i| json!({"name": i.to_string(), "lower": 10, "upper": 30})).collect();
    let output = json!({"name": "o", "kind": "block_mean", "coordinates": coordinates});
    for (loss, nodes) in [("rho=1", 1), ("rho=1", 3), ("epsilon=100", 1)] {
        let plan = plan(&output, 20, loss);
        let noise = merged(&plan, nodes, 200);
        for tenths in [0, 5, -9, 10] {
            let sum = i128::from(nodes) * 100 * UNIT * tenths / 10;
            let held = coverage(estimates(&plan, &[sum], &noise).iter().flatten(), 20.0 + tenths as f64);
            assert!((0.94..0.96).contains(&held) || tenths == 10, "mean {tenths}, {loss} at {nodes} nodes: {held}");
            assert!(held >= 0.94, "mean {tenths}, {loss} at {nodes} nodes: {held}");
        }
    }
}

/// Of the keys that are shown: one whose noise carried it over the threshold would be shown as more than it is, and one that some
/// nodes held back as less.
#[test]
fn keys_are_covered() {
    let output = json!({"name": "o", "kind": "keys", "released_max": 8_192});
    for loss in ["rho=0.05,delta=0.000001", "epsilon=0.5,delta=0.000001"] {
        let plan = plan(&output, 20, loss);
        let planned = &plan.outputs()[0];
        let spe_kernel::manifest::Kind::Keys(keys) = &planned.output.kind else { panic!("keys") };
        let DrawnOutput { mechanism, scale, noise: Fresh::Keys { mut next, threshold, .. }, .. } =
            noise(planned).unwrap()
        else {
            panic!("keys")
        };
        assert_eq!(threshold, key_threshold(planned, scale));
        let enough = threshold / UNIT;
        for people in [
            vec![1],
            vec![enough - 5],
            vec![enough - 3],
            vec![enough],
            vec![enough + 5],
            vec![enough * 4],
            vec![enough * 4, enough * 3, enough * 9],
            vec![enough * 4, 0, 1],
            vec![enough + 3, enough - 3, 2],
            vec![enough + 1, enough, enough - 1, enough],
            vec![enough - 5; 5],
            vec![enough - 2; 3],
        ] {
            let nodes = people.len() as u32;
            let noise = Noise { mechanism, scale, nodes };
            let truth = people.iter().sum::<i128>() as f64;
            let mut shown = Vec::new();
            // Each key is one trial; far below the threshold most are not shown.
            for _ in 0..6 {
                let mut released = |n: i128| {
                    let noisy = (0..5_000).map(|key| (key, n * UNIT + next().unwrap()));
                    let kept = noisy.filter(|(_, noisy)| n > 0 && *noisy >= threshold);
                    kept.flat_map(|(key, noisy)| [key, noisy]).collect::<Vec<i128>>()
                };
                let answers: Vec<Vec<i128>> = people.iter().map(|n| released(*n)).collect();
                let answers = answers.iter().map(Vec::as_slice);
                shown.extend(decode_keys(&plan, planned, keys, answers, noise, threshold).estimates);
            }
            let held = coverage(&shown, truth);
            let few = shown.len() < 1_000;
            assert!(few || held >= 0.94, "{people:?} people at threshold {enough}, {loss}: {held} of {}", shown.len());
        }
    }
}
