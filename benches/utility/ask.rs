//! Questions, asked through the whole corridor.

use std::path::Path;

use jiff::Timestamp;
use spe_benches::Error;
use spe_kernel::{
    conversion::noise_sd,
    disclosure::Answer,
    federation::{merge, open_answer},
    ids::Digest,
    plan::{Choices, Plan},
    refusal::Stop,
    rounds::{Merged, NextRound},
    statistic::Statistic,
    units::Loss,
};
use spe_node::run::{Escort, Given, Step, Submitted, run};
use spe_sandbox::Inspection;

use crate::place::{Node, Place};

/// A module, read and inspected.
pub(crate) struct Module {
    wasm: Vec<u8>,
    pub(crate) inspection: Inspection,
}

impl Module {
    /// One of the built examples.
    pub(crate) fn example(name: &str) -> Result<Self, Error> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/modules");
        Self::of(std::fs::read(modules.join(format!("{name}.wasm")))?)
    }

    /// A module of these bytes.
    pub(crate) fn of(wasm: Vec<u8>) -> Result<Self, Error> {
        let inspection = spe_sandbox::inspect(&wasm)?;
        Ok(Self { wasm, inspection })
    }
}

/// Brings the module, and does not wait: answers are what is measured, not when they leave.
struct Direct<'a>(&'a [u8]);

impl Escort for Direct<'_> {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(self.0.to_vec())
    }
    fn passed(&mut self, _: Step) {}
    fn cancelled(&self) -> bool {
        false
    }
    async fn hold(&mut self, _: Timestamp) {}
}

impl Place {
    fn plan(&self, node: &Node, module: &Module, choices: &Choices) -> Result<Plan, Error> {
        let choices = Choices { attempt: self.attempt(), ..choices.clone() };
        Ok(Plan::new(&module.inspection.manifest, module.inspection.digest, &node.schema, &choices)?)
    }

    fn run(&self, node: &Node, module: &Module, plan: &Plan, next: Option<NextRound>) -> Result<Given, Error> {
        let submitted = Submitted { job: self.sign(plan)?, permit: node.permit.clone(), next };
        let given = self.runtime.block_on(run(&node.site, &submitted, &mut Direct(&module.wasm)));
        given.map_err(|stop| format!("node {}: {stop:?}", node.name).into())
    }

    /// One node's opened answer, and the plan that it answers.
    pub(crate) fn answer(&self, node: &Node, module: &Module, choices: &Choices) -> Result<(Plan, Answer), Error> {
        let plan = self.plan(node, module, choices)?;
        match self.run(node, module, &plan, None)? {
            Given::Answer(released) => {
                let answer = open_answer(released.envelope(), &plan, &node.name, node.site.key.public())?;
                Ok((plan, answer))
            }
            _ => Err("a module without rounds finished".into()),
        }
    }

    /// One node's statistics.
    pub(crate) fn ask(&self, node: &Node, module: &Module, choices: &Choices) -> Result<Vec<Statistic>, Error> {
        let (plan, answer) = self.answer(node, module, choices)?;
        Ok(merge(&plan, &[answer]))
    }

    /// The last state of a module with rounds, over all `nodes`, each of which noises its own sums.
    pub(crate) fn fit(&self, nodes: &[&Node], module: &Module, choices: &Choices) -> Result<Vec<f64>, Error> {
        let first = nodes.first().ok_or("no node")?;
        let plan = self.plan(first, module, choices)?;
        let mut next: Option<NextRound> = None;
        loop {
            let mut answers = Vec::new();
            for node in nodes {
                match self.run(node, module, &plan, next.clone())? {
                    Given::Answer(released) => {
                        answers.push(open_answer(released.envelope(), &plan, &node.name, node.site.key.public())?);
                    }
                    Given::Finished(finished) => return Ok(finished.state),
                    Given::Waits(_) => return Err("a node waits for an officer, whom no bench has".into()),
                }
            }
            let round = next.map_or(0, |next| next.round) + 1;
            next = Some(NextRound { round, merged: Merged::of(&plan, &answers) });
        }
    }
}

/// The largest ρ that is (`epsilon`, `delta`)-differentially private, by the conversion that certificates use.
pub(crate) fn rho(epsilon: f64, delta: f64) -> Result<Loss, Error> {
    let [_, (_, sd)] = noise_sd(1, epsilon, delta);
    Ok(format!("rho={:.12}", 0.5 / (sd * sd)).parse()?)
}

/// `epsilon` as pure differential privacy.
pub(crate) fn pure(epsilon: f64) -> Result<Loss, Error> {
    Ok(format!("epsilon={epsilon}").parse()?)
}
