//! The corridor: the way of one job, each line consuming what the line above made.

use spe_kernel::{
    admission::admit, audit, disclosure::Released, job::Job, ledger::Reserving, permit::Permit, refusal::Stop,
};

use crate::{map, site::Site};

/// A job as it was handed in: two signed envelopes that nobody has to be trusted for.
pub struct Submitted {
    /// DSSE envelope signed by the researcher.
    pub job: Vec<u8>,
    /// DSSE envelope signed by the data access body.
    pub permit: Vec<u8>,
}

/// What the corridor needs from outside while a job is on its way.
pub trait Escort {
    /// The module's bytes, from the hub or anywhere: their digest is checked.
    fn fetch(&mut self, module: spe_kernel::ids::Digest) -> impl Future<Output = Result<Vec<u8>, Stop>> + Send;
    /// Called after each step, in order; a function of requests and ledger only.
    fn passed(&mut self, step: Step);
    /// Whether the researcher or operator has cancelled.
    fn cancelled(&self) -> bool;
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

/// Runs one job, or gives again what it gave before.
///
/// # Privacy
/// **pay-first**: `reserve` returns only when the charge is durable, and the scan cannot start without it.
/// **same-answer**: the answer's key is looked up before and under the reservation; `noise` consumes the reservation.
/// Watched by `spe-host/cli/tests/it/corridor.rs`, which kills a real process after each step.
///
/// # Errors
/// [`Stop::Refused`] may leave; [`Stop::Failed`] stays in the operator's log.
pub async fn run(site: &Site, submitted: &Submitted, escort: &mut impl Escort) -> Result<Released, Stop> {
    let permit = Permit::verify(&submitted.permit, &site.policy.access_bodies, site.now())?;
    let job = Job::verify(&submitted.job)?;
    let offer = site.offer(job.body().plan.dataset())?;
    let admitted = admit(job, &permit, &offer, &site.policy, &site.name, site.now())?;
    escort.passed(Step::Admitted);
    if let Some(committed) = site.ledger()?.recall(&admitted.charge().key)? {
        return Ok(audit::append(&mut site.audit(), committed)?);
    }
    let wasm = escort.fetch(admitted.plan().module()).await?;
    let module = site.sandbox.approve(&wasm, admitted.plan(), &offer.schema)?;
    escort.passed(Step::Approved);
    let draw = spe_release::draw(admitted.plan())?;
    escort.passed(Step::Drawn);
    let paid = match site.ledger()?.reserve(admitted.charge())? {
        Reserving::Paid(paid) => paid,
        Reserving::Answered(committed) => return Ok(audit::append(&mut site.audit(), committed)?),
    };
    escort.passed(Step::Reserved);
    let sums = map::sums(site, &module, &paid, admitted.plan(), escort)?;
    escort.passed(Step::Summed);
    let noised = sums.noise(paid, draw)?;
    escort.passed(Step::Noised);
    let committed = site.ledger()?.commit(noised, &site.name, &site.key)?;
    escort.passed(Step::Committed);
    let released = audit::append(&mut site.audit(), committed)?;
    escort.passed(Step::Released);
    Ok(released)
}
