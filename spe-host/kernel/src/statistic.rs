//! From noisy sums to statistics with 95 % intervals. Post-processing: costs nothing, sees no record.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::Mechanism,
    manifest::{Axes, Coordinate, Kind, Unit},
    plan::{Plan, Planned},
    units::{Loss, grid_one},
};

mod exact;
mod keys;
mod laplace;
mod moments;
mod selected;
mod survival;
mod tree;

pub use exact::decode_exact;
pub use keys::decode_keys;
use laplace::laplace_sum_quantile;
pub use moments::{cells_of_people, moments};

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
    /// Standard deviation of the noise on a number of people or, where the output is a sum, on that, in its units.
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
    /// The noisy number of people is below what the plan allows to be shown: the other fields only repeat the range. In an exact table the
    /// cell, at one node at least, is about too few people or hides one that is, and the other fields are 0.
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
            Mechanism::Exact => 0.0,
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
        Kind::Mean(bounds) => moments::means(&scale, planned, &cells, std::iter::once(String::new()), *bounds),
        Kind::Variance(bounds) => moments::variance(&scale, planned, &cells, *bounds),
        Kind::Histogram(axes) => groups(axes).map(|(i, label)| scale.plain(label, cell(i))).collect(),
        Kind::GroupedMean(axes, bounds) => {
            moments::means(&scale, planned, &cells, groups(axes).map(|(_, label)| label), *bounds)
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
    told(planned, scale, estimates)
}

fn told(planned: &Planned, scale: &Scale, estimates: Vec<Estimate>) -> Statistic {
    let (output, noise) = (&planned.output, scale.noise);
    let people = f64::from(cells_of_people(&output.kind, planned.loss.measure()));
    #[expect(clippy::cast_precision_loss, reason = "a sensitivity is below 2^53")]
    let sensitivity = planned.sensitivity() as f64 / scale.one;
    Statistic {
        name: output.name.clone(),
        kind: output.kind.name().to_owned(),
        unit: output.unit.clone(),
        loss: planned.loss,
        mechanism: noise.mechanism,
        noise_sd: noise.sd() / scale.one * people.sqrt(),
        sensitivity,
        estimates,
    }
}

/// The noisy number of people that an estimate of that kind is about; none where it does not tell.
pub(crate) fn people(estimate: &Estimate, kind: &Kind) -> Option<f64> {
    match kind {
        Kind::Count | Kind::Histogram(_) | Kind::Keys(_) => Some(estimate.value),
        _ => estimate.people,
    }
}

/// Takes the numbers away where the noisy number of people is below `least`. A rule of publication, on noisy values only: it is
/// not what protects anyone, and costs nothing.
fn suppress(estimate: &mut Estimate, kind: &Kind, least: u32) {
    let least = f64::from(least);
    if people(estimate, kind).is_none_or(|people| people >= least) || least == 0.0 {
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
        let one = f64::from(grid_one(grid_bits));
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

    /// The mean of one coordinate over all blocks of all nodes: their number is public.
    fn block(&self, coordinate: &Coordinate, sum: f64, unit: Unit) -> Estimate {
        let Coordinate { name, bounds } = coordinate;
        let blocks = f64::from(unit.blocks().unwrap_or(1)) * f64::from(self.noise.nodes.max(1));
        let place = |sum: f64| bounds.place(sum / blocks);
        let half = self.half_width();
        let (value, low, high) = (place(sum), place(sum - half), place(sum + half));
        Estimate { label: name.clone(), value, low, high, people: None, indistinct: false, suppressed: false }
    }
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
    fn suppression_takes_the_numbers_away() {
        let scale = Scale::new(0, Noise { mechanism: Mechanism::DiscreteGaussian, scale: 1.0, nodes: 1 });
        let mut few = scale.plain("a".into(), 4.0);
        suppress(&mut few, &Kind::Count, 5);
        assert!(few.suppressed && few.value == 0.0 && few.high == 5.0, "{few:?} shows what was to be hidden");
        let mut enough = scale.plain("a".into(), 5.0);
        suppress(&mut enough, &Kind::Count, 5);
        assert!(!enough.suppressed);
        let bounds = crate::manifest::Bounds::new(10.0, 30.0).expect("bounds");
        let mut mean = Estimate { people: Some(4.0), ..scale.plain(String::new(), 21.5) };
        suppress(&mut mean, &Kind::Mean(bounds), 5);
        let shown = (mean.value, mean.low, mean.high, mean.people);
        assert!(mean.suppressed && shown == (10.0, 10.0, 30.0, Some(0.0)), "a mean over too few people: {mean:?}");
    }
}
