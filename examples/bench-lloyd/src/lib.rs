//! Benchmark: k-means in rounds, of four clusters over the first 2 to 10 `columns`, each in [-1, 1].
//!
//! One row a person. Points further than `radius` from the middle are moved to it: noise is in proportion to it. The
//! state is the centres, 0 in columns that are not used, and how many people each had in the last round.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::fit::lloyd;
use spe_guest::{
    analysis, Column, Next, Number, Output, Outputs, Param, Params, Round, State, Subject, Table, VectorSum,
};

analysis! { manifest: "../manifest.json", map: nearest, update: move_centres }

const ROWS: Table = MANIFEST.table("rows");
const X: [Column<Number>; AXES] = ROWS.numbers(["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"]);

const COLUMNS: Param = MANIFEST.param("columns");
const RADIUS: Param = MANIFEST.param("radius");

const CLUSTERS: Output<VectorSum> = MANIFEST.vector_sum("clusters");
/// Where the centres end in the state, and the numbers of people begin.
const PEOPLE: State = MANIFEST.state("people_1");

const AXES: usize = 10;

fn nearest(subject: &Subject, params: &Params, out: &mut Outputs) {
    let Some(point) = point(subject, used(params)) else { return };
    let centres = &params.states()[..PEOPLE.index()];
    lloyd::contribute(centres, params.get(RADIUS), &point, out.vector_mut(CLUSTERS));
}

fn move_centres(round: &Round, params: &Params, state: &mut [f64]) -> Next {
    let (centres, people) = state.split_at_mut(PEOPLE.index());
    if round.is_first() {
        lloyd::spread(centres, AXES);
    } else {
        lloyd::advance(params.get(RADIUS), round.sums(CLUSTERS), centres, people);
    }
    for centre in centres.chunks_exact_mut(AXES) {
        centre[used(params)..].fill(0.0);
    }
    Next::GoOn
}

fn used(params: &Params) -> usize {
    (params.get(COLUMNS) as usize).min(AXES)
}

/// A person's point, 0 in columns that are not used.
fn point(subject: &Subject, used: usize) -> Option<[f64; AXES]> {
    let mut point = [0.0; AXES];
    for (coordinate, column) in point[..used].iter_mut().zip(X) {
        *coordinate = subject.column(column).first()?.clamp(-1.0, 1.0);
    }
    Some(point)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use spe_guest::testing::{numbers, person, rounds, Cells, Person};

    /// Ten people at each corner of a square in the first two columns, and anywhere in the others.
    fn everyone() -> Vec<Person> {
        let people = (0..40_u32).map(|nth| {
            let point = |axis: u32| match axis {
                0 | 1 => f64::from(nth >> axis & 1) - 0.5,
                _ => f64::from((nth * axis) % 7) / 7.0,
            };
            let columns: Vec<Cells> = (0..10).map(|axis| numbers([point(axis)])).collect();
            person(&[&columns])
        });
        people.collect()
    }

    #[test]
    fn the_corners_are_found_in_the_columns_that_are_used() {
        let state = rounds(MANIFEST, nearest, move_centres, &[2.0, 1.5], &everyone(), 7);
        let (centres, people) = state.split_at(PEOPLE.index());
        for centre in centres.chunks(AXES) {
            assert!((centre[0].abs() - 0.5).abs() < 1e-9 && (centre[1].abs() - 0.5).abs() < 1e-9, "{centres:?}");
            assert_eq!(centre[2..], [0.0; 8]);
        }
        assert!(people.iter().all(|people| (people - 10.0).abs() < 1e-9), "{people:?}");
    }
}
