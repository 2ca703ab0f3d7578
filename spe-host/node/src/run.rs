//! The corridor: the way of one job, each line consuming what the line above made.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    admission::{Admitted, admit},
    audit,
    dataset::Offer,
    disclosure::{Committed, Draw, Noised, Released},
    fault::Fault,
    job::Job,
    ledger::{Reservation, Reserving},
    permit::Permit,
    refusal::{Refusal, Stop},
    rounds::{Finished, NextRound},
};
use spe_sandbox::ApprovedModule;
use spe_vault::Cohort;

use crate::{
    map,
    rounds::{self, Turn},
    site::Site,
};

/// A job as it was handed in: two signed envelopes that nobody has to be trusted for.
pub struct Submitted {
    /// DSSE envelope signed by the researcher.
    pub job: Vec<u8>,
    /// DSSE envelope signed by the data access body.
    pub permit: Vec<u8>,
    /// Which round after the first is asked for, and the public numbers that it goes on from.
    pub next: Option<NextRound>,
}

/// What a job gives.
pub enum Given {
    /// A round's answer; the whole answer, where there are no rounds.
    Answer(Released),
    /// The state after the last round: public numbers, for which nothing was read.
    Finished(Finished),
}

/// What the corridor needs from outside while a job is on its way.
pub trait Escort {
    /// The module's bytes, from the hub or anywhere: their digest is checked.
    fn fetch(&mut self, module: spe_kernel::ids::Digest) -> impl Future<Output = Result<Vec<u8>, Stop>> + Send;
    /// Called after each step, in order; a function of requests and ledger only.
    fn passed(&mut self, step: Step);
    /// Whether the researcher or operator has cancelled.
    fn cancelled(&self) -> bool;
    /// Waits until `time`, which was known before any record was read. Called before the charge and before what comes of it.
    fn hold(&mut self, time: Timestamp) -> impl Future<Output = ()> + Send;
}

/// The steps of the corridor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Permit, person, purpose, dataset, columns, module, plan and policy agree.
    Admitted,
    /// The module passed its checks and is compiled.
    Approved,
    /// The noise is drawn; no sum exists yet.
    Drawn,
    /// The charge is durable; from here on it is spent.
    Reserved,
    /// Every data subject was mapped and summed.
    Summed,
    /// The noise is added.
    Noised,
    /// Loss and answer are durable together.
    Committed,
    /// The release is in the audit log.
    Released,
}

/// Runs one job, or one round of it, or gives again what it gave before.
///
/// # Privacy
/// **pay-first**: `reserve` returns only when the charge is durable, and the scan cannot start without it.
/// **same-answer**: the answer's key is looked up before and under the reservation; `noise` consumes the reservation. The key names the
/// cohort that is scanned, so that answers with and without somebody who opted out between two permits are never mixed.
/// **data-blind time**: the charge is made at a slot, so that the time that drawing the noise took does not show; whatever comes
/// of the charge leaves at a time that does not depend on a record, and nothing is durable and no cancellation heeded before,
/// so that neither a crash nor a cancel tells how far the run was.
/// Watched by `spe-host/cli/tests/it/corridor.rs`, which kills a real process after each step, and by `evil.rs` beside it.
///
/// # Errors
/// [`Stop::Refused`] may leave; [`Stop::Failed`] stays in the operator's log.
pub async fn run(site: &Site, submitted: &Submitted, escort: &mut impl Escort) -> Result<Given, Stop> {
    let permit = Permit::verify(&submitted.permit, &site.policy.access_bodies, site.now())?;
    let job = Job::verify(&submitted.job)?;
    let offer = site.offer(job.body().plan.dataset())?;
    let cohort = site.cohort(&permit, &job)?;
    let offer = Offer { snapshot: cohort.digest(), ..offer };
    let admitted = admit(job, &permit, &offer, &site.policy, &site.name, site.now())?;
    let round = rounds::asked(&admitted, submitted.next.as_ref())?;
    escort.passed(Step::Admitted);
    if let Some(committed) = site.ledger()?.recall(&admitted.charge().key.at_round(round))? {
        return release(site, committed);
    }
    let wasm = escort.fetch(admitted.plan().module()).await?;
    let module = site.sandbox.approve(&wasm, admitted.plan(), &offer.schema)?;
    let (module, state) = match rounds::turn(site, &admitted, module, submitted.next.as_ref())? {
        Turn::Run(module, state) => (module, state),
        Turn::Finish(finished) => return Ok(Given::Finished(finished)),
    };
    escort.passed(Step::Approved);
    let draw = (site.noise)(admitted.plan())?;
    escort.passed(Step::Drawn);
    let pace = &site.policy.release;
    escort.hold(pace.slot(site.now())).await;
    if escort.cancelled() {
        return Err(Refusal::Cancelled.into());
    }
    let reserving = match round {
        0 => site.ledger()?.reserve(admitted.charge(), &state)?,
        later => site.ledger()?.begin(admitted.charge(), later, admitted.plan().rounds(), &state)?,
    };
    let paid = match reserving {
        Reserving::Paid(paid) => paid,
        Reserving::Answered(committed) => return release(site, committed),
    };
    let paid_at = site.now();
    escort.passed(Step::Reserved);
    let noised = noised(site, &admitted, &module, &cohort, (paid, paid_at), draw, escort);
    escort.hold(pace.leaves(paid_at, admitted.longest(), site.now())).await;
    if escort.cancelled() {
        return Err(Refusal::Cancelled.into());
    }
    let committed = site.ledger()?.commit(noised?, &site.name, &site.key)?;
    escort.passed(Step::Committed);
    let given = release(site, committed);
    escort.passed(Step::Released);
    given
}

/// From records to noisy sums. Nothing in here waits for anything outside, and a panic, which might depend on a record, is a
/// fault like any other, at a fault's time.
fn noised(
    site: &Site,
    admitted: &Admitted,
    module: &ApprovedModule,
    cohort: &Cohort,
    (paid, paid_at): (Reservation, Timestamp),
    draw: Draw,
    escort: &mut impl Escort,
) -> Result<Noised, Stop> {
    let limit: SignedDuration = site.policy.release.limit(admitted.longest());
    let until = paid_at.saturating_add(limit).unwrap_or(Timestamp::MAX);
    let steps = || {
        let sums = map::sums(site, module, cohort, &paid, admitted.plan(), escort, until)?;
        escort.passed(Step::Summed);
        let noised = sums.noise(paid, draw)?;
        escort.passed(Step::Noised);
        // The noise of keys is drawn one by one, as many as there are: that too must be done in time.
        if site.now() < until { Ok(noised) } else { Err(Refusal::DeadlineMissed.into()) }
    };
    catch_unwind(AssertUnwindSafe(steps)).unwrap_or_else(|_| Err(Fault::new("running a job", "it panicked").into()))
}

/// What is durable is logged, and may leave.
fn release(site: &Site, committed: Committed) -> Result<Given, Stop> {
    Ok(Given::Answer(audit::append(&mut site.audit(), committed)?))
}
