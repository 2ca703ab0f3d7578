//! How long the slow are waited for: from the first word in a round on. In memory: after a restart everybody has the time anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use spe_kernel::ids::JobId;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The rounds in which nodes are waited for, each until its time is over.
#[derive(Clone)]
pub(crate) struct Patience {
    limit: Duration,
    rounds: Arc<Mutex<HashMap<JobId, (u32, Instant)>>>,
    changed: Arc<Notify>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, rounds: Arc::default(), changed: Arc::default() }
    }

    fn rounds(&self) -> MutexGuard<'_, HashMap<JobId, (u32, Instant)>> {
        // Each change is one call on the map; nothing that panics leaves it half changed.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time for `round` begins, unless it has begun already, or that of a later one.
    pub(crate) fn begin(&self, job: JobId, round: u32) {
        let mut rounds = self.rounds();
        if rounds.get(&job).is_none_or(|(known, _)| *known < round) {
            rounds.insert(job, (round, Instant::now() + self.limit));
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
                () = sleep_until(until) => {}
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
