//! Sums are exact: integers, the same in any order, any partition and on any number of threads.

use std::thread;

use dashu::rational::RBig;
use proptest::prelude::*;
use serde_json::json;
use spe_kernel::{disclosure::Confidential, plan::Plan, record::Contribution, statistic::moments, units::to_grid};
use spe_release::Accumulator;

use crate::plans::{NASTY, Sparse, cells, every_kind, minus, plan, plan_of, sparse, sums, wide_kinds};

/// All kinds of data subjects in one plan.
fn all_kinds(loss: &str) -> Plan {
    let kinds = every_kind((-3.7, 2.2)).into_iter().chain(wide_kinds());
    let named = |(i, mut output): (usize, serde_json::Value)| {
        output["name"] = json!(i.to_string());
        let delta = if output["kind"] == "keys" { ",delta=0.000001" } else { "" };
        json!({"output": output, "grid_bits": 20, "loss": format!("{loss}{delta}")})
    };
    // 16 outputs at most: of the wide kinds those that differ most.
    let subject = kinds.filter(|output| output["kind"] != "block_mean").enumerate();
    let chosen = subject.filter(|(i, _)| matches!(i, 0..=10 | 13 | 15 | 19 | 21 | 22));
    plan_of(&chosen.map(named).collect::<Vec<_>>())
}

/// Numbers for [`all_kinds`], and a person's worth of them.
const NUMBERS: usize = 34;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![proptest::sample::select(NASTY.to_vec()), any::<u64>().prop_map(f64::from_bits), -5.0..5.0]
}

fn person() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(number(), NUMBERS)
}

fn people() -> impl Strategy<Value = Vec<Vec<f64>>> {
    prop::collection::vec(person(), 0..40)
}

fn part(plan: &Plan, people: &[Vec<f64>]) -> Accumulator {
    let mut part = Accumulator::new(plan);
    people.iter().for_each(|numbers| part.add(Contribution::Numbers(numbers)));
    part
}

#[test]
fn the_plan_of_these_tests_has_all_kinds() {
    let plan = all_kinds("rho=1");
    let kinds: std::collections::BTreeSet<_> = plan.outputs().iter().map(|p| p.output.kind.name()).collect();
    assert_eq!((plan.numbers(), kinds.len()), (NUMBERS, 11), "{kinds:?}");
}

proptest! {
    /// A sum that depended on order or partition would give away which thread or node held whom, and could not be checked.
    #[test]
    fn order_and_partition_do_not_matter((people, order) in people().prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())), cuts: [prop::sample::Index; 2], pure: bool) {
        let plan = all_kinds(if pure { "epsilon=1" } else { "rho=1" });
        let whole = sums(&plan, &people);
        prop_assert_eq!(&whole, &sums(&plan, &order), "another order");
        let mut cuts = cuts.map(|i| i.index(order.len() + 1));
        cuts.sort_unstable();
        let parts = || [&order[..cuts[0]], &order[cuts[0]..cuts[1]], &order[cuts[1]..]].map(|people| part(&plan, people));
        let [a, b, c] = parts();
        prop_assert_eq!(&whole, &sparse(a.merge(b).merge(c).finish()), "another partition");
        let [a, b, c] = parts();
        prop_assert_eq!(&whole, &sparse(c.merge(a.merge(b)).finish()), "another order of merging");
        let [a, b, c] = parts();
        let nobody = || Accumulator::new(&plan);
        prop_assert_eq!(&whole, &sparse(nobody().merge(b).merge(nobody()).merge(a).merge(c).finish()), "with empty parts");
    }

    /// A data subject that changed more than its own share, or another's, would not be covered by the sensitivity.
    #[test]
    fn one_subject_changes_the_sums_by_its_share(people in people(), one in person(), pure: bool) {
        let plan = all_kinds(if pure { "epsilon=1" } else { "rho=1" });
        let (with, without) = (sums(&plan, people.iter().chain([&one])), sums(&plan, &people));
        let apart: Vec<Sparse> = with.iter().zip(&without).map(|(with, without)| minus(with, without)).collect();
        prop_assert_eq!(apart, sums(&plan, [&one]));
    }

    /// Against arithmetic in rationals: rounding to another grid point than the nearest would be a wrong statistic, and to one
    /// beyond it a larger sensitivity.
    #[test]
    fn numbers_go_to_the_nearest_grid_point(y in -1e9..1e9_f64, small in -1.0..1.0_f64, bits in 0_u8..=22) {
        for y in [y, small, y.trunc() + 0.5, (y * 1e-6).trunc() * 1e-6] {
            let (on_grid, exact) = (RBig::from(to_grid(y, bits)), RBig::try_from(y).unwrap() * RBig::from(1_u64 << bits));
            let off = (on_grid - exact) * RBig::from(2);
            prop_assert!(off <= RBig::ONE && off >= -RBig::ONE, "{y} became {} on grid {bits}", to_grid(y, bits));
            prop_assert_eq!(to_grid(-y, bits), -to_grid(y, bits), "{} is rounded to one side", y);
        }
    }

    /// Against arithmetic in rationals: an answer off by more than one grid unit would be a wrong statistic.
    #[test]
    fn shares_are_what_the_declaration_says(y in number().prop_filter("finite", |y| y.is_finite()), code in 0_u8..4, pure: bool) {
        let (lower, upper, one) = (-3.7, 2.2, RBig::from(1_u32 << 20));
        let share = |kind: usize, numbers: &[f64]| {
            let plan = plan(&every_kind((lower, upper))[kind], 20, if pure { "epsilon=1" } else { "rho=1" });
            let cells: Vec<f64> = cells(&plan, [&numbers.to_vec()]).into_iter().map(|cell| cell as f64).collect();
            moments(&plan.outputs()[0], &cells)
        };
        let exact = |x: f64| RBig::try_from(x).unwrap();
        let clamped = exact(y.clamp(lower, upper));
        let normal = (&clamped - exact(lower)) * RBig::from(2) / (exact(upper) - exact(lower)) - RBig::ONE;
        let within = |sum: f64, x: &RBig, most: &RBig| {
            let off = exact(sum) - x * &one;
            off <= *most && off >= -most
        };
        let near = |sum: f64, x: &RBig| within(sum, x, &RBig::ONE);
        let unit = f64::from(1 << 20);
        prop_assert_eq!(share(0, &[y]), [if y == 0.0 { 0.0 } else { unit }]);
        prop_assert!(near(share(1, &[y])[0], &clamped), "sum of {} is {:?}", y, share(1, &[y]));
        let mean = share(2, &[y]);
        prop_assert!(mean[0] == unit && near(mean[1], &normal), "mean of {} is {:?}", y, mean);
        let cell = usize::from(code).min(2);
        let expected: Vec<f64> = (0..3).map(|i| if i == cell { unit } else { 0.0 }).collect();
        prop_assert_eq!(share(3, &[f64::from(code)]), expected);
        let grouped = share(4, &[f64::from(code), y]);
        prop_assert!(grouped[2 * cell] == unit && near(grouped[2 * cell + 1], &normal), "{:?}", grouped);
        prop_assert_eq!(grouped.iter().filter(|x| **x != 0.0).count(), 1 + usize::from(grouped[2 * cell + 1] != 0.0));
        let variance = share(5, &[y]);
        let square = &normal * &normal - RBig::ONE / RBig::from(2);
        // What the two outer shares are off by counts twice.
        let squares_off = RBig::from(if pure { 2 } else { 1 });
        prop_assert!(variance[0] == unit && near(variance[1], &normal) && within(variance[2], &square, &squares_off), "{:?}", variance);
        let block = share(11, &[y, 0.25]);
        prop_assert!(near(block[0], &normal) && block[1] == unit / 4.0, "{:?}", block);
    }

    /// A vector inside its norm is left alone; one outside keeps its direction.
    #[test]
    fn vectors_keep_their_direction(v: [f32; 4], stretch in 0.0..1e12_f64, pure: bool) {
        let output = json!({"name": "o", "kind": "vector_sum", "labels": 4, "norm": 1.5});
        let plan = plan(&output, 20, if pure { "epsilon=1" } else { "rho=1" });
        let finite = v.map(|x| if x.is_finite() { f64::from(x) } else { 0.0 });
        let largest = finite.iter().fold(1e-30_f64, |m, x| m.max(x.abs()));
        let v = finite.map(|x| x / largest * stretch);
        let norm = if pure { v.iter().map(|x| x.abs()).sum() } else { v.iter().map(|x| x * x).sum::<f64>().sqrt() };
        let shrunk = (1.5 / norm).min(1.0);
        for (got, x) in cells(&plan, [&v.to_vec()]).into_iter().zip(v) {
            let expected = x * shrunk * f64::from(1 << 20);
            prop_assert!((got as f64 - expected).abs() <= 4.0, "{v:?}: {got} for {expected}");
        }
    }
}

/// Beside an infinite coordinate finite ones are nothing, and two share the norm: anything else would be another direction.
#[test]
fn infinite_coordinates_share_the_norm() {
    let output = json!({"name": "o", "kind": "vector_sum", "labels": 3, "norm": 1.5});
    let share = |v: [f64; 3]| cells(&plan(&output, 1, "epsilon=1"), [&v.to_vec()]);
    assert_eq!(share([f64::INFINITY, 1e9, 0.0]), [3, 0, 0]);
    assert_eq!(share([f64::INFINITY, 1e9, f64::NEG_INFINITY]), [1, 0, -1]);
}

/// Threads finish in any order and take what they get: bits that depended on it would tell of the machine's load, and two runs of one
/// question would differ.
#[test]
fn threads_do_not_matter() {
    for loss in ["rho=1", "epsilon=1"] {
        let plan = all_kinds(loss);
        let person = |i: usize| -> Vec<f64> {
            (0..NUMBERS)
                .map(
                    |j| if (i + j).is_multiple_of(11) { NASTY[(i * 7 + j) % 26] } else { ((i * j) % 97) as f64 / 13.0 },
                )
                .collect()
        };
        let people: Vec<Vec<f64>> = (0..3_000).map(person).collect();
        let whole = sums(&plan, &people);
        for threads in [2, 3, 8, 31] {
            let shares: Vec<&[Vec<f64>]> = people.chunks(people.len().div_ceil(threads)).collect();
            let merged = thread::scope(|scope| {
                let running: Vec<_> = shares.iter().map(|share| scope.spawn(|| part(&plan, share))).collect();
                running.into_iter().rev().map(|t| t.join().unwrap()).reduce(Accumulator::merge).unwrap()
            });
            assert_eq!(sparse(merged.finish()), whole, "on {threads} threads");
        }
    }
}

#[test]
fn nobody_is_zero() {
    let plan = all_kinds("rho=1");
    let sums = Accumulator::new(&plan).finish();
    assert_eq!(sums.len(), plan.outputs().len());
    assert!(sparse(sums).iter().all(Sparse::is_empty));
}

/// Rounding towards zero, and `other` for all that is no category. Anything else is another histogram than the researcher's.
#[test]
fn codes_follow_the_abi() {
    let histogram = plan(&every_kind((0.0, 1.0))[3], 0, "rho=1");
    let cell = |code: f64| cells(&histogram, [&vec![code]]).iter().position(|x| *x == 1);
    for (code, expected) in [
        (0.0, 0),
        (-0.0, 0),
        (-0.999, 0),
        (0.999, 0),
        (1.0, 1),
        (1.999, 1),
        (2.0, 2),
        (3.0, 2),
        (-1.0, 2),
        (f64::INFINITY, 2),
        (f64::NEG_INFINITY, 2),
        (f64::MAX, 2),
        (f64::MIN, 2),
        (5e-324, 0),
        (1.8e19, 2),
    ] {
        assert_eq!(cell(code), Some(expected), "code {code}");
    }
    assert_eq!(cell(f64::NAN), None, "NaN is nothing to contribute");
}

/// Where several groups of one person are added up: each once, at most as many as declared, the others as if not written.
#[test]
fn groups_of_one_person_count_once_each() {
    let [histogram, grouped] = [json!("histogram"), json!("grouped_mean")].map(|kind| {
        let mut output = json!({"name": "o", "kind": kind, "categories": ["a", "b", "c"], "per_subject": 2});
        if kind == "grouped_mean" {
            (output["lower"], output["upper"]) = (json!(-1), json!(1));
        }
        plan(&output, 0, "rho=1")
    });
    let counts = |numbers: [f64; 2]| cells(&histogram, [&numbers.to_vec()]);
    assert_eq!(counts([0.0, 2.0]), [1, 0, 1, 0]);
    assert_eq!(counts([1.0, 1.5]), [0, 1, 0, 0], "one person would be two people of a group");
    assert_eq!(counts([f64::NAN, 7.0]), [0, 0, 0, 1]);
    assert_eq!(counts([f64::NAN; 2]), [0, 0, 0, 0]);
    let means = |numbers: [f64; 4]| cells(&grouped, [&numbers.to_vec()]);
    assert_eq!(means([0.0, 1.0, 1.0, -1.0]), [0, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(means([0.0, 1.0, 0.0, -1.0]), [0, 1, 0, 0, 0, 0, 0, 0], "a group's first number counts");
    assert_eq!(means([0.0, f64::NAN, 0.0, -1.0]), [1, 0, 0, 0, 0, 0, 0, 0]);
}

/// One leaf and all nodes above it, from the root; numbers beyond the edges count in the first and last bin.
#[test]
fn quantiles_follow_the_abi() {
    let output = json!({"name": "o", "kind": "quantiles", "edges": [0, 1, 2, 3], "quantiles": [0.5]});
    let plan = plan(&output, 0, "rho=1");
    let path = |y: f64| {
        cells(&plan, [&vec![y]]).iter().enumerate().filter(|(_, n)| **n == 1).map(|(i, _)| i + 1).collect::<Vec<_>>()
    };
    for (y, nodes) in [(0.0, [1, 2, 4]), (0.99, [1, 2, 4]), (1.0, [1, 2, 5]), (2.0, [1, 3, 6]), (3.0, [1, 3, 6])] {
        assert_eq!(path(y), nodes, "{y}");
    }
    assert_eq!(path(f64::NEG_INFINITY), [1, 2, 4]);
    assert_eq!(path(1e300), [1, 3, 6]);
    assert!(path(f64::NAN).is_empty());
}

/// Events before censorings of each interval, then those who outlast the edges.
#[test]
fn survival_follows_the_abi() {
    let output = json!({"name": "o", "kind": "survival", "edges": [0, 1, 2]});
    let plan = plan(&output, 0, "rho=1");
    let cell = |time: f64, event: f64| cells(&plan, [&vec![time, event]]).iter().position(|n| *n == 1);
    for (time, event, expected) in [
        (0.0, 1.0, 0),
        (0.5, 0.0, 1),
        (1.0, -2.0, 2),
        (1.9, -0.0, 3),
        (2.0, 1.0, 4),
        (2.0, 0.0, 4),
        (f64::INFINITY, 1.0, 4),
        (-3.0, 1.0, 0),
        (f64::NEG_INFINITY, 0.0, 1),
    ] {
        assert_eq!(cell(time, event), Some(expected), "time {time}, event {event}");
    }
    assert_eq!([cell(f64::NAN, 1.0), cell(0.5, f64::NAN)], [None, None]);
}

/// Trap, NaN and a wrong number of numbers cannot be told apart; were the default not clamped, it would be a leak of size.
#[test]
fn failure_is_the_default() {
    let mut output = every_kind((-1.0, 1.0))[4].clone();
    for (default, expected) in [
        (json!(null), [0, 0, 0, 0, 0, 0]),
        (json!([1.0, 9.0]), [0, 0, 0, 16, 0, 0]),
        (json!([-7.0, -0.5]), [0, 0, 0, 0, 12, 4]),
    ] {
        output["default"] = default;
        let plan = plan(&output, 4, "epsilon=1");
        let failures: [&[f64]; 6] = [&[], &[f64::NAN, 0.0], &[0.0, f64::NAN], &[f64::NAN; 2], &[0.0; 1], &[0.0; 3]];
        for numbers in failures {
            assert_eq!(cells(&plan, [&numbers.to_vec()]), expected, "{numbers:?}");
        }
        let mut failed = Accumulator::new(&plan);
        failed.add(Contribution::Failed);
        let sparse = sparse(failed.finish()).remove(0);
        assert_eq!(sparse, sums(&plan, [&vec![f64::NAN; 2]])[0], "a trap can be told from a NaN");
    }
}

/// The default of every kind is held to what any contribution is.
#[test]
fn a_default_is_clipped() {
    for (kind, default, expected) in [
        (1, json!([1e9]), Sparse::from([(0, 16)])),
        (2, json!([-1e9]), Sparse::from([(0, 16)])),
        (5, json!([-1e9]), Sparse::from([(0, 16), (1, -16), (2, 8)])),
        (9, json!([1e9, 0.0]), Sparse::from([(0, 32)])),
        (9, json!([1e9, 1e9]), Sparse::from([(0, 22), (1, 22)])),
        (10, json!([7.0]), Sparse::from([(7, 16)])),
        (10, json!([7.5]), Sparse::new()),
        (11, json!([-1e9, 0.5]), Sparse::from([(0, -16), (1, 8)])),
    ] {
        let mut output = every_kind((-1.0, 1.0))[kind].clone();
        output["default"] = default.clone();
        let plan = plan(&output, 4, "rho=1");
        let mut failed = Accumulator::new(&plan);
        failed.add(Contribution::Failed);
        assert_eq!(sparse(failed.finish()), [expected], "{output}");
    }
}

/// Sums under one plan must never be noised as another's: the noise could be too small for them.
#[test]
fn two_plans_do_not_merge() {
    let (small, large) = (all_kinds("rho=2"), all_kinds("rho=1"));
    let merged = Accumulator::new(&small).merge(Accumulator::new(&large));
    assert!(merged.finish().is_empty(), "noise of either plan would be added to this");
}

/// A panic would tell of a value, and stop a node. The corridor keeps the accumulator inside `Confidential`.
#[test]
fn huge_numbers_do_not_panic() {
    for output in every_kind((-1e9, 1e9)).iter().chain(&wide_kinds()) {
        let plan = plan(output, 22, "rho=1");
        let mut inside = Confidential::seal(Accumulator::new(&plan));
        for huge in [f64::MAX, f64::INFINITY, f64::MIN, 1e9, 9_007_199_254_740_991.0] {
            let numbers = vec![huge; plan.numbers()];
            inside = inside.map(|mut sums| {
                (0..100).for_each(|_| sums.add(Contribution::Numbers(&numbers)));
                sums
            });
        }
        inside.map(|sums| drop(sums.finish()));
    }
    let plan = plan(&every_kind((-1e9, 1e9))[1], 22, "rho=1");
    let people = vec![vec![f64::MAX]; 300];
    assert_eq!(cells(&plan, &people), [300 * (1_000_000_000_i128 << 22)], "a sum that overflows would be a wrong one");
}
