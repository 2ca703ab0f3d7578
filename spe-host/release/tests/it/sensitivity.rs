//! What one data subject can change, by brute force.

use proptest::prelude::*;
use spe_kernel::{
    plan::{Plan, Planned},
    units::Measure,
};
use spe_release::clip::clip;

use crate::plans::{NASTY, every_kind, plan, sums};

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

/// Norm of `v` compared with `limit`, in integers: the sum of squares with the square, or the sum with the limit.
fn measured(v: &[i128], measure: Measure) -> (u128, fn(u64) -> u128) {
    match measure {
        Measure::Zcdp => (v.iter().map(|x| x.unsigned_abs().pow(2)).sum(), |c| u128::from(c).pow(2)),
        Measure::Pure => (v.iter().map(|x| x.unsigned_abs()).sum(), u128::from),
    }
}

fn guests(numbers: usize) -> Vec<Vec<f64>> {
    let one = NASTY.map(|x| vec![x]).to_vec();
    let pairs = || NASTY.iter().flat_map(|a| NASTY.map(|b| vec![*a, b]));
    if numbers == 1 { one } else { pairs().collect() }
}

/// The largest norm of a contribution, as [`measured`] has it.
fn largest(plan: &Plan, planned: &Planned) -> u128 {
    let (measure, c) = (planned.loss.measure(), planned.sensitivity());
    let norm = |numbers: &Vec<f64>| {
        let contribution = sums(plan, [numbers]).concat();
        let (norm, of) = measured(&contribution, measure);
        assert!(
            norm <= of(c),
            "{numbers:?} to {planned:?} gave {contribution:?}: it moves the sums further than the noise hides"
        );
        norm
    };
    guests(plan.numbers()).iter().map(norm).max().expect("guests")
}

/// Any contribution outside the sensitivity would be a leak; a largest contribution far inside it would be noise for nothing.
#[test]
fn no_contribution_exceeds_the_sensitivity() {
    for (bounds, bits, loss) in BOUNDS
        .iter()
        .flat_map(|b| [0, 1, 10, 20, 22].map(|q| (b, q)))
        .flat_map(|(b, q)| ["rho=0.5", "epsilon=1"].map(|loss| (*b, q, loss)))
    {
        for output in every_kind(bounds) {
            let plan = plan(&output, bits, loss);
            let planned = &plan.outputs()[0];
            let (largest, c) = (largest(&plan, planned), planned.sensitivity());
            let (_, of) = measured(&[], planned.loss.measure());
            let unit_alone = c == 1; // Bounds finer than the grid: 1 is the least that a sensitivity may be.
            assert!(largest >= of(c - 1) || unit_alone, "{planned:?} never reaches its sensitivity {c}: {largest}");
        }
    }
}

/// On every dataset of up to three data subjects: the sums with and without any of them. A contribution that depended on
/// others, or a data subject that was counted twice, would show here and not above.
#[test]
fn neighbours_are_within_the_sensitivity() {
    let few = [f64::NAN, f64::INFINITY, -0.0, 0.7, -5.0];
    for (output, loss) in every_kind((-3.7, 2.2)).iter().flat_map(|o| ["rho=0.5", "epsilon=1"].map(|l| (o, l))) {
        let plan = plan(output, 4, loss);
        let planned = &plan.outputs()[0];
        let people: Vec<Vec<f64>> = if plan.numbers() == 1 {
            few.map(|x| vec![x]).to_vec()
        } else {
            few.iter().flat_map(|a| few.map(|b| vec![*a, b])).collect()
        };
        for (a, b, c) in people
            .iter()
            .flat_map(|a| people.iter().map(move |b| (a, b)))
            .flat_map(|(a, b)| people.iter().map(move |c| (a, b, c)))
        {
            let with = sums(&plan, [a, b, c]).concat();
            for without in [[b, c], [a, c], [a, b]] {
                let apart: Vec<i128> = with.iter().zip(sums(&plan, without).concat()).map(|(x, y)| x - y).collect();
                let (norm, of) = measured(&apart, planned.loss.measure());
                assert!(norm <= of(planned.sensitivity()), "{a:?} {b:?} {c:?} against {without:?}: {apart:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// The law itself, for integers that no kind ever makes: outside the bound would be a leak, a change of what is already
    /// inside or a loss of more than the rounding would be wrong statistics.
    #[test]
    fn clip_bounds_any_integers(a: i64, b: i64, shift in 0_u32..64, c in 1_u64..(1 << 54), pure: bool) {
        let measure = if pure { Measure::Pure } else { Measure::Zcdp };
        let before = [a >> shift, b >> (shift / 2)];
        let after = clip(before, c, measure);
        let wide = |v: [i64; 2]| v.map(i128::from);
        let ((old, of), (new, _)) = (measured(&wide(before), measure), measured(&wide(after), measure));
        prop_assert!(new <= of(c), "{before:?} became {after:?}, outside {c}");
        if old <= of(c) {
            prop_assert_eq!(before, after, "within {} already", c);
        } else {
            // One unit is lost to each rounding; relative to norms below C² the divisor's own rounding costs another.
            let slack = 4 + u64::try_from(u128::from(c) * u128::from(c) / old.max(1)).unwrap_or(c);
            prop_assert!(new >= of(c.saturating_sub(slack)), "{before:?} became {after:?}, far inside {c}");
        }
    }
}
