//! A module on made-up people: what fails, what says nothing, and how much fuel it takes. No noise, no data, no node.

use std::collections::BTreeMap;

use anyhow::Result;
use spe_kernel::{
    dataset::DatasetSchema,
    manifest::Kind,
    plan::{Choices, Plan},
    record::{Chunk, Contribution},
    refusal::Refusal,
    rounds::update_input,
    units::Loss,
};
use spe_sandbox::{ApprovedModule, Inspection};

use crate::{
    invent,
    show::Table,
    workshop::{Workshop, told},
};

/// Made-up people in one rehearsal.
const PEOPLE: usize = 48;
/// Fuel with which a run that does not end is given up, whatever was asked for: some milliseconds of any machine.
const FUEL_MAX: u64 = 10_000_000;
/// Any loss: no charge is made and no noise is drawn, but a plan has one.
const LOSS: &str = "rho=1";
const KEYED_LOSS: &str = "rho=1,delta=0.000001";

/// How a module did.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Rehearsal {
    /// Made-up people, or blocks of people.
    people: usize,
    /// Which of the two.
    unit: &'static str,
    /// The fuel for each that was asked for.
    fuel: u64,
    /// Runs that failed with all the fuel that is tried: a trap, too much memory, or no end.
    failed: usize,
    /// Runs that would have ended with more fuel.
    out_of_fuel: usize,
    /// The most fuel that a run took which ended; none if none did.
    fuel_used_max: Option<u64>,
    outputs: Vec<Said>,
}

/// What the runs that ended with the fuel that was asked for said of one output.
#[derive(Debug, serde::Serialize)]
struct Said {
    output: String,
    /// So many wrote NaN: the output's default is used.
    nothing: usize,
    /// Smallest and largest number written, of all that were no NaN.
    smallest: Option<f64>,
    largest: Option<f64>,
}

/// What to rehearse.
pub(crate) struct Script<'a> {
    pub(crate) wasm: &'a [u8],
    pub(crate) inspection: &'a Inspection,
    pub(crate) schema: &'a DatasetSchema,
    pub(crate) params: BTreeMap<String, f64>,
    pub(crate) fuel: u64,
    pub(crate) memory: u64,
}

impl Script<'_> {
    fn plan(&self, fuel: u64) -> Result<Plan> {
        let keyed = self.inspection.manifest.outputs.iter().any(|o| matches!(o.kind, Kind::Keys(_)));
        let loss: Loss = if keyed { KEYED_LOSS } else { LOSS }.parse()?;
        let choices = Choices {
            params: self.params.clone(),
            fuel_per_subject: fuel,
            memory_bytes_max: self.memory,
            ..Choices::new(loss)
        };
        let plan = Plan::new(&self.inspection.manifest, self.inspection.digest, self.schema, &choices);
        Ok(plan.map_err(|e| Refusal::PlanUnfit { why: e.0 })?)
    }

    /// Runs the module for made-up people, as a node would in its first round, and once more where there are rounds.
    pub(crate) fn rehearse(&self) -> Result<Rehearsal> {
        let (most, fuel) = (FUEL_MAX, self.fuel.min(FUEL_MAX));
        let plan = self.plan(most)?;
        let people = invent::people(&plan, self.schema, PEOPLE);
        let runner = Runner { script: self, workshop: Workshop::open(self.memory)? };
        let whole = runner.run(most, &people)?;
        let given = runner.run(fuel, &people)?;
        let ended: Vec<Chunk> =
            people.into_iter().zip(&whole).filter_map(|(person, ran)| ran.is_some().then_some(person)).collect();
        let fuel_used_max = if ended.is_empty() { None } else { Some(runner.fuel_for(&ended, most)?) };
        let count = |ran: &[Option<Vec<f64>>]| ran.iter().filter(|r| r.is_some()).count();
        Ok(Rehearsal {
            people: whole.len(),
            unit: if plan.unit().blocks().is_some() { "blocks of people" } else { "people" },
            fuel: self.fuel,
            failed: whole.len() - count(&whole),
            out_of_fuel: count(&whole) - count(&given),
            fuel_used_max,
            outputs: said(&plan, &given),
        })
    }
}

struct Runner<'a> {
    script: &'a Script<'a>,
    workshop: Workshop,
}

impl Runner<'_> {
    /// What each person's run wrote with so much fuel; none where it failed.
    fn run(&self, fuel: u64, people: &[Chunk]) -> Result<Vec<Option<Vec<f64>>>> {
        let plan = self.script.plan(fuel)?;
        let module = self.workshop.approve(self.script.wasm, &plan, self.script.schema)?;
        let mut worker = begun(module, &plan)?.worker()?;
        let mut all = Vec::with_capacity(people.len());
        for person in people {
            worker.map(person, |_, contribution| {
                all.push(match contribution {
                    Contribution::Numbers(numbers) => Some(numbers.to_vec()),
                    Contribution::Failed => None,
                });
            })?;
        }
        Ok(all)
    }

    /// The least fuel with which all of `people` end, who do with `most`. Fuel is deterministic, and a run cannot see it: more
    /// of it never makes one fail.
    fn fuel_for(&self, people: &[Chunk], most: u64) -> Result<u64> {
        let (mut too_little, mut enough) = (0, most);
        while enough - too_little > 1 {
            let middle = u64::midpoint(too_little, enough);
            if self.run(middle, people)?.iter().all(Option::is_some) { enough = middle } else { too_little = middle }
        }
        Ok(enough)
    }
}

/// The module in its first round. A second state, made of sums of nobody, only shows that there is one.
fn begun(module: ApprovedModule, plan: &Plan) -> Result<ApprovedModule> {
    if plan.state().is_empty() {
        return Ok(module);
    }
    let zeros = vec![0.0; plan.state().len()];
    let update = |input: &[f64]| module.update(input).map_err(told);
    let first = update(&update_input(plan, 0, &zeros, None))?.unwrap_or(zeros);
    let nobody = spe_kernel::rounds::Merged::of(plan, &[]);
    update(&update_input(plan, 1, &first, Some(&nobody)))?;
    module.with_state(&first).map_err(told)
}

fn said(plan: &Plan, runs: &[Option<Vec<f64>>]) -> Vec<Said> {
    let mut from = 0;
    let output = |planned: &spe_kernel::plan::Planned| {
        let kind = &planned.output.kind;
        let range = from..from + kind.numbers();
        from = range.end;
        let written = runs.iter().flatten().filter_map(|numbers| numbers.get(range.clone()));
        let nothing = written.clone().filter(|numbers| says_nothing(kind, numbers)).count();
        let real = || written.clone().flatten().copied().filter(|x| !x.is_nan());
        Said {
            output: planned.output.name.clone(),
            nothing,
            smallest: real().reduce(f64::min),
            largest: real().reduce(f64::max),
        }
    };
    plan.outputs().iter().map(output).collect()
}

/// Whether the output's default is used: any NaN, or one in each of several groups or keys.
fn says_nothing(kind: &Kind, numbers: &[f64]) -> bool {
    let tuple = match kind {
        Kind::Histogram(axes) => axes.axes.len(),
        Kind::GroupedMean(axes, _) => axes.axes.len() + 1,
        Kind::Keys(_) => 1,
        _ => kind.numbers(),
    };
    numbers.chunks(tuple.max(1)).all(|tuple| tuple.iter().any(|x| x.is_nan()))
}

impl Rehearsal {
    /// What of it would make an answer worse in silence: a run that fails gives the output's default, whoever the person is.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self { people, unit, fuel, failed, out_of_fuel, fuel_used_max, .. } = self;
        if failed + out_of_fuel == 0 {
            return None;
        }
        let mut text = String::from("WARNING: ");
        if *out_of_fuel > 0 {
            text.push_str(&format!("{out_of_fuel} of {people} made-up {unit} need more fuel than --fuel {fuel}"));
            if let Some(most) = fuel_used_max.filter(|most| most > fuel) {
                text.push_str(&format!(", the hungriest {most}: ask with --fuel {}", most.saturating_add(most / 4)));
            }
            text.push_str(if *failed > 0 { "; and " } else { "\n" });
        }
        if *failed > 0 {
            text.push_str(&format!("{failed} of {people} made-up {unit} fail, or do not end with {FUEL_MAX} fuel\n"));
        }
        Some(
            text + "  Whoever is like them contributes the output's default, in silence, and is charged all the same.\n",
        )
    }

    /// Why it would be a waste to ask: who does not run out of that fuel says nothing, so that every answer is a default.
    pub(crate) fn starved(&self) -> Option<Refusal> {
        let Self { people, unit, fuel, failed, out_of_fuel, fuel_used_max, outputs } = self;
        let ended = people - failed - out_of_fuel;
        let silent = *out_of_fuel > 0 && outputs.iter().all(|said| said.nothing == ended);
        let enough = fuel_used_max.filter(|most| silent && most > fuel)?;
        let enough = enough.saturating_add(enough / 4);
        let why = format!(
            "with --fuel {fuel} none of {people} made-up {unit} says anything: every answer would be the output's default, at the full \
             charge. Ask with --fuel {enough}, or with --anyway"
        );
        Some(Refusal::PlanUnfit { why })
    }

    pub(crate) fn text(&self) -> String {
        let Self { people, unit, fuel, failed, out_of_fuel, fuel_used_max, outputs } = self;
        let mut text = format!("rehearsed on {people} made-up {unit}, with --fuel {fuel} for each\n");
        if *failed > 0 {
            text.push_str(&format!("  {failed} failed: a trap, too much memory, or no end with {FUEL_MAX} fuel\n"));
        }
        if *out_of_fuel > 0 {
            text.push_str(&format!("  {out_of_fuel} ran out of fuel\n"));
        }
        if let Some(most) = fuel_used_max {
            text.push_str(&format!("  {most} fuel used at most: leave room for real records\n"));
        }
        let mut table = Table::new(["output", "said nothing", "smallest", "largest"]);
        for Said { output, nothing, smallest, largest } in outputs {
            let number = |x: &Option<f64>| x.map_or_else(|| "–".into(), crate::show::plain);
            table.row([output.clone(), nothing.to_string(), number(smallest), number(largest)]);
        }
        text + &table.render() + &self.warning().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rehearsed(failed: usize, out_of_fuel: usize) -> Rehearsal {
        let outputs = Vec::new();
        Rehearsal { people: 48, unit: "people", fuel: 100, failed, out_of_fuel, fuel_used_max: Some(1_000), outputs }
    }

    /// What would be a bug: a plan whose answers are defaults mostly, and nobody says so before it is paid for.
    #[test]
    fn whoever_counts_as_a_default_is_warned_of() {
        assert_eq!(rehearsed(0, 0).warning(), None);
        let hungry = rehearsed(0, 30).warning().expect("a warning");
        assert!(hungry.contains("30 of 48") && hungry.contains("ask with --fuel 1250"), "{hungry}");
        let broken = rehearsed(2, 0).warning().expect("a warning");
        assert!(broken.contains("2 of 48") && !broken.contains("--fuel"), "{broken}");
        let starved = rehearsed(0, 48).starved().expect("a refusal").to_string();
        assert!(starved.contains("--fuel 1250") && starved.contains("full charge"), "{starved}");
        assert_eq!(rehearsed(48, 0).starved(), None, "more fuel would not help it");
        let says = |nothing| vec![Said { output: "x".into(), nothing, smallest: None, largest: None }];
        // Of 48 people 18 end: whether they say something decides.
        assert!(Rehearsal { outputs: says(18), ..rehearsed(0, 30) }.starved().is_some());
        assert_eq!(Rehearsal { outputs: says(17), ..rehearsed(0, 30) }.starved(), None, "it may be worth its charge");
        assert!(rehearsed(2, 30).text().ends_with(&rehearsed(2, 30).warning().expect("a warning")));
    }
}
