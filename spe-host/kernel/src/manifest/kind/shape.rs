//! What kinds are made of: bounds, bins, axes, labels.

use crate::manifest::BOUND_MAX;

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

    /// `y` as (y − m)/h, clamped to [−1, 1]; 0 for NaN, and for the middle of bounds whose h rounds to 0.
    #[inline]
    pub fn normal(self, y: f64) -> f64 {
        let normal = ((y - self.middle()) / self.half_width()).clamp(-1.0, 1.0);
        if normal.is_nan() { 0.0 } else { normal }
    }

    /// The number between the bounds whose [`Self::normal`] is `normal`, clamped.
    pub fn place(self, normal: f64) -> f64 {
        self.middle() + self.half_width() * normal.clamp(-1.0, 1.0)
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

/// What stands between the names of a cross' groups.
pub(in crate::manifest) const BETWEEN_AXES: &str = " · ";

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

    /// The name of a group: that of each axis, joined by ` · `; no two groups have the same.
    pub fn label(&self, mut group: usize) -> String {
        let mut labels: Vec<String> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            labels.push(axis.label(group % axis.len()));
            group /= axis.len();
        }
        labels.reverse();
        labels.join(BETWEEN_AXES)
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

#[cfg(test)]
mod tests {
    use super::*;

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
