//! From noisy sums to statistics with 95 % intervals. Post-processing: costs nothing, sees no record.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::Mechanism,
    manifest::{Axes, Bounds, Coordinate, Kind, Unit},
    plan::{Plan, Planned},
    units::Loss,
};

mod keys;
mod laplace;
mod selected;
mod survival;
mod tree;

pub use keys::decode_keys;
use laplace::laplace_sum_quantile;

/// The standard normal's 97.5 % quantile.
const NORMAL_975: f64 = 1.959_963_984_540_054;
/// Above so many nodes the sum of their Laplace noise is taken as normal.
const LAPLACE_EXACT_NODES_MAX: u32 = 40;

/// One output, decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// The output's name.
    pub name: String,
    /// The output's kind.
    pub kind: String,
    /// The unit of the values.
    pub unit: String,
    /// Loss at each node.
    pub loss: Loss,
    /// The noise's distribution.
    pub mechanism: Mechanism,
    /// Standard deviation of the noise on one cell, in people or in the output's units.
    pub noise_sd: f64,
    /// What one data subject can change at most, in people or in the output's units: contributions are clipped to it.
    pub sensitivity: f64,
    /// One for each category, or one alone.
    pub estimates: Vec<Estimate>,
}

/// A number with its error bar. The interval covers the noise, not sampling error or clipping bias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The category; empty where there is one estimate.
    pub label: String,
    /// The estimate.
    pub value: f64,
    /// Lower end of the 95 % noise interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Noisy number of people behind a mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<f64>,
    /// The number of people cannot be told from 0: the interval is the whole of the bounds, or of what is left of them as survival
    /// falls, and the value says nothing.
    #[serde(default)]
    pub indistinct: bool,
    /// The noisy number of people is below what the plan allows to be shown: the other fields only repeat the range.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suppressed: bool,
}

/// The noise on every cell of a merged output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// The distribution that each node drew from.
    pub mechanism: Mechanism,
    /// Its scale at each node, in grid units.
    pub scale: f64,
    /// How many nodes drew.
    pub nodes: u32,
}

impl Noise {
    /// Standard deviation of the sum of all nodes' noise, in grid units.
    pub fn sd(self) -> f64 {
        let one = match self.mechanism {
            Mechanism::DiscreteGaussian => self.scale,
            Mechanism::DiscreteLaplace => self.scale * std::f64::consts::SQRT_2,
        };
        one * f64::from(self.nodes).sqrt()
    }

    /// Half width of the 95 % interval in standard deviations. For Laplace noise it is that of one cell's sum, which is
    /// the widest of any combination of cells.
    pub fn reach(self) -> f64 {
        let nodes = self.nodes.max(1);
        match self.mechanism {
            Mechanism::DiscreteLaplace if nodes <= LAPLACE_EXACT_NODES_MAX => {
                laplace_sum_quantile(nodes, 0.025) / (2.0 * f64::from(nodes)).sqrt()
            }
            _ => NORMAL_975,
        }
    }
}

/// Decodes merged sums (grid units) of one output of `plan`.
///
/// `sums` has [`Kind::cells`] entries; missing ones decode as 0. Keys decode by [`decode_keys`].
pub fn decode(plan: &Plan, planned: &Planned, sums: &[i128], noise: Noise) -> Statistic {
    let scale = Scale::new(planned.grid_bits, noise);
    let output = &planned.output;
    let cells: Vec<f64> = (0..output.kind.cells()).map(|i| scale.units(sums.get(i).copied().unwrap_or(0))).collect();
    let cell = |i: usize| cells.get(i).copied().unwrap_or_default();
    let estimates = match &output.kind {
        Kind::Count | Kind::Sum(_) => vec![scale.plain(String::new(), cell(0))],
        Kind::Mean(bounds) => vec![scale.ratio(String::new(), cell(0), cell(1), *bounds)],
        Kind::Variance(bounds) => scale.variance(cell(0), cell(1), cell(2), *bounds).into(),
        Kind::Histogram(axes) => groups(axes).map(|(i, label)| scale.plain(label, cell(i))).collect(),
        Kind::GroupedMean(axes, bounds) => {
            groups(axes).map(|(i, label)| scale.ratio(label, cell(2 * i), cell(2 * i + 1), *bounds)).collect()
        }
        Kind::Quantiles { bins, at } => tree::quantiles(&scale, &cells, bins, at),
        Kind::VectorSum { labels, .. } => {
            cells.iter().enumerate().map(|(i, value)| scale.plain(labels.label(i), *value)).collect()
        }
        Kind::Survival(edges) => survival::kaplan_meier(&scale, &cells, edges),
        Kind::BlockMean(coordinates) => {
            coordinates.iter().zip(&cells).map(|(c, sum)| scale.block(c, *sum, plan.unit())).collect()
        }
        Kind::Keys(_) => Vec::new(),
    };
    statistic(plan, planned, &scale, estimates)
}

fn statistic(plan: &Plan, planned: &Planned, scale: &Scale, mut estimates: Vec<Estimate>) -> Statistic {
    for estimate in &mut estimates {
        suppress(estimate, &planned.output.kind, plan.suppress_below());
    }
    let (output, noise) = (&planned.output, scale.noise);
    #[expect(clippy::cast_precision_loss, reason = "a sensitivity is below 2^53")]
    let sensitivity = planned.sensitivity() as f64 / scale.one;
    Statistic {
        name: output.name.clone(),
        kind: output.kind.name().to_owned(),
        unit: output.unit.clone(),
        loss: planned.loss,
        mechanism: noise.mechanism,
        noise_sd: noise.sd() / scale.one,
        sensitivity,
        estimates,
    }
}

/// Takes the numbers away where the noisy number of people is below `least`. A rule of publication, on noisy values only: it is
/// not what protects anyone, and costs nothing.
fn suppress(estimate: &mut Estimate, kind: &Kind, least: u32) {
    let least = f64::from(least);
    let people = match kind {
        Kind::Count | Kind::Histogram(_) | Kind::Keys(_) => Some(estimate.value),
        _ => estimate.people,
    };
    if people.is_none_or(|people| people >= least) || least == 0.0 {
        return;
    }
    let (low, high) = match kind {
        Kind::Mean(b) | Kind::GroupedMean(_, b) => (b.lower(), b.upper()),
        Kind::Variance(b) if estimate.label == "mean" => (b.lower(), b.upper()),
        Kind::Variance(b) => (0.0, b.half_width() * b.half_width().max(1.0)),
        Kind::Quantiles { bins, .. } => (bins.first(), bins.last()),
        Kind::Survival(_) => (0.0, 1.0),
        _ => (0.0, least),
    };
    let people = estimate.people.map(|_| 0.0);
    *estimate = Estimate {
        label: std::mem::take(&mut estimate.label),
        value: low,
        low,
        high,
        people,
        indistinct: true,
        suppressed: true,
    };
}

fn groups(axes: &Axes) -> impl Iterator<Item = (usize, String)> {
    (0..axes.groups()).map(|group| (group, axes.label(group)))
}

struct Scale {
    /// Grid units in one unit.
    one: f64,
    noise: Noise,
    /// Standard deviation of the noise on a cell, in units.
    sd: f64,
    reach: f64,
}

impl Scale {
    fn new(grid_bits: u8, noise: Noise) -> Self {
        let one = f64::from(1_u32 << grid_bits.min(31));
        Self { one, noise, sd: noise.sd() / one, reach: noise.reach() }
    }

    #[expect(clippy::cast_precision_loss, reason = "after noise, for display; the error is below 2^-53 of the value")]
    fn units(&self, sum: i128) -> f64 {
        sum as f64 / self.one
    }

    const fn noise_sd(&self) -> f64 {
        self.sd
    }

    /// Half width of a cell's 95 % interval.
    fn half_width(&self) -> f64 {
        self.reach * self.sd
    }

    fn plain(&self, label: String, value: f64) -> Estimate {
        let half = self.half_width();
        let (low, high) = (value - half, value + half);
        Estimate { label, value, low, high, people: None, indistinct: false, suppressed: false }
    }

    /// A mean from a noisy count and a noisy sum of normalised values: m + h·R₁/R₀.
    ///
    /// The interval is Fieller's (1954): all μ with |R₁ − μR₀| ≤ c·√(1 + μ²), exact for Gaussian noise however few people
    /// there are, where the delta method is not. Where the count could be 0 it is the whole of the bounds.
    fn ratio(&self, label: String, count: f64, sum: f64, bounds: Bounds) -> Estimate {
        let people = count.max(1.0);
        let normal = (sum / people).clamp(-1.0, 1.0);
        let (low, high) = mean_interval(count, sum, self.half_width());
        let place = |y: f64| bounds.middle() + bounds.half_width() * y.clamp(-1.0, 1.0);
        let (low, high) = (place(low.min(normal)), place(high.max(normal)));
        let indistinct = count <= self.half_width();
        Estimate { label, value: place(normal), low, high, people: Some(count), indistinct, suppressed: false }
    }

    /// Mean, variance and standard deviation from noisy Σ 1, Σ y and Σ (y² − ½) of normalised values.
    ///
    /// The variance is the mean square distance to any point a, less (mean − a)². With the noisy mean as a the first is a ratio of noisy
    /// sums, whose interval is Fieller's, and the second is nothing at one end and, at the other, at most the square of the
    /// mean's own interval.
    fn variance(&self, count: f64, sum: f64, squares: f64, bounds: Bounds) -> [Estimate; 3] {
        let (people, h, c) = (count.max(1.0), bounds.half_width(), self.half_width());
        let a = (sum / people).clamp(-1.0, 1.0);
        let value = (squares / people + 0.5 - a * a).clamp(0.0, 1.0);
        let (low, high) = mean_interval(count, sum, c);
        let apart = (high.min(1.0) - a).max(a - low.max(-1.0));
        // Σ (y² − ½ − 2ay) has noise √(1 + 4a²) times that of a cell.
        let noisier = (1.0 + 4.0 * a * a).sqrt();
        let (low, high) = mean_interval(count, (squares - 2.0 * a * sum) / noisier, c);
        let distance = |ratio: f64| ratio * noisier + 0.5 + a * a;
        let indistinct = count <= c;
        let (low, high) = if indistinct { (0.0, 1.0) } else { (distance(low) - apart * apart, distance(high)) };
        let (low, high) = (low.clamp(0.0, value), high.clamp(value, 1.0));
        let spread = |label: &str, of: fn(f64) -> f64, unit: f64| Estimate {
            label: label.into(),
            value: unit * of(value),
            low: unit * of(low),
            high: unit * of(high),
            people: Some(count),
            indistinct,
            suppressed: false,
        };
        [
            self.ratio("mean".into(), count, sum, bounds),
            spread("variance", std::convert::identity, h * h),
            spread("standard deviation", f64::sqrt, h),
        ]
    }

    /// The mean of one coordinate over all blocks of all nodes: their number is public.
    fn block(&self, coordinate: &Coordinate, sum: f64, unit: Unit) -> Estimate {
        let Coordinate { name, bounds } = coordinate;
        let blocks = f64::from(unit.blocks().unwrap_or(1)) * f64::from(self.noise.nodes.max(1));
        let place = |sum: f64| bounds.middle() + bounds.half_width() * (sum / blocks).clamp(-1.0, 1.0);
        let half = self.half_width();
        let (value, low, high) = (place(sum), place(sum - half), place(sum + half));
        Estimate { label: name.clone(), value, low, high, people: None, indistinct: false, suppressed: false }
    }
}

/// All μ with |sum − μ·count| ≤ c·√(1 + μ²); [−1, 1] where the count cannot be told from 0.
fn mean_interval(count: f64, sum: f64, c: f64) -> (f64, f64) {
    fieller(sum, count, [1.0, 0.0, 1.0], c).unwrap_or((-1.0, 1.0))
}

/// Fieller's interval (1954) of the ratio of two noisy sums: all r with |above − r·below| ≤ c·√(u − 2r·w + r²·v), where u, w and v
/// are variance, covariance and variance of their noise, in that of a cell. None where `below` cannot be told from 0.
fn fieller(above: f64, below: f64, [u, w, v]: [f64; 3], c: f64) -> Option<(f64, f64)> {
    let square = c * c;
    let (a, b, d) = (below * below - square * v, above * below - square * w, above * above - square * u);
    let root = (b * b - a * d).max(0.0).sqrt();
    (below > 0.0 && a > 0.0).then(|| ((b - root) / a, (b + root) / a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_laplaces_become_normal() {
        let reach = Noise { mechanism: Mechanism::DiscreteLaplace, scale: 1.0, nodes: 40 }.reach();
        assert!((reach - NORMAL_975).abs() < 0.02, "{reach}");
    }

    #[test]
    fn few_people_give_the_whole_range() {
        assert_eq!(mean_interval(1.0, 0.5, 2.0), (-1.0, 1.0));
        let (low, high) = mean_interval(1000.0, 500.0, 2.0);
        assert!(low < 0.5 && high > 0.5 && high - low < 0.01);
    }

    #[test]
    fn suppression_takes_the_numbers_away() {
        let scale = Scale::new(0, Noise { mechanism: Mechanism::DiscreteGaussian, scale: 1.0, nodes: 1 });
        let mut few = scale.plain("a".into(), 4.0);
        suppress(&mut few, &Kind::Count, 5);
        assert!(few.suppressed && few.value == 0.0 && few.high == 5.0, "{few:?} shows what was to be hidden");
        let mut enough = scale.plain("a".into(), 5.0);
        suppress(&mut enough, &Kind::Count, 5);
        assert!(!enough.suppressed);
    }
}
