//! The jobs that a node was given and has not answered.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use spe_kernel::{ids::JobId, refusal::Refusal, rounds::NextRound};
use spe_wire::Submission;
use tokio::sync::Notify;

use super::unavailable;

/// Jobs that may wait, and what their envelopes may take in memory: the hub is not trusted to be modest.
const WAITING_MAX: usize = 10_000;
const WAITING_BYTES_MAX: usize = 64 << 20;

/// A job, or a later round of it.
pub(super) struct Work {
    pub(super) submission: Submission,
    pub(super) next: Option<NextRound>,
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

/// The jobs that wait, and the one under way.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
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
    running: Option<JobId>,
    cancelled: bool,
    closed: bool,
}

impl State {
    fn all(&self) -> impl Iterator<Item = &(JobId, Work)> {
        self.waiting.iter().chain(&self.parked)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a collection, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is running already is put behind itself: it will find its own answer. An error when there is no room;
    /// the hub asks again after the reconnection that it causes.
    pub(super) fn put(&self, job: &JobId, work: Work) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.all().any(|(waiting, other)| waiting == job && other.round() == work.round()) {
            return Ok(());
        }
        let bytes: usize = state.all().map(|(_, waiting)| waiting.bytes()).sum();
        if state.all().count() >= WAITING_MAX || bytes + work.bytes() > WAITING_BYTES_MAX {
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
    pub(super) fn cancel(&self, job: &JobId) -> bool {
        let mut state = self.state();
        state.waiting.retain(|(waiting, _)| waiting != job);
        state.parked.retain(|(waiting, _)| waiting != job);
        let running = state.running.as_ref() == Some(job);
        state.cancelled |= running;
        running
    }

    /// Sets a job aside until somebody has decided something, unless it was cancelled meanwhile.
    pub(super) fn park(&self, job: JobId, work: Work) {
        let mut state = self.state();
        if !state.cancelled {
            state.parked.push((job, work));
        }
    }

    /// Puts what was set aside to the others: what is not decided yet is set aside again.
    pub(super) fn unpark(&self) {
        let mut state = self.state();
        let parked = std::mem::take(&mut state.parked);
        state.waiting.extend(parked);
        self.changed.notify_one();
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
