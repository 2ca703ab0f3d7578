//! A hub: configuration, store, presence.

use std::{convert::Infallible, future::Future, io, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use rusqlite::Connection;
use spe_identity::Issuers;
use spe_kernel::{
    disclosure::Catalogue,
    dsse::SecretKey,
    fault::Fault,
    ids::{JobId, NodeName, PersonName},
    job::Job,
    refusal::Refusal,
};
use spe_wire::{FileError, Peer, Report, Seats, Submission, serve, tls::ServerTls, view::View};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    Config,
    applications::{self, tell_unreadable},
    calendar::Calendar,
    config::CONFIG_FILE,
    patience::{Clock, Patience},
    presence::{News, Presence},
    roles::{Endpoint, authorise},
    sparing,
    stop::Stop,
    store::{
        self, Store, governance, jobs, nodes,
        outcomes::{self, Recorded},
        rounds::{self, Turn},
    },
    turns::Turns,
    view, witness,
};

/// A hub. Clones share one state.
#[derive(Clone)]
pub struct Hub {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) presence: Presence,
    pub(crate) people: Arc<Issuers>,
    pub(crate) calendar: Calendar,
    /// Of the log of governance, when the hub was opened: no calendar shows an earlier time.
    last_entry_at: Timestamp,
    /// One reader of register and report at a time: they are worked out from the whole log, and anybody may ask.
    pub(crate) reading_room: Arc<Semaphore>,
    /// One exchange of agreements at a time for each node.
    pub(crate) turns: Turns,
    pub(crate) witness: Arc<SecretKey>,
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
        let db = store::open(&config.store)?;
        let last_entry_at = looked_through(&db).map_err(FileError::at(&config.store))?;
        let calendar = Calendar::system();
        calendar.not_before(last_entry_at);
        // The operator is told now if that is far ahead of the clock.
        calendar.now();
        let witness = Arc::new(witness::key(&config)?);
        // Paths in it are absolute by now.
        let people =
            Issuers::open(&config.people, Path::new("")).map_err(FileError::at(Path::new(CONFIG_FILE)))?.into();
        let patience = Patience::new(patience_of(&config), Clock::Machine);
        Ok(Self {
            config: Arc::new(config),
            store: Store::new(db),
            presence: Presence::new(),
            people,
            calendar,
            last_entry_at,
            reading_room: Arc::new(Semaphore::new(1)),
            turns: Turns::default(),
            witness,
            patience,
            tls,
        })
    }

    /// The same hub, whose periods of weeks and months end by `calendar`.
    #[must_use]
    pub fn with_calendar(self, calendar: Calendar) -> Self {
        calendar.not_before(self.last_entry_at);
        Self { calendar, ..self }
    }

    /// The same hub, whose patience is measured by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { patience: Patience::new(patience_of(&self.config), clock), ..self }
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

    /// Who calls, if it is a person who may.
    pub(crate) async fn person(&self, peer: Peer, endpoint: Endpoint) -> Result<PersonName, Stop> {
        self.store.read(move |db| authorise(db, peer, endpoint)?.person()).await
    }

    /// Refuses a job whose signer is not proven, if `hub.toml` says how; each node sees for itself (**sovereign**).
    pub(crate) async fn proven(&self, peer: Peer, submission: &Submission) -> Result<(), Refusal> {
        let people = &self.config.people;
        if people.issuers.is_empty() {
            return Ok(());
        }
        self.person(peer, Endpoint::Submit).await.map_err(Stop::tell)?;
        let job = self.people.recognise_job(Job::verify(&submission.job)?, Timestamp::now()).await?;
        if people.login_required && job.identity().is_none() { Err(people.login_missing()) } else { Ok(()) }
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
    pub(crate) async fn offered(&self, peer: Peer, endpoint: Endpoint, catalogue: Catalogue) -> Result<NodeName, Stop> {
        let offer = move |db: &rusqlite::Transaction<'_>| {
            let node = authorise(db, peer, endpoint)?.node()?;
            let left_out = nodes::offer(db, &node, catalogue)?;
            Ok((node, left_out))
        };
        let (node, left_out) = self.store.write(offer).await?;
        // One line an offer, however many datasets, and few an hour: a node must not flood the log.
        if let Some(first) = left_out.first()
            && let Some(more) = sparing::line(&node, "catalogue")
        {
            tracing::warn!(%node, left_out = left_out.len(), "left out of the catalogue: {first}{more}");
        }
        Ok(node)
    }

    /// Records what the caller says of a job, and tells who watches it.
    pub(crate) async fn recorded(&self, peer: Peer, id: JobId, report: Report) -> Result<(), Stop> {
        let (job, now) = (id.clone(), self.calendar.now());
        let record = move |db: &rusqlite::Transaction<'_>| {
            let node = authorise(db, peer, Endpoint::Report)?.node()?;
            let is_answer = matches!(report, Report::Released(_));
            let (recorded, turn) = outcomes::record(db, &node, &job, report)?;
            if is_answer && matches!(recorded, Recorded::New) {
                applications::answered(db, &node, &job, now)?;
            }
            Ok(((recorded, turn), node))
        };
        let ((recorded, turn), node) = self.store.write(record).await?;
        if !matches!(recorded, Recorded::Known) {
            self.follow(id, turn);
        }
        match recorded {
            Recorded::New | Recorded::Known => Ok(()),
            Recorded::Invalid(why) => {
                if let Some(more) = sparing::line(&node, "report") {
                    tracing::warn!(%node, "{why}{more}");
                }
                Err(why.into())
            }
        }
    }
}

/// Looks through the log of governance, tells the operator of what cannot be read, and says when its last entry was made.
fn looked_through(db: &Connection) -> Result<Timestamp, Stop> {
    tell_unreadable(db)?;
    Ok(governance::last(db)?.unwrap_or(Timestamp::MIN))
}

fn patience_of(config: &Config) -> Duration {
    Duration::from_secs(config.round_patience_seconds.into())
}
