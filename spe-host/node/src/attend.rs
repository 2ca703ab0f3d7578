//! A node at work: it dials out to the hub, takes jobs one after the other, and reports.
//!
//! There is no outbox: an answer is durable in the ledger before it is sent, and after every reconnection the hub hands out
//! again what it has no answer to. Running the corridor again then gives the stored answer, free (**same-answer**).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use spe_kernel::{
    disclosure::{MayLeave, Stage},
    fault::Fault,
    ids::{Digest, JobId},
    refusal::{Refusal, Stop},
};
use spe_wire::{Assignment, ConnectError, Connection, Frame, HubClient, Submission, encode};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    task::spawn_blocking,
    time::sleep,
};

use crate::{
    run::{Escort, Step, Submitted, run},
    site::Site,
};

/// First and longest pause before dialling again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Jobs that may wait; the hub hands out the rest after the next reconnection.
const WAITING_MAX: usize = 10_000;
/// How often a report is sent before the next reconnection is awaited.
const REPORTS_MAX: u32 = 5;

/// Serves the hub of `connection` until `shutdown` resolves; a job under way is finished first.
///
/// # Errors
/// A connection file that is wrong. A hub that is not there is waited for.
pub async fn attend(
    site: Arc<Site>,
    connection: Connection,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ConnectError> {
    let desk = Arc::new(Desk::default());
    let (hub, current) = watch::channel(None);
    let runner = tokio::spawn(work(Arc::clone(&site), Arc::clone(&desk), current));
    let ended = tokio::select! {
        ended = dial(&site, &desk, &connection, &hub) => ended,
        () = shutdown => Ok(()),
    };
    desk.close();
    runner.await.ok();
    ended
}

/// Keeps a connection; comes back only when the configuration is wrong.
async fn dial(
    site: &Site,
    desk: &Desk,
    connection: &Connection,
    hub: &watch::Sender<Option<HubClient>>,
) -> Result<(), ConnectError> {
    let mut pause = PAUSE.0;
    loop {
        match HubClient::connect(connection).await {
            Ok(client) => {
                hub.send_replace(Some(client.clone()));
                let since = Instant::now();
                match take(site, desk, &client).await {
                    Ok(()) => tracing::info!("the hub closed the connection"),
                    Err(why) => tracing::warn!("not connected: {why}"),
                }
                if since.elapsed() > PAUSE.1 {
                    pause = PAUSE.0;
                }
            }
            Err(ConnectError::Refused(why)) => tracing::warn!("not connected: {why}"),
            Err(wrong) => return Err(wrong),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Takes assignments as long as the connection lasts.
async fn take(site: &Site, desk: &Desk, client: &HubClient) -> Result<(), Refusal> {
    let catalogue = site.catalogue().map_err(leaving)?;
    let mut assignments = client.attend(encode(&catalogue)).await?;
    tracing::info!(datasets = catalogue.datasets.len(), "connected to the hub");
    while let Some(assignment) = assignments.next().await? {
        match assignment {
            Assignment::Run { job, submission } => desk.put(job, submission),
            // The hub asks again until it hears of the job; the one under way answers for itself.
            Assignment::Cancel { job } if desk.cancel(&job) => {}
            Assignment::Cancel { job } => client.report(&job, encode(&Refusal::Cancelled)).await?,
        }
    }
    Ok(())
}

/// The jobs that wait, and the one under way.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(JobId, Submission)>,
    running: Option<JobId>,
    cancelled: bool,
    closed: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a collection, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is running already is put behind itself: it will find its own answer.
    fn put(&self, job: JobId, submission: Submission) {
        let mut state = self.state();
        let known = state.waiting.iter().any(|(waiting, _)| *waiting == job);
        if !known && state.waiting.len() < WAITING_MAX {
            state.waiting.push_back((job, submission));
            self.changed.notify_one();
        }
    }

    /// Forgets a job that waits, and stops it if it is under way; whether it is.
    fn cancel(&self, job: &JobId) -> bool {
        let mut state = self.state();
        state.waiting.retain(|(waiting, _)| waiting != job);
        let running = state.running.as_ref() == Some(job);
        state.cancelled |= running;
        running
    }

    fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    async fn take(&self) -> Option<(JobId, Submission)> {
        loop {
            {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                state.cancelled = false;
                state.running = state.waiting.front().map(|(job, _)| job.clone());
                if let Some(next) = state.waiting.pop_front() {
                    return Some(next);
                }
            }
            self.changed.notified().await;
        }
    }
}

/// Runs the jobs, one after the other: one tenant at a time in the process.
async fn work(site: Arc<Site>, desk: Arc<Desk>, hub: watch::Receiver<Option<HubClient>>) {
    while let Some((job, submission)) = desk.take().await {
        let Some(client) = hub.borrow().clone() else { continue };
        let (reports, sending) = mpsc::unbounded_channel();
        let sender = tokio::spawn(send(client.clone(), job.clone(), sending));
        let outing = Outing {
            job: job.clone(),
            desk: Arc::clone(&desk),
            client: client.clone(),
            reports: reports.clone(),
            charged: false,
        };
        let at = Arc::clone(&site);
        let runtime = Handle::current();
        let ended = spawn_blocking(move || runtime.block_on(go(&at, submission, outing))).await;
        let (frame, charged) =
            ended.unwrap_or_else(|_| (encode(&internal(&Fault::new("running a job", "it panicked"))), true));
        if charged && let Ok(catalogue) = site.catalogue() {
            client.offer(encode(&catalogue)).await.ok();
        }
        reports.send(frame).ok();
        drop(reports);
        sender.await.ok();
    }
}

/// One job through the corridor, as a message that may leave.
async fn go(site: &Site, submission: Submission, mut outing: Outing) -> (Frame, bool) {
    let submitted = Submitted { job: submission.job, permit: submission.permit };
    let frame = match run(site, &submitted, &mut outing).await {
        Ok(released) => encode(&released),
        Err(stop) => encode(&leaving(stop)),
    };
    tracing::info!(job = %outing.job, "done");
    (frame, outing.charged)
}

/// What may leave of a stop. A fault's details stay in the operator's log.
fn leaving(stop: Stop) -> Refusal {
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
async fn send(client: HubClient, job: JobId, mut frames: mpsc::UnboundedReceiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        for attempt in 1..=REPORTS_MAX {
            match client.report(&job, frame.clone()).await {
                Ok(()) => break,
                Err(Refusal::Unavailable { .. } | Refusal::Internal { .. }) => sleep(PAUSE.0 * attempt).await,
                Err(why) => {
                    tracing::warn!(%job, "the hub did not take a report: {why}");
                    break;
                }
            }
        }
    }
}

/// A job on its way through the corridor.
struct Outing {
    job: JobId,
    desk: Arc<Desk>,
    client: HubClient,
    reports: mpsc::UnboundedSender<Frame>,
    charged: bool,
}

impl Outing {
    fn tell(&self, message: &impl MayLeave) {
        self.reports.send(encode(message)).ok();
    }
}

impl Escort for Outing {
    async fn fetch(&mut self, module: Digest) -> Result<Vec<u8>, Stop> {
        Ok(self.client.fetch_module(module).await?)
    }

    fn passed(&mut self, step: Step) {
        match step {
            Step::Admitted => self.tell(&Stage::Admitted),
            Step::Reserved => {
                self.charged = true;
                self.tell(&Stage::Running);
            }
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.desk.is_cancelled()
    }
}
