//! Every data subject through the sandbox, into exact sums.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
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
use spe_sandbox::{ApprovedModule, Interrupt};
use spe_vault::{Cohort, PartitionScan};
use tokio::runtime::Handle;

use crate::site::Site;

/// Scans the plan's inputs and sums every data subject's contribution.
///
/// Workers take partitions in any order; records stream and are never collected. The sums are integers, so that neither
/// order nor number of workers shows (**exact**).
///
/// # Privacy
/// Asks for the reservation that paid for the look at this very cohort (**pay-first**).
///
/// # Errors
/// Why `interrupt` was raised: here [`Refusal::DeadlineMissed`], where the machine is slower than its operator declared. A fault of
/// storage or engine.
pub fn sums(
    site: &Site,
    module: &ApprovedModule,
    cohort: &Cohort,
    paid: &Reservation,
    plan: &Plan,
    (until, interrupt): (Timestamp, &Interrupt),
) -> Result<Confidential<Sums>, Stop> {
    if paid.key().snapshot != cohort.digest() {
        return Err(Fault::new("mapping", "another cohort was paid for").into());
    }
    let scans = Mutex::new(site.vault.scan(plan, cohort)?);
    let runtime = Handle::current();
    let (working, waiting) = (AtomicUsize::new(site.workers), std::thread::current());
    let late = || site.clock() >= until;
    let parts: Vec<_> = std::thread::scope(|scope| {
        let worker = || {
            let done = work(&scans, module, plan, interrupt, &runtime);
            if let (Err(_), Ok(mut scans)) = (&done, scans.lock()) {
                // Nothing will come of it any more: let the others stop too.
                scans.clear();
            }
            working.fetch_sub(1, Ordering::Relaxed);
            waiting.unpark();
            done
        };
        let workers: Vec<_> = (0..site.workers).map(|_| scope.spawn(worker)).collect();
        // The count tells at once that all is done; a worker that panicked does not count down, but is finished.
        while working.load(Ordering::Relaxed) > 0 && workers.iter().any(|w| !w.is_finished()) {
            // Again each time, also when somebody else raised it: a guest may miss a single one.
            site.standing.end(site.now());
            let why = late().then_some(Refusal::DeadlineMissed);
            if let Some(why) = why.or_else(|| interrupt.raised().cloned()) {
                interrupt.raise(why);
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|_| Err(Fault::new("mapping", "a worker panicked"))))
            .collect()
    });
    if late() {
        interrupt.raise(Refusal::DeadlineMissed);
    }
    if let Some(why) = interrupt.raised() {
        return Err(why.clone().into());
    }
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
    interrupt: &Interrupt,
    runtime: &Handle,
) -> Result<Confidential<Accumulator>, Fault> {
    let next = || scans.lock().map(|mut list| list.pop()).ok().flatten();
    let mut guest = module.worker()?.until(interrupt.clone());
    let mut sums = Confidential::seal(Accumulator::new(plan));
    while let Some(mut scan) = next() {
        while let Some(chunk) = runtime.block_on(scan.next()) {
            let step = |chunk: spe_kernel::record::Chunk, mut sums: Accumulator| {
                guest.map(&chunk, |_, contribution| sums.add(contribution))?;
                Ok(sums)
            };
            sums = chunk?.join(sums, step).transpose()?;
        }
    }
    Ok(sums)
}
