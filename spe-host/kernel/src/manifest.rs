//! What a module says of itself, in its custom section `spe.manifest` (`docs/guest-abi.md`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    dataset::CATEGORIES_MAX,
    ids::{ColumnName, TableName},
};

/// Longest manifest in bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;
/// Input tables at most.
pub const INPUTS_MAX: usize = 8;
/// Columns of one input at most.
pub const COLUMNS_MAX: usize = 64;
/// Parameters at most.
pub const PARAMS_MAX: usize = 64;
/// Outputs at most.
pub const OUTPUTS_MAX: usize = 16;
/// Rows of one data subject in one table at most.
pub const ROWS_MAX: u32 = 65_536;
/// Longest filter text in bytes.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// The ABI that this host speaks.
pub const ABI: u32 = 1;
/// Largest absolute bound of an output: with the finest grid it stays far inside 2⁵³.
pub const BOUND_MAX: f64 = 1e9;

/// A manifest that cannot be accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the module's manifest is not valid: {0}")]
pub struct ManifestError(pub String);

fn reject<T>(why: impl Into<String>) -> Result<T, ManifestError> {
    Err(ManifestError(why.into()))
}

/// A module's manifest, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The module's name.
    pub name: String,
    /// The module's version.
    pub version: String,
    /// Must be [`ABI`].
    pub abi: u32,
    /// The unit that `spe_map` is called for.
    #[serde(default)]
    pub unit: Unit,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Public parameters.
    #[serde(default)]
    pub params: Vec<Param>,
    /// What it contributes to.
    pub outputs: Vec<Output>,
}

/// Whose records one call of `spe_map` sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One data subject.
    #[default]
    Subject,
}

/// An input table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The table.
    pub table: TableName,
    /// The columns, in the order in which the module sees them.
    pub columns: Vec<ColumnName>,
    /// Rows of one data subject at most; the rest is cut.
    pub max_rows: u32,
    /// Which rows, see [`crate::filter`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// A public parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// The parameter's name.
    pub name: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Value when the researcher gives none; without it the parameter must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
}

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

/// The kinds of statistic; each is a bounded integer vector for each data subject, added up.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// People for whom the number is not 0.
    Count,
    /// Sum of one bounded number a person.
    Sum(Bounds),
    /// Mean of one bounded number a person.
    Mean(Bounds),
    /// People by category.
    Histogram(Vec<String>),
    /// Mean of one bounded number a person, by category.
    GroupedMean(Vec<String>, Bounds),
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

impl Kind {
    /// Its name in manifests.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Histogram(_) => "histogram",
            Self::GroupedMean(..) => "grouped_mean",
        }
    }

    /// How many `f64` the module writes for it.
    pub const fn numbers(&self) -> usize {
        match self {
            Self::GroupedMean(..) => 2,
            _ => 1,
        }
    }

    /// Cells of the summed vector. Lists of categories get one more, `other`.
    pub const fn cells(&self) -> usize {
        match self {
            Self::Count | Self::Sum(_) => 1,
            Self::Mean(_) => 2,
            Self::Histogram(categories) => categories.len() + 1,
            Self::GroupedMean(categories, _) => 2 * (categories.len() + 1),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutput {
    name: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lower: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upper: Option<f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unit: String,
    #[serde(default)]
    default: Option<Vec<f64>>,
}

fn bounds_of(raw: &RawOutput) -> Result<Bounds, ManifestError> {
    match (raw.lower, raw.upper) {
        (Some(lower), Some(upper)) => Bounds::new(lower, upper).ok_or_else(|| {
            let name = &raw.name;
            ManifestError(format!(
                "output {name:?}: bounds must satisfy -1e9 <= lower < upper <= 1e9, not [{lower}, {upper}]"
            ))
        }),
        _ => reject(format!("output {:?}: a {} needs \"lower\" and \"upper\"", raw.name, raw.kind)),
    }
}

fn categories_of(raw: &RawOutput) -> Result<Vec<String>, ManifestError> {
    let name = &raw.name;
    let Some(categories) = raw.categories.clone() else {
        return reject(format!("output {name:?}: a {} needs \"categories\"", raw.kind));
    };
    let distinct: BTreeSet<_> = categories.iter().collect();
    if categories.is_empty() || categories.len() > CATEGORIES_MAX || distinct.len() != categories.len() {
        return reject(format!("output {name:?}: 1 to {CATEGORIES_MAX} distinct categories are needed"));
    }
    if categories.iter().any(|c| c.len() > 128 || c == "other") {
        return reject(format!(
            "output {name:?}: a category is at most 128 bytes and not \"other\", which is always added"
        ));
    }
    Ok(categories)
}

impl TryFrom<RawOutput> for Output {
    type Error = ManifestError;
    fn try_from(raw: RawOutput) -> Result<Self, ManifestError> {
        let kind = match raw.kind.as_str() {
            "count" => Kind::Count,
            "sum" => Kind::Sum(bounds_of(&raw)?),
            "mean" => Kind::Mean(bounds_of(&raw)?),
            "histogram" => Kind::Histogram(categories_of(&raw)?),
            "grouped_mean" => Kind::GroupedMean(categories_of(&raw)?, bounds_of(&raw)?),
            other => {
                return reject(format!(
                    "output {:?}: {other:?} is not a kind (count, sum, mean, histogram, grouped_mean)",
                    raw.name
                ));
            }
        };
        let takes_categories = matches!(kind, Kind::Histogram(_) | Kind::GroupedMean(..));
        let takes_bounds = matches!(kind, Kind::Sum(_) | Kind::Mean(_) | Kind::GroupedMean(..));
        if raw.categories.is_some() != takes_categories || (raw.lower.is_some() || raw.upper.is_some()) && !takes_bounds
        {
            return reject(format!("output {:?}: a {} takes no such field", raw.name, raw.kind));
        }
        if raw.name.is_empty() || raw.name.len() > 64 || raw.unit.len() > 64 {
            return reject("an output's name has 1 to 64 bytes and its unit at most 64");
        }
        let fits = |d: &Vec<f64>| d.len() == kind.numbers() && d.iter().all(|x| x.is_finite());
        if raw.default.as_ref().is_some_and(|d| !fits(d)) {
            return reject(format!(
                "output {:?}: its default must be null or {} finite numbers",
                raw.name,
                kind.numbers()
            ));
        }
        Ok(Self { name: raw.name, kind, unit: raw.unit, default: raw.default })
    }
}

impl From<Output> for RawOutput {
    fn from(output: Output) -> Self {
        let kind = output.kind.name().to_owned();
        let (categories, bounds) = match output.kind {
            Kind::Count => (None, None),
            Kind::Sum(b) | Kind::Mean(b) => (None, Some(b)),
            Kind::Histogram(c) => (Some(c), None),
            Kind::GroupedMean(c, b) => (Some(c), Some(b)),
        };
        let (lower, upper) = (bounds.map(Bounds::lower), bounds.map(Bounds::upper));
        Self { name: output.name, kind, categories, lower, upper, unit: output.unit, default: output.default }
    }
}

impl Manifest {
    /// Reads the bytes of the custom section.
    ///
    /// # Errors
    /// Says which field is wrong and what it should be.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return reject(format!("{} bytes; at most {MANIFEST_BYTES_MAX} are allowed", bytes.len()));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| ManifestError(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.abi != ABI {
            return reject(format!("\"abi\" is {}; this host speaks {ABI}", self.abi));
        }
        if self.name.is_empty() || self.name.len() > 64 || self.version.len() > 32 {
            return reject("\"name\" has 1 to 64 bytes and \"version\" at most 32");
        }
        check_inputs(&self.inputs)?;
        check_outputs(self.outputs.iter())?;
        check_params(&self.params)
    }

    /// All numbers that `spe_map` writes.
    pub fn numbers(&self) -> usize {
        self.outputs.iter().map(|o| o.kind.numbers()).sum()
    }
}

pub(crate) fn check_inputs(inputs: &[Input]) -> Result<(), ManifestError> {
    if inputs.is_empty() || inputs.len() > INPUTS_MAX {
        return reject(format!("1 to {INPUTS_MAX} inputs are needed, not {}", inputs.len()));
    }
    for input in inputs {
        let table = &input.table;
        let distinct: BTreeSet<_> = input.columns.iter().collect();
        if input.columns.is_empty() || input.columns.len() > COLUMNS_MAX || distinct.len() != input.columns.len() {
            return reject(format!("input {table}: 1 to {COLUMNS_MAX} distinct columns are needed"));
        }
        if !(1..=ROWS_MAX).contains(&input.max_rows) {
            return reject(format!("input {table}: \"max_rows\" must be 1 to {ROWS_MAX}, not {}", input.max_rows));
        }
        if input.filter.as_ref().is_some_and(|f| f.len() > FILTER_BYTES_MAX) {
            return reject(format!("input {table}: a filter has at most {FILTER_BYTES_MAX} bytes"));
        }
    }
    let tables: BTreeSet<_> = inputs.iter().map(|i| &i.table).collect();
    if tables.len() == inputs.len() { Ok(()) } else { reject("a table is an input twice") }
}

pub(crate) fn check_outputs<'a>(outputs: impl ExactSizeIterator<Item = &'a Output>) -> Result<(), ManifestError> {
    let count = outputs.len();
    if count == 0 || count > OUTPUTS_MAX {
        return reject(format!("1 to {OUTPUTS_MAX} outputs are needed, not {count}"));
    }
    let names: BTreeSet<_> = outputs.map(|o| &o.name).collect();
    if names.len() == count { Ok(()) } else { reject("two outputs have the same name") }
}

fn check_params(params: &[Param]) -> Result<(), ManifestError> {
    if params.len() > PARAMS_MAX {
        return reject(format!("at most {PARAMS_MAX} parameters, not {}", params.len()));
    }
    for param in params {
        let Param { name, min, max, default } = param;
        let ordered = min.is_finite() && max.is_finite() && min <= max;
        if name.is_empty() || name.len() > 64 || !ordered || default.is_some_and(|d| !(*min..=*max).contains(&d)) {
            return reject(format!("parameter {name:?}: needs a name, finite min <= max, and a default between them"));
        }
    }
    let names: BTreeSet<_> = params.iter().map(|p| &p.name).collect();
    if names.len() == params.len() { Ok(()) } else { reject("two parameters have the same name") }
}
