//! The jobs that a node was given and has not answered: nothing waits whose permit or person stands no more.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use spe_kernel::{ids::JobId, refusal::Refusal, rounds::NextRound};
use spe_wire::Submission;
use tokio::sync::Notify;

use super::unavailable;
use crate::leave::{Leave, Share};

/// Jobs that may wait, and what their envelopes may take in memory: the hub is not trusted to be modest. Later rounds, which are paid for, may
/// take as much again, and what waits for an officer, perhaps for weeks, half of it.
const WAITING: Room = Room { jobs: 10_000, bytes: 64 << 20 };
const WITH_ROUNDS: Room = Room { jobs: 20_000, bytes: 128 << 20 };
const PARKED: Room = Room { jobs: 5_000, bytes: 32 << 20 };

/// How much may wait.
#[derive(Clone, Copy)]
struct Room {
    jobs: usize,
    bytes: usize,
}

impl Room {
    /// What one [`Share`] is of it: half, so that nobody keeps out all others.
    const fn share(self) -> Self {
        Self { jobs: self.jobs.div_ceil(2), bytes: self.bytes.div_ceil(2) }
    }

    /// Whether `more` has room beside what is there.
    fn has<'a>(self, there: impl Iterator<Item = &'a Work>, more: &Work) -> bool {
        let (jobs, bytes) = there.fold((1, more.bytes()), |(jobs, bytes), work| (jobs + 1, bytes + work.bytes()));
        jobs <= self.jobs && bytes <= self.bytes
    }
}

/// A job, or a later round of it.
pub(super) struct Work {
    pub(super) submission: Submission,
    pub(super) next: Option<NextRound>,
    /// What its standing depends on.
    pub(super) leave: Leave,
    /// Whose part of the room it takes; nobody's, if it is a later round, which is paid for.
    pub(super) share: Option<Share>,
}

impl Work {
    pub(super) fn round(&self) -> u32 {
        self.next.as_ref().map_or(0, |next| next.round)
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let sums = self.next.iter().flat_map(|next| &next.merged.sums).map(|cells| cells.0.len() * 16).sum::<usize>();
        self.submission.job.len() + self.submission.permit.len() + sums
    }
}

/// Whether the permit and the person of a job still stand.
type Stands = Box<dyn Fn(&Leave) -> Result<(), Refusal> + Send + Sync>;

/// The jobs that wait, and the one under way.
pub(super) struct Queue {
    state: Mutex<State>,
    stands: Stands,
    changed: Notify,
    /// There are jobs that stand no more.
    over: Notify,
    /// Something did not reach the hub, or not come from it.
    pub(super) lost: Notify,
    /// The node stops.
    pub(super) closing: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(JobId, Work)>,
    /// Jobs that an officer has to decide about.
    parked: Vec<(JobId, Work)>,
    /// Jobs that stand no more, and why, of which nobody was told yet.
    over: VecDeque<(JobId, Work, Refusal)>,
    running: Option<JobId>,
    cancelled: bool,
    closed: bool,
}

impl State {
    fn all(&self) -> impl Iterator<Item = (&JobId, &Work)> {
        let over = self.over.iter().map(|(job, work, _)| (job, work));
        self.waiting.iter().chain(&self.parked).map(|(job, work)| (job, work)).chain(over)
    }

    /// Has a job that stands no more told so; but for the one under way, which answers for itself when that is due.
    fn refuse(&mut self, job: JobId, work: Work, why: Refusal) {
        if self.running.as_ref() != Some(&job) {
            self.over.push_back((job, work, why));
        }
    }

    fn works(&self) -> impl Iterator<Item = &Work> {
        self.all().map(|(_, work)| work)
    }

    fn parked(&self) -> impl Iterator<Item = &Work> {
        self.parked.iter().map(|(_, work)| work)
    }
}

/// Those of the same share.
fn own<'a>(all: impl Iterator<Item = &'a Work>, share: &Share) -> impl Iterator<Item = &'a Work> {
    all.filter(move |other| other.share.as_ref() == Some(share))
}

impl Queue {
    /// An empty one of jobs of which `stands` says whether they still stand.
    pub(super) fn new(stands: impl Fn(&Leave) -> Result<(), Refusal> + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            stands: Box::new(stands),
            changed: Notify::new(),
            over: Notify::new(),
            lost: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere could leave out, the hub offers again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is running already is put behind itself: it will find its own answer. One that stands no more waits for no turn:
    /// [`Queue::next_over`].
    ///
    /// # Security
    /// Who holds a permit may fill half of the room, and no more. Watched by `nobody_keeps_out_all_others` beside this.
    ///
    /// # Privacy
    /// That a job is refused before its turn depends on permit, job, revocations and time only (**data-blind refusal**). What is under way
    /// is told when it is due, however often it is offered. Watched by `what_stands_no_more_waits_for_no_turn` beside this.
    ///
    /// # Errors
    /// There is no room, or its share is full.
    pub(super) fn put(&self, job: &JobId, work: Work) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.all().any(|(waiting, other)| waiting == job && other.round() == work.round()) {
            return Ok(());
        }
        let room = if work.next.is_some() { WITH_ROUNDS } else { WAITING };
        if !room.has(state.works(), &work) {
            return Err(unavailable("the node, which has as many jobs waiting as it takes,"));
        }
        if let Some(share) = &work.share
            && !room.share().has(own(state.works(), share), &work)
        {
            let whose = share.whose();
            return Err(unavailable(&format!("the node, which has as many jobs {whose} waiting as it takes,")));
        }
        if let Err(why) = (self.stands)(&work.leave) {
            state.refuse(job.clone(), work, why);
            self.over.notify_one();
            return Ok(());
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
    pub(super) fn cancel(&self, job: &JobId) -> bool {
        let mut state = self.state();
        state.waiting.retain(|(waiting, _)| waiting != job);
        state.parked.retain(|(waiting, _)| waiting != job);
        state.over.retain(|(over, ..)| over != job);
        let running = state.running.as_ref() == Some(job);
        state.cancelled |= running;
        running
    }

    /// Sets a job aside until somebody has decided something, unless it was cancelled meanwhile. Once: the hub may offer it as often as it
    /// likes.
    ///
    /// # Errors
    /// There is no room. It is not charged yet, or its answer is durable and can be asked for again.
    pub(super) fn park(&self, job: JobId, work: Work) -> Result<(), Refusal> {
        let mut state = self.state();
        // It was offered again while it ran, and ran again: it finds its own answer once.
        if state.parked.iter().any(|(parked, other)| *parked == job && other.round() == work.round()) {
            return Ok(());
        }
        if !PARKED.has(state.parked(), &work) {
            return Err(unavailable("an officer of the node, for whom as many jobs wait already as it keeps,"));
        }
        if let Some(share) = &work.share
            && !PARKED.share().has(own(state.parked(), share), &work)
        {
            let whose = share.whose();
            return Err(unavailable(&format!(
                "an officer of the node, for whom as many jobs {whose} wait already as it keeps,"
            )));
        }
        if !state.cancelled {
            state.parked.push((job, work));
        }
        Ok(())
    }

    /// Puts what was set aside to the others, after an officer or a data access body has decided something: what is not decided yet is set
    /// aside again, and what stands no more waits for no turn.
    ///
    /// # Privacy
    /// As of [`Queue::put`].
    pub(super) fn unpark(&self) {
        let mut state = self.state();
        let (waiting, parked) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.parked));
        for (job, work) in waiting {
            match (self.stands)(&work.leave) {
                Ok(()) => state.waiting.push_back((job, work)),
                Err(why) => state.refuse(job, work, why),
            }
        }
        for (job, work) in parked {
            match (self.stands)(&work.leave) {
                Ok(()) => state.waiting.push_back((job, work)),
                Err(why) => state.over.push_back((job, work, why)),
            }
        }
        self.changed.notify_one();
        self.over.notify_one();
    }

    /// The next that stands no more, and is to be told so without waiting for its turn.
    pub(super) async fn next_over(&self) -> (JobId, Work, Refusal) {
        loop {
            let next = self.state().over.pop_front();
            if let Some(next) = next {
                return next;
            }
            self.over.notified().await;
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
        self.closing.notify_one();
    }

    pub(super) async fn take(&self) -> Option<(JobId, Work)> {
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

#[cfg(test)]
mod tests;
