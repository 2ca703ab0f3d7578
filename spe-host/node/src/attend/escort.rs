//! What the corridor needs of the hub while a job is on its way.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::{MayLeave, Stage},
    ids::{Digest, JobId},
    refusal::{Refusal, Stop},
};
use spe_wire::{Frame, HubClient, encode};
use tokio::{sync::mpsc, time::sleep};

use super::queue::Queue;
use crate::run::{Escort, Step};

/// A job on its way through the corridor.
pub(super) struct HubEscort {
    pub(super) job: JobId,
    pub(super) round: u32,
    queue: Arc<Queue>,
    pub(super) client: HubClient,
    pub(super) reports: mpsc::UnboundedSender<Frame>,
    pub(super) charged: bool,
    pub(super) hub_is_away: bool,
    pub(super) put_off: bool,
}

impl HubEscort {
    pub(super) fn new(
        (job, round): (JobId, u32),
        queue: Arc<Queue>,
        client: HubClient,
        reports: mpsc::UnboundedSender<Frame>,
    ) -> Self {
        Self { job, round, queue, client, reports, charged: false, hub_is_away: false, put_off: false }
    }

    /// Of later rounds the hub knows that they are under way: it began them.
    fn tell(&self, message: &impl MayLeave) {
        if self.round == 0 {
            self.reports.send(encode(message)).ok();
        }
    }
}

impl Escort for HubEscort {
    async fn fetch(&mut self, module: Digest) -> Result<Vec<u8>, Stop> {
        let fetched = self.client.fetch_module(module).await;
        // Not the job's fault, and before any charge: nobody is told, and the job comes again.
        self.hub_is_away = matches!(fetched, Err(Refusal::Unavailable { .. } | Refusal::Internal { .. }));
        Ok(fetched?)
    }

    fn passed(&mut self, step: Step) {
        tracing::debug!(job = %self.job, round = self.round, ?step, "passed");
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
        if wait.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = self.queue.closing.notified() => self.put_off = true,
        }
    }
}
