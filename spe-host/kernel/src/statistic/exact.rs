//! Exact tables: counts as they are, and no number where any node shows none.

use super::{Estimate, Noise, Scale, Statistic, groups, told};
use crate::{exact::SUPPRESSED, manifest::Kind, plan::Planned};

/// Adds up the cells of several nodes. A cell that one of them suppresses is suppressed: the others' alone would be another number.
pub fn decode_exact<'a>(planned: &Planned, parts: impl Iterator<Item = &'a [i128]>, noise: Noise) -> Statistic {
    let scale = Scale::new(planned.grid_bits, noise);
    let mut sums: Vec<Option<i128>> = vec![Some(0); planned.output.kind.cells()];
    for part in parts {
        for (sum, cell) in sums.iter_mut().zip(part) {
            *sum = sum.filter(|_| *cell != SUPPRESSED).map(|sum| sum.saturating_add(*cell));
        }
    }
    let labels: Vec<String> = match &planned.output.kind {
        Kind::Histogram(axes) => groups(axes).map(|(_, label)| label).collect(),
        _ => vec![String::new()],
    };
    let estimate = |(sum, label): (Option<i128>, String)| {
        let value = sum.map_or(0.0, |sum| scale.units(sum));
        let (suppressed, indistinct) = (sum.is_none(), sum.is_none());
        Estimate { label, value, low: value, high: value, people: None, indistinct, suppressed }
    };
    told(planned, &scale, sums.into_iter().zip(labels).map(estimate).collect())
}
