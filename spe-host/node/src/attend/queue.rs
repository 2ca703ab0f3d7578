//! The jobs that a node was given and has not answered.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use spe_kernel::{
    ids::{JobId, PersonName},
    refusal::Refusal,
    rounds::NextRound,
};
use spe_wire::Submission;
use tokio::sync::Notify;

use super::unavailable;

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
    /// What one person may have of it: half, so that nobody keeps out all others.
    const fn share(self) -> Self {
        Self { jobs: self.jobs.div_ceil(2), bytes: self.bytes.div_ceil(2) }
    }

    /// Whether `more` has room beside what is there.
    fn has<'a>(self, there: impl Iterator<Item = &'a (JobId, Work)>, more: &Work) -> bool {
        let (jobs, bytes) = there.fold((1, more.bytes()), |(jobs, bytes), (_, work)| (jobs + 1, bytes + work.bytes()));
        jobs <= self.jobs && bytes <= self.bytes
    }
}

/// A job, or a later round of it.
pub(super) struct Work {
    pub(super) submission: Submission,
    pub(super) next: Option<NextRound>,
    /// Whose job it is, as its permit names the person; none of a later round, which is paid for.
    pub(super) person: Option<PersonName>,
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

/// Those of the person of `work`.
fn own<'a>(all: impl Iterator<Item = &'a (JobId, Work)>, work: &Work) -> impl Iterator<Item = &'a (JobId, Work)> {
    let person = work.person.clone();
    all.filter(move |(_, other)| other.person == person)
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call on a collection, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that is running already is put behind itself: it will find its own answer.
    ///
    /// # Security
    /// Who holds a permit may fill half of the room, and no more. Watched by `nobody_keeps_out_all_others` beside this.
    ///
    /// # Errors
    /// There is no room, or this person has a share of it already.
    pub(super) fn put(&self, job: &JobId, work: Work) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.all().any(|(waiting, other)| waiting == job && other.round() == work.round()) {
            return Ok(());
        }
        let room = if work.next.is_some() { WITH_ROUNDS } else { WAITING };
        if !room.has(state.all(), &work) {
            return Err(unavailable("the node, which has as many jobs waiting as it takes,"));
        }
        if work.person.is_some() && !room.share().has(own(state.all(), &work), &work) {
            return Err(unavailable(
                "the node, which has as many jobs of this person waiting as it takes of one person,",
            ));
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
        if !PARKED.has(state.parked.iter(), &work) {
            return Err(unavailable("an officer of the node, for whom as many jobs wait already as it keeps,"));
        }
        if work.person.is_some() && !PARKED.share().has(own(state.parked.iter(), &work), &work) {
            return Err(unavailable(
                "an officer of the node, for whom as many jobs of this person wait already as it keeps of one person,",
            ));
        }
        if !state.cancelled {
            state.parked.push((job, work));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn work(bytes: usize) -> Work {
        Work { submission: Submission { job: vec![0; bytes], permit: Vec::new() }, next: None, person: None }
    }

    fn of(person: &str, bytes: usize) -> Work {
        Work { person: Some(person.parse().expect("a name")), ..work(bytes) }
    }

    fn job(name: &str) -> JobId {
        name.parse().expect("a name")
    }

    /// What would be a bug: a hub that fills the node's memory; jobs that wait for an officer for weeks and take the room of all others.
    #[test]
    fn what_has_no_room_is_refused() {
        let queue = Queue::default();
        queue.put(&job("first"), work(WAITING.bytes / 2)).expect("room");
        queue.put(&job("first"), work(WAITING.bytes)).expect("it waits already");
        let full = queue.put(&job("second"), work(WAITING.bytes / 2 + 1)).expect_err("more than there is room for");
        assert!(full.to_string().contains("try again later"), "{full}");
        assert!(!queue.cancel(&job("first")));
        queue.put(&job("second"), work(WAITING.bytes)).expect("room");
        assert!(!queue.cancel(&job("second")));
        queue.park(job("third"), work(PARKED.bytes - 1)).expect("room");
        queue.park(job("third"), work(PARKED.bytes)).expect("it waits for an officer already");
        assert_eq!(queue.state().parked.len(), 1, "a job that was offered again fills the officers' room");
        let full = queue.park(job("fourth"), work(2)).expect_err("officers have enough");
        assert!(full.to_string().contains("an officer"), "{full}");
        queue.put(&job("fifth"), work(WAITING.bytes / 2)).expect("what waits for an officer takes half at most");
    }

    /// What would be a bug: one person with a permit whose jobs keep all others out, by number or by size, or who is not told that it is their share;
    /// one whose share never comes back; a round, which was paid for, that is refused because its person asks so much.
    #[test]
    fn nobody_keeps_out_all_others() {
        let queue = Queue::default();
        for number in 0..WAITING.jobs / 2 {
            queue.put(&job(&format!("a-{number}")), of("anna", 1)).expect("half of it is anna's");
        }
        queue.put(&job("a-0"), of("anna", 1)).expect("it waits already");
        let full = queue.put(&job("a"), of("anna", 1)).expect_err("more than half of the room").to_string();
        assert!(full.contains("of this person") && full.contains("try again later"), "{full}");
        queue.put(&job("round"), Work { person: None, ..work(1) }).expect("nobody's share");
        queue.put(&job("b"), of("bob", WAITING.bytes / 2)).expect("half of it is bob's");
        queue.put(&job("b-2"), of("bob", 1)).expect_err("more than half of the bytes");
        queue.put(&job("c"), of("carl", 1)).expect("anna and bob have it all");
        queue.cancel(&job("a-1"));
        queue.put(&job("a"), of("anna", 1)).expect("a place of hers is free");
        queue.park(job("b"), of("bob", PARKED.bytes / 2)).expect("half of it is bob's");
        let full = queue.park(job("b-2"), of("bob", 1)).expect_err("more than half of the officers' room").to_string();
        assert!(full.contains("an officer") && full.contains("of this person"), "{full}");
        queue.park(job("c"), of("carl", PARKED.bytes / 2)).expect("bob has it all");
    }
}
