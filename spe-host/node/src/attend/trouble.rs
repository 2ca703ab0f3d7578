//! What the operator is told of the hub: few lines, however often there is something to tell.

use spe_kernel::{Timestamp, ids::JobId, refusal::Refusal, sparing::Sparing};

/// What was told, over all connections.
#[derive(Default)]
pub(super) struct Trouble {
    /// Why there is no connection.
    away: Option<String>,
    jobs: Sparing,
    documents: Sparing,
}

impl Trouble {
    /// Why there is no connection, told when it begins and when it changes: a hub that is down for a night is one line.
    pub(super) fn tell(&mut self, why: &str) {
        if self.away.as_deref() != Some(why) {
            tracing::warn!("not connected, trying again: {why}");
            self.away = Some(why.to_owned());
        }
    }

    pub(super) fn is_over(&mut self) {
        self.away = None;
    }

    /// A job that takes no room among those that wait.
    ///
    /// # Security
    /// A hub, or whoever sends it rubbish, fills no disk with it, nor with documents: [`Sparing`]. Watched by
    /// `what_the_hub_passes_on_without_end_is_a_few_lines` beside this.
    pub(super) fn refused(&mut self, job: &JobId, why: &Refusal) {
        if let Some(more) = self.jobs.line(Timestamp::now()) {
            tracing::info!(%job, "refused: {why}{more}");
        }
    }

    /// A document that no trusted body signed.
    pub(super) fn none_here(&mut self, what: &str, why: &Refusal) {
        if let Some(more) = self.documents.line(Timestamp::now()) {
            tracing::warn!("the hub passed on {what} that is none here: {why}{more}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tracing::{Event, Metadata, Subscriber, span, subscriber::with_default};

    use super::*;

    /// Counts lines.
    #[derive(Clone, Default)]
    struct Heard(Arc<AtomicUsize>);

    impl Subscriber for Heard {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// What would be a bug: a hub that fills the operator's disk with lines about what it passes on; nothing told of it at all.
    #[test]
    fn what_the_hub_passes_on_without_end_is_a_few_lines() {
        let (heard, mut trouble) = (Heard::default(), Trouble::default());
        let job = "job-1".parse().expect("a name");
        with_default(heard.clone(), || {
            for _ in 0..1_000 {
                trouble.none_here("a permit", &Refusal::Cancelled);
                trouble.refused(&job, &Refusal::Cancelled);
                trouble.tell("the hub is away");
            }
        });
        let lines = heard.0.load(Ordering::Relaxed);
        assert!((3..100).contains(&lines), "{lines} lines of 3,000");
    }
}
