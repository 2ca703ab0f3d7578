//! Means and variances: what their cells hold, and what is added up from them.

use super::{Estimate, Scale, fieller};
use crate::{
    manifest::{Bounds, Kind},
    plan::Planned,
    units::Measure,
};

/// How the moments Σ 1, Σ y and Σ (y² − ½) of normalised numbers, |y| ≤ 1, are added up from cells: one row for each moment.
///
/// Where loss is ρ a variance has the moments themselves as cells. A mean, and under ε a variance too, has *shares*: parts that add up to one
/// person, whatever y is, so that a person counts once in L1 (proof pages `mean` and `variance` of `release`).
#[derive(Clone, Copy)]
struct Cells(&'static [[f64; 3]]);

/// Shares (1 − y)/2 and (1 + y)/2.
const TWO_SHARES: Cells = Cells(&[[1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]);
/// 1, y and y² − ½.
const MOMENTS: Cells = Cells(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
/// Shares ((1 − y)/2)², (1 − y²)/2 and ((1 + y)/2)².
const THREE_SHARES: Cells = Cells(&[[1.0, 1.0, 1.0], [-1.0, 0.0, 1.0], [0.5, -1.5, 0.5]]);

/// The number of people, as a combination of moments.
const PEOPLE: [f64; 3] = [1.0, 0.0, 0.0];
/// The sum of their numbers.
const SUM: [f64; 3] = [0.0, 1.0, 0.0];

impl Cells {
    /// None where cells are read one by one.
    const fn of(kind: &Kind, measure: Measure) -> Option<Self> {
        match (kind, measure) {
            (Kind::Mean(_) | Kind::GroupedMean(..), _) => Some(TWO_SHARES),
            (Kind::Variance(_), Measure::Zcdp) => Some(MOMENTS),
            (Kind::Variance(_), Measure::Pure) => Some(THREE_SHARES),
            _ => None,
        }
    }

    fn moments(self, cells: &[f64]) -> impl Iterator<Item = f64> {
        self.0.iter().map(move |row| row.iter().zip(cells).map(|(times, cell)| times * cell).sum())
    }

    /// Covariance of the noise on two combinations of moments, in the variance of a cell's.
    fn covariance(self, a: [f64; 3], b: [f64; 3]) -> f64 {
        let add = |[x, y, z]: [f64; 3], ([a, b, c], times): (&[f64; 3], f64)| {
            [times.mul_add(*a, x), times.mul_add(*b, y), times.mul_add(*c, z)]
        };
        let cells = |of: [f64; 3]| self.0.iter().zip(of).fold([0.0; 3], add);
        cells(a).into_iter().zip(cells(b)).map(|(a, b)| a * b).sum()
    }
}

/// The sums of one output as its kind defines them, from its noisy cells, in units: for a mean Σ 1 and Σ y, for a variance Σ (y² − ½) besides, for
/// a grouped mean a pair for each group; for every other kind the cells themselves. As many as there are cells.
pub fn moments(planned: &Planned, cells: &[f64]) -> Vec<f64> {
    match Cells::of(&planned.output.kind, planned.loss.measure()) {
        None => cells.to_vec(),
        Some(of) => cells.chunks(of.0.len()).flat_map(|cells| of.moments(cells)).collect(),
    }
}

/// Cells that are added up for a number of people: it has the noise of so many.
pub const fn cells_of_people(kind: &Kind, measure: Measure) -> u32 {
    match (kind, measure) {
        (Kind::Mean(_) | Kind::GroupedMean(..), _) => 2,
        (Kind::Variance(_), Measure::Pure) => 3,
        _ => 1,
    }
}

/// The means of one output, one for each label.
pub(super) fn means(
    scale: &Scale,
    planned: &Planned,
    cells: &[f64],
    labels: impl Iterator<Item = String>,
    bounds: Bounds,
) -> Vec<Estimate> {
    noisy(scale, planned, cells).zip(labels).map(|(group, label)| group.mean(label, bounds)).collect()
}

/// Mean, variance and standard deviation.
pub(super) fn variance(scale: &Scale, planned: &Planned, cells: &[f64], bounds: Bounds) -> Vec<Estimate> {
    noisy(scale, planned, cells).flat_map(|moments| moments.variance(bounds)).collect()
}

fn noisy<'a>(scale: &'a Scale, planned: &Planned, cells: &'a [f64]) -> impl Iterator<Item = Noisy<'a>> {
    let of = Cells::of(&planned.output.kind, planned.loss.measure()).unwrap_or(MOMENTS);
    cells.chunks(of.0.len()).map(move |cells| {
        let mut moments = of.moments(cells);
        let mut next = || moments.next().unwrap_or_default();
        Noisy { scale, of, people: next(), sum: next(), squares: next() }
    })
}

/// Noisy moments of one group.
struct Noisy<'a> {
    scale: &'a Scale,
    of: Cells,
    people: f64,
    sum: f64,
    squares: f64,
}

impl Noisy<'_> {
    /// Fieller's interval (1954) of a combination of the moments, divided by the number of people: all r at which the noise on their
    /// difference, whose variance is known, is no surprise. Exact for Gaussian noise however few people there are, where the delta
    /// method is not. None where the number of people cannot be told from 0.
    fn ratio(&self, of: [f64; 3]) -> Option<(f64, f64)> {
        let noise = [(of, of), (of, PEOPLE), (PEOPLE, PEOPLE)].map(|(a, b)| self.of.covariance(a, b));
        let [people, sum, squares] = of;
        let above = people * self.people + sum * self.sum + squares * self.squares;
        fieller(above, self.people, noise, self.scale.half_width())
    }

    /// The mean of the normalised numbers.
    fn normal(&self) -> f64 {
        (self.sum / self.people.max(1.0)).clamp(-1.0, 1.0)
    }

    /// m + h·Σy/Σ1 of noisy sums; the whole of the bounds where the number of people cannot be told from 0.
    fn mean(&self, label: String, bounds: Bounds) -> Estimate {
        let (normal, ratio) = (self.normal(), self.ratio(SUM));
        let (low, high) = ratio.unwrap_or((-1.0, 1.0));
        let (low, high) = (bounds.place(low.min(normal)), bounds.place(high.max(normal)));
        let (value, people) = (bounds.place(normal), Some(self.people));
        Estimate { label, value, low, high, people, indistinct: ratio.is_none(), suppressed: false }
    }

    /// The variance is the mean square distance to any point a, less (mean − a)². With the noisy mean as a the first is a ratio of noisy
    /// sums, whose interval is Fieller's, and the second is nothing at one end and, at the other, at most the square of the
    /// mean's own interval.
    fn variance(&self, bounds: Bounds) -> [Estimate; 3] {
        let (a, h) = (self.normal(), bounds.half_width());
        let value = (self.squares / self.people.max(1.0) + 0.5 - a * a).clamp(0.0, 1.0);
        let (low, high) = self.ratio(SUM).unwrap_or((-1.0, 1.0));
        let apart = (high.min(1.0) - a).max(a - low.max(-1.0));
        // (y − a)² = (y² − ½) − 2ay + (a² + ½).
        let distance = self.ratio([a * a + 0.5, -2.0 * a, 1.0]);
        let (low, high) = distance.map_or((0.0, 1.0), |(low, high)| (low - apart * apart, high));
        let (low, high) = (low.clamp(0.0, value), high.clamp(value, 1.0));
        let spread = |label: &str, of: fn(f64) -> f64, unit: f64| Estimate {
            label: label.into(),
            value: unit * of(value),
            low: unit * of(low),
            high: unit * of(high),
            people: Some(self.people),
            indistinct: distance.is_none(),
            suppressed: false,
        };
        [
            self.mean("mean".into(), bounds),
            spread("variance", std::convert::identity, h * h),
            spread("standard deviation", f64::sqrt, h),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disclosure::Mechanism, statistic::Noise};

    fn bounds() -> Bounds {
        Bounds::new(-1.0, 1.0).expect("bounds")
    }

    /// Shares that did not add up to what they are shares of would be another statistic; another covariance than that of sums of
    /// independent cells, an interval of another width than the noise.
    #[test]
    fn moments_are_added_up_from_cells() {
        for y in [-1.0_f64, -0.75, 0.0, 0.5, 1.0] {
            let (low, high) = ((1.0 - y) / 2.0, (1.0 + y) / 2.0);
            let of = |cells: Cells, held: &[f64]| cells.moments(held).collect::<Vec<_>>();
            assert_eq!(of(TWO_SHARES, &[low, high]), [1.0, y]);
            assert_eq!(of(THREE_SHARES, &[low * low, 2.0 * low * high, high * high]), [1.0, y, y * y - 0.5]);
            assert_eq!(of(MOMENTS, &[1.0, y, y * y - 0.5]), [1.0, y, y * y - 0.5]);
        }
        assert_eq!(TWO_SHARES.covariance(SUM, PEOPLE), 0.0);
        let squares = [0.0, 0.0, 1.0];
        assert_eq!(
            [(SUM, SUM), (squares, squares), (squares, PEOPLE)].map(|(a, b)| THREE_SHARES.covariance(a, b)),
            [2.0, 2.75, -0.5]
        );
        for (kind, measure) in [Kind::Mean(bounds()), Kind::Variance(bounds())]
            .iter()
            .flat_map(|k| [Measure::Zcdp, Measure::Pure].map(|m| (k, m)))
        {
            let cells = Cells::of(kind, measure).expect("moments");
            assert_eq!(
                cells.covariance(PEOPLE, PEOPLE),
                f64::from(cells_of_people(kind, measure)),
                "{kind:?} in {measure:?}"
            );
            assert_eq!(cells.0.len(), kind.cells());
        }
    }

    /// Fieller's interval ends where the difference is as large as its noise: with another covariance it would end elsewhere.
    #[test]
    fn a_ratios_interval_ends_where_the_noise_does() {
        let scale = Scale::new(0, Noise { mechanism: Mechanism::DiscreteLaplace, scale: 1.0, nodes: 1 });
        for of in [TWO_SHARES, MOMENTS, THREE_SHARES] {
            let noisy = Noisy { scale: &scale, of, people: 50.0, sum: 10.0, squares: -7.0 };
            let forms = if of.0.len() == 2 { [SUM, SUM] } else { [SUM, [0.54, -0.4, 1.0]] };
            for form in forms {
                let (low, high) = noisy.ratio(form).expect("people");
                for end in [low, high] {
                    let [people, sum, squares] = form;
                    let apart = (people - end) * 50.0 + sum * 10.0 - squares * 7.0;
                    let off = [people - end, sum, squares];
                    let noise = scale.half_width() * of.covariance(off, off).sqrt();
                    assert!((apart.abs() / noise - 1.0).abs() < 1e-9, "{apart} for noise of {noise} at {end}");
                }
            }
        }
    }

    #[test]
    fn few_people_give_the_whole_range() {
        let scale = Scale::new(0, Noise { mechanism: Mechanism::DiscreteGaussian, scale: 1.0, nodes: 1 });
        let mean = |people: f64, sum: f64| {
            Noisy { scale: &scale, of: TWO_SHARES, people, sum, squares: 0.0 }.mean(String::new(), bounds())
        };
        let few = mean(2.7, 0.5);
        assert!(few.indistinct && (few.low, few.high) == (-1.0, 1.0), "1.96·√2 people cannot be told from 0: {few:?}");
        assert!(!mean(2.8, 0.5).indistinct);
        let many = mean(1000.0, 500.0);
        assert!(many.low < 0.5 && many.high > 0.5 && many.high - many.low < 0.01);
    }
}
