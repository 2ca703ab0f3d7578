//! A hub: configuration, store, presence.

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use spe_kernel::{
    disclosure::Catalogue,
    fault::Fault,
    ids::{JobId, NodeName, PersonName},
};
use spe_wire::{FileError, Peer, Report, Seats, serve, tls::ServerTls, view::View};
use tokio::net::TcpListener;

use crate::{
    Config,
    patience::Patience,
    presence::{News, Presence},
    stop::Stop,
    store::{
        Store, jobs, members, nodes,
        outcomes::{self, Recorded},
        rounds::{self, Turn},
    },
    view,
};

/// A hub. Clones share one state.
#[derive(Clone)]
pub struct Hub {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) presence: Presence,
    patience: Patience,
    tls: ServerTls,
}

impl Hub {
    /// Opens the hub that [`init`](crate::init) made.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn open(config: Config) -> Result<Self, FileError> {
        let tls = ServerTls::read(&config.ca(), &config.cert, &config.key)?;
        let store = Store::open(&config.store)?;
        let patience = Patience::new(Duration::from_secs(config.round_patience_seconds.into()));
        Ok(Self { config: Arc::new(config), store, presence: Presence::new(), patience, tls })
    }

    /// Serves on `listener` until `shutdown`.
    ///
    /// # Errors
    /// The transport's own.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let Config { connections_max, connections_per_member_max, .. } = *self.config;
        let seats = Seats { connections_max, connections_per_member_max };
        let (tls, waiting) = (self.tls.clone(), self.clone());
        tokio::select! {
            served = serve(listener, tls, seats, Arc::new(self), shutdown) => served,
            never = waiting.wait() => match never {},
        }
    }

    /// Leaves out of their jobs, one after the other, nodes that were waited for long enough.
    async fn wait(&self) -> Infallible {
        match self.store.read(|db| rounds::waiting(db)).await {
            Ok(begun) => begun.into_iter().for_each(|(job, round)| self.patience.begin(job, round)),
            Err(stop) => tracing::error!("rounds under way have no end: {stop}"),
        }
        let patience_seconds = self.config.round_patience_seconds;
        loop {
            let (job, round) = self.patience.over().await;
            let id = job.clone();
            let leave_out = self.store.write(move |db| rounds::leave_out(db, &id, round, patience_seconds));
            match leave_out.await {
                Ok(turn) => self.follow(job, turn),
                Err(stop) => {
                    tracing::error!(%job, round, "nodes could not be left out, and are waited for again: {stop}");
                    self.patience.begin(job, round);
                }
            }
        }
    }

    /// Does what follows from a change of `job`, and tells who watches it.
    fn follow(&self, job: JobId, turn: Turn) {
        match turn {
            Turn::Rest => {}
            Turn::Waiting(round) => self.patience.begin(job.clone(), round),
            Turn::Next(nodes) => self.presence.ring(&nodes),
        }
        self.presence.tell(News::Job(job));
    }

    /// Who calls, if it is a person.
    pub(crate) async fn person(&self, peer: Peer) -> Result<PersonName, Stop> {
        self.store.read(move |db| members::person(db, peer)).await
    }

    /// How a job of `person` stands.
    pub(crate) async fn view_of(&self, person: PersonName, id: JobId) -> Result<View, Stop> {
        let look = move |db: &rusqlite::Transaction<'_>| {
            let job = jobs::of(db, &person, &id)?;
            let latest = job.done.and_then(|done| done.checked_sub(1));
            let merged = latest.map_or(Ok(Vec::new()), |round| rounds::answers(db, &id, round))?;
            Ok((job, outcomes::lines(db, &id)?, merged))
        };
        let (job, lines, merged) = self.store.read(look).await?;
        let presence = self.presence.clone();
        // Many nodes with large answers take a while to add up.
        let merging =
            tokio::task::spawn_blocking(move || view::view(job, lines, merged, |node| presence.is_here(node)));
        merging.await.map_err(Fault::while_("merging answers"))?
    }

    /// Stores the caller's catalogue and returns its name. What is left out of the catalogue, the operator is told.
    pub(crate) async fn offered(&self, peer: Peer, catalogue: Catalogue) -> Result<NodeName, Stop> {
        let offer = move |db: &rusqlite::Transaction<'_>| {
            let node = members::node(db, peer)?;
            let left_out = nodes::offer(db, &node, catalogue)?;
            Ok((node, left_out))
        };
        let (node, left_out) = self.store.write(offer).await?;
        // One line an offer, however many datasets: a node must not flood the log.
        if let Some(first) = left_out.first() {
            tracing::warn!(%node, left_out = left_out.len(), "left out of the catalogue: {first}");
        }
        Ok(node)
    }

    /// Records what the caller says of a job, and tells who watches it.
    pub(crate) async fn recorded(&self, peer: Peer, id: JobId, report: Report) -> Result<(), Stop> {
        let job = id.clone();
        let record = move |db: &rusqlite::Transaction<'_>| {
            let node = members::node(db, peer)?;
            outcomes::record(db, &node, &job, report)
        };
        let (recorded, turn) = self.store.write(record).await?;
        if !matches!(recorded, Recorded::Known) {
            self.follow(id, turn);
        }
        match recorded {
            Recorded::New | Recorded::Known => Ok(()),
            Recorded::Invalid(why) => {
                tracing::warn!("{why}");
                Err(why.into())
            }
        }
    }
}
