//! A node at work: it dials out to the hub, takes jobs one after the other, and reports.
//!
//! There is no outbox: an answer is durable in the ledger before it is sent, and after every reconnection the hub hands out
//! again what it has no answer to. Running the corridor again then gives the stored answer, free (**same-answer**).

mod escort;
mod intake;
mod queue;
mod trouble;

use std::{sync::Arc, time::Duration};

use spe_kernel::{
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, JobId},
    refusal::{Refusal, Stop},
};
use spe_wire::{Assignment, ConnectError, Connection, Frame, HubClient, Submission, encode};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

use self::{
    escort::HubEscort,
    intake::{put, turn_away},
    queue::{Queue, Work},
    trouble::Trouble,
};
use crate::{
    agreement::Passed,
    leave::Leave,
    run::{Given, Submitted, run},
    site::Site,
    witness,
};

/// First and longest pause before dialling again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a report is sent before the connection is made anew, after which the hub asks again.
const REPORTS_MAX: u32 = 5;
/// How often the hub is asked for what it states on the agreement, and told what the node's operator has stated meanwhile. Neither has to
/// wait for it: what one party states counts for that party at once.
const AGREEMENT_EVERY: Duration = Duration::from_secs(5);
/// How long the last report may take when the node stops. It is durable: the next start sends it again.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves the hub of `connection` until `shutdown` resolves; a job under way is finished first.
///
/// # Errors
/// A connection file that is wrong. A hub that is not there is waited for.
pub async fn attend(
    site: Arc<Site>,
    connection: Connection,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ConnectError> {
    let fetching = Arc::clone(&site);
    tokio::spawn(async move { fetching.people.fetch().await });
    let standing = Arc::clone(&site);
    let queue = Arc::new(Queue::new(move |leave: &Leave| standing.stands(leave)));
    let (hub, current) = watch::channel(None);
    let runner = tokio::spawn(work(Arc::clone(&site), Arc::clone(&queue), current.clone(), connection.witness));
    let ended = tokio::select! {
        ended = dial(&site, &queue, &connection, &hub) => ended,
        () = wake(&site, &queue) => Ok(()),
        () = turn_away(&site, &queue, &current) => Ok(()),
        () = shutdown => Ok(()),
    };
    queue.close();
    runner.await.ok();
    ended
}

/// Has what waits looked at again whenever an officer or a data access body has decided something.
async fn wake(site: &Site, queue: &Queue) {
    let mut stirred = site.stirred();
    // It lasts as long as the site.
    while stirred.changed().await.is_ok() {
        queue.unpark();
    }
}

/// Keeps a connection; comes back only when the configuration is wrong.
async fn dial(
    site: &Arc<Site>,
    queue: &Queue,
    connection: &Connection,
    hub: &watch::Sender<Option<HubClient>>,
) -> Result<(), ConnectError> {
    let (mut pause, mut trouble) = (PAUSE.0, Trouble::default());
    loop {
        // Also while the hub is away. What fails is tried again.
        let (logging, hub_key) = (Arc::clone(site), connection.witness);
        spawn_blocking(move || logging.log_agreement(hub_key).map_err(leaving)).await.ok();
        match HubClient::connect(connection).await {
            Ok(client) => {
                hub.send_replace(Some(client.clone()));
                let since = Instant::now();
                match take(site, queue, (&client, connection.witness), &mut trouble).await {
                    Ok(()) => trouble.tell("the hub closed the connection"),
                    Err(why) => trouble.tell(&why.to_string()),
                }
                if since.elapsed() > PAUSE.1 {
                    pause = PAUSE.0;
                }
            }
            Err(ConnectError::Refused(why)) => trouble.tell(&why.to_string()),
            Err(wrong) => return Err(wrong),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Takes assignments as long as the connection lasts.
async fn take(
    site: &Arc<Site>,
    queue: &Queue,
    (client, hub): (&HubClient, Option<PublicKey>),
    trouble: &mut Trouble,
) -> Result<(), Refusal> {
    let mut passed = Passed::default();
    site.exchange_agreement(client, hub, &mut passed).await.map_err(leaving)?;
    let mut exchange = interval_at(Instant::now() + AGREEMENT_EVERY, AGREEMENT_EVERY);
    exchange.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Before any job: a ledger that was put back must not be charged.
    witness::look(site, client, hub).await;
    let catalogue = site.catalogue().map_err(leaving)?;
    let mut assignments = client.attend(encode(&catalogue)).await?;
    trouble.is_over();
    tracing::info!(datasets = catalogue.datasets.len(), "connected to the hub");
    loop {
        let assignment = tokio::select! {
            assignment = assignments.next() => assignment?,
            // Only a new connection makes the hub ask again for what was lost.
            () = queue.lost.notified() => return Err(unavailable("the hub, for a report or a module")),
            _ = exchange.tick() => {
                site.exchange_agreement(client, hub, &mut passed).await.map_err(leaving)?;
                continue;
            }
            () = site.withdrawn.notified() => {
                client.offer(encode(&site.catalogue().map_err(leaving)?)).await?;
                continue;
            }
        };
        match assignment {
            None => return Ok(()),
            Some(Assignment::Run { job, submission }) => {
                put(site, queue, client, trouble, (&job, submission, None)).await?;
            }
            Some(Assignment::Round { job, submission, next }) => {
                put(site, queue, client, trouble, (&job, submission, Some(next))).await?;
            }
            // The hub asks again until it hears of the job; the one under way answers for itself.
            Some(Assignment::Cancel { job }) if queue.cancel(&job) => {}
            Some(Assignment::Revoke { envelope }) => {
                keep(site, trouble, "a revocation", move |site| {
                    let kept = site.revoke(&envelope);
                    site.publish(false);
                    kept
                })
                .await;
            }
            Some(Assignment::Permit { envelope }) => {
                keep(site, trouble, "a permit", move |site| site.learn(&envelope)).await;
            }
            Some(Assignment::Cancel { job }) => client.report(&job, encode(&Refusal::Cancelled)).await?,
        }
    }
}

/// Keeps a document that the hub passed on. It is durable, or told to the operator, before the next assignment is looked at.
///
/// # Security
/// A hub that passes on rubbish without end fills no disk: [`Trouble`].
async fn keep(
    site: &Arc<Site>,
    trouble: &mut Trouble,
    what: &str,
    keep: impl FnOnce(&Site) -> Result<(), Stop> + Send + 'static,
) {
    let site = Arc::clone(site);
    let keeping = spawn_blocking(move || {
        let kept = keep(&site);
        if let Err(stop) = &kept {
            site.count_damaged(stop);
        }
        kept
    });
    match keeping.await {
        Ok(Ok(())) => {}
        // The hub signs nothing: one that no trusted body signed is the hub's own trouble.
        Ok(Err(Stop::Refused(why))) => trouble.none_here(what, &why),
        Ok(Err(Stop::Failed(fault))) => tracing::error!("{what} that the hub passed on was not kept in full: {fault}"),
        Err(panicked) => tracing::error!("keeping {what} that the hub passed on: {panicked}"),
    }
}

fn unavailable(what: &str) -> Refusal {
    Refusal::Unavailable { what: what.into() }
}

/// Runs the jobs, one after the other: one tenant at a time in the process.
async fn work(site: Arc<Site>, queue: Arc<Queue>, hub: watch::Receiver<Option<HubClient>>, pinned: Option<PublicKey>) {
    let mut last: Option<JoinHandle<()>> = None;
    while let Some((job, asked)) = queue.take().await {
        let Some(client) = hub.borrow().clone() else { continue };
        let (reports, sending) = mpsc::unbounded_channel();
        last = Some(tokio::spawn(send(client.clone(), job.clone(), sending, Arc::clone(&queue))));
        let escort = HubEscort::new((job.clone(), asked.round()), Arc::clone(&queue), client.clone(), reports.clone());
        let (at, stirred) = (Arc::clone(&site), site.stirred());
        let runtime = Handle::current();
        let ended = spawn_blocking(move || runtime.block_on(go(&at, asked, escort, pinned))).await;
        let Ended { mut frame, charged, parked } = ended.unwrap_or_else(|_| Ended::panicked());
        if let Some(waits) = parked {
            if let Err(full) = queue.park(job, waits) {
                frame = Some(encode(&full));
            }
            // Somebody may have decided before it was parked.
            if stirred.has_changed().unwrap_or(false) {
                queue.unpark();
            }
        }
        // Without a frame nothing was held, and nothing may be seen: the offer of the next connection tells the charge.
        let Some(frame) = frame else {
            queue.lost.notify_one();
            continue;
        };
        if charged && let Ok(catalogue) = site.catalogue() {
            client.offer(encode(&catalogue)).await.ok();
        }
        reports.send(frame).ok();
    }
    if let Some(sending) = last {
        timeout(FAREWELL, sending).await.ok();
    }
}

/// How one job's way through the corridor ended.
struct Ended {
    /// What may leave; none when the hub went away and the job is to come again.
    frame: Option<Frame>,
    /// Whether the catalogue has changed, which says what is spent.
    charged: bool,
    /// The job, where an officer has to decide about it first.
    parked: Option<Work>,
}

impl Ended {
    fn panicked() -> Self {
        let frame = Some(encode(&internal(&Fault::new("running a job", "it panicked"))));
        Self { frame, charged: true, parked: None }
    }
}

/// One job through the corridor.
async fn go(
    site: &Arc<Site>,
    Work { submission, next, leave, share }: Work,
    mut escort: HubEscort,
    pinned: Option<PublicKey>,
) -> Ended {
    let submitted = Submitted { job: submission.job, permit: submission.permit, next };
    let mut waits = false;
    let ran = match site.takes_part_now(&escort.client, pinned).await {
        Ok(()) => run(site, &submitted, &mut escort).await,
        Err(stop) => Err(stop),
    };
    let (outcome, frame) = match ran {
        _ if escort.put_off => ("put off: the node stops; it will be sent after the next start".into(), None),
        Ok(Given::Answer(released)) => {
            // Before the answer, so that nobody has the one without the other.
            let receipt = witness::receipt(site, &escort.client, pinned, (&released, &submitted.permit)).await;
            match site.has_its_records() {
                Ok(()) => {
                    if let Some(receipt) = receipt {
                        escort.reports.send(encode(&receipt)).ok();
                    }
                    ("answered".into(), Some(encode(&released)))
                }
                Err(stop) => {
                    ("held back: the ledger is not the one that the node had".into(), Some(encode(&leaving(stop))))
                }
            }
        }
        Ok(Given::Finished(finished)) => ("finished".into(), Some(encode(&finished))),
        Ok(Given::Waits(stage)) => {
            waits = true;
            ("waits for an officer: `spe node desk` shows it".into(), Some(encode(&stage)))
        }
        Err(_) if escort.hub_is_away => ("put off: the hub is away".into(), None),
        Err(stop) => {
            site.log_stopped(&submitted, &stop).await;
            let refusal = leaving(stop);
            if refusal == Refusal::DeadlineMissed {
                // It may have been made late on purpose: the operator must see it.
                tracing::warn!(job = %escort.job, "a job missed its deadline");
            }
            (format!("refused: {refusal}"), Some(encode(&refusal)))
        }
    };
    tracing::info!(job = %escort.job, charged = escort.charged, "{outcome}");
    let Submitted { job, permit, next } = submitted;
    let parked = waits.then_some(Work { submission: Submission { job, permit }, next, leave, share });
    Ended { frame, charged: escort.charged && escort.round == 0, parked }
}

/// What may leave of a stop. A fault's details stay in the operator's log.
pub(crate) fn leaving(stop: Stop) -> Refusal {
    match stop {
        Stop::Refused(refusal) => refusal,
        Stop::Failed(fault) => internal(&fault),
    }
}

fn internal(fault: &Fault) -> Refusal {
    let mut random = [0; 8];
    let id = match getrandom::fill(&mut random) {
        Ok(()) => Digest::of(&random).short(),
        Err(_) => "without-id".into(),
    };
    tracing::error!(%id, "{fault}");
    Refusal::Internal { id }
}

/// Sends the reports of one job in order. What does not arrive is asked for again by the hub after a reconnection.
async fn send(client: HubClient, job: JobId, mut frames: mpsc::UnboundedReceiver<Frame>, queue: Arc<Queue>) {
    while let Some(frame) = frames.recv().await {
        if !arrives(&client, &job, &frame).await {
            queue.lost.notify_one();
            return;
        }
    }
}

/// Whether a report reached the hub; one that the hub does not want has.
async fn arrives(client: &HubClient, job: &JobId, frame: &Frame) -> bool {
    for attempt in 1..=REPORTS_MAX {
        match client.report(job, frame.clone()).await {
            Ok(()) => return true,
            Err(Refusal::Unavailable { .. } | Refusal::Internal { .. }) => sleep(PAUSE.0 * attempt).await,
            Err(why) => {
                tracing::warn!(%job, "the hub did not take a report: {why}");
                return true;
            }
        }
    }
    false
}
