//! How long the slow are waited for: from the first word in a round on. In memory: after a restart everybody has the time anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use spe_kernel::ids::JobId;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// What patience is measured by.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's.
    Machine,
    /// One that goes on when its [`Winder`] says so, and not otherwise: how fast a machine is then decides nothing.
    Wound(watch::Receiver<Instant>),
}

/// Makes a [`Clock::Wound`] go on.
#[derive(Debug)]
pub struct Winder(watch::Sender<Instant>);

impl Winder {
    /// A clock that stands still, and what makes it go on.
    pub fn new() -> (Self, Clock) {
        let (winder, clock) = watch::channel(Instant::now());
        (Self(winder), Clock::Wound(clock))
    }

    /// So much time is over at once.
    pub fn pass(&self, time: Duration) {
        self.0.send_modify(|now| *now += time);
    }
}

impl Clock {
    fn now(&self) -> Instant {
        match self {
            Self::Machine => Instant::now(),
            Self::Wound(clock) => *clock.borrow(),
        }
    }

    async fn reaches(&self, time: Instant) {
        match self {
            Self::Machine => sleep_until(time).await,
            Self::Wound(clock) => {
                if clock.clone().wait_for(|now| *now >= time).await.is_err() {
                    // Nobody winds it any more.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// The rounds in which nodes are waited for, each until its time is over.
#[derive(Clone)]
pub(crate) struct Patience {
    limit: Duration,
    clock: Clock,
    rounds: Arc<Mutex<HashMap<JobId, (u32, Instant)>>>,
    changed: Arc<Notify>,
}

impl Patience {
    pub(crate) fn new(limit: Duration, clock: Clock) -> Self {
        Self { limit, clock, rounds: Arc::default(), changed: Arc::default() }
    }

    fn rounds(&self) -> MutexGuard<'_, HashMap<JobId, (u32, Instant)>> {
        // Each change is one call on the map; nothing that panics leaves it half changed.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time for `round` begins, unless it has begun already, or that of a later one.
    pub(crate) fn begin(&self, job: JobId, round: u32) {
        let mut rounds = self.rounds();
        if rounds.get(&job).is_none_or(|(known, _)| *known < round) {
            rounds.insert(job, (round, self.clock.now() + self.limit));
            self.changed.notify_one();
        }
    }

    /// Waits until the time of a round is over. Whether anybody is still waited for is the store's to say.
    pub(crate) async fn over(&self) -> (JobId, u32) {
        loop {
            let first = self.rounds().iter().map(|(job, (_, until))| (*until, job.clone())).min();
            let Some((until, job)) = first else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.clock.reaches(until) => {}
                () = self.changed.notified() => continue,
            }
            let mut rounds = self.rounds();
            // A later round of the same job may have begun meanwhile.
            if rounds.get(&job).is_some_and(|(_, known)| *known == until)
                && let Some((round, _)) = rounds.remove(&job)
            {
                return (job, round);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::task::yield_now;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn job(number: u8) -> JobId {
        format!("job-{number}").parse().expect("a name")
    }

    /// What is over by now, once everybody who can go on has.
    async fn over(patience: &Patience) -> Option<(JobId, u32)> {
        let mut over = pin!(patience.over());
        tokio::select! {
            biased;
            over = &mut over => Some(over),
            () = async { for _ in 0..10 { yield_now().await } } => None,
        }
    }

    /// What would be a bug: time that runs from anything else than the first word in the round that is under way.
    #[tokio::test]
    async fn time_runs_from_the_first_word_of_each_round() {
        let (winder, clock) = Winder::new();
        let patience = Patience::new(LIMIT, clock);
        winder.pass(LIMIT * 10);
        assert_eq!(over(&patience).await, None, "time ran before anybody spoke");
        patience.begin(job(1), 0);
        winder.pass(LIMIT * 2 / 3);
        patience.begin(job(1), 0);
        patience.begin(job(2), 0);
        assert_eq!(over(&patience).await, None, "it is not over yet");
        winder.pass(LIMIT / 3);
        assert_eq!(over(&patience).await, Some((job(1), 0)), "a second word gained the silent time");
        assert_eq!(over(&patience).await, None, "another job's time is its own");
        patience.begin(job(2), 1);
        winder.pass(LIMIT * 2 / 3);
        assert_eq!(over(&patience).await, None, "the time of the last round was counted");
        patience.begin(job(2), 0);
        winder.pass(LIMIT / 3);
        assert_eq!(over(&patience).await, Some((job(2), 1)), "a late word in an earlier round set it back");
        winder.pass(LIMIT * 10);
        assert_eq!(over(&patience).await, None, "it was over twice");
    }

    /// What would be a bug: who waits does not notice that time goes on, or that somebody else's is over sooner.
    #[tokio::test]
    async fn who_waits_already_notices() {
        let (winder, clock) = Winder::new();
        let patience = Patience::new(LIMIT, clock);
        let waiting = {
            let patience = patience.clone();
            tokio::spawn(async move { [patience.over().await, patience.over().await] })
        };
        patience.begin(job(1), 3);
        yield_now().await;
        winder.pass(LIMIT / 2);
        patience.begin(job(2), 5);
        yield_now().await;
        winder.pass(LIMIT);
        assert_eq!(waiting.await.expect("both are over"), [(job(1), 3), (job(2), 5)]);
    }
}
