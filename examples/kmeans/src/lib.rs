//! Which kinds of people are there, by age and mental health?
//!
//! Lloyd's algorithm for four clusters, of everyone's age and mental health index in their first year. The state is the
//! centres, in years and points of the index, and how many people each had in the last round.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::fit::lloyd;
use spe_guest::{analysis, Column, Next, Number, Output, Outputs, Params, Round, State, Subject, Table, VectorSum};

analysis! { manifest: "../manifest.json", map: nearest, update: move_centres }

const YEARS: Table = MANIFEST.table("years");
const AGE: Column<Number> = YEARS.number("xage");
const MENTAL_HEALTH: Column<Number> = YEARS.number("mhi");

const CLUSTERS: Output<VectorSum> = MANIFEST.vector_sum("clusters");
/// Where the centres end in the state, and the numbers of people begin.
const PEOPLE: State = MANIFEST.state("people_1");

const AXES: usize = 2;
const CENTRES: usize = PEOPLE.index();

/// Of age and of the index: what is -1 and what is 1 to the algorithm, hardly anybody being beyond.
const LOWER: [f64; AXES] = [0.0, 30.0];
const UPPER: [f64; AXES] = [65.0, 100.0];
/// A corner's distance from the middle.
const RADIUS: f64 = core::f64::consts::SQRT_2;

fn nearest(subject: &Subject, params: &Params, out: &mut Outputs) {
    let first = |column| subject.column(column).first();
    let (Some(age), Some(health)) = (first(AGE), first(MENTAL_HEALTH)) else { return };
    let mut point = [age, health];
    to_units(&mut point);
    lloyd::contribute(&centres(params), RADIUS, &point, out.vector_mut(CLUSTERS));
}

fn move_centres(round: &Round, params: &Params, state: &mut [f64]) -> Next {
    let mut next = centres(params);
    let (moved, people) = state.split_at_mut(CENTRES);
    if round.is_first() {
        lloyd::spread(&mut next, AXES);
    } else {
        lloyd::advance(RADIUS, round.sums(CLUSTERS), &mut next, people);
    }
    from_units(&mut next);
    moved.copy_from_slice(&next);
    Next::GoOn
}

fn centres(params: &Params) -> [f64; CENTRES] {
    let mut centres = [0.0; CENTRES];
    centres.copy_from_slice(&params.states()[..CENTRES]);
    to_units(&mut centres);
    centres
}

/// Years and points to parts of [-1, 1].
fn to_units(points: &mut [f64]) {
    for point in points.chunks_exact_mut(AXES) {
        for ((number, lower), upper) in point.iter_mut().zip(LOWER).zip(UPPER) {
            *number = ((2.0 * *number - lower - upper) / (upper - lower)).clamp(-1.0, 1.0);
        }
    }
}

/// Parts of [-1, 1] to years and points.
fn from_units(points: &mut [f64]) {
    for point in points.chunks_exact_mut(AXES) {
        for ((number, lower), upper) in point.iter_mut().zip(LOWER).zip(UPPER) {
            *number = 0.5 * (lower + upper + *number * (upper - lower));
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use spe_guest::testing::{answer_in_round, next_state, numbers, person, rounds, Person};

    const KINDS: [[f64; AXES]; 4] = [[10.0, 90.0], [30.0, 60.0], [45.0, 85.0], [60.0, 50.0]];

    /// Nine people around each kind, ten times.
    fn everyone() -> Vec<Person> {
        let around = (0..90).map(|nth| [f64::from(nth % 3 - 1), f64::from(nth / 3 % 3 - 1)]);
        let people = around.flat_map(|[a, h]| KINDS.map(|[age, health]| [age + 3.0 * a, health + 3.0 * h]));
        people.map(|[age, health]| person(&[&[numbers([age]), numbers([health])]])).collect()
    }

    #[test]
    fn the_kinds_are_found() {
        let state = rounds(MANIFEST, nearest, move_centres, &[], &everyone(), 7);
        let mut found: Vec<&[f64]> = state[..CENTRES].chunks(AXES).collect();
        found.sort_by(|a, b| a[0].total_cmp(&b[0]));
        for (is, should) in found.iter().zip(KINDS) {
            assert!((is[0] - should[0]).abs() < 1e-6 && (is[1] - should[1]).abs() < 1e-6, "{found:?}");
        }
        assert!(state[CENTRES..].iter().all(|people| (people - 90.0).abs() < 1e-6), "{state:?}");
    }

    #[test]
    fn the_first_centres_do_not_depend_on_anyone() {
        let state = next_state(MANIFEST, move_centres, &[], 0, &[0.0; 12], &[]).unwrap();
        assert!(state[..CENTRES].chunks(AXES).all(|c| (16.0..=49.0).contains(&c[0]) && (47.0..=83.0).contains(&c[1])));
        assert_eq!(state[CENTRES..], [0.0; 4]);
    }

    #[test]
    fn a_person_counts_in_the_nearest_cluster_only() {
        let state = [KINDS.as_flattened(), &[0.0; 4]].concat();
        let numbers = answer_in_round(MANIFEST, nearest, &[], &state, &[&[numbers([31.0]), numbers([62.0])]]);
        assert!(numbers.iter().enumerate().all(|(at, number)| (*number != 0.0) == (3..6).contains(&at)), "{numbers:?}");
    }
}
