//! Outputs as manifests write them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    BOUND_MAX, ManifestError,
    kind::{Axes, Axis, BETWEEN_AXES, Bounds, Coordinate, Edges, Groups, Keys, Kind, Labels},
    reject,
};
use crate::dataset::CATEGORIES_MAX;

/// Axes of one output at most.
const AXES_MAX: usize = 4;
/// Groups of one data subject in one output at most.
const PER_SUBJECT_MAX: u32 = 64;
/// Bins of quantiles at most; the tree has twice as many nodes.
const BINS_MAX: usize = 16_384;
/// Quantiles of one output at most.
const QUANTILES_MAX: usize = 32;
/// Coordinates of a vector at most.
const COORDINATES_MAX: usize = 16_384;
/// Keys released at most.
const KEYS_MAX: u32 = 8_192;

/// One statistic that the module contributes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawOutput", into = "RawOutput")]
pub struct Output {
    /// The output's name, unique in the module.
    pub name: String,
    /// What is computed.
    pub kind: Kind,
    /// The unit of the numbers, for people.
    pub unit: String,
    /// What a data subject contributes whose run failed or gave NaN; `None` = nothing.
    pub default: Option<Vec<f64>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutput {
    name: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<RawAxis>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_subject: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lower: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upper: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantiles: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<RawLabels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coordinates: Option<Vec<RawCoordinate>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unit: String,
    #[serde(default)]
    default: Option<Vec<f64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAxis {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawLabels {
    Count(u32),
    Names(Vec<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCoordinate {
    name: String,
    lower: f64,
    upper: f64,
}

impl RawOutput {
    fn wrong<T>(&self, why: impl std::fmt::Display) -> Result<T, ManifestError> {
        reject(format!("output {:?}: {why}", self.name))
    }

    fn needs<T>(&self, field: Option<T>, name: &str) -> Result<T, ManifestError> {
        field.map_or_else(|| self.wrong(format!("a {} needs \"{name}\"", self.kind)), Ok)
    }

    fn bounds(&mut self) -> Result<Bounds, ManifestError> {
        let (lower, upper) = (self.lower.take(), self.upper.take());
        let (lower, upper) = (self.needs(lower, "lower")?, self.needs(upper, "upper")?);
        self.bounds_of(lower, upper)
    }

    fn bounds_of(&self, lower: f64, upper: f64) -> Result<Bounds, ManifestError> {
        let wrong = || self.wrong(format!("bounds must satisfy -1e9 <= lower < upper <= 1e9, not [{lower}, {upper}]"));
        Bounds::new(lower, upper).map_or_else(wrong, Ok)
    }

    fn edges(&mut self) -> Result<Edges, ManifestError> {
        let edges = self.edges.take();
        let edges = self.needs(edges, "edges")?;
        self.edges_of(edges)
    }

    fn edges_of(&self, edges: Vec<f64>) -> Result<Edges, ManifestError> {
        let wrong = || self.wrong("\"edges\" are 2 or more increasing numbers within -1e9 and 1e9");
        let edges = Edges::new(edges).map_or_else(wrong, Ok)?;
        if edges.bins() > BINS_MAX { self.wrong(format!("at most {BINS_MAX} bins")) } else { Ok(edges) }
    }

    fn axis(&self, name: String, of: (Option<Vec<String>>, Option<Vec<f64>>)) -> Result<Axis, ManifestError> {
        let groups = match of {
            (Some(list), None) => Groups::Categories(self.categories(list)?),
            (None, Some(edges)) => Groups::Bins(self.edges_of(edges)?),
            _ => return self.wrong("an axis has either \"categories\" or \"edges\""),
        };
        if name.len() > 64 { self.wrong("an axis' name has at most 64 bytes") } else { Ok(Axis { name, groups }) }
    }

    fn axes(&mut self) -> Result<Axes, ManifestError> {
        let alone = (self.categories.take(), self.edges.take());
        let axes = match (alone, self.groups.take()) {
            ((None, None), Some(axes)) => {
                let axis = |a: RawAxis| self.axis(a.name, (a.categories, a.edges));
                axes.into_iter().map(axis).collect::<Result<Vec<_>, _>>()?
            }
            ((None, None), None) => {
                return self.wrong(format!("a {} needs \"categories\", \"edges\" or \"groups\"", self.kind));
            }
            (alone, None) => vec![self.axis(String::new(), alone)?],
            _ => return self.wrong("\"groups\" stands alone, without \"categories\" and \"edges\""),
        };
        if !(1..=AXES_MAX).contains(&axes.len()) {
            return self.wrong(format!("1 to {AXES_MAX} axes are needed"));
        }
        let categories = axes.iter().filter_map(|axis| match &axis.groups {
            Groups::Categories(list) if axes.len() > 1 => Some(list),
            _ => None,
        });
        if let Some(ambiguous) = categories.flatten().find(|name| name.contains(BETWEEN_AXES)) {
            return self
                .wrong(format!("{ambiguous:?}: with several axes {BETWEEN_AXES:?} stands between their groups"));
        }
        Ok(Axes { axes, per_subject: self.per_subject()? })
    }

    fn per_subject(&mut self) -> Result<u32, ManifestError> {
        let given = self.per_subject.take().unwrap_or(1);
        let within = (1..=PER_SUBJECT_MAX).contains(&given);
        if within { Ok(given) } else { self.wrong(format!("\"per_subject\" is 1 to {PER_SUBJECT_MAX}, not {given}")) }
    }

    fn categories(&self, list: Vec<String>) -> Result<Vec<String>, ManifestError> {
        if list.is_empty() || list.len() > CATEGORIES_MAX {
            return self.wrong(format!("1 to {CATEGORIES_MAX} categories are needed"));
        }
        self.distinct("categories", list.iter())?;
        if list.iter().any(|c| c.len() > 128 || c == "other") {
            return self.wrong("a category is at most 128 bytes and not \"other\", which is always added");
        }
        Ok(list)
    }

    /// Two groups or coordinates of one name could not be told apart in an answer.
    fn distinct<'a>(&self, what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), ManifestError> {
        let mut seen = BTreeSet::new();
        let twice = names.into_iter().find(|name| !seen.insert(*name));
        twice.map_or(Ok(()), |name| self.wrong(format!("\"{what}\" must be distinct: {name:?} is there twice")))
    }

    fn quantiles(&mut self) -> Result<Kind, ManifestError> {
        let (bins, at) = (self.edges()?, self.quantiles.take());
        let at = self.needs(at, "quantiles")?;
        let inside = at.iter().all(|q| 0.0 < *q && *q < 1.0);
        if (1..=QUANTILES_MAX).contains(&at.len()) && inside {
            return Ok(Kind::Quantiles { bins, at });
        }
        self.wrong(format!("\"quantiles\" are 1 to {QUANTILES_MAX} numbers between 0 and 1"))
    }

    fn vector(&mut self) -> Result<Kind, ManifestError> {
        let (labels, norm) = (self.labels.take(), self.norm.take());
        let labels = match self.needs(labels, "labels")? {
            RawLabels::Count(count) => Labels::Numbered(count),
            RawLabels::Names(names) => Labels::Named(names),
        };
        let norm = self.needs(norm, "norm")?;
        if !(1..=COORDINATES_MAX).contains(&labels.len()) {
            return self.wrong(format!("1 to {COORDINATES_MAX} labels are needed"));
        }
        if let Labels::Named(names) = &labels {
            if names.iter().any(|name| name.len() > 64) {
                return self.wrong("a label has at most 64 bytes");
            }
            self.distinct("labels", names.iter())?;
        }
        if 0.0 < norm && norm <= BOUND_MAX {
            return Ok(Kind::VectorSum { labels, norm });
        }
        self.wrong(format!("\"norm\" is a number above 0 and at most {BOUND_MAX}"))
    }

    fn survival(&mut self) -> Result<Kind, ManifestError> {
        let edges = self.edges()?;
        if edges.first() == 0.0 { Ok(Kind::Survival(edges)) } else { self.wrong("the edges of survival start at 0") }
    }

    fn keys(&mut self) -> Result<Kind, ManifestError> {
        let (released_max, text) = (self.released_max.take(), self.text.take().unwrap_or(false));
        let released_max = self.needs(released_max, "released_max")?;
        if !(1..=KEYS_MAX).contains(&released_max) {
            return self.wrong(format!("\"released_max\" is 1 to {KEYS_MAX}, not {released_max}"));
        }
        Ok(Kind::Keys(Keys { per_subject: self.per_subject()?, released_max, text }))
    }

    fn coordinates(&mut self) -> Result<Kind, ManifestError> {
        let coordinates = self.coordinates.take();
        let coordinates = self.needs(coordinates, "coordinates")?;
        if !(1..=COORDINATES_MAX).contains(&coordinates.len()) || coordinates.iter().any(|c| c.name.len() > 64) {
            return self.wrong(format!("1 to {COORDINATES_MAX} coordinates with names of at most 64 bytes are needed"));
        }
        self.distinct("coordinates", coordinates.iter().map(|c| &c.name))?;
        let coordinate = |c: RawCoordinate| Ok(Coordinate { name: c.name, bounds: self.bounds_of(c.lower, c.upper)? });
        Ok(Kind::BlockMean(coordinates.into_iter().map(coordinate).collect::<Result<_, ManifestError>>()?))
    }

    fn kind(&mut self) -> Result<Kind, ManifestError> {
        match self.kind.as_str() {
            "count" => Ok(Kind::Count),
            "sum" => Ok(Kind::Sum(self.bounds()?)),
            "mean" => Ok(Kind::Mean(self.bounds()?)),
            "variance" => Ok(Kind::Variance(self.bounds()?)),
            "histogram" | "grouped_count" => Ok(Kind::Histogram(self.axes()?)),
            "grouped_mean" => Ok(Kind::GroupedMean(self.axes()?, self.bounds()?)),
            "quantiles" => self.quantiles(),
            "vector_sum" => self.vector(),
            "survival" => self.survival(),
            "keys" => self.keys(),
            "block_mean" => self.coordinates(),
            other => self.wrong(format!(
                "{other:?} is not a kind (count, sum, mean, variance, histogram, grouped_count, grouped_mean, quantiles, \
                 vector_sum, survival, keys, block_mean)"
            )),
        }
    }

    /// Every field that a kind takes was taken: what is left does not belong to it.
    const fn is_spent(&self) -> bool {
        self.categories.is_none()
            && self.edges.is_none()
            && self.groups.is_none()
            && self.per_subject.is_none()
            && self.lower.is_none()
            && self.upper.is_none()
            && self.quantiles.is_none()
            && self.labels.is_none()
            && self.norm.is_none()
            && self.released_max.is_none()
            && self.text.is_none()
            && self.coordinates.is_none()
    }
}

impl TryFrom<RawOutput> for Output {
    type Error = ManifestError;
    fn try_from(mut raw: RawOutput) -> Result<Self, ManifestError> {
        let kind = raw.kind()?;
        if !raw.is_spent() {
            return raw.wrong(format!("a {} takes no such field", raw.kind));
        }
        if raw.name.is_empty() || raw.name.len() > 64 || raw.unit.len() > 64 {
            return reject("an output's name has 1 to 64 bytes and its unit at most 64");
        }
        let fits = |d: &Vec<f64>| d.len() == kind.numbers() && d.iter().all(|x| x.is_finite());
        if raw.default.as_ref().is_some_and(|d| !fits(d)) {
            return raw.wrong(format!("its default must be null or {} finite numbers", kind.numbers()));
        }
        Ok(Self { name: raw.name, kind, unit: raw.unit, default: raw.default })
    }
}

impl From<Output> for RawOutput {
    fn from(output: Output) -> Self {
        let kind = output.kind.name().to_owned();
        let mut raw = Self { name: output.name, kind, unit: output.unit, default: output.default, ..Self::default() };
        match output.kind {
            Kind::Count => {}
            Kind::Sum(b) | Kind::Mean(b) | Kind::Variance(b) => {
                (raw.lower, raw.upper) = (Some(b.lower()), Some(b.upper()))
            }
            Kind::Histogram(axes) => raw.write_axes(axes),
            Kind::GroupedMean(axes, b) => {
                raw.write_axes(axes);
                (raw.lower, raw.upper) = (Some(b.lower()), Some(b.upper()));
            }
            Kind::Quantiles { bins, at } => {
                (raw.edges, raw.quantiles) = (Some(bins.as_slice().to_vec()), Some(at));
            }
            Kind::VectorSum { labels, norm } => {
                raw.norm = Some(norm);
                raw.labels = Some(match labels {
                    Labels::Named(names) => RawLabels::Names(names),
                    Labels::Numbered(count) => RawLabels::Count(count),
                });
            }
            Kind::Survival(edges) => raw.edges = Some(edges.as_slice().to_vec()),
            Kind::Keys(Keys { per_subject, released_max, text }) => {
                (raw.released_max, raw.text) = (Some(released_max), text.then_some(true));
                raw.per_subject = (per_subject > 1).then_some(per_subject);
            }
            Kind::BlockMean(coordinates) => {
                let write =
                    |c: Coordinate| RawCoordinate { name: c.name, lower: c.bounds.lower(), upper: c.bounds.upper() };
                raw.coordinates = Some(coordinates.into_iter().map(write).collect());
            }
        }
        raw
    }
}

impl RawOutput {
    fn write_axes(&mut self, Axes { axes, per_subject }: Axes) {
        self.per_subject = (per_subject > 1).then_some(per_subject);
        let write = |groups: Groups| match groups {
            Groups::Categories(list) => (Some(list), None),
            Groups::Bins(edges) => (None, Some(edges.as_slice().to_vec())),
        };
        let alone = axes.len() == 1 && axes.first().is_some_and(|a| a.name.is_empty());
        let mut written = axes.into_iter().map(|axis| {
            let (categories, edges) = write(axis.groups);
            RawAxis { name: axis.name, categories, edges }
        });
        if alone && let Some(axis) = written.next() {
            (self.categories, self.edges) = (axis.categories, axis.edges);
        } else {
            self.groups = Some(written.collect());
        }
    }
}
