//! A job's plan: everything that decides its sensitivity, its cost and its identity. Fixed before any data is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{ColumnType, DatasetSchema},
    filter::Filter,
    ids::{DatasetName, Digest},
    manifest::{self, Input, Kind, Manifest, Output, check_inputs, check_outputs},
    units::{Loss, Measure},
};

/// Fractional bits of the fixed-point grid when the researcher names none: 2⁻²⁰ ≈ 10⁻⁶ of a unit.
pub const GRID_BITS_DEFAULT: u8 = 20;
/// Finest grid.
pub const GRID_BITS_MAX: u8 = 22;
/// Cells of all outputs at most.
pub const CELLS_MAX: usize = 65_536;
/// Fuel for one data subject when the researcher names none.
pub const FUEL_DEFAULT: u64 = 10_000_000;
/// Memory of a guest when the researcher names none, in bytes.
pub const MEMORY_DEFAULT_BYTES: u64 = 16 << 20;

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
    inputs: Vec<Input>,
    params: Vec<f64>,
    outputs: Vec<Planned>,
    overlap: u32,
    fuel_per_subject: u64,
    memory_bytes_max: u64,
    attempt: u32,
}

/// An output with the grid it is summed on and the loss it is bought for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// What the module contributes to.
    pub output: Output,
    /// Fractional bits q: numbers are multiples of 2⁻ᑫ.
    pub grid_bits: u8,
    /// Privacy loss of this output at each node.
    pub loss: Loss,
}

/// What the researcher chooses on top of the module's manifest.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Loss of the whole job at each node, split evenly over the outputs that `losses` does not name.
    pub loss: Loss,
    /// Loss of single outputs by name.
    pub losses: BTreeMap<String, Loss>,
    /// Parameters by name.
    pub params: BTreeMap<String, f64>,
    /// Fuel for one data subject.
    pub fuel_per_subject: u64,
    /// Most linear memory of a guest in bytes.
    pub memory_bytes_max: u64,
    /// 0, or a higher number to ask the same again as a new question, for a new charge.
    pub attempt: u32,
}

impl Choices {
    /// The defaults, for a job that costs `loss` at each node.
    pub const fn new(loss: Loss) -> Self {
        Self {
            loss,
            losses: BTreeMap::new(),
            params: BTreeMap::new(),
            fuel_per_subject: FUEL_DEFAULT,
            memory_bytes_max: MEMORY_DEFAULT_BYTES,
            attempt: 0,
        }
    }
}

impl TryFrom<RawPlan> for Plan {
    type Error = PlanError;
    fn try_from(raw: RawPlan) -> Result<Self, PlanError> {
        if raw.abi != manifest::ABI {
            return reject(format!("the plan is for ABI {}; this host speaks {}", raw.abi, manifest::ABI));
        }
        check_inputs(&raw.inputs).map_err(|e| PlanError(e.0))?;
        check_outputs(raw.outputs.iter().map(|p| &p.output)).map_err(|e| PlanError(e.0))?;
        if raw.params.len() > manifest::PARAMS_MAX || raw.params.iter().any(|p| !p.is_finite()) {
            return reject(format!("a plan has at most {} parameters, all finite", manifest::PARAMS_MAX));
        }
        let cells: usize = raw.outputs.iter().map(|p| p.output.kind.cells()).sum();
        if cells > CELLS_MAX {
            return reject(format!("{cells} cells; at most {CELLS_MAX} are allowed"));
        }
        if raw.overlap == 0 || raw.fuel_per_subject == 0 || raw.memory_bytes_max == 0 {
            return reject("overlap, fuel and memory must be at least 1");
        }
        let loss = total_loss(&raw.outputs)?;
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
        if planned.loss.pico() == 0 {
            return reject(format!("output {:?}: a loss of 0 buys no answer", planned.output.name));
        }
        if planned.grid_bits > GRID_BITS_MAX {
            return reject(format!("output {:?}: at most {GRID_BITS_MAX} grid bits", planned.output.name));
        }
        total = total.plus(planned.loss).map_err(|e| PlanError(e.to_string()))?;
    }
    Ok(total)
}

impl Plan {
    /// The plan of `module` over the dataset of `schema`.
    ///
    /// # Errors
    /// Says which table, column, parameter or loss is wrong.
    pub fn new(
        manifest: &Manifest,
        module: Digest,
        schema: &DatasetSchema,
        choices: &Choices,
    ) -> Result<Self, PlanError> {
        let plan = Self::try_from(RawPlan {
            abi: manifest.abi,
            dataset: schema.name.clone(),
            module,
            inputs: manifest.inputs.clone(),
            params: params(manifest, &choices.params)?,
            outputs: planned(&manifest.outputs, choices)?,
            overlap: schema.overlap,
            fuel_per_subject: choices.fuel_per_subject,
            memory_bytes_max: choices.memory_bytes_max,
            attempt: choices.attempt,
        })?;
        plan.fits_schema(schema)?;
        Ok(plan)
    }

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
        if self.raw.inputs != manifest.inputs || !same_outputs || self.raw.abi != manifest.abi {
            return reject("the plan's inputs or outputs are not those of the module's manifest");
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

    /// The loss of the whole job at each node.
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// The measure of every loss in the plan.
    pub const fn measure(&self) -> Measure {
        self.loss.measure()
    }
}

fn params(manifest: &Manifest, given: &BTreeMap<String, f64>) -> Result<Vec<f64>, PlanError> {
    if let Some(stray) = given.keys().find(|k| manifest.params.iter().all(|p| p.name != **k)) {
        let known: Vec<_> = manifest.params.iter().map(|p| p.name.as_str()).collect();
        return reject(format!("the module has no parameter {stray:?}; it has {known:?}"));
    }
    let value = |p: &manifest::Param| {
        let value = given.get(&p.name).copied().or(p.default);
        let value = value.ok_or_else(|| PlanError(format!("parameter {:?} must be given", p.name)))?;
        if (p.min..=p.max).contains(&value) {
            return Ok(value);
        }
        reject(format!("parameter {:?} is {value}; it must be {} to {}", p.name, p.min, p.max))
    };
    manifest.params.iter().map(value).collect()
}

fn planned(outputs: &[Output], choices: &Choices) -> Result<Vec<Planned>, PlanError> {
    if let Some(stray) = choices.losses.keys().find(|k| outputs.iter().all(|o| o.name != **k)) {
        return reject(format!("the module has no output {stray:?}"));
    }
    let shares = |o: &&Output| !choices.losses.contains_key(&o.name);
    let sharing = u64::try_from(outputs.iter().filter(shares).count()).unwrap_or(u64::MAX).max(1);
    let (share, mut rest) = (choices.loss.pico() / sharing, choices.loss.pico() % sharing);
    let plan = |output: &Output| {
        let own = choices.losses.get(&output.name).copied().unwrap_or_else(|| {
            // What does not divide evenly goes to the first, a unit each: the shares add up to the whole.
            let extra = u64::from(rest > 0);
            rest -= extra;
            Loss::from_pico(choices.loss.measure(), share + extra)
        });
        Planned { output: output.clone(), grid_bits: GRID_BITS_DEFAULT, loss: own }
    };
    Ok(outputs.iter().map(plan).collect())
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
    let out = u64::try_from(plan.numbers()).unwrap_or(u64::MAX) * 8;
    64 + plan.inputs().iter().map(table).sum::<u64>() + out
}

impl Planned {
    /// Sensitivity of the summed vector to adding or removing one data subject, in grid units: the L2 norm for
    /// [`Measure::Zcdp`], the L1 norm for [`Measure::Pure`], rounded up to an integer.
    ///
    /// # Privacy
    /// The bound that `release` clips every contribution to, so it holds whatever the guest writes (**guest-blind**).
    pub fn sensitivity(&self) -> u64 {
        let one = 1_u64 << self.grid_bits;
        match &self.output.kind {
            Kind::Count | Kind::Histogram(_) => one,
            Kind::Sum(b) => {
                let grid = |x: f64| crate::units::to_grid(x, self.grid_bits).unsigned_abs();
                grid(b.lower()).max(grid(b.upper())).max(1)
            }
            // One person adds (1, y) with |y| ≤ 1 to one cell: norm √2 or 2.
            Kind::Mean(_) | Kind::GroupedMean(..) => match self.loss.measure() {
                Measure::Zcdp => (2 * one * one).isqrt() + 1,
                Measure::Pure => 2 * one,
            },
        }
    }
}
