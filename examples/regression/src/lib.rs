//! What goes with visits to the doctor, and with admissions to hospital?
//!
//! A regression that is fitted in rounds, by gradient descent on noisy sums of everyone's gradients. `family` chooses
//!
//! | `family` | outcome | link |
//! |---|---|---|
//! | 0, linear | mean visits per year, at most 20 | identity |
//! | 1, logistic | ever admitted to hospital | log odds |
//! | 2, Poisson | mean visits per year, at most 20 | logarithm |
//!
//! The inputs are of a person's first year, in units that make each about as long as the others: age in 30 years from
//! 30, female 1 and male -1, coinsurance in 50 points from 50, chronic disease in 10 points from 10, mental health in
//! 25 points from 75, all within [-1, 1]. The states `intercept`, `age`, … are the coefficients in these units: with
//! one more unit of age, log odds change by `age`. `last_…` are those of the last round alone, and not as good.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::fit::descent;
use spe_guest::math::{dot, exp, logistic};
use spe_guest::{
    analysis, Boolean, Category, Column, Integer, Next, Number, Output, Outputs, Param, Params, Round, Subject, Table,
    VectorSum,
};

analysis! { manifest: "../manifest.json", map: gradient, update: descend }

const YEARS: Table = MANIFEST.table("years");
const COINSURANCE: Column<Category> = YEARS.category("coins");
const AGE: Column<Number> = YEARS.number("xage");
const FEMALE: Column<Boolean> = YEARS.boolean("female");
const CHRONIC_DISEASE: Column<Number> = YEARS.number("disea");
const MENTAL_HEALTH: Column<Number> = YEARS.number("mhi");
const VISITS: Column<Integer> = YEARS.integer("mdvis");
const ADMISSIONS: Column<Integer> = YEARS.integer("totadm");

const FAMILY: Param = MANIFEST.param("family");
const RATE: Param = MANIFEST.param("rate");

const GRADIENT: Output<VectorSum> = MANIFEST.vector_sum("gradient");
/// Inputs, the intercept's 1 included.
const INPUTS: usize = GRADIENT.labels() - 1;

/// The coinsurance of each category, in percent.
const PERCENT: [f64; 5] = [0.0, 25.0, 50.0, 95.0, 100.0];
/// Visits per year count up to this.
const VISITS_MAX: f64 = 20.0;
/// The largest predictor of a Poisson mean: e³ is some 20 visits.
const LOG_VISITS_MAX: f64 = 3.0;

#[derive(Clone, Copy)]
enum Family {
    Linear,
    Logistic,
    Poisson,
}

impl Family {
    fn of(params: &Params) -> Family {
        match params.get(FAMILY) as u32 {
            0 => Family::Linear,
            1 => Family::Logistic,
            _ => Family::Poisson,
        }
    }

    fn outcome(self, subject: &Subject) -> Option<f64> {
        match self {
            Family::Linear | Family::Poisson => Some(subject.column(VISITS).mean()?.min(VISITS_MAX)),
            Family::Logistic => Some(f64::from(u8::from(subject.column(ADMISSIONS).max()? > 0.0))),
        }
    }

    /// The outcome that is expected where the predictor is `eta`.
    fn mean(self, eta: f64) -> f64 {
        match self {
            Family::Linear => eta,
            Family::Logistic => logistic(eta),
            Family::Poisson => exp(eta.min(LOG_VISITS_MAX)),
        }
    }

    /// What a gradient is divided by, so that hardly anyone's is longer than 1: the outcome's range, and the inputs'
    /// length.
    fn scale(self) -> f64 {
        match self {
            Family::Linear | Family::Poisson => 2.0 * VISITS_MAX,
            Family::Logistic => 2.0,
        }
    }

    /// A step that converges in some 20 rounds: the scale, over the loss's curvature.
    fn step(self) -> f64 {
        match self {
            Family::Linear => 28.0,
            Family::Logistic => 8.0,
            Family::Poisson => 12.0,
        }
    }
}

fn gradient(subject: &Subject, params: &Params, out: &mut Outputs) {
    let family = Family::of(params);
    let (Some(inputs), Some(outcome)) = (inputs(subject), family.outcome(subject)) else { return };
    let expected = family.mean(dot(descent::weights(params.states()), &inputs));
    descent::contribute((expected - outcome) / family.scale(), &inputs, out.vector_mut(GRADIENT));
}

fn descend(round: &Round, params: &Params, state: &mut [f64]) -> Next {
    let step = params.get(RATE) * Family::of(params).step();
    descent::descend(round.done(), step, round.sums(GRADIENT), state);
    Next::GoOn
}

/// The inputs of a person of whom nothing is missing.
fn inputs(subject: &Subject) -> Option<[f64; INPUTS]> {
    let coinsurance = PERCENT.get(subject.column(COINSURANCE).first()? as usize)?;
    Some([
        1.0,
        unit(subject.column(AGE).first()?, 30.0, 30.0),
        if subject.column(FEMALE).first()? { 1.0 } else { -1.0 },
        unit(*coinsurance, 50.0, 50.0),
        unit(subject.column(CHRONIC_DISEASE).first()?, 10.0, 10.0),
        unit(subject.column(MENTAL_HEALTH).first()?, 75.0, 25.0),
    ])
}

fn unit(number: f64, middle: f64, half_width: f64) -> f64 {
    ((number - middle) / half_width).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use spe_guest::testing::{answer, booleans, categories, integers, numbers, person, rounds, Cells, Person};

    /// A person with these inputs, each -1 or 1.
    fn years([age, female, coinsurance, disease, health]: [f64; 5], visits: i64, admissions: i64) -> [Cells; 7] {
        [
            categories([if coinsurance > 0.0 { 4 } else { 0 }]),
            numbers([30.0 + 30.0 * age]),
            booleans([female > 0.0]),
            numbers([10.0 + 10.0 * disease]),
            numbers([75.0 + 25.0 * health]),
            integers([visits]),
            integers([admissions]),
        ]
    }

    /// Forty people of each of the 32 kinds, `outcome` of whom and whose kind is a person's visits and admissions.
    fn everyone(outcome: impl Fn(f64, f64) -> i64, coefficients: [f64; INPUTS]) -> Vec<Person> {
        let kinds = (0..32).map(|kind| [0, 1, 2, 3, 4].map(|input| f64::from((kind >> input & 1) * 2 - 1)));
        let people = kinds.flat_map(|inputs| (0..40).map(move |nth| (inputs, (f64::from(nth) + 0.5) / 40.0)));
        let made = people.map(|(inputs, share)| {
            let number = outcome(coefficients[0] + dot(&coefficients[1..], &inputs), share);
            person(&[&years(inputs, number, number)])
        });
        made.collect()
    }

    /// The farthest that a coefficient is from what `everyone` was made with.
    fn error(family: f64, outcome: impl Fn(f64, f64) -> i64, coefficients: [f64; INPUTS]) -> f64 {
        let people = everyone(outcome, coefficients);
        let state = rounds(MANIFEST, gradient, descend, &[family, 1.0], &people, 20);
        assert!((state[0] - people.len() as f64).abs() < 1e-6);
        let found = &state[1 + INPUTS..];
        found.iter().zip(coefficients).fold(0.0, |worst, (is, should)| f64::max(worst, (is - should).abs()))
    }

    #[test]
    fn linear_coefficients_are_found() {
        let visits = |eta: f64, _| eta as i64;
        assert!(error(0.0, visits, [8.0, 1.0, 2.0, -2.0, 1.0, -1.0]) < 0.01);
    }

    #[test]
    fn logistic_coefficients_are_found() {
        let admitted = |eta: f64, share: f64| i64::from(share < logistic(eta));
        assert!(error(1.0, admitted, [-1.0, 0.5, 0.25, -0.25, 0.5, -0.25]) < 0.05);
    }

    #[test]
    fn poisson_coefficients_are_found() {
        // Rounded up for as many as makes the mean right.
        let visits = |eta: f64, share: f64| (exp(eta) + 1.0 - share) as i64;
        assert!(error(2.0, visits, [1.0, 0.1, 0.2, -0.2, 0.4, -0.1]) < 0.02);
    }

    #[test]
    fn a_person_of_whom_something_is_missing_contributes_nothing() {
        let mut unknown = years([1.0; 5], 3, 0);
        unknown[4] = numbers([None]);
        assert!(answer(MANIFEST, gradient, &[0.0, 1.0], &[&unknown]).iter().all(|number| number.is_nan()));
        assert!(answer(MANIFEST, gradient, &[0.0, 1.0], &[&years([1.0; 5], 3, 0)]).iter().all(|number| *number != 0.0));
    }
}
