//! Kaplan–Meier survival (JASA 1958) from noisy events and censorings by interval.

use super::{Estimate, Scale};
use crate::manifest::Edges;

/// The probability to be without event at each interval's end, with a band for the noise.
///
/// `cells` are events and censorings of each interval, then those still at risk after the last. Everybody is in one cell, so that
/// one person changes one sum; those at risk are added up here: N(j) = all who are in interval j or later. People who are
/// censored in an interval count as at risk throughout it.
///
/// The band is the delta method on ln S = Σ ln(1 − E/N), whose noise is a sum over cells; where the number at risk cannot be
/// told from 0 it goes down to 0.
pub(super) fn kaplan_meier(scale: &Scale, cells: &[f64], edges: &Edges) -> Vec<Estimate> {
    let intervals = edges.bins();
    let cell = |i: usize| cells.get(i).copied().unwrap_or_default();
    // At risk at the beginning of each interval, from the last to the first.
    let mut at_risk = vec![0.0; intervals];
    let mut sum = cell(2 * intervals);
    for (j, slot) in at_risk.iter_mut().enumerate().rev() {
        sum += cell(2 * j) + cell(2 * j + 1);
        *slot = sum;
    }
    let everyone = at_risk.first().copied().unwrap_or_default();
    let (mut survival, mut lost) = (1.0_f64, false);
    // d ln S / d cell, as it builds up interval by interval.
    let mut slopes = vec![0.0; cells.len()];
    let mut estimates = Vec::with_capacity(intervals);
    for (j, n) in at_risk.iter().enumerate() {
        let cells_from_here = cells.len().saturating_sub(2 * j);
        lost |= *n <= scale.half_width() * root(cells_from_here);
        let n = n.max(1.0);
        let events = cell(2 * j).clamp(0.0, n);
        survival *= 1.0 - events / n;
        let staying = (n - events).max(0.5);
        for (i, slope) in slopes.iter_mut().enumerate().skip(2 * j) {
            // ln((N − E)/N): every cell from here on is in N, the interval's events are taken away again.
            let in_staying = if i == 2 * j { 0.0 } else { 1.0 / staying };
            *slope += in_staying - 1.0 / n;
        }
        let sd = scale.noise_sd() * slopes.iter().map(|s| s * s).sum::<f64>().sqrt();
        let width = (scale.reach() * sd).min(50.0);
        let (low, high) =
            if lost { (0.0, 1.0) } else { (survival * (-width).exp(), (survival * width.exp()).min(1.0)) };
        let label = edges.as_slice().get(j + 1).map(ToString::to_string).unwrap_or_default();
        let indistinct = everyone <= scale.half_width() * root(cells.len());
        estimates.push(Estimate {
            label,
            value: survival,
            low,
            high,
            people: Some(*n_of(&at_risk, j)),
            indistinct,
            suppressed: false,
        });
    }
    estimates
}

fn n_of(at_risk: &[f64], j: usize) -> &f64 {
    at_risk.get(j).unwrap_or(&0.0)
}

#[expect(clippy::cast_precision_loss, reason = "a small number of cells")]
fn root(cells: usize) -> f64 {
    (cells as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disclosure::Mechanism, statistic::Noise};

    #[test]
    fn without_noise_it_is_the_textbook_estimate() {
        // Ten people: 2 events in the first interval, 3 censored there, 1 event in the second, 4 left.
        let edges = Edges::new(vec![0.0, 1.0, 2.0]).expect("edges");
        let scale = Scale::new(0, Noise { mechanism: Mechanism::DiscreteGaussian, scale: 0.0, nodes: 1 });
        let curve = kaplan_meier(&scale, &[2.0, 3.0, 1.0, 0.0, 4.0], &edges);
        let values: Vec<f64> = curve.iter().map(|e| e.value).collect();
        assert_eq!(values, [0.8, 0.8 * 0.8]);
        assert_eq!(curve.iter().map(|e| e.people).collect::<Vec<_>>(), [Some(10.0), Some(5.0)]);
    }
}
