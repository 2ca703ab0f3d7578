//! The corridor: the way of one job, each line consuming what the line above made.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    admission::{Admitted, admit},
    audit,
    disclosure::{Committed, Draw, Noised, Released, Stage},
    fault::Fault,
    ids::DatasetName,
    job::Job,
    ledger::{AnswerKey, Reservation, Reserving},
    pace::Hold,
    permit::Permit,
    refusal::{Refusal, Stop},
    rounds::{Finished, NextRound},
};
use spe_sandbox::{ApprovedModule, Interrupt};
use spe_vault::Cohort;

use crate::{
    gate::{self, Passed},
    leave::Leave,
    map, officers,
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
    /// Nothing yet: an officer of the node has to decide first.
    Waits(Stage),
}

/// What the corridor needs from outside while a job is on its way.
pub trait Escort {
    /// The module's bytes, from the hub or anywhere: their digest is checked.
    fn fetch(&mut self, module: spe_kernel::ids::Digest) -> impl Future<Output = Result<Vec<u8>, Stop>> + Send;
    /// Called after each step, in order; a function of requests and ledger only.
    fn passed(&mut self, step: Step);
    /// Whether the researcher or operator has cancelled. Before the charge it stops the job; after it, what is told of it only.
    fn cancelled(&self) -> bool;
    /// Waits until `time`, which was known before any record was read. Called before the charge and before what comes of it, also
    /// where that was computed by an earlier process.
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
/// of the charge leaves at a time that does not depend on a record, and nothing is durable before, so that a crash does not tell how
/// far the run was. That time is durable with the charge: a crash or a restart brings nothing forward.
/// Watched by `spe-host/cli/tests/it/corridor.rs`, which kills a real process after each step, and by `evil.rs` beside it.
///
/// A permit that ends meanwhile ends the run at once, and nothing is committed, however far it was; that is told when the answer would
/// have left. Watched by `spe-host/cli/tests/it/standing.rs`.
///
/// # Security
/// Whoever hands out jobs can cancel them, and signs nothing. So a cancellation stops what is not charged, and changes nothing of what
/// is: the run goes on, and its answer is committed when it always would have been. Only what is told differs, and the same question
/// asked again has its answer. Watched by `a_cancellation_after_the_charge_costs_no_answer` in `spe-host/cli/tests/it/federation.rs`
/// and `a_cancellation_does_not_tell_how_far_the_run_was` in `evil_rows.rs`.
///
/// # Errors
/// [`Stop::Refused`] may leave; [`Stop::Failed`] stays in the operator's log.
pub async fn run(site: &Site, submitted: &Submitted, escort: &mut impl Escort) -> Result<Given, Stop> {
    site.has_its_records()?;
    let permit = Permit::verify(&submitted.permit, &site.policy.access_bodies, site.clock())?;
    let job = Job::verify(&submitted.job)?;
    let job = site.people.recognise_job(job, site.clock()).await?;
    // Before anything is asked of it: a permit that is shown only to be refused makes its line known all the same.
    site.see(&permit)?;
    site.stands(&Leave::of(&permit, &job))?;
    let offer = site.offer(job.body().plan.dataset())?;
    let admitted = admit(job, &permit, &offer, &site.policy, &site.name, site.clock())?;
    let round = rounds::asked(&admitted, submitted.next.as_ref())?;
    let cohort = site.cohort(&permit, admitted.job())?;
    let admitted = admitted.about(cohort.digest());
    site.log_admitted(&admitted, permit.digest(), cohort.register())?;
    escort.passed(Step::Admitted);
    gate::reviewable(site, &admitted, permit.body().environment.release)?;
    let ask_first = if round == 0 { officers::ruling(site, &admitted, &offer.schema)? } else { None };
    if let Some(committed) = recall(site, &admitted.charge().key.at_round(round), escort).await? {
        return release(site, &permit, &admitted, committed);
    }
    if let Some(about) = ask_first
        && !officers::approved(site, &admitted, &about)?
    {
        return Ok(Given::Waits(Stage::AwaitsApproval));
    }
    punctual_so_far(site, admitted.plan().dataset())?;
    let module = rounds::module(site, &admitted, &offer.schema, escort).await?;
    let (module, state) = match rounds::turn(site, &admitted, module, submitted.next.as_ref())? {
        Turn::Run(module, state) => (module, state),
        Turn::Finish(finished) => return Ok(Given::Finished(finished)),
    };
    escort.passed(Step::Approved);
    let draw = match admitted.exact() {
        Some(granted) => Draw::exact(granted),
        None => (site.noise)(admitted.plan())?,
    };
    escort.passed(Step::Drawn);
    let pace = &site.policy.release;
    escort.hold(pace.slot(site.clock())).await;
    if escort.cancelled() {
        return Err(Refusal::Cancelled.into());
    }
    let leave = Leave::of(&permit, admitted.job());
    site.stands(&leave)?;
    let paid_at = site.clock();
    let charge = admitted.charge_until(pace.leaves(paid_at, admitted.longest(), paid_at));
    // What is known to end before the answer would leave is charged for nothing, and the question could never be answered again.
    site.standing.check(&leave, charge.leaves_at)?;
    let reserving = match round {
        0 => site.ledger()?.reserve(&charge, &state)?,
        later => site.ledger()?.begin(&charge, later, admitted.plan().rounds(), &state)?,
    };
    let paid = match reserving {
        Reserving::Paid(paid) => paid,
        Reserving::Answered(committed) => return release(site, &permit, &admitted, committed),
    };
    escort.passed(Step::Reserved);
    let run = site.watch(admitted.job().digest(), leave);
    let noised = noised(site, &admitted, &module, &cohort, (paid, paid_at, &run.interrupt), draw, escort);
    let ready = site.clock();
    // At once: a run that is late shows before it is refused. What could not be written down is told when it leaves.
    let late = pace.misses(paid_at, admitted.longest(), ready);
    let counted = if late { site.records().missed(&charge, round) } else { Ok(()) };
    escort.hold(pace.leaves(paid_at, admitted.longest(), ready)).await;
    run.stands()?;
    counted?;
    let committed = site.ledger()?.commit(noised?, &site.name, &site.key)?;
    escort.passed(Step::Committed);
    if escort.cancelled() {
        return Err(Refusal::Cancelled.into());
    }
    let given = release(site, &permit, &admitted, committed);
    escort.passed(Step::Released);
    given
}

/// Whether so few runs on `dataset` were late that the next one may be.
///
/// # Privacy
/// A function of the journal and the policy (**data-blind refusal**). Watched by `a_dataset_that_was_late_too_often_answers_nothing` in
/// `spe-host/cli/tests/it/evil_late.rs`.
fn punctual_so_far(site: &Site, dataset: &DatasetName) -> Result<(), Stop> {
    let pace = &site.policy.release;
    let misses = if pace.hold == Hold::Deadline { site.records().misses(dataset)? } else { 0 };
    if misses < pace.misses_max.get() {
        return Ok(());
    }
    Err(Refusal::TooManyMisses { dataset: dataset.clone(), misses }.into())
}

/// What there is for `key` already: its answer, or that it was lost with the process that computed it. Neither leaves before that
/// process would have let it go, or restarts would tell what the wait is there to hide.
async fn recall(site: &Site, key: &AnswerKey, escort: &mut impl Escort) -> Result<Option<Committed>, Stop> {
    let leaves_at = site.ledger()?.leaves_at(key)?;
    if let Some(time) = leaves_at {
        escort.hold(site.policy.release.still(time, site.clock())).await;
    }
    site.ledger()?.recall(key)
}

/// From records to noisy sums. Nothing in here waits for anything outside, and a panic, which might depend on a record, is a
/// fault like any other, at a fault's time.
fn noised(
    site: &Site,
    admitted: &Admitted,
    module: &ApprovedModule,
    cohort: &Cohort,
    (paid, paid_at, interrupt): (Reservation, Timestamp, &Interrupt),
    draw: Draw,
    escort: &mut impl Escort,
) -> Result<Noised, Stop> {
    let limit: SignedDuration = site.policy.release.limit(admitted.longest());
    let until = paid_at.saturating_add(limit).unwrap_or(Timestamp::MAX);
    let steps = || {
        let sums = map::sums(site, module, cohort, &paid, admitted.plan(), (until, interrupt))?;
        escort.passed(Step::Summed);
        let noised = sums.noise(paid, draw)?;
        escort.passed(Step::Noised);
        // The noise of keys is drawn one by one, as many as there are: that too must be done in time.
        if site.clock() < until { Ok(noised) } else { Err(Refusal::DeadlineMissed.into()) }
    };
    catch_unwind(AssertUnwindSafe(steps)).unwrap_or_else(|_| Err(Fault::new("running a job", "it panicked").into()))
}

/// What is durable passes the output gate, is logged, and may leave.
fn release(site: &Site, permit: &Permit, admitted: &Admitted, committed: Committed) -> Result<Given, Stop> {
    // It may have waited for long.
    site.stands(&Leave::of(permit, admitted.job()))?;
    let review = permit.body().environment.release;
    match gate::pass(site, admitted, review, committed)? {
        Passed::Cleared(cleared) => Ok(Given::Answer(audit::append(&mut site.audit(), cleared)?)),
        Passed::Waits(stage) => Ok(Given::Waits(stage)),
    }
}
