//! The kinds of statistic: what a module writes for one, and how many sums it has.

mod sensitivity;
mod shape;

pub(super) use shape::BETWEEN_AXES;
pub use shape::{Axes, Axis, Bounds, Coordinate, Edges, Groups, Keys, Labels};

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
}
