//! The kinds of statistic: what a module writes for one, how many sums it has, and how far one data subject moves them.

use crate::{manifest::BOUND_MAX, units::Measure};

/// The kinds of statistic; each is a bounded integer vector for each data subject, added up.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// People for whom the number is not 0.
    Count,
    /// Sum of one bounded number a person.
    Sum(Bounds),
    /// Mean of one bounded number a person.
    Mean(Bounds),
    /// Mean, variance and standard deviation of one bounded number a person.
    Variance(Bounds),
    /// People by group.
    Histogram(Axes),
    /// Mean of one bounded number a person, by group.
    GroupedMean(Axes, Bounds),
    /// Quantiles of one number a person: a tree of counts over public bins.
    Quantiles {
        /// The bins, the tree's leaves.
        bins: Edges,
        /// Which quantiles, each in (0, 1).
        at: Vec<f64>,
    },
    /// Sum of one vector a person, of bounded norm.
    VectorSum {
        /// A name for each coordinate.
        labels: Labels,
        /// The bound: of the L2 norm where loss is ρ, of the L1 norm where it is ε.
        norm: f64,
    },
    /// Kaplan–Meier survival over public intervals that start at 0.
    Survival(Edges),
    /// People by keys that are not public: released above a threshold only, at the price of a δ.
    Keys(Keys),
    /// Mean over blocks of data subjects of one bounded vector a block (sample and aggregate).
    BlockMean(Vec<Coordinate>),
}

/// Finite bounds, `lower < upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    lower: f64,
    upper: f64,
}

impl Bounds {
    /// Bounds within ±[`BOUND_MAX`], `lower < upper`; `None` otherwise.
    pub fn new(lower: f64, upper: f64) -> Option<Self> {
        let inside = |x: f64| (-BOUND_MAX..=BOUND_MAX).contains(&x);
        (inside(lower) && inside(upper) && lower < upper).then_some(Self { lower, upper })
    }

    /// The lower bound.
    pub const fn lower(self) -> f64 {
        self.lower
    }

    /// The upper bound.
    pub const fn upper(self) -> f64 {
        self.upper
    }

    /// The midpoint m = (L + U) / 2.
    pub fn middle(self) -> f64 {
        f64::midpoint(self.lower, self.upper)
    }

    /// The half width h = (U − L) / 2.
    pub fn half_width(self) -> f64 {
        (self.upper - self.lower) / 2.0
    }
}

/// Increasing edges of bins: bin i is `[edge i, edge i + 1)`, and the last one includes its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Edges(Vec<f64>);

impl Edges {
    /// Two or more finite, strictly increasing numbers within ±[`BOUND_MAX`]; `None` otherwise.
    pub fn new(edges: Vec<f64>) -> Option<Self> {
        let inside = edges.iter().all(|x| (-BOUND_MAX..=BOUND_MAX).contains(x));
        let increasing = edges.windows(2).all(|w| matches!(w, [a, b] if a < b));
        (edges.len() >= 2 && inside && increasing).then_some(Self(edges))
    }

    /// The edges, one more than bins.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// How many bins; at least 1.
    pub const fn bins(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// The first edge.
    pub fn first(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The last edge.
    pub fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The bin of `y`; `None` outside of the edges, and for NaN.
    pub fn bin(&self, y: f64) -> Option<usize> {
        if !(self.first()..=self.last()).contains(&y) {
            return None;
        }
        Some(self.0.partition_point(|edge| *edge <= y).saturating_sub(1).min(self.bins().saturating_sub(1)))
    }
}

/// One way of grouping people; every axis has one more group, `other`, than it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it groups by, for people; empty where an output has one axis only.
    pub name: String,
    /// The groups that it names.
    pub groups: Groups,
}

/// The groups of an axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Groups {
    /// A public list; the module writes an index.
    Categories(Vec<String>),
    /// Public bins; the module writes a number.
    Bins(Edges),
}

impl Axis {
    /// Groups with `other`.
    pub const fn len(&self) -> usize {
        1 + match &self.groups {
            Groups::Categories(list) => list.len(),
            Groups::Bins(edges) => edges.bins(),
        }
    }

    /// Never: `other` is always there.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The group of the number that a module wrote; `other` for everything that is in none. Not for NaN.
    ///
    /// A code is rounded towards zero.
    #[inline]
    pub fn group(&self, y: f64) -> usize {
        let other = self.len() - 1;
        match &self.groups {
            Groups::Bins(edges) => edges.bin(y).unwrap_or(other),
            Groups::Categories(_) if y.trunc() < 0.0 => other,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, `as` saturates")]
            Groups::Categories(_) => (y as usize).min(other),
        }
    }

    /// The name of a group.
    pub fn label(&self, group: usize) -> String {
        match &self.groups {
            Groups::Categories(list) => list.get(group).cloned(),
            Groups::Bins(edges) => {
                let edge = |i: usize| edges.as_slice().get(i);
                edge(group + 1).and_then(|upper| Some(format!("{}–{upper}", edge(group)?)))
            }
        }
        .unwrap_or_else(|| "other".into())
    }
}

/// The cross of one or more axes, and in how many of its groups one data subject may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Axes {
    /// The axes, at least one.
    pub axes: Vec<Axis>,
    /// Groups of one data subject at most.
    pub per_subject: u32,
}

impl Axes {
    /// Groups of the cross, `other`s included.
    pub fn groups(&self) -> usize {
        self.axes.iter().map(Axis::len).fold(1, usize::saturating_mul)
    }

    /// The group of one number for each axis; none where a number is NaN or missing.
    #[inline]
    pub fn group(&self, numbers: &[f64]) -> Option<usize> {
        if numbers.len() < self.axes.len() {
            return None;
        }
        self.axes
            .iter()
            .zip(numbers)
            .try_fold(0, |group, (axis, y)| if y.is_nan() { None } else { Some(group * axis.len() + axis.group(*y)) })
    }

    /// The name of a group: that of each axis, joined by ` · `.
    pub fn label(&self, mut group: usize) -> String {
        let mut labels: Vec<String> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            labels.push(axis.label(group % axis.len()));
            group /= axis.len();
        }
        labels.reverse();
        labels.join(" · ")
    }

    /// Most groups of one data subject, as a count.
    pub fn per_subject(&self) -> usize {
        usize::try_from(self.per_subject).unwrap_or(usize::MAX)
    }
}

/// Names of a vector's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// One each.
    Named(Vec<String>),
    /// `0`, `1`, … so many.
    Numbered(u32),
}

impl Labels {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Named(names) => names.len(),
            Self::Numbered(count) => usize::try_from(*count).unwrap_or(usize::MAX),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of one.
    pub fn label(&self, i: usize) -> String {
        match self {
            Self::Named(names) => names.get(i).cloned().unwrap_or_default(),
            Self::Numbered(_) => i.to_string(),
        }
    }
}

/// How keys that are not public are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Keys of one data subject at most.
    pub per_subject: u32,
    /// Keys released at most, those with the largest noisy counts.
    pub released_max: u32,
    /// Whether a key stands for text, packed as `docs/guest-abi.md` says.
    pub text: bool,
}

/// A coordinate of a block's vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Coordinate {
    /// Its name.
    pub name: String,
    /// Its bounds.
    pub bounds: Bounds,
}

impl Kind {
    /// Its name in manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Variance(_) => "variance",
            Self::Histogram(axes) if axes.axes.len() > 1 => "grouped_count",
            Self::Histogram(_) => "histogram",
            Self::GroupedMean(..) => "grouped_mean",
            Self::Quantiles { .. } => "quantiles",
            Self::VectorSum { .. } => "vector_sum",
            Self::Survival(_) => "survival",
            Self::Keys(_) => "keys",
            Self::BlockMean(_) => "block_mean",
        }
    }

    /// How many `f64` the module writes for it.
    pub fn numbers(&self) -> usize {
        match self {
            Self::Count | Self::Sum(_) | Self::Mean(_) | Self::Variance(_) | Self::Quantiles { .. } => 1,
            Self::Survival(_) => 2,
            Self::Histogram(axes) => axes.axes.len() * axes.per_subject(),
            Self::GroupedMean(axes, _) => (axes.axes.len() + 1) * axes.per_subject(),
            Self::VectorSum { labels, .. } => labels.len(),
            Self::Keys(keys) => usize::try_from(keys.per_subject).unwrap_or(usize::MAX),
            Self::BlockMean(coordinates) => coordinates.len(),
        }
    }

    /// Cells of an answer to it. For keys those are pairs of a key and its noisy count.
    pub fn cells(&self) -> usize {
        match self {
            Self::Count | Self::Sum(_) => 1,
            Self::Mean(_) => 2,
            Self::Variance(_) => 3,
            Self::Histogram(axes) => axes.groups(),
            Self::GroupedMean(axes, _) => axes.groups().saturating_mul(2),
            Self::Quantiles { bins, .. } => 2 * bins.bins().next_power_of_two() - 1,
            Self::VectorSum { labels, .. } => labels.len(),
            Self::Survival(edges) => 2 * edges.bins() + 1,
            Self::Keys(keys) => 2 * usize::try_from(keys.released_max).unwrap_or(usize::MAX / 2),
            Self::BlockMean(coordinates) => coordinates.len(),
        }
    }

    /// Whether its sums make sense to `spe_update`.
    pub const fn feeds_rounds(&self) -> bool {
        matches!(
            self,
            Self::Count
                | Self::Sum(_)
                | Self::Mean(_)
                | Self::Variance(_)
                | Self::Histogram(_)
                | Self::GroupedMean(..)
                | Self::VectorSum { .. }
        )
    }

    /// Sensitivity to adding or removing one data subject, in units of 2⁻ᵇⁱᵗˢ: the L2 norm for [`Measure::Zcdp`], the L1 norm
    /// for [`Measure::Pure`].
    ///
    /// # Privacy
    /// A person's vector comes or goes: that is its norm. A block's vector becomes another one: that is twice its norm. Watched
    /// by `sensitivity` in `release/tests/it`.
    pub fn sensitivity(&self, measure: Measure, bits: u8) -> u64 {
        let norm = self.norm_max(measure, bits);
        if matches!(self, Self::BlockMean(_)) { 2 * norm } else { norm }
    }

    /// Largest norm of what one data subject, or one block, adds: as [`Self::sensitivity`], rounded up to an integer.
    ///
    /// # Privacy
    /// The bound that `release` clips every contribution to, so it holds whatever the guest writes (**guest-blind**).
    pub fn norm_max(&self, measure: Measure, bits: u8) -> u64 {
        let one = 1_u64 << bits.min(31);
        // `parts` coordinates of at most one unit each.
        let units = |parts: u64| match measure {
            Measure::Zcdp => root(parts, one),
            Measure::Pure => parts * one,
        };
        match self {
            Self::Count | Self::Survival(_) => one,
            Self::Sum(b) => {
                let grid = |x: f64| crate::units::to_grid(x, bits).unsigned_abs();
                grid(b.lower()).max(grid(b.upper())).max(1)
            }
            // (1, y) with |y| ≤ 1.
            Self::Mean(_) => units(2),
            // (1, y, y² − ½) with |y| ≤ 1: 1 + 1 + ¼ = (3/2)² and 1 + 1 + ½, at |y| = 1, which rounding does not pass.
            Self::Variance(_) => match measure {
                Measure::Zcdp => (3 * one).div_ceil(2),
                Measure::Pure => (5 * one).div_ceil(2),
            },
            Self::Histogram(axes) => units(axes.per_subject.into()),
            Self::GroupedMean(axes, _) => units(2 * u64::from(axes.per_subject)),
            Self::Quantiles { bins, .. } => units(1 + u64::from(bins.bins().next_power_of_two().trailing_zeros())),
            Self::VectorSum { norm, .. } => crate::units::to_grid(*norm, bits).unsigned_abs().max(1),
            Self::Keys(keys) => units(keys.per_subject.into()),
            Self::BlockMean(coordinates) => units(u64::try_from(coordinates.len()).unwrap_or(u64::MAX >> 32)),
        }
    }
}

/// √`parts` · `one`, rounded up.
fn root(parts: u64, one: u64) -> u64 {
    let square = u128::from(parts) * u128::from(one) * u128::from(one);
    let floor = square.isqrt();
    u64::try_from(floor + u128::from(floor * floor < square)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_round_up() {
        assert_eq!([root(1, 8), root(2, 8), root(4, 8), root(9, 1)], [8, 12, 16, 3]);
    }

    #[test]
    fn bins_are_half_open_and_the_last_is_closed() {
        let edges = Edges::new(vec![0.0, 1.0, 2.0]).expect("edges");
        let bins = [-0.1, 0.0, 0.99, 1.0, 2.0, 2.1, f64::NAN].map(|y| edges.bin(y));
        assert_eq!(bins, [None, Some(0), Some(0), Some(1), Some(1), None, None]);
        assert_eq!(Edges::new(vec![1.0, 1.0]), None);
    }

    #[test]
    fn a_cross_names_its_groups() {
        let sex = Axis { name: "sex".into(), groups: Groups::Categories(vec!["f".into(), "m".into()]) };
        let age = Axis { name: "age".into(), groups: Groups::Bins(Edges::new(vec![0.0, 40.0, 120.0]).expect("edges")) };
        let axes = Axes { axes: vec![sex, age], per_subject: 1 };
        assert_eq!(axes.groups(), 9);
        assert_eq!(axes.group(&[1.9, 40.0]).map(|g| axes.label(g)).as_deref(), Some("m · 40–120"));
        assert_eq!(axes.group(&[-1.0, 500.0]).map(|g| axes.label(g)).as_deref(), Some("other · other"));
        assert_eq!(axes.group(&[0.0, f64::NAN]), None);
    }
}
