//! Benchmark: k-means in blocks, of four clusters over ten columns, each in [-1, 1]: what GUPT did (SIGMOD 2012).
//!
//! Each block finds its own centres, and answers with them in the order of their first coordinates, so that blocks
//! agree on which is which. It takes some 1,500 fuel for each row and iteration.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use spe_guest::fit::lloyd;
use spe_guest::{analysis, BlockMean, Column, Number, Output, Outputs, Param, Params, Subject, Table};

analysis! { manifest: "../manifest.json", map: find_centres }

const ROWS: Table = MANIFEST.table("rows");
const X: [Column<Number>; AXES] = ROWS.numbers(["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"]);

const ITERATIONS: Param = MANIFEST.param("iterations");

const CENTRES: Output<BlockMean> = MANIFEST.block_mean("centres");

const AXES: usize = 10;
const CLUSTERS: usize = CENTRES.coordinates() / AXES;

fn find_centres(block: &Subject, params: &Params, out: &mut Outputs) {
    let points = points(block);
    let mut centres = [[0.0; AXES]; CLUSTERS];
    lloyd::spread(centres.as_flattened_mut(), AXES);
    let (mut sums, mut people) = ([0.0; CLUSTERS * (1 + AXES)], [0.0; CLUSTERS]);
    for _ in 0..params.get(ITERATIONS) as u32 {
        lloyd::advance_exactly(&points, &mut sums, centres.as_flattened_mut(), &mut people);
    }
    centres.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]));
    out.block_mean(CENTRES, centres.as_flattened());
}

/// The coordinates of every row, 0 where one is missing.
fn points(block: &Subject) -> Vec<f64> {
    let mut points = vec![0.0; block.rows(ROWS) * AXES];
    for (axis, column) in X.into_iter().enumerate() {
        let coordinates = points.iter_mut().skip(axis).step_by(AXES);
        for (coordinate, value) in coordinates.zip(block.column(column).iter()) {
            *coordinate = value.unwrap_or(0.0).clamp(-1.0, 1.0);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use spe_guest::testing::{answer, numbers};

    #[test]
    fn a_block_answers_with_its_centres_in_order() {
        let columns: Vec<_> = (0..10)
            .map(|axis| {
                numbers((0..80_u32).map(move |row| if axis < 2 { f64::from(row >> axis & 1) - 0.5 } else { 0.0 }))
            })
            .collect();
        let found = answer(MANIFEST, find_centres, &[7.0], &[&columns]);
        let firsts: Vec<f64> = found.chunks(AXES).map(|centre| centre[0]).collect();
        assert_eq!(firsts, [-0.5, -0.5, 0.5, 0.5]);
        assert!(found.chunks(AXES).all(|centre| centre[1].abs() == 0.5 && centre[2..] == [0.0; 8]), "{found:?}");
    }
}
