//! Evidence that a module may run.

use std::sync::Arc;

use spe_kernel::{
    fault::Fault,
    ids::Digest,
    manifest::Manifest,
    refusal::{Refusal, Stop},
};

use crate::{
    guest::{Program, Unready},
    inspect::Inspection,
    seats::Seats,
    terms::Terms,
    worker::Worker,
};

/// A module that was inspected, compiled and started, for one plan.
///
/// Made by [`crate::Sandbox::approve`] only. It proves that the module is the one that the plan names, that it uses
/// nothing that is not allowed, and that it reaches its snapshot. Cheap to clone.
#[derive(Clone)]
pub struct ApprovedModule {
    inspection: Arc<Inspection>,
    program: Arc<Program>,
    terms: Arc<Terms>,
    seats: Arc<Seats>,
}

impl ApprovedModule {
    /// Starts a guest that never sees a record: it only shows that the next one will start.
    pub(crate) fn started(
        inspection: Arc<Inspection>,
        program: Arc<Program>,
        terms: Terms,
        seats: Arc<Seats>,
    ) -> Result<Self, Stop> {
        {
            let _spare = seats.spare();
            program.start(&terms, None).map(drop).map_err(|unready| stop(inspection.digest, unready))?;
        }
        Ok(Self { inspection, program, terms: Arc::new(terms), seats })
    }

    /// The same module, whose `spe_start` finds `state` after the parameters: the state that [`Self::update`] made for a
    /// round. [`crate::Sandbox::approve`] gives zeros.
    ///
    /// # Privacy
    /// A state is made of parameters and of released, noisy sums, so that a refusal tells nothing else (**data-blind
    /// refusal**). Watched by `rounds` in `tests/it`.
    ///
    /// # Errors
    /// Refuses a module that does not start on this state. A state that does not have the plan's length is a fault.
    pub fn with_state(&self, state: &[f64]) -> Result<Self, Stop> {
        let terms = self.terms.with_state(state).ok_or_else(|| misshapen("setting a state"))?;
        Self::started(Arc::clone(&self.inspection), Arc::clone(&self.program), terms, Arc::clone(&self.seats))
    }

    /// The next state, which the module makes of the numbers that [`spe_kernel::rounds::update_input`] gives; `None` when it
    /// stops the rounds.
    ///
    /// A function of module, plan, schema and `input`, whatever the state of [`Self::with_state`]: `spe_start` finds a state of
    /// zeros. Whoever computes it gets the same numbers.
    ///
    /// # Privacy
    /// Public numbers only: the fresh instance that runs `spe_update` has read no record and ends with it, so that nothing of a
    /// record can be in the state or in a refusal's words, and no `spe_map` sees what it wrote. Watched by
    /// `nothing_but_the_state_goes_from_call_to_call` in `tests/it/rounds.rs`.
    ///
    /// # Errors
    /// Refuses a module that traps, runs out of [`spe_abi::UPDATE_FUEL`], returns neither the state's length in bytes nor
    /// [`spe_abi::UPDATE_STOP`], or writes a number that is not finite. A plan without rounds, or more numbers than it has, is a
    /// fault.
    pub fn update(&self, input: &[f64]) -> Result<Option<Vec<f64>>, Stop> {
        if self.terms.states == 0 {
            return Err(Fault::new("updating a state", "the plan has no rounds").into());
        }
        let terms = self.terms.with_zeros().ok_or_else(|| misshapen("updating a state"))?;
        let _spare = self.seats.spare();
        self.program.next(&terms, input).map_err(|unready| stop(self.digest(), unready))
    }

    /// A worker; one for each thread. Make all that a job needs before its data is opened.
    ///
    /// # Errors
    /// [`crate::Config::workers_max`] workers are there already.
    pub fn worker(&self) -> Result<Worker, Fault> {
        let seat = self.seats.take().ok_or_else(|| Fault::new("making a worker", "workers_max workers are at work"))?;
        Ok(Worker::new(Arc::clone(&self.program), Arc::clone(&self.terms), seat))
    }

    /// The module's digest.
    pub fn digest(&self) -> Digest {
        self.inspection.digest
    }

    /// What the module says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }
}

fn misshapen(doing: &'static str) -> Fault {
    Fault::new(doing, "it does not have the plan's length")
}

fn stop(module: Digest, unready: Unready) -> Stop {
    match unready {
        Unready::Guest(why) => Refusal::ModuleRefused { module, why: why.into_owned() }.into(),
        Unready::Host(fault) => fault.into(),
    }
}
