//! A job's plan: everything that decides its sensitivity, its cost and its identity. Fixed before any data is read.

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{ColumnType, DatasetSchema},
    filter::Filter,
    ids::{DatasetName, Digest},
    manifest::{
        self, Input, Kind, Manifest, Output, Rounds, Unit, check_inputs, check_outputs, check_rounds, check_unit,
    },
    units::{Loss, Measure},
};

mod choices;
mod release;

pub use choices::{Choices, FUEL_DEFAULT, MEMORY_DEFAULT_BYTES};
pub use release::Release;

/// Fractional bits of the fixed-point grid when the researcher names none: 2⁻²⁰ ≈ 10⁻⁶ of a unit.
pub const GRID_BITS_DEFAULT: u8 = 20;
/// Finest grid.
pub const GRID_BITS_MAX: u8 = 22;
/// Cells of all outputs at most.
pub const CELLS_MAX: usize = 65_536;

/// A plan that cannot be, and why. Depends on request and public schema only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

fn reject<T>(why: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError(why.into()))
}

/// What is asked of one dataset by one module.
///
/// # Privacy
/// Sensitivity and cost are functions of this value alone; its digest is the job's identity, so an identical question is
/// the same job (**same-answer**).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPlan", into = "RawPlan")]
pub struct Plan {
    raw: RawPlan,
    loss: Loss,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    abi: u32,
    dataset: DatasetName,
    module: Digest,
    #[serde(default)]
    unit: Unit,
    inputs: Vec<Input>,
    params: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rounds: Option<PlannedRounds>,
    outputs: Vec<Planned>,
    overlap: u32,
    #[serde(default)]
    suppress_below: u32,
    fuel_per_subject: u64,
    memory_bytes_max: u64,
    attempt: u32,
    #[serde(default, skip_serializing_if = "Release::is_noisy")]
    release: Release,
}

/// How often the module is run for one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRounds {
    /// Rounds, each of which is charged.
    pub count: u32,
    /// Names of the numbers that one round hands to the next.
    pub state: Vec<String>,
}

/// An output with the grid it is summed on and the loss it is bought for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// What the module contributes to.
    pub output: Output,
    /// Fractional bits q: numbers are multiples of 2⁻ᑫ.
    pub grid_bits: u8,
    /// Privacy loss of this output at each node in each round.
    pub loss: Loss,
}

impl TryFrom<RawPlan> for Plan {
    type Error = PlanError;
    fn try_from(raw: RawPlan) -> Result<Self, PlanError> {
        if raw.abi != manifest::ABI {
            return reject(format!("the plan is for ABI {}; this host speaks {}", raw.abi, manifest::ABI));
        }
        check_inputs(&raw.inputs).map_err(|e| PlanError(e.0))?;
        let outputs = || raw.outputs.iter().map(|p| &p.output);
        check_outputs(outputs()).and_then(|()| check_unit(raw.unit, outputs())).map_err(|e| PlanError(e.0))?;
        if let Some(PlannedRounds { count, state }) = &raw.rounds {
            let rounds = Rounds { default: *count, max: *count, state: state.clone() };
            check_rounds(&rounds, raw.unit, outputs()).map_err(|e| PlanError(e.0))?;
        }
        if raw.params.len() > manifest::PARAMS_MAX || raw.params.iter().any(|p| !p.is_finite()) {
            return reject(format!("a plan has at most {} parameters, all finite", manifest::PARAMS_MAX));
        }
        let cells = raw.outputs.iter().map(|p| p.output.kind.cells()).fold(0, usize::saturating_add);
        if cells > CELLS_MAX {
            return reject(format!("{cells} cells; at most {CELLS_MAX} are allowed"));
        }
        if raw.overlap == 0 || raw.fuel_per_subject == 0 || raw.memory_bytes_max == 0 {
            return reject("overlap, fuel and memory must be at least 1");
        }
        release::check(&raw)?;
        let rounds = raw.rounds.as_ref().map_or(1, |rounds| rounds.count);
        let loss = total_loss(&raw.outputs)?.times(rounds).and_then(|loss| loss.times(raw.overlap).map(|_| loss));
        let loss = loss.map_err(|e| PlanError(e.to_string()))?;
        Ok(Self { raw, loss })
    }
}

impl From<Plan> for RawPlan {
    fn from(plan: Plan) -> Self {
        plan.raw
    }
}

fn total_loss(outputs: &[Planned]) -> Result<Loss, PlanError> {
    let Some(first) = outputs.first() else { return reject("a plan has at least one output") };
    let mut total = Loss::zero(first.loss.measure());
    for planned in outputs {
        let name = &planned.output.name;
        if planned.loss.pico() == 0 {
            return reject(format!("output {name:?}: a loss of 0 buys no answer"));
        }
        match (&planned.output.kind, planned.loss.delta_atto()) {
            (Kind::Keys(_), 0) => {
                return reject(format!(
                    "output {name:?}: keys cost a delta besides; ask with {}=<loss>,delta=<delta>",
                    planned.loss.measure().parameter()
                ));
            }
            (Kind::Keys(_), _) | (_, 0) => {}
            _ => return reject(format!("output {name:?}: only keys cost a delta")),
        }
        if planned.grid_bits > GRID_BITS_MAX {
            return reject(format!("output {name:?}: at most {GRID_BITS_MAX} grid bits"));
        }
        total = total.plus(planned.loss).map_err(|e| PlanError(e.to_string()))?;
    }
    Ok(total)
}

impl Plan {
    /// Whether every table, column and filter exists in `schema`, with the same overlap.
    ///
    /// # Errors
    /// Names the table or column that does not fit.
    pub fn fits_schema(&self, schema: &DatasetSchema) -> Result<(), PlanError> {
        let name = &schema.name;
        if self.raw.dataset != *name {
            return reject(format!("the plan is for dataset {}, not {name}", self.raw.dataset));
        }
        if self.raw.overlap != schema.overlap {
            return reject(format!(
                "the plan says overlap {}, dataset {name} says {}",
                self.raw.overlap, schema.overlap
            ));
        }
        for input in &self.raw.inputs {
            let table = schema
                .table(&input.table)
                .ok_or_else(|| PlanError(format!("dataset {name} has no table {}", input.table)))?;
            for column in &input.columns {
                if table.column(column).is_none() {
                    return reject(format!("table {} of dataset {name} has no column {column}", input.table));
                }
            }
            if let Some(text) = &input.filter {
                Filter::parse(text, table).map_err(|e| PlanError(format!("filter on table {}: {e}", input.table)))?;
            }
        }
        Ok(())
    }

    /// Whether the module, whose manifest this is, promises what the plan says.
    ///
    /// # Errors
    /// Names the part that differs.
    pub fn fits_manifest(&self, manifest: &Manifest) -> Result<(), PlanError> {
        let same_outputs = self.raw.outputs.iter().map(|p| &p.output).eq(manifest.outputs.iter());
        let same = self.raw.inputs == manifest.inputs && self.raw.abi == manifest.abi && self.raw.unit == manifest.unit;
        if !same || !same_outputs {
            return reject("the plan's inputs, unit or outputs are not those of the module's manifest");
        }
        let same_rounds = match (&self.raw.rounds, &manifest.rounds) {
            (None, None) => true,
            (Some(planned), Some(declared)) => planned.state == declared.state && planned.count <= declared.max,
            _ => false,
        };
        if !same_rounds {
            return reject("the plan's rounds are not those of the module's manifest");
        }
        let within = |(value, param): (&f64, &manifest::Param)| (param.min..=param.max).contains(value);
        if self.raw.params.len() != manifest.params.len() || !self.raw.params.iter().zip(&manifest.params).all(within) {
            return reject("the plan's parameters are not within those of the module's manifest");
        }
        Ok(())
    }

    /// The digest of the plan's canonical bytes: its identity.
    pub fn digest(&self) -> Digest {
        // Serialising plain data to memory fails for no value of this type; an empty digest input would be refused later.
        Digest::of(&serde_json::to_vec(&self.raw).unwrap_or_default())
    }

    /// The dataset.
    pub const fn dataset(&self) -> &DatasetName {
        &self.raw.dataset
    }

    /// The module's digest.
    pub const fn module(&self) -> Digest {
        self.raw.module
    }

    /// The input tables.
    pub fn inputs(&self) -> &[Input] {
        &self.raw.inputs
    }

    /// Parameters in the manifest's order.
    pub fn params(&self) -> &[f64] {
        &self.raw.params
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Planned] {
        &self.raw.outputs
    }

    /// Numbers that the guest writes for one data subject.
    pub fn numbers(&self) -> usize {
        self.raw.outputs.iter().map(|p| p.output.kind.numbers()).sum()
    }

    /// At how many nodes one person may be.
    pub const fn overlap(&self) -> u32 {
        self.raw.overlap
    }

    /// Fuel for one data subject.
    pub const fn fuel_per_subject(&self) -> u64 {
        self.raw.fuel_per_subject
    }

    /// Most linear memory of the guest in bytes.
    pub const fn memory_bytes_max(&self) -> u64 {
        self.raw.memory_bytes_max
    }

    /// Whose records one call of `spe_map` sees.
    pub const fn unit(&self) -> Unit {
        self.raw.unit
    }

    /// How often the module is run; 1 without rounds.
    pub fn rounds(&self) -> u32 {
        self.raw.rounds.as_ref().map_or(1, |rounds| rounds.count)
    }

    /// Names of the numbers that one round hands to the next; none without rounds.
    pub fn state(&self) -> &[String] {
        self.raw.rounds.as_ref().map_or(&[], |rounds| &rounds.state)
    }

    /// Counts below it are not shown.
    pub const fn suppress_below(&self) -> u32 {
        self.raw.suppress_below
    }

    /// The loss of the whole job, all rounds, at each node that answers.
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// What a node's ledger is charged: the loss, as often as one person may bear it (**disjoint**).
    pub fn charge(&self) -> Loss {
        // That it does not overflow was checked when the plan was made.
        self.loss.times(self.raw.overlap).unwrap_or(Loss::from_pico(self.loss.measure(), u64::MAX))
    }

    /// The measure of every loss in the plan.
    pub const fn measure(&self) -> Measure {
        self.loss.measure()
    }
}

/// Bytes that one record and its outputs may take in guest memory: a function of plan and schema only.
///
/// An upper bound of the layout in `docs/guest-abi.md` for every data subject; text counts with its longest value.
pub fn record_bytes_max(plan: &Plan, schema: &DatasetSchema) -> u64 {
    let column = |rows: u64, kind: &ColumnType| {
        let values = match kind {
            ColumnType::Text { max_bytes } => rows * (u64::from(*max_bytes) + 4) + 16,
            _ => rows * 8,
        };
        16 + rows.div_ceil(64) * 8 + values + 16
    };
    let table = |input: &Input| {
        let rows = u64::from(input.max_rows);
        let columns = input.columns.iter().filter_map(|c| schema.table(&input.table)?.column(c));
        16 + columns.map(|c| column(rows, &c.kind)).sum::<u64>()
    };
    let out = u64::try_from(plan.numbers()).unwrap_or(u64::MAX / 16) * 8;
    64 + plan.inputs().iter().map(table).sum::<u64>() + out
}

impl Planned {
    /// Sensitivity of the summed vector to adding or removing one data subject, in grid units: the L2 norm for
    /// [`Measure::Zcdp`], the L1 norm for [`Measure::Pure`], rounded up to an integer; see [`Kind::sensitivity`].
    pub fn sensitivity(&self) -> u64 {
        self.output.kind.sensitivity(self.loss.measure(), self.grid_bits)
    }

    /// What every contribution is clipped to, in grid units and the same norm; see [`Kind::norm_max`].
    pub fn norm_max(&self) -> u64 {
        self.output.kind.norm_max(self.loss.measure(), self.grid_bits)
    }
}
