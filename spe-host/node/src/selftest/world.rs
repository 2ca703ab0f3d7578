//! One world that an attacker may be in: some people at a node, and a clock to look at.

use std::path::Path;

use spe_kernel::{
    fault::Fault,
    plan::{Choices, Plan},
    rounds::{Merged, NextRound},
};
use tokio::runtime::{Builder, Runtime};

use super::{
    ground::{Compiler, Ground, Rules},
    people::Person,
    watch::{Seen, watch},
};
use crate::site::Site;

const DOING: &str = "making a world";

/// A node that can be asked.
pub struct World {
    /// Its folder and the keys of those who ask.
    pub ground: Ground,
    /// The node.
    pub site: Site,
    runtime: Runtime,
}

impl World {
    /// A world of `people` in `folder`, which is made.
    ///
    /// # Errors
    /// As [`Ground::new`] and [`Ground::open`].
    pub fn new(
        folder: &Path,
        seed: &[u8; 32],
        people: &[Person],
        rules: &Rules,
        compiler: Compiler,
    ) -> Result<Self, Fault> {
        std::fs::create_dir_all(folder).map_err(Fault::while_(DOING))?;
        Self::open(Ground::new(folder, seed, people, rules)?, compiler)
    }

    /// The node that was made in `folder` from `seed`, or is a copy of it.
    ///
    /// # Errors
    /// As [`Ground::open`].
    pub fn reopen(folder: &Path, seed: &[u8; 32], compiler: Compiler) -> Result<Self, Fault> {
        Self::open(Ground::at(folder, seed), compiler)
    }

    fn open(ground: Ground, compiler: Compiler) -> Result<Self, Fault> {
        let site = ground.open(compiler)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { ground, site, runtime: runtime.map_err(Fault::while_(DOING))? })
    }

    /// Asks `wasm` and gives what is seen of each round: one, where there are no rounds. A round's noisy sums are what the next
    /// goes on from, as if this were the only node.
    ///
    /// # Errors
    /// A module that cannot be asked at all.
    pub fn ask(&self, wasm: &[u8], choices: &Choices) -> Result<(Plan, Vec<Seen>), Fault> {
        let (mut submitted, plan) = self.ground.question(&self.site, wasm, choices)?;
        let mut rounds: Vec<Seen> = Vec::new();
        loop {
            let seen = self.runtime.block_on(watch(&self.site, &submitted, &plan, wasm));
            submitted.next = seen.answer.as_ref().filter(|_| !plan.state().is_empty()).map(|answer| NextRound {
                round: answer.round + 1,
                merged: Merged::of(&plan, std::slice::from_ref(answer)),
            });
            rounds.push(seen);
            if submitted.next.is_none() {
                return Ok((plan, rounds));
            }
        }
    }

    /// Runs something of this world's where its clock and its files are.
    pub fn block_on<F: Future>(&self, what: F) -> F::Output {
        self.runtime.block_on(what)
    }
}
