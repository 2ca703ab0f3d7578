//! What a round runs on: the state that the module makes of public numbers.

use std::sync::{Mutex, PoisonError};

use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    ids::Digest,
    refusal::{Refusal, Stop},
    rounds::{Finished, NextRound, update_input},
};
use spe_sandbox::ApprovedModule;

use crate::{run::Escort, site::Site};

/// What comes next of a job.
pub enum Turn {
    /// A round, on this state; nothing without rounds.
    Run(Box<ApprovedModule>, Vec<f64>),
    /// Nothing: the state is the last.
    Finish(Finished),
}

/// The module of the job with rounds that came last, as it was approved: its next round need not fetch and check it again.
#[derive(Default)]
pub struct Lately(Mutex<Option<(Digest, ApprovedModule)>>);

impl Lately {
    /// That of the plan with this digest.
    fn of(&self, plan: Digest) -> Option<ApprovedModule> {
        // It is replaced as a whole; nothing that panics leaves it half changed.
        let lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.as_ref().filter(|(approved_for, _)| *approved_for == plan).map(|(_, module)| module.clone())
    }

    fn set(&self, plan: Digest, module: ApprovedModule) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((plan, module));
    }
}

/// The module of `admitted`, approved for its plan.
///
/// # Errors
/// It cannot be had, or is refused.
pub async fn module(
    site: &Site,
    admitted: &Admitted,
    schema: &DatasetSchema,
    escort: &mut impl Escort,
) -> Result<ApprovedModule, Stop> {
    let (plan, digest) = (admitted.plan(), admitted.charge().key.plan);
    if let Some(module) = site.lately.of(digest) {
        return Ok(module);
    }
    let wasm = escort.fetch(plan.module()).await?;
    let module = site.sandbox.approve(&wasm, plan, schema)?;
    site.records().brought(&admitted.charge().permit, plan.module())?;
    if !plan.state().is_empty() {
        site.lately.set(digest, module.clone());
    }
    Ok(module)
}

/// The number of the round that is asked for.
///
/// # Errors
/// A round of a plan without rounds, beyond the last, or with merged sums of another shape.
pub fn asked(admitted: &Admitted, next: Option<&NextRound>) -> Result<u32, Refusal> {
    let plan = admitted.plan();
    match next {
        None => Ok(0),
        Some(NextRound { round, .. }) if plan.state().is_empty() || *round == 0 || *round > plan.rounds() => {
            Err(Refusal::RoundOutOfTurn { round: *round })
        }
        Some(NextRound { merged, .. }) if !merged.fits(plan) => {
            Err(Refusal::PlanUnfit { why: "the merged sums of the last round have another shape than the plan".into() })
        }
        Some(NextRound { round, .. }) => Ok(*round),
    }
}

/// Brings `module` to the state of the round that is asked for.
///
/// # Privacy
/// Public numbers only: the plan's parameters, states, and sums that were noised, paid for and released. Whoever invents other sums,
/// even the hub, asks another question, which this job's charge has paid for as well.
///
/// # Errors
/// A module that does not give a state; a round whose predecessor is unknown here.
pub fn turn(site: &Site, admitted: &Admitted, module: ApprovedModule, next: Option<&NextRound>) -> Result<Turn, Stop> {
    let plan = admitted.plan();
    if plan.state().is_empty() {
        return Ok(Turn::Run(Box::new(module), Vec::new()));
    }
    let first = || -> Result<Vec<f64>, Stop> {
        let zeros = vec![0.0; plan.state().len()];
        Ok(module.update(&update_input(plan, 0, &zeros, None))?.unwrap_or(zeros))
    };
    let Some(NextRound { round, merged }) = next else {
        let state = first()?;
        return Ok(Turn::Run(Box::new(module.with_state(&state)?), state));
    };
    let last = match round {
        1 => first()?,
        _ => {
            let before = admitted.charge().key.at_round(round - 1);
            site.ledger()?.state(&before)?.ok_or(Refusal::RoundOutOfTurn { round: *round })?
        }
    };
    let finished = |state| Turn::Finish(Finished { plan: plan.digest(), rounds: *round, state });
    match module.update(&update_input(plan, *round, &last, Some(merged)))? {
        None => Ok(finished(last)),
        Some(state) if *round == plan.rounds() => Ok(finished(state)),
        Some(state) => Ok(Turn::Run(Box::new(module.with_state(&state)?), state)),
    }
}
