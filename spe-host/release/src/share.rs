//! From the numbers that a guest wrote to one data subject's share of one output.

use spe_kernel::{manifest::Kind, plan::Planned};

use crate::{clip::clip, count, grouped_mean, histogram, mean, sum};

/// What one data subject adds to one output: grid units for `cell` and the cell after it, and nothing to any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) cell: usize,
    pub(crate) values: [i64; 2],
}

/// The share of one data subject, within `sensitivity`; `None` where a number is NaN or numbers are missing.
///
/// # Privacy
/// Assumption: `sensitivity` is [`Planned::sensitivity`]. Claim: the share's norm is at most that, whatever the numbers
/// and whatever the kind's own arithmetic makes of them, because [`clip`] comes last. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn share(planned: &Planned, sensitivity: u64, numbers: &[f64]) -> Option<Share> {
    if numbers.iter().any(|x| x.is_nan()) {
        return None;
    }
    let bits = planned.grid_bits;
    let (cell, values) = match (&planned.output.kind, numbers) {
        (Kind::Count, [y]) => (0, [count::value(*y, bits), 0]),
        (Kind::Sum(bounds), [y]) => (0, [sum::value(*y, *bounds, bits), 0]),
        (Kind::Mean(bounds), [y]) => (0, mean::values(*y, *bounds, bits)),
        (Kind::Histogram(categories), [code]) => (histogram::cell(*code, categories.len()), [1_i64 << bits, 0]),
        (Kind::GroupedMean(categories, bounds), [code, y]) => {
            (grouped_mean::cell(*code, categories.len()), mean::values(*y, *bounds, bits))
        }
        _ => return None,
    };
    Some(Share { cell, values: clip(values, sensitivity, planned.loss.measure()) })
}
