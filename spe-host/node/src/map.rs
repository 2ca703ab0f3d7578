//! Every data subject through the sandbox, into exact sums.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::{Confidential, Sums},
    fault::Fault,
    ledger::Reservation,
    plan::Plan,
    refusal::{Refusal, Stop},
};
use spe_release::Accumulator;
use spe_sandbox::ApprovedModule;
use spe_vault::{Cohort, PartitionScan};
use tokio::runtime::Handle;

use crate::{run::Escort, site::Site};

/// Scans the plan's inputs and sums every data subject's contribution.
///
/// Workers take partitions in any order; records stream and are never collected. The sums are integers, so that neither
/// order nor number of workers shows (**exact**).
///
/// # Privacy
/// Asks for the reservation that paid for the look at this very cohort (**pay-first**).
///
/// # Errors
/// [`Refusal::Cancelled`], [`Refusal::DeadlineMissed`] where the machine is slower than its operator declared, or a fault of storage or
/// engine.
pub fn sums(
    site: &Site,
    module: &ApprovedModule,
    cohort: &Cohort,
    paid: &Reservation,
    plan: &Plan,
    escort: &impl Escort,
    until: Timestamp,
) -> Result<Confidential<Sums>, Stop> {
    if paid.key().snapshot != cohort.digest() {
        return Err(Fault::new("mapping", "another cohort was paid for").into());
    }
    let scans = Mutex::new(site.vault.scan(plan, cohort)?);
    let (halt, mut late) = (Arc::new(AtomicBool::new(false)), false);
    let runtime = Handle::current();
    let (working, waiting) = (AtomicUsize::new(site.workers), std::thread::current());
    let parts = std::thread::scope(|scope| {
        let worker = || {
            let done = work(&scans, module, plan, &halt, &runtime);
            // Nothing will come of it any more: let the others stop too.
            halt.fetch_or(done.is_err(), Ordering::Relaxed);
            working.fetch_sub(1, Ordering::Relaxed);
            waiting.unpark();
            done
        };
        let workers: Vec<_> = (0..site.workers).map(|_| scope.spawn(worker)).collect();
        // The count tells at once that all is done; a worker that panicked does not count down, but is finished.
        while working.load(Ordering::Relaxed) > 0 && workers.iter().any(|w| !w.is_finished()) {
            late |= site.now() >= until;
            if late || escort.cancelled() {
                halt.store(true, Ordering::Relaxed);
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|_| Err(Fault::new("mapping", "a worker panicked").into())))
            .collect()
    });
    if late || site.now() >= until {
        return Err(Refusal::DeadlineMissed.into());
    }
    let mut parts: Vec<Result<Confidential<Accumulator>, Stop>> = parts;
    // One worker's fault halts the others, which then say that they were cancelled: the fault is the reason.
    parts.sort_by_key(|part| !matches!(part, Err(Stop::Failed(_))));
    let mut total = Confidential::seal(Accumulator::new(plan));
    for part in parts {
        total = total.join(part?, Accumulator::merge);
    }
    Ok(total.map(Accumulator::finish))
}

fn work(
    scans: &Mutex<Vec<PartitionScan>>,
    module: &ApprovedModule,
    plan: &Plan,
    halt: &Arc<AtomicBool>,
    runtime: &Handle,
) -> Result<Confidential<Accumulator>, Stop> {
    let next = || scans.lock().map(|mut list| list.pop()).ok().flatten();
    let mut guest = module.worker()?.until(Arc::clone(halt));
    let mut sums = Confidential::seal(Accumulator::new(plan));
    while let Some(mut scan) = next() {
        while let Some(chunk) = runtime.block_on(scan.next()) {
            let step = |chunk: spe_kernel::record::Chunk, mut sums: Accumulator| {
                guest.map(&chunk, |_, contribution| sums.add(contribution))?;
                Ok(sums)
            };
            sums = chunk?.join(sums, step).transpose()?;
            // A chunk that was cut short is of no use, so this comes after it.
            if halt.load(Ordering::Relaxed) {
                return Err(Refusal::Cancelled.into());
            }
        }
    }
    Ok(sums)
}
