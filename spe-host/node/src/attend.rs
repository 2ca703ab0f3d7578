//! A node at work: it dials out to the hub, takes jobs one after the other, and reports.
//!
//! There is no outbox: an answer is durable in the ledger before it is sent, and after every reconnection the hub hands out
//! again what it has no answer to. Running the corridor again then gives the stored answer, free (**same-answer**).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::{MayLeave, Stage},
    fault::Fault,
    ids::{Digest, JobId},
    refusal::{Refusal, Stop},
    rounds::NextRound,
};
use spe_wire::{Assignment, ConnectError, Connection, Frame, HubClient, Submission, encode};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    run::{Escort, Given, Step, Submitted, run},
    site::Site,
};

/// First and longest pause before dialling again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Jobs that may wait, and what their envelopes may take in memory: the hub is not trusted to be modest.
const WAITING_MAX: usize = 10_000;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How often a report is sent before the connection is made anew, after which the hub asks again.
const REPORTS_MAX: u32 = 5;
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
    let queue = Arc::new(Queue::default());
    let (hub, current) = watch::channel(None);
    let runner = tokio::spawn(work(Arc::clone(&site), Arc::clone(&queue), current));
    let ended = tokio::select! {
        ended = dial(&site, &queue, &connection, &hub) => ended,
        () = shutdown => Ok(()),
    };
    queue.close();
    runner.await.ok();
    ended
}

/// Keeps a connection; comes back only when the configuration is wrong.
async fn dial(
    site: &Site,
    queue: &Queue,
    connection: &Connection,
    hub: &watch::Sender<Option<HubClient>>,
) -> Result<(), ConnectError> {
    let (mut pause, mut trouble) = (PAUSE.0, Trouble::default());
    loop {
        match HubClient::connect(connection).await {
            Ok(client) => {
                hub.send_replace(Some(client.clone()));
                let since = Instant::now();
                match take(site, queue, &client, &mut trouble).await {
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

/// Why there is no connection, told when it begins and when it changes: a hub that is down for a night is one line.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, why: &str) {
        if self.0.as_deref() != Some(why) {
            tracing::warn!("not connected, trying again: {why}");
            self.0 = Some(why.to_owned());
        }
    }

    fn is_over(&mut self) {
        self.0 = None;
    }
}

/// Takes assignments as long as the connection lasts.
async fn take(site: &Site, queue: &Queue, client: &HubClient, trouble: &mut Trouble) -> Result<(), Refusal> {
    let catalogue = site.catalogue().map_err(leaving)?;
    let mut assignments = client.attend(encode(&catalogue)).await?;
    trouble.is_over();
    tracing::info!(datasets = catalogue.datasets.len(), "connected to the hub");
    loop {
        let assignment = tokio::select! {
            assignment = assignments.next() => assignment?,
            // Only a new connection makes the hub ask again for what was lost.
            () = queue.lost.notified() => return Err(unavailable("the hub, for a report or a module")),
        };
        match assignment {
            None => return Ok(()),
            Some(Assignment::Run { job, submission }) => queue.put(&job, Work { submission, next: None })?,
            Some(Assignment::Round { job, submission, next }) => {
                queue.put(&job, Work { submission, next: Some(next) })?;
            }
            // The hub asks again until it hears of the job; the one under way answers for itself.
            Some(Assignment::Cancel { job }) if queue.cancel(&job) => {}
            Some(Assignment::Cancel { job }) => client.report(&job, encode(&Refusal::Cancelled)).await?,
        }
    }
}

fn unavailable(what: &str) -> Refusal {
    Refusal::Unavailable { what: what.into() }
}

/// A job, or a later round of it.
struct Work {
    submission: Submission,
    next: Option<NextRound>,
}

impl Work {
    fn round(&self) -> u32 {
        self.next.as_ref().map_or(0, |next| next.round)
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let sums = self.next.iter().flat_map(|next| &next.merged.sums).map(|cells| cells.0.len() * 16).sum::<usize>();
        self.submission.job.len() + self.submission.permit.len() + sums
    }
}

/// The jobs that wait, and the one under way.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
    /// Something did not reach the hub, or not come from it.
    lost: Notify,
    /// The node stops.
    closing: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(JobId, Work)>,
    running: Option<JobId>,
    cancelled: bool,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a collection, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is running already is put behind itself: it will find its own answer. An error when there is no room;
    /// the hub asks again after the reconnection that it causes.
    fn put(&self, job: &JobId, work: Work) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.waiting.iter().any(|(waiting, other)| waiting == job && other.round() == work.round()) {
            return Ok(());
        }
        let bytes: usize = state.waiting.iter().map(|(_, waiting)| waiting.bytes()).sum();
        if state.waiting.len() >= WAITING_MAX || bytes + work.bytes() > WAITING_BYTES_MAX {
            return Err(unavailable("room for so many jobs"));
        }
        // A round goes before jobs that have not begun: the other nodes wait for it.
        match work.next {
            Some(_) => state.waiting.push_front((job.clone(), work)),
            None => state.waiting.push_back((job.clone(), work)),
        }
        self.changed.notify_one();
        Ok(())
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
        self.closing.notify_one();
    }

    async fn take(&self) -> Option<(JobId, Work)> {
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
async fn work(site: Arc<Site>, queue: Arc<Queue>, hub: watch::Receiver<Option<HubClient>>) {
    let mut last: Option<JoinHandle<()>> = None;
    while let Some((job, asked)) = queue.take().await {
        let Some(client) = hub.borrow().clone() else { continue };
        let (reports, sending) = mpsc::unbounded_channel();
        last = Some(tokio::spawn(send(client.clone(), job.clone(), sending, Arc::clone(&queue))));
        let outing = Outing::new(job.clone(), Arc::clone(&queue), client.clone(), reports.clone());
        let at = Arc::clone(&site);
        let runtime = Handle::current();
        let ended = spawn_blocking(move || runtime.block_on(go(&at, asked, outing))).await;
        let (frame, charged) =
            ended.unwrap_or_else(|_| (Some(encode(&internal(&Fault::new("running a job", "it panicked")))), true));
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

/// One job through the corridor, as a message that may leave; none when the hub went away and the job is to come again.
async fn go(site: &Site, Work { submission, next }: Work, mut outing: Outing) -> (Option<Frame>, bool) {
    let submitted = Submitted { job: submission.job, permit: submission.permit, next };
    let (outcome, frame) = match run(site, &submitted, &mut outing).await {
        _ if outing.put_off => ("put off: the node stops; it will be sent after the next start".into(), None),
        Ok(Given::Answer(released)) => ("answered".into(), Some(encode(&released))),
        Ok(Given::Finished(finished)) => ("finished".into(), Some(encode(&finished))),
        Err(_) if outing.hub_is_away => ("put off: the hub is away".into(), None),
        Err(stop) => {
            let refusal = leaving(stop);
            if refusal == Refusal::DeadlineMissed {
                // It may have been made late on purpose: the operator must see it.
                tracing::warn!(job = %outing.job, "a job missed its deadline");
            }
            (format!("refused: {refusal}"), Some(encode(&refusal)))
        }
    };
    tracing::info!(job = %outing.job, charged = outing.charged, "{outcome}");
    (frame, outing.charged)
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

/// A job on its way through the corridor.
struct Outing {
    job: JobId,
    queue: Arc<Queue>,
    client: HubClient,
    reports: mpsc::UnboundedSender<Frame>,
    charged: bool,
    hub_is_away: bool,
    put_off: bool,
}

impl Outing {
    const fn new(job: JobId, queue: Arc<Queue>, client: HubClient, reports: mpsc::UnboundedSender<Frame>) -> Self {
        Self { job, queue, client, reports, charged: false, hub_is_away: false, put_off: false }
    }

    fn tell(&self, message: &impl MayLeave) {
        self.reports.send(encode(message)).ok();
    }
}

impl Escort for Outing {
    async fn fetch(&mut self, module: Digest) -> Result<Vec<u8>, Stop> {
        let fetched = self.client.fetch_module(module).await;
        // Not the job's fault, and before any charge: nobody is told, and the job comes again.
        self.hub_is_away = matches!(fetched, Err(Refusal::Unavailable { .. } | Refusal::Internal { .. }));
        Ok(fetched?)
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

    /// A node that stops does not begin a job that is not charged yet.
    fn cancelled(&self) -> bool {
        self.queue.is_cancelled() || (self.put_off && !self.charged)
    }

    /// A node that stops does not wait, and then says nothing: what is durable is sent after the next start.
    async fn hold(&mut self, time: Timestamp) {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::select! {
            () = sleep(wait) => {}
            () = self.queue.closing.notified() => self.put_off = true,
        }
    }
}
