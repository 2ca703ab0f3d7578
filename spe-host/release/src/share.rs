//! From the numbers that a guest wrote to one data subject's share of one output.

use spe_kernel::{manifest::Kind, plan::Planned, units::grid_one};

use crate::{
    block_mean,
    clip::{Entry, clip},
    count, grouped_mean, histogram, mean, quantiles, sum, survival, variance, vector_sum,
};

/// Writes the share of one data subject into `entries`; `false` where a number is NaN or numbers are missing, so that the
/// default stands for it.
///
/// # Privacy
/// Assumption: `norm_max` is [`Planned::norm_max`]. Claim: the norm of the entries is at most that, whatever the numbers
/// and whatever the kind's own arithmetic makes of them, because [`clip`] comes last. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn share(planned: &Planned, norm_max: u64, numbers: &[f64], entries: &mut Vec<Entry>) -> bool {
    entries.clear();
    if numbers.len() != planned.output.kind.numbers() {
        return false;
    }
    let (bits, measure) = (planned.grid_bits, planned.loss.measure());
    let given = match (&planned.output.kind, numbers) {
        // Tuples that have a NaN are left out one by one.
        (Kind::Histogram(axes), _) => histogram::entries(axes, numbers, bits, entries),
        (Kind::GroupedMean(axes, bounds), _) => grouped_mean::entries(axes, *bounds, numbers, bits, entries),
        _ if numbers.iter().any(|x| x.is_nan()) => false,
        (Kind::Count, [y]) => push(entries, [(0, count::value(*y, bits))]),
        (Kind::Sum(bounds), [y]) => push(entries, [(0, sum::value(*y, *bounds, bits))]),
        (Kind::Mean(bounds), [y]) => {
            let [low, high] = mean::shares(*y, *bounds, bits);
            push(entries, [(0, low), (1, high)])
        }
        (Kind::Variance(bounds), [y]) => {
            let [first, second, third] = variance::values(*y, *bounds, bits, measure);
            push(entries, [(0, first), (1, second), (2, third)])
        }
        (Kind::Quantiles { bins, .. }, [y]) => quantiles::entries(bins, *y, bits, entries),
        (Kind::Survival(edges), [time, event]) => {
            push(entries, [(survival::cell(edges, *time, *event), grid_one(bits).into())])
        }
        (Kind::VectorSum { norm, .. }, _) => vector_sum::entries(*norm, numbers, bits, entries),
        (Kind::BlockMean(coordinates), _) => block_mean::entries(coordinates, numbers, bits, entries),
        _ => false,
    };
    clip(entries, norm_max, measure);
    given
}

#[inline]
fn push<const N: usize>(entries: &mut Vec<Entry>, values: [(usize, i64); N]) -> bool {
    entries.extend(values.map(|(cell, value)| Entry { cell, value }));
    true
}
