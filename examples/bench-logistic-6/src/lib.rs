//! Benchmark: logistic regression with 6 inputs, each in [-1, 1].
//!
//! One row a person. The states `intercept`, `x0`, … are the coefficients; `last_…` are those of the last round alone.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::fit::descent;
use spe_guest::math::{dot, logistic};
use spe_guest::{
    analysis, Boolean, Column, Next, Number, Output, Outputs, Param, Params, Round, Subject, Table, VectorSum,
};

analysis! { manifest: "../manifest.json", map: gradient, update: descend }

const ROWS: Table = MANIFEST.table("rows");
const X: [Column<Number>; 6] = ROWS.numbers(["x0", "x1", "x2", "x3", "x4", "x5"]);
const Y: Column<Boolean> = ROWS.boolean("y");

const RATE: Param = MANIFEST.param("rate");

const GRADIENT: Output<VectorSum> = MANIFEST.vector_sum("gradient");
/// Inputs, the intercept's 1 included.
const INPUTS: usize = GRADIENT.labels() - 1;

fn gradient(subject: &Subject, params: &Params, out: &mut Outputs) {
    let (Some(inputs), Some(outcome)) = (inputs(subject), subject.column(Y).first()) else { return };
    let expected = logistic(dot(descent::weights(params.states()), &inputs));
    descent::contribute(expected - f64::from(u8::from(outcome)), &inputs, out.vector_mut(GRADIENT));
}

fn descend(round: &Round, params: &Params, state: &mut [f64]) -> Next {
    descent::descend(round.done(), params.get(RATE), round.sums(GRADIENT), state);
    Next::GoOn
}

/// The inputs of a person of whom nothing is missing.
fn inputs(subject: &Subject) -> Option<[f64; INPUTS]> {
    let mut inputs = [1.0; INPUTS];
    for (input, column) in inputs[1..].iter_mut().zip(X) {
        *input = subject.column(column).first()?.clamp(-1.0, 1.0);
    }
    Some(inputs)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use spe_guest::testing::{booleans, numbers, person, rounds, Cells, Person};

    /// Half of people have every input at 0.1, three quarters of whom say yes, and half at -0.1, a quarter of whom do.
    fn everyone() -> Vec<Person> {
        let people = [1_i32, 2, 3, -4, 5, -6, -7, -8].map(|nth| {
            let (x, y) = (if nth.abs() <= 4 { 0.1 } else { -0.1 }, nth > 0);
            let mut columns: Vec<Cells> = X.map(|_| numbers([x])).into();
            columns.push(booleans([y]));
            person(&[&columns])
        });
        people.into()
    }

    #[test]
    fn the_log_odds_are_found() {
        let state = rounds(MANIFEST, gradient, descend, &[8.0], &everyone(), 100);
        let found = &state[1 + INPUTS..];
        let log_odds = found[0] + 0.1 * found[1..].iter().sum::<f64>();
        assert!((log_odds - 3.0_f64.ln()).abs() < 0.02 && found[0].abs() < 0.02, "{found:?}");
    }
}
