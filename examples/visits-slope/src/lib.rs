//! How much less do people see the doctor for each share that they pay?
//!
//! The least-squares line through visits per year over coinsurance (0 to 1), of all years of a block of people: visits
//! without coinsurance, and how many more there are with all of the bill to pay. The answer is the mean over the
//! blocks.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, BlockMean, Category, Column, Integer, Output, Outputs, Params, Subject, Table};

analysis! { manifest: "../manifest.json", map: visits_slope }

const YEARS: Table = MANIFEST.table("years");
const COINSURANCE: Column<Category> = YEARS.category("coins");
const DOCTOR_VISITS: Column<Integer> = YEARS.integer("mdvis");
const VISITS: Output<BlockMean> = MANIFEST.block_mean("visits");

/// The coinsurance of each category.
const SHARE: [f64; 5] = [0.0, 0.25, 0.5, 0.95, 1.0];

fn visits_slope(block: &Subject, _: &Params, out: &mut Outputs) {
    let shares = block.column(COINSURANCE).iter();
    let years = shares.zip(block.column(DOCTOR_VISITS).iter());
    let points = years.filter_map(|(category, visits)| Some((*SHARE.get(category? as usize)?, visits? as f64)));
    if let Some((intercept, slope)) = line(points) {
        out.block_mean(VISITS, &[intercept, slope]);
    }
}

/// Intercept and slope of the least-squares line; `None` where all points have the same x.
fn line(points: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let mut sums = [0.0; 5];
    for (x, y) in points {
        for (sum, number) in sums.iter_mut().zip([1.0, x, y, x * x, x * y]) {
            *sum += number;
        }
    }
    let [n, x, y, xx, xy] = sums;
    let spread = n * xx - x * x;
    let slope = (n * xy - x * y) / spread;
    // Rounding aside, it is 0 or at least 1/400.
    (spread > 1e-9).then(|| ((y - slope * x) / n, slope))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, categories, integers};

    #[test]
    fn a_block_contributes_its_line() {
        let years = [categories([0, 0, 4, 4]), integers([4, 2, 1, 2])];
        assert_eq!(answer(MANIFEST, visits_slope, &[], &[&years]), [3.0, -1.5]);
    }

    #[test]
    fn a_block_without_a_line_contributes_nothing() {
        for codes in [&[][..], &[2, 2]] {
            let years = [categories(codes.iter().copied()), integers(codes.iter().map(|_| 3))];
            assert!(answer(MANIFEST, visits_slope, &[], &[&years]).iter().all(|number| number.is_nan()));
        }
    }
}
