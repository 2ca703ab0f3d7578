//! What a module says of itself, in its custom section `spe.manifest` (`docs/guest-abi.md`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnName, TableName};

mod kind;
mod output;

pub use kind::{Axes, Axis, Bounds, Coordinate, Edges, Groups, Keys, Kind, Labels};
pub use output::Output;

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

/// Blocks at most.
pub const BLOCKS_MAX: u32 = 65_536;
/// Rounds at most.
pub const ROUNDS_MAX: u32 = 1_000;
/// Numbers in the state of a module with rounds at most.
pub const STATE_MAX: usize = 4_096;

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
    /// Whether it is run several times, each time with what the last gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<Rounds>,
    /// What it contributes to.
    pub outputs: Vec<Output>,
}

/// How often a module is run, and what one round hands to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Rounds when the researcher names no number.
    pub default: u32,
    /// Most rounds.
    pub max: u32,
    /// Names of the numbers that one round hands to the next.
    pub state: Vec<String>,
}

/// Whose records one call of `spe_map` sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One data subject.
    #[default]
    Subject,
    /// All data subjects whose pseudonyms fall into one of so many equal ranges: sample and aggregate.
    Blocks(u32),
}

impl Unit {
    /// How many blocks, if it is blocks.
    pub const fn blocks(self) -> Option<u32> {
        match self {
            Self::Subject => None,
            Self::Blocks(blocks) => Some(blocks),
        }
    }
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
        check_unit(self.unit, self.outputs.iter())?;
        self.rounds.as_ref().map_or(Ok(()), |rounds| check_rounds(rounds, self.unit, self.outputs.iter()))?;
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

/// A block is not a person: only means over blocks are made of what it gives, and only of that.
pub(crate) fn check_unit<'a>(unit: Unit, mut outputs: impl Iterator<Item = &'a Output>) -> Result<(), ManifestError> {
    let of_blocks = |o: &&Output| matches!(o.kind, Kind::BlockMean(_));
    match unit {
        Unit::Blocks(blocks) if !(2..=BLOCKS_MAX).contains(&blocks) => {
            reject(format!("\"unit\": 2 to {BLOCKS_MAX} blocks, not {blocks}"))
        }
        Unit::Blocks(_) => outputs.find(|o| !of_blocks(o)).map_or(Ok(()), |o| {
            reject(format!("output {:?}: with a unit of blocks every output is a block_mean", o.name))
        }),
        Unit::Subject => outputs.find(of_blocks).map_or(Ok(()), |o| {
            reject(format!("output {:?}: a block_mean needs \"unit\": {{\"blocks\": <number>}}", o.name))
        }),
    }
}

pub(crate) fn check_rounds<'a>(
    rounds: &Rounds,
    unit: Unit,
    mut outputs: impl Iterator<Item = &'a Output>,
) -> Result<(), ManifestError> {
    let Rounds { default, max, state } = rounds;
    if !(1..=ROUNDS_MAX).contains(max) || !(1..=*max).contains(default) {
        return reject(format!("\"rounds\": 1 <= default <= max <= {ROUNDS_MAX}"));
    }
    let distinct: BTreeSet<_> = state.iter().collect();
    let named = state.iter().all(|name| !name.is_empty() && name.len() <= 64);
    if state.is_empty() || state.len() > STATE_MAX || distinct.len() != state.len() || !named {
        return reject(format!("\"rounds\": \"state\" is 1 to {STATE_MAX} distinct names of 1 to 64 bytes"));
    }
    if unit != Unit::Subject {
        return reject("\"rounds\" cannot be used with blocks");
    }
    outputs
        .find(|o| !o.kind.feeds_rounds())
        .map_or(Ok(()), |o| reject(format!("output {:?}: a {} cannot be used with rounds", o.name, o.kind.name())))
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
