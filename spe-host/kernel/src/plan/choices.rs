//! From what a researcher chooses to a plan.

use std::collections::BTreeMap;

use super::{GRID_BITS_DEFAULT, Plan, PlanError, Planned, PlannedRounds, RawPlan, Release, reject};
use crate::{
    dataset::DatasetSchema,
    ids::Digest,
    manifest::{Kind, Manifest, Output, Param},
    units::Loss,
};

/// Fuel for one data subject when the researcher names none: plenty for some dozen rows. What a plan allows, every data subject
/// is given time for (`pace`), so that a lower cap has earlier answers.
pub const FUEL_DEFAULT: u64 = 50_000;
/// Memory of a guest when the researcher names none, in bytes: a small module's own and as much again. As with fuel, a plan that
/// allows less has earlier answers.
pub const MEMORY_DEFAULT_BYTES: u64 = 2 << 20;

/// What the researcher chooses on top of the module's manifest.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Loss of the whole job at each node, split evenly over the outputs that `losses` does not name, and over the rounds.
    pub loss: Loss,
    /// Loss of single outputs by name, over all rounds.
    pub losses: BTreeMap<String, Loss>,
    /// Rounds; the manifest's number if none is named.
    pub rounds: Option<u32>,
    /// Noisy counts below it, and means over so few, are not shown; 0 = all are.
    pub suppress_below: u32,
    /// Parameters by name.
    pub params: BTreeMap<String, f64>,
    /// Fuel for one data subject.
    pub fuel_per_subject: u64,
    /// Most linear memory of a guest in bytes.
    pub memory_bytes_max: u64,
    /// 0, or a higher number to ask the same again as a new question, for a new charge.
    pub attempt: u32,
    /// With noise, or as an exact table.
    pub release: Release,
}

impl Choices {
    /// The defaults, for a job that costs `loss` at each node.
    pub const fn new(loss: Loss) -> Self {
        Self {
            loss,
            losses: BTreeMap::new(),
            rounds: None,
            suppress_below: 0,
            params: BTreeMap::new(),
            fuel_per_subject: FUEL_DEFAULT,
            memory_bytes_max: MEMORY_DEFAULT_BYTES,
            attempt: 0,
            release: Release::Noisy,
        }
    }
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
        let rounds = rounds(manifest, choices.rounds)?;
        let plan = Self::try_from(RawPlan {
            abi: manifest.abi,
            dataset: schema.name.clone(),
            module,
            unit: manifest.unit,
            inputs: manifest.inputs.clone(),
            params: params(manifest, &choices.params)?,
            outputs: planned(&manifest.outputs, choices, rounds.as_ref().map_or(1, |r| r.count))?,
            rounds,
            overlap: schema.overlap,
            suppress_below: choices.suppress_below,
            fuel_per_subject: choices.fuel_per_subject,
            memory_bytes_max: choices.memory_bytes_max,
            attempt: choices.attempt,
            release: choices.release,
        })?;
        plan.fits_schema(schema)?;
        Ok(plan)
    }
}

fn params(manifest: &Manifest, given: &BTreeMap<String, f64>) -> Result<Vec<f64>, PlanError> {
    if let Some(stray) = given.keys().find(|k| manifest.params.iter().all(|p| p.name != **k)) {
        let known: Vec<_> = manifest.params.iter().map(|p| p.name.as_str()).collect();
        return reject(format!("the module has no parameter {stray:?}; it has {known:?}"));
    }
    let value = |p: &Param| {
        let value = given.get(&p.name).copied().or(p.default);
        let value = value.ok_or_else(|| PlanError(format!("parameter {:?} must be given", p.name)))?;
        if (p.min..=p.max).contains(&value) {
            return Ok(value);
        }
        reject(format!("parameter {:?} is {value}; it must be {} to {}", p.name, p.min, p.max))
    };
    manifest.params.iter().map(value).collect()
}

fn rounds(manifest: &Manifest, asked: Option<u32>) -> Result<Option<PlannedRounds>, PlanError> {
    match (&manifest.rounds, asked) {
        (None, Some(_)) => reject("the module has no rounds"),
        (None, None) => Ok(None),
        (Some(declared), asked) => {
            let count = asked.unwrap_or(declared.default);
            if !(1..=declared.max).contains(&count) {
                return reject(format!("{count} rounds; the module has 1 to {}", declared.max));
            }
            Ok(Some(PlannedRounds { count, state: declared.state.clone() }))
        }
    }
}

/// Splits losses over outputs and rounds. Amounts go to all outputs alike, a δ to those that need one.
fn planned(outputs: &[Output], choices: &Choices, rounds: u32) -> Result<Vec<Planned>, PlanError> {
    if let Some(stray) = choices.losses.keys().find(|k| outputs.iter().all(|o| o.name != **k)) {
        return reject(format!("the module has no output {stray:?}"));
    }
    let shares = |o: &&Output| !choices.losses.contains_key(&o.name);
    if outputs.iter().all(|o| choices.losses.contains_key(&o.name)) {
        let sum = choices.losses.values().try_fold(Loss::zero(choices.loss.measure()), |sum, loss| sum.plus(*loss));
        let sum = sum.map_err(|e| PlanError(e.to_string()))?;
        if sum != choices.loss {
            return reject(format!(
                "every output has a loss of its own, and they come to {sum}, not to {}",
                choices.loss
            ));
        }
    }
    let keyed = |o: &&Output| matches!(o.kind, Kind::Keys(_));
    let many = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).max(1);
    let mut amount = Split::of(choices.loss.pico(), many(outputs.iter().filter(shares).count()), rounds);
    let keyed_count = outputs.iter().filter(shares).filter(keyed).count();
    if choices.loss.delta_atto() > 0 && keyed_count == 0 && outputs.iter().any(|o| shares(&o)) {
        return reject("only keys cost a delta, and the module asks for none");
    }
    let mut delta = Split::of(choices.loss.delta_atto(), many(keyed_count), rounds);
    let plan = |output: &Output| {
        let rounds = u64::from(rounds);
        let own = match choices.losses.get(&output.name) {
            Some(own) => Loss::from_pico(own.measure(), own.pico() / rounds).with_delta_atto(own.delta_atto() / rounds),
            None => {
                let loss = Loss::from_pico(choices.loss.measure(), amount.next());
                if keyed(&output) { loss.with_delta_atto(delta.next()) } else { loss }
            }
        };
        Planned { output: output.clone(), grid_bits: GRID_BITS_DEFAULT, loss: own }
    };
    Ok(outputs.iter().map(plan).collect())
}

/// A whole that is split evenly. What does not divide goes to the first, a unit each; what does not divide by the rounds is
/// left out.
struct Split {
    share: u64,
    rest: u64,
}

impl Split {
    fn of(whole: u64, parts: u64, rounds: u32) -> Self {
        let whole = whole / u64::from(rounds.max(1));
        Self { share: whole / parts, rest: whole % parts }
    }

    fn next(&mut self) -> u64 {
        let extra = u64::from(self.rest > 0);
        self.rest -= extra;
        self.share + extra
    }
}
