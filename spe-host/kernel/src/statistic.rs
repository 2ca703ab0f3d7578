//! From noisy sums to statistics with 95 % intervals. Post-processing: costs nothing, sees no record.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::Mechanism,
    manifest::{Bounds, Kind},
    plan::Planned,
    units::Loss,
};

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
    /// Standard deviation of the noise on one cell, in people or in the output's units.
    pub noise_sd: f64,
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
    /// The number of people cannot be told from 0: the interval is the whole of the bounds, and the value says nothing.
    #[serde(default)]
    pub indistinct: bool,
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
        match self.mechanism {
            Mechanism::DiscreteLaplace if self.nodes <= LAPLACE_EXACT_NODES_MAX => {
                laplace_sum_quantile(self.nodes.max(1)) / (2.0 * f64::from(self.nodes.max(1))).sqrt()
            }
            _ => NORMAL_975,
        }
    }
}

/// Decodes merged sums (grid units) of one output.
///
/// `sums` has [`Kind::cells`] entries; fewer decode as 0.
pub fn decode(planned: &Planned, sums: &[i128], noise: Noise) -> Statistic {
    let scale = Scale { one: f64::from(1_u32 << planned.grid_bits.min(31)), noise };
    let output = &planned.output;
    let cell = |i: usize| scale.units(sums.get(i).copied().unwrap_or(0));
    let alone = |estimate: Estimate| vec![estimate];
    let estimates = match &output.kind {
        Kind::Count | Kind::Sum(_) => alone(scale.plain("", cell(0))),
        Kind::Mean(bounds) => alone(scale.ratio("", cell(0), cell(1), *bounds)),
        Kind::Histogram(categories) => labels(categories).enumerate().map(|(i, l)| scale.plain(l, cell(i))).collect(),
        Kind::GroupedMean(categories, bounds) => {
            let group = |(i, label)| scale.ratio(label, cell(2 * i), cell(2 * i + 1), *bounds);
            labels(categories).enumerate().map(group).collect()
        }
    };
    Statistic {
        name: output.name.clone(),
        kind: output.kind.name().to_owned(),
        unit: output.unit.clone(),
        loss: planned.loss,
        noise_sd: noise.sd() / scale.one,
        estimates,
    }
}

fn labels(categories: &[String]) -> impl Iterator<Item = &str> {
    categories.iter().map(String::as_str).chain(std::iter::once("other"))
}

struct Scale {
    /// Grid units in one unit.
    one: f64,
    noise: Noise,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "after noise, for display; the error is below 2^-53 of the value")]
    fn units(&self, sum: i128) -> f64 {
        sum as f64 / self.one
    }

    /// Half width of a cell's 95 % interval.
    fn half_width(&self) -> f64 {
        self.noise.reach() * self.noise.sd() / self.one
    }

    fn plain(&self, label: &str, value: f64) -> Estimate {
        let half = self.half_width();
        Estimate {
            label: label.to_owned(),
            value,
            low: value - half,
            high: value + half,
            people: None,
            indistinct: false,
        }
    }

    /// A mean from a noisy count and a noisy sum of normalised values: m + h·R₁/R₀.
    ///
    /// The interval is Fieller's (1954): all μ with |R₁ − μR₀| ≤ c·√(1 + μ²), exact for Gaussian noise however few people
    /// there are, where the delta method is not. Where the count could be 0 it is the whole of the bounds.
    fn ratio(&self, label: &str, count: f64, sum: f64, bounds: Bounds) -> Estimate {
        let people = count.max(1.0);
        let normal = (sum / people).clamp(-1.0, 1.0);
        let (low, high) = fieller(count, sum, self.half_width());
        let place = |y: f64| bounds.middle() + bounds.half_width() * y.clamp(-1.0, 1.0);
        let (low, high) = (low.min(normal), high.max(normal));
        let indistinct = count <= self.half_width();
        Estimate {
            label: label.to_owned(),
            value: place(normal),
            low: place(low),
            high: place(high),
            people: Some(count),
            indistinct,
        }
    }
}

/// All μ with |sum − μ·count| ≤ c·√(1 + μ²), within [−1, 1].
fn fieller(count: f64, sum: f64, c: f64) -> (f64, f64) {
    let a = count * count - c * c;
    if count <= 0.0 || a <= 0.0 {
        return (-1.0, 1.0);
    }
    let root = c * (count * count + sum * sum - c * c).max(0.0).sqrt();
    ((count * sum - root) / a, (count * sum + root) / a)
}

/// The 97.5 % quantile of the sum of `n` independent Laplace variables of scale 1, by bisection of the exact tail.
fn laplace_sum_quantile(n: u32) -> f64 {
    let (mut low, mut high) = (0.0, 10.0 * f64::from(n));
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if laplace_sum_tail(n, middle) > 0.025 { low = middle } else { high = middle }
    }
    high
}

/// P(X > t) for X the sum of `n` Laplace variables, t ≥ 0. The density is e⁻ˣ times a polynomial (the difference of two
/// Gamma(n) variables); each power's tail integral is m!·e⁻ᵗ·Σ tⁱ/i!.
fn laplace_sum_tail(n: u32, t: f64) -> f64 {
    let ln_factorial = |k: u32| (2..=k).map(|i| f64::from(i).ln()).sum::<f64>();
    let poisson =
        |m: u32| (0..=m).map(|i| (f64::from(i) * t.max(1e-300).ln() - ln_factorial(i) - t).exp()).sum::<f64>();
    let ln_2 = std::f64::consts::LN_2;
    let term = |k: u32| {
        let m = n - 1 - k;
        let ln = ln_factorial(n - 1 + k) - ln_factorial(k) - ln_factorial(n - 1) - f64::from(n + k) * ln_2;
        ln.exp() * poisson(m)
    };
    (0..n).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_laplace_has_its_textbook_quantile() {
        assert!((laplace_sum_quantile(1) - 20.0_f64.ln()).abs() < 1e-9);
        assert!((laplace_sum_tail(3, 0.0) - 0.5).abs() < 1e-12, "the distribution is symmetric");
    }

    #[test]
    fn many_laplaces_become_normal() {
        let reach = Noise { mechanism: Mechanism::DiscreteLaplace, scale: 1.0, nodes: 40 }.reach();
        assert!((reach - NORMAL_975).abs() < 0.02, "{reach}");
    }

    #[test]
    fn few_people_give_the_whole_range() {
        assert_eq!(fieller(1.0, 0.5, 2.0), (-1.0, 1.0));
        let (low, high) = fieller(1000.0, 500.0, 2.0);
        assert!(low < 0.5 && high > 0.5 && high - low < 0.01);
    }
}
