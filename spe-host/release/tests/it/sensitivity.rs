//! What one data subject can change, by brute force.

use proptest::prelude::*;
use serde_json::Value;
use spe_kernel::{
    manifest::Kind,
    plan::{Plan, Planned},
    record::Contribution,
    units::Measure,
};
use spe_release::{
    Accumulator,
    clip::{Entry, clip},
};

use crate::plans::{NASTY, Sparse, cells, every_kind, minus, plan, sparse, sums, wide_kinds};

/// Bounds that are ordinary, lopsided, finer than the grid, closer than `f64` can halve, and as wide as allowed.
const BOUNDS: [(f64, f64); 10] = [
    (-1.0, 1.0),
    (0.0, 1.0),
    (0.1, 0.3),
    (-3.7, 2.2),
    (1.0, 1.0 + f64::EPSILON),
    (0.0, 5e-324),
    (-1e9, 1e9),
    (999_999_999.5, 1e9),
    (-1e9, -5e-324),
    (1e-7, 2e-7),
];
const GRIDS: [u8; 5] = [0, 1, 10, 20, 22];
const LOSSES: [&str; 2] = ["rho=0.5", "epsilon=1"];

/// Norm of `v` compared with `limit`, in integers: the sum of squares with the square, or the sum with the limit.
fn measured<'a>(v: impl IntoIterator<Item = &'a i128>, measure: Measure) -> (u128, fn(u64) -> u128) {
    let magnitudes = v.into_iter().map(|x| x.unsigned_abs());
    match measure {
        Measure::Zcdp => (magnitudes.map(|x| x * x).sum(), |c| u128::from(c).pow(2)),
        Measure::Pure => (magnitudes.sum(), u128::from),
    }
}

/// All tuples of so many numbers; the longer, the fewer to choose from.
fn guests(numbers: usize) -> Vec<Vec<f64>> {
    let choice: &[f64] = match numbers {
        0..=2 => &NASTY,
        3 | 4 => &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.7, -5.0, 1.0, 2.0, 3.0],
        _ => &[f64::NAN, f64::INFINITY, 0.0, 0.7, 1.0],
    };
    let longer = |tuples: Vec<Vec<f64>>, _| {
        let with = |tuple: &Vec<f64>| choice.iter().map(|x| [&tuple[..], &[*x]].concat()).collect::<Vec<_>>();
        tuples.iter().flat_map(with).collect()
    };
    (0..numbers).fold(vec![vec![]], longer)
}

/// The largest norm of a contribution, as [`measured`] has it.
fn largest(plan: &Plan, planned: &Planned) -> u128 {
    let (measure, c) = (planned.loss.measure(), planned.norm_max());
    let norm = |numbers: &Vec<f64>| {
        let contribution = &sums(plan, [numbers])[0];
        let (norm, of) = measured(contribution.values(), measure);
        assert!(
            norm <= of(c),
            "{numbers:?} to {planned:?} gave {contribution:?}: it moves the sums further than the noise hides"
        );
        norm
    };
    guests(plan.numbers()).iter().map(norm).max().expect("guests")
}

/// Where a sensitivity above the largest contribution has a reason.
fn is_explained(planned: &Planned) -> bool {
    match planned.output.kind {
        // Finer than the grid: 1 is the least that a sensitivity may be.
        Kind::Sum(_) | Kind::VectorSum { .. } => planned.norm_max() == 1,
        // On the grid of whole units y² − ½ is 0 and counted as a half.
        Kind::Variance(_) => planned.grid_bits == 0 && planned.loss.measure() == Measure::Zcdp,
        _ => false,
    }
}

fn check_largest(output: &Value, bits: u8, loss: &str) {
    let plan = plan(output, bits, loss);
    let planned = &plan.outputs()[0];
    let (largest, c) = (largest(&plan, planned), planned.norm_max());
    let (_, of) = measured([], planned.loss.measure());
    // A vector on the grid comes as close to its norm as its coordinates' roundings let it.
    let near = if matches!(planned.output.kind, Kind::VectorSum { .. }) { 3 } else { 1 };
    let reached = largest >= of(c.saturating_sub(near));
    assert!(reached || is_explained(planned), "{planned:?} never reaches its bound {c}: {largest}");
}

/// Any contribution outside the sensitivity would be a leak; a largest contribution far inside it would be noise for nothing.
#[test]
fn no_contribution_exceeds_the_sensitivity() {
    for (bits, loss) in GRIDS.iter().flat_map(|bits| LOSSES.map(|loss| (*bits, loss))) {
        for output in BOUNDS.iter().flat_map(|bounds| every_kind(*bounds)).chain(wide_kinds()) {
            check_largest(&output, bits, loss);
        }
    }
}

/// A share below 0, or shares that add up to more or less than a person, would be a larger L1 norm or another number of people.
#[test]
fn shares_add_up_to_one_person() {
    for (bounds, bits) in BOUNDS.iter().flat_map(|bounds| GRIDS.map(|bits| (*bounds, bits))) {
        for (kind, loss) in [(2, "rho=0.5"), (2, "epsilon=1"), (5, "epsilon=1")] {
            let plan = plan(&every_kind(bounds)[kind], bits, loss);
            // Between the bounds as well, where every share is between two grid points.
            let (lower, width) = (bounds.0, bounds.1 - bounds.0);
            let between = (0..1_000).map(|i| lower + width * f64::from(i) / 999.0);
            for y in NASTY.into_iter().chain(between).filter(|y| !y.is_nan()) {
                let shares = cells(&plan, [&vec![y]]);
                let whole = shares.iter().sum::<i128>() == 1 << bits && shares.iter().all(|share| *share >= 0);
                assert!(whole, "{y} in {bounds:?} on grid {bits} gave {shares:?}: not one person");
            }
        }
    }
}

/// The sensitivity is that of adding a person, but for blocks, whose vector is there in any case and changes.
#[test]
fn only_a_block_changes_by_more_than_it_adds() {
    for output in every_kind((-3.7, 2.2)).iter().chain(&wide_kinds()) {
        for loss in LOSSES {
            let plan = plan(output, 20, loss);
            let planned = &plan.outputs()[0];
            let times = if output["kind"] == "block_mean" { 2 } else { 1 };
            assert_eq!(planned.sensitivity(), times * planned.norm_max(), "{output}");
        }
    }
}

/// A few people whose numbers are as different as can be.
fn people(numbers: usize) -> Vec<Vec<f64>> {
    let few = [f64::NAN, f64::INFINITY, -0.0, 0.7, -5.0];
    let person = |i: usize| (0..numbers).map(|j| few[(i / 5_usize.pow(j.min(1) as u32) + j / 2) % 5]).collect();
    (0..if numbers == 1 { 5 } else { 25 }).map(person).collect()
}

/// On every dataset of up to three data subjects: the sums with and without any of them. A contribution that depended on
/// others, or a data subject that was counted twice, would show here and not above.
#[test]
fn neighbours_are_within_the_sensitivity() {
    let kinds = || every_kind((-3.7, 2.2)).into_iter().chain(wide_kinds());
    for (output, loss) in kinds().flat_map(|o| LOSSES.map(|l| (o.clone(), l))) {
        let plan = plan(&output, 4, loss);
        let planned = &plan.outputs()[0];
        let people = people(plan.numbers());
        let near = |with: &[Sparse], without: &[Sparse]| {
            let (norm, of) = measured(minus(&with[0], &without[0]).values(), planned.loss.measure());
            norm <= of(planned.sensitivity())
        };
        for (i, a) in people.iter().enumerate() {
            for (j, b) in people.iter().enumerate().skip(i) {
                let pair = sums(&plan, [a, b]);
                assert!(near(&pair, &sums(&plan, [a])) && near(&pair, &sums(&plan, [b])), "{a:?} {b:?} {planned:?}");
                for c in people.iter().skip(j) {
                    let all = sums(&plan, [a, b, c]);
                    let one_less = [[a, b], [a, c], [b, c]].map(|pair| near(&all, &sums(&plan, pair)));
                    assert_eq!(one_less, [true; 3], "{a:?} {b:?} {c:?} {planned:?}");
                }
            }
        }
    }
}

/// Two units on one key, or one key more than allowed, would be a larger change than was paid for; a key beyond 2⁵³ would not come
/// back as it went in.
#[test]
fn keys_touch_few_and_by_one() {
    for (m, bits) in [(1_u32, 20), (2, 0), (3, 20), (4, 22)] {
        let output = serde_json::json!({"name": "o", "kind": "keys", "released_max": 5, "per_subject": m});
        let plan = plan(&output, bits, "rho=0.5");
        let mut most = 0;
        for numbers in guests(m as usize) {
            let touched = &sums(&plan, [&numbers])[0];
            assert!(touched.values().all(|sum| *sum == 1 << bits), "{numbers:?} gave {touched:?}: not one unit a key");
            assert!(touched.keys().all(|key| *key < 1 << 53), "{numbers:?} gave {touched:?}: not a key");
            most = most.max(touched.len());
        }
        assert_eq!(most, m as usize, "more keys than paid for, or fewer than possible");
    }
}

/// A block's vector may become any other: one data subject moves the sums across the whole ball, and not further.
#[test]
fn a_block_changes_by_no_more_than_the_diameter() {
    let blocks = |output: &&Value| output["kind"] == "block_mean";
    let defaults = [serde_json::json!(null), serde_json::json!([1e9, -1e9])];
    let mut outputs: Vec<Value> = every_kind((-3.7, 2.2)).iter().chain(&wide_kinds()).filter(blocks).cloned().collect();
    outputs.extend(defaults.map(|default| {
        let mut output = outputs[0].clone();
        output["default"] = default;
        output
    }));
    for (output, bits, loss) in
        outputs.iter().flat_map(|o| GRIDS.map(|b| (o, b))).flat_map(|(o, b)| LOSSES.map(|l| (o, b, l)))
    {
        let plan = plan(output, bits, loss);
        let planned = &plan.outputs()[0];
        let mut vectors: Vec<Sparse> =
            guests(plan.numbers()).iter().map(|block| sums(&plan, [block]).remove(0)).collect();
        let mut failed = Accumulator::new(&plan);
        failed.add(Contribution::Failed);
        vectors.extend(sparse(failed.finish()));
        vectors.sort();
        vectors.dedup();
        let apart = |a: &Sparse, b: &Sparse| measured(minus(a, b).values(), planned.loss.measure());
        let (widest, of) =
            vectors.iter().flat_map(|a| vectors.iter().map(|b| apart(a, b))).max_by_key(|(n, _)| *n).unwrap();
        let c = planned.sensitivity();
        assert!(widest <= of(c), "{planned:?}: two blocks are further apart than the noise hides");
        assert!(widest >= of(c.saturating_sub(2)), "{planned:?}: no two blocks are as far apart as {c}");
    }
}

/// Any entries: of any length, with cells named more than once, in any order, of any size.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry =
        |shift| (0_usize..12, any::<i64>()).prop_map(move |(cell, value)| Entry { cell, value: value >> shift });
    (0_u32..64).prop_flat_map(move |shift| prop::collection::vec(entry(shift), 0..40))
}

/// What entries add up to as a vector.
fn vector(entries: &[Entry]) -> Sparse {
    let mut vector = Sparse::new();
    for entry in entries {
        *vector.entry(entry.cell as u64).or_default() += i128::from(entry.value);
    }
    vector.retain(|_, value| *value != 0);
    vector
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// The law itself, for integers that no kind ever makes: outside the bound would be a leak; a change of what is already inside, a
    /// coordinate that grows or turns, or a loss of more than the rounding would be wrong statistics.
    #[test]
    fn clip_bounds_any_integers(given in entries(), shift in 0_u32..54, c: u64, pure: bool) {
        let (measure, c) = (if pure { Measure::Pure } else { Measure::Zcdp }, (c >> (10 + shift)).max(1));
        let mut clipped = given.clone();
        clip(&mut clipped, c, measure);
        let (before, after) = (vector(&given), vector(&clipped));
        let (new, of) = measured(after.values(), measure);
        prop_assert!(new <= of(c), "{given:?} became {clipped:?}, outside {c}");
        let mut cells: Vec<usize> = clipped.iter().map(|entry| entry.cell).collect();
        cells.dedup();
        prop_assert_eq!(cells.len(), clipped.len(), "a cell that is named twice has a larger norm than its entries");
        // Numbers beyond 2⁵³ are cut before anything else.
        let is_tame = |value: i128| value.abs() <= 1 << 53;
        if !given.iter().all(|entry| is_tame(entry.value.into())) || !before.values().all(|value| is_tame(*value)) {
            return Ok(());
        }
        for (cell, value) in &after {
            let was = before.get(cell).copied().unwrap_or(0);
            prop_assert!(was.signum() == value.signum() && was.abs() >= value.abs(), "{was} became {value}");
        }
        let (old, _) = measured(before.values(), measure);
        if old <= of(c) {
            prop_assert_eq!(before, after, "within {} already", c);
        } else {
            // At most one unit is lost to the rounding of each of 12 cells, and one to that of the divisor.
            prop_assert!(new >= of(c.saturating_sub(13)), "{given:?} became {clipped:?}, far inside {c}");
        }
    }
}
