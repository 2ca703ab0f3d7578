//! Kaplan–Meier survival (JASA 1958) from noisy events and censorings by interval.

use super::{Estimate, Scale, fieller};
use crate::manifest::Edges;

/// The probability to be without event at each interval's end, with an interval of 95 % for the noise.
///
/// `cells` are events and censorings of each interval, then those still at risk after the last. Everybody is in one cell, so that
/// one person changes one sum; those at risk are added up here, from all who leave later. People who are censored in an interval
/// count as at risk throughout it. Noise may make the curve rise.
///
/// The interval is that of a ratio (see [`Entered`]), however few people there are. Where those who stay can no longer be told
/// from nobody it ends at 0 from then on, and at what it ended at before: survival only falls.
pub(super) fn kaplan_meier(scale: &Scale, cells: &[f64], edges: &Edges) -> Vec<Estimate> {
    let cell = |i: usize| cells.get(i).copied().unwrap_or_default();
    let mut at_risk: f64 = cells.iter().sum();
    let mut entered = Entered { people: at_risk, later: 1.0, passed: 0.0 };
    let (mut survival, mut upper, mut lost) = (1.0_f64, 1.0_f64, false);
    let mut estimates = Vec::with_capacity(edges.bins());
    for (j, end) in edges.as_slice().iter().skip(1).enumerate() {
        let (people, staying) = (at_risk, at_risk - cell(2 * j));
        at_risk = staying - cell(2 * j + 1);
        let after = count(cells.len().saturating_sub(2 * j + 1));
        let interval = entered.surviving(staying, after, scale.half_width()).filter(|_| !lost);
        survival = match interval {
            Some(_) => staying / entered.people,
            None => survival * (staying / people.max(1.0)).clamp(0.0, 1.0),
        };
        let value = survival.clamp(0.0, interval.map_or(upper, |_| 1.0));
        let (low, high) = interval.unwrap_or((0.0, upper));
        let (low, high) = (low.clamp(0.0, value), high.clamp(value, 1.0));
        let (label, indistinct) = (end.to_string(), interval.is_none());
        estimates.push(Estimate { label, value, low, high, people: Some(people), indistinct, suppressed: false });
        upper = high;
        lost |= indistinct || staying <= scale.half_width() * after.sqrt();
        entered.censor(survival, at_risk / staying);
    }
    estimates
}

/// Everybody who was at risk at first, less those who were censored since, each of whom stands for as many as one who stays does
/// (Efron, Berkeley Symposium 1967): survival is those who stay divided by them, a ratio of two noisy sums.
struct Entered {
    people: f64,
    /// By how much one more person in any one cell that is still to come changes `people`.
    later: f64,
    /// The same for the cells that have passed: the sum of squares.
    passed: f64,
}

impl Entered {
    /// Fieller's interval of `staying`, those in the `after` cells after this one, divided by `people`.
    fn surviving(&self, staying: f64, after: f64, half_width: f64) -> Option<(f64, f64)> {
        let square = self.later * self.later;
        let noise = [after, after * self.later, self.passed + square * (1.0 + after)];
        fieller(staying, self.people, noise, half_width)
    }

    /// Takes out those who were censored, of whom a share `kept` of those who stayed remains.
    fn censor(&mut self, survival: f64, kept: f64) {
        let stands_for = 1.0 / survival;
        let censored = self.later - stands_for;
        self.passed = kept * kept * (self.passed + self.later * self.later + censored * censored);
        self.later = kept * self.later + (1.0 - kept) * stands_for;
        self.people *= kept;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number of cells")]
const fn count(cells: usize) -> f64 {
    cells as f64
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
        let near = |e: &Estimate, truth: f64| [e.low, e.value, e.high].iter().all(|s| (s - truth).abs() < 1e-12);
        assert!(near(&curve[0], 0.8) && near(&curve[1], 0.64), "{curve:?}");
        assert_eq!(curve.iter().map(|e| e.people).collect::<Vec<_>>(), [Some(10.0), Some(5.0)]);
    }
}
