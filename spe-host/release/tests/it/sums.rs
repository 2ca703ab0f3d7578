//! Sums are exact: integers, the same in any order and any partition.

use dashu::rational::RBig;
use proptest::prelude::*;
use serde_json::json;
use spe_kernel::{disclosure::Confidential, plan::Plan, record::Contribution};
use spe_release::Accumulator;

use crate::plans::{NASTY, every_kind, plan, plan_of, sums};

/// All kinds in one plan; 6 numbers and 12 cells.
fn all_kinds(loss: &str) -> Plan {
    let named = |(i, mut output): (usize, serde_json::Value)| {
        output["name"] = json!(i.to_string());
        json!({"output": output, "grid_bits": 20, "loss": loss})
    };
    plan_of(&every_kind((-3.7, 2.2)).into_iter().enumerate().map(named).collect::<Vec<_>>())
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![proptest::sample::select(NASTY.to_vec()), any::<u64>().prop_map(f64::from_bits), -5.0..5.0]
}

fn people() -> impl Strategy<Value = Vec<Vec<f64>>> {
    prop::collection::vec(prop::collection::vec(number(), 6), 0..40)
}

fn minus(a: &[Vec<i128>], b: &[Vec<i128>]) -> Vec<Vec<i128>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect()
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
        let part = |people: &[Vec<f64>]| {
            let mut part = Accumulator::new(&plan);
            people.iter().for_each(|p| part.add(Contribution::Numbers(p)));
            part
        };
        let parts = || [part(&order[..cuts[0]]), part(&order[cuts[0]..cuts[1]]), part(&order[cuts[1]..])];
        let [a, b, c] = parts();
        prop_assert_eq!(&whole, &a.merge(b).merge(c).finish(), "another partition");
        let [a, b, c] = parts();
        prop_assert_eq!(&whole, &c.merge(a.merge(b)).finish(), "another order of merging");
    }

    /// A data subject that changed more than its own share, or another's, would not be covered by the sensitivity.
    #[test]
    fn one_subject_changes_the_sums_by_its_share(people in people(), one in prop::collection::vec(number(), 6), pure: bool) {
        let plan = all_kinds(if pure { "epsilon=1" } else { "rho=1" });
        let (with, without) = (sums(&plan, people.iter().chain([&one])), sums(&plan, &people));
        prop_assert_eq!(minus(&with, &without), sums(&plan, [&one]));
    }

    /// Against arithmetic in rationals: an answer off by more than one grid unit would be a wrong statistic.
    #[test]
    fn shares_are_what_the_declaration_says(y in number().prop_filter("finite", |y| y.is_finite()), code in 0_u8..4, pure: bool) {
        let (lower, upper, one) = (-3.7, 2.2, RBig::from(1_u32 << 20));
        let given = [y, y, y, f64::from(code), f64::from(code), y].to_vec();
        let shares = sums(&all_kinds(if pure { "epsilon=1" } else { "rho=1" }), [&given]);
        let exact = |x: f64| RBig::try_from(x).unwrap();
        let clamped = exact(y.clamp(lower, upper));
        let normal = (&clamped - exact(lower)) * RBig::from(2) / (exact(upper) - exact(lower)) - RBig::ONE;
        let near = |cell: i128, x: &RBig| {
            let off = RBig::from(cell) - x * &one;
            off <= RBig::ONE && off >= -RBig::ONE
        };
        let unit = 1_i128 << 20;
        prop_assert_eq!(shares[0][0], if y == 0.0 { 0 } else { unit });
        prop_assert!(near(shares[1][0], &clamped), "sum of {} is {}", y, shares[1][0]);
        prop_assert!(shares[2][0] == unit && near(shares[2][1], &normal), "mean of {} is {:?}", y, shares[2]);
        let cell = usize::from(code).min(2);
        let expected: Vec<i128> = (0..3).map(|i| if i == cell { unit } else { 0 }).collect();
        prop_assert_eq!(&shares[3], &expected);
        prop_assert!(shares[4][2 * cell] == unit && near(shares[4][2 * cell + 1], &normal), "{:?}", shares[4]);
        prop_assert_eq!(shares[4].iter().filter(|x| **x != 0).count(), 1 + usize::from(shares[4][2 * cell + 1] != 0));
    }
}

#[test]
fn nobody_is_zero() {
    let zeros: Vec<Vec<i128>> = [1, 1, 2, 3, 6].map(|cells| vec![0; cells]).to_vec();
    assert_eq!(Accumulator::new(&all_kinds("rho=1")).finish(), zeros);
}

/// Rounding towards zero, and `other` for all that is no category. Anything else is another histogram than the researcher's.
#[test]
fn codes_follow_the_abi() {
    let histogram = plan(&every_kind((0.0, 1.0))[3], 0, "rho=1");
    let cell = |code: f64| sums(&histogram, [&vec![code]])[0].iter().position(|x| *x == 1);
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

/// Trap, NaN and a wrong number of numbers cannot be told apart; were the default not clamped, it would be a leak of size.
#[test]
fn failure_is_the_default() {
    let mut output = every_kind((-1.0, 1.0))[4].clone();
    for (default, expected) in [
        (json!(null), [0, 0, 0, 0, 0, 0]),
        (json!([1.0, 9.0]), [0, 0, 16, 16, 0, 0]),
        (json!([-7.0, -0.5]), [0, 0, 0, 0, 16, -8]),
    ] {
        output["default"] = default;
        let plan = plan(&output, 4, "epsilon=1");
        let failures: [&[f64]; 6] = [&[], &[f64::NAN, 0.0], &[0.0, f64::NAN], &[f64::NAN; 2], &[0.0; 1], &[0.0; 3]];
        for numbers in failures {
            assert_eq!(sums(&plan, [&numbers.to_vec()]), vec![expected.to_vec()], "{numbers:?}");
        }
        let mut failed = Accumulator::new(&plan);
        failed.add(Contribution::Failed);
        assert_eq!(failed.finish(), vec![expected.to_vec()]);
    }
}

/// Sums under one plan must never be noised as another's: the noise could be too small for them.
#[test]
fn two_plans_do_not_merge() {
    let (small, large) = (all_kinds("rho=2"), all_kinds("rho=1"));
    let merged = Accumulator::new(&small).merge(Accumulator::new(&large));
    assert_eq!(merged.finish(), Vec::<Vec<i128>>::new(), "noise of either plan would be added to this");
}

/// A panic would tell of a value, and stop a node. The corridor keeps the accumulator inside `Confidential`.
#[test]
fn huge_numbers_do_not_panic() {
    let plan = plan(&every_kind((-1e9, 1e9))[1], 22, "rho=1");
    let mut inside = Confidential::seal(Accumulator::new(&plan));
    for _ in 0..100 {
        inside = inside.map(|mut sums| {
            [f64::MAX, f64::INFINITY, 1e9].iter().for_each(|x| sums.add(Contribution::Numbers(&[*x])));
            sums
        });
    }
    inside.map(|sums| assert_eq!(sums.finish(), vec![vec![300 * (1_000_000_000_i128 << 22)]]));
}
