//! The hub's answers to persons and nodes. Every method finds out first who calls, and whether the caller may.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream};
use spe_kernel::{
    disclosure::Catalogue,
    dsse::PublicKey,
    ids::{ApplicationId, Digest, JobId, PersonName},
    refusal::Refusal,
    tlog::{Ask, Reply},
};
use spe_wire::{
    Assignment, EnrolRequest, Enrolled, Feed, NodeCatalogue, PassedOn, Peer, Report, Ruling, Service, SignedAnswer,
    Submission,
    governance::{Activity, ApplicationLine, ApplicationView, Period, Register},
    view::{JobLine, View},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    Hub, activity, agreements, applications, enrolment, intake,
    presence::{Attendance, News},
    register,
    roles::{Endpoint, authorise},
    stop::Stop,
    store::{jobs, modules, nodes, outcomes, rounds, witness},
};

impl Service for Hub {
    async fn put_module(&self, peer: Peer, wasm: Vec<u8>) -> Result<Digest, Refusal> {
        let config = Arc::clone(&self.config);
        let put = self
            .store
            .write(move |db| modules::put(db, &authorise(db, peer, Endpoint::PutModule)?.person()?, &wasm, &config));
        put.await.map_err(Stop::tell)
    }

    async fn submit(&self, peer: Peer, submission: Submission) -> Result<JobId, Refusal> {
        self.proven(peer, &submission).await?;
        let config = Arc::clone(&self.config);
        let (hub, now) = (self.witness.public(), self.calendar.now());
        let submit = self.store.write(move |db| intake::submit(db, peer, &submission, (&config, hub, now)));
        let (id, asked) = submit.await.map_err(Stop::tell)?;
        self.presence.ring(&asked);
        Ok(id)
    }

    async fn watch(&self, peer: Peer, job: JobId) -> Result<Feed<View>, Refusal> {
        let person = self.person(peer, Endpoint::Watch).await.map_err(Stop::tell)?;
        // Listening starts before the first look, so that nothing is missed in between.
        let news = self.presence.news();
        let first = self.view_of(person.clone(), job).await.map_err(Stop::tell)?;
        let watching = Watching { hub: self.clone(), person, news, seen: first.clone() };
        let later = stream::unfold(Some(watching), Watching::step);
        Ok(Box::pin(stream::iter([Ok(first)]).chain(later)))
    }

    async fn view(&self, peer: Peer, job: JobId) -> Result<View, Refusal> {
        let person = self.person(peer, Endpoint::View).await.map_err(Stop::tell)?;
        self.view_of(person, job).await.map_err(Stop::tell)
    }

    async fn answers(&self, peer: Peer, job: JobId) -> Result<Feed<SignedAnswer>, Refusal> {
        let id = job.clone();
        let find = self.store.read(move |db| {
            let done = jobs::of(db, &authorise(db, peer, Endpoint::Answers)?.person()?, &id)?.done;
            Ok((done, witness::with_receipts(db, &id, outcomes::answers(db, &id)?)?))
        });
        let (done, answers) = find.await.map_err(Stop::tell)?;
        let Some(done) = done else { return Ok(Box::pin(stream::iter(answers.into_iter().map(Ok)))) };
        // The round under way too: what a node has said is paid for. One round at a time, for they may be large.
        let hub = self.clone();
        let round = move |round| {
            let (hub, job) = (hub.clone(), job.clone());
            async move {
                let find = move |db: &rusqlite::Transaction<'_>| {
                    witness::with_receipts(db, &job, rounds::answers(db, &job, round)?)
                };
                let read = hub.store.read(find).await;
                let answers = read.map_or_else(|stop| vec![Err(stop.tell())], |all| all.into_iter().map(Ok).collect());
                stream::iter(answers)
            }
        };
        Ok(Box::pin(stream::iter(0..=done).then(round).flatten()))
    }

    async fn cancel(&self, peer: Peer, job: JobId) -> Result<View, Refusal> {
        let id = job.clone();
        let cancel = self.store.write(move |db| {
            let person = authorise(db, peer, Endpoint::Cancel)?.person()?;
            let owing = jobs::cancel(db, &person, &id)?;
            Ok((person, owing))
        });
        let (person, owing) = cancel.await.map_err(Stop::tell)?;
        self.presence.ring(&owing);
        self.presence.tell(News::Job(job.clone()));
        self.view_of(person, job).await.map_err(Stop::tell)
    }

    async fn jobs(&self, peer: Peer) -> Result<Vec<JobLine>, Refusal> {
        let list = self.store.read(move |db| jobs::list(db, &authorise(db, peer, Endpoint::Jobs)?.person()?));
        list.await.map_err(Stop::tell)
    }

    async fn browse(&self, peer: Peer) -> Result<Feed<NodeCatalogue>, Refusal> {
        let all = self.store.read(move |db| {
            authorise(db, peer, Endpoint::Browse)?;
            nodes::all(db)
        });
        let presence = self.presence.clone();
        let online = move |catalogue: Catalogue| {
            let node = catalogue.node.clone();
            Ok(NodeCatalogue { online: presence.is_here(&node), node, catalogue })
        };
        Ok(Box::pin(stream::iter(all.await.map_err(Stop::tell)?.into_iter().map(online))))
    }

    async fn attend(&self, peer: Peer, catalogue: Catalogue) -> Result<Feed<Assignment>, Refusal> {
        let node = self.offered(peer, Endpoint::Attend, catalogue).await.map_err(Stop::tell)?;
        tracing::info!(%node, "a node attends");
        let attendance = self.presence.attend(node);
        let work = Work { hub: self.clone(), peer, attendance, after: 0, told: 0, news: VecDeque::new() };
        Ok(Box::pin(stream::unfold(Some(work), Work::step)))
    }

    async fn offer(&self, peer: Peer, catalogue: Catalogue) -> Result<(), Refusal> {
        self.offered(peer, Endpoint::Offer, catalogue).await.map(drop).map_err(Stop::tell)
    }

    async fn fetch_module(&self, peer: Peer, digest: Digest) -> Result<Vec<u8>, Refusal> {
        let fetch =
            self.store.read(move |db| modules::fetch(db, &authorise(db, peer, Endpoint::FetchModule)?.node()?, digest));
        fetch.await.map_err(Stop::tell)
    }

    async fn report(&self, peer: Peer, job: JobId, report: Report) -> Result<(), Refusal> {
        self.recorded(peer, job, report).await.map_err(Stop::tell)
    }

    async fn witness(&self, peer: Peer, ask: Ask) -> Result<(Reply, PublicKey), Refusal> {
        let key = self.witness.public();
        self.cosigned(peer, ask).await.map(|reply| (reply, key)).map_err(Stop::tell)
    }

    async fn agree(&self, peer: Peer, sent: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Refusal> {
        let (stated, node) = self.agreed(peer, sent).await.map_err(Stop::tell)?;
        // Its jobs may go to it now.
        self.presence.ring(&[node]);
        Ok(stated)
    }

    async fn enrol(&self, peer: Peer, request: EnrolRequest) -> Result<Enrolled, Refusal> {
        let (config, witness, now) = (Arc::clone(&self.config), self.witness.public(), self.calendar.now());
        let enrol = self.store.write(move |db| {
            authorise(db, peer, Endpoint::Enrol)?;
            enrolment::enrol(db, (&config, witness), &request, now)
        });
        enrol.await.map_err(Stop::tell)
    }

    async fn register(&self, peer: Peer) -> Result<Register, Refusal> {
        let (_turn, now) = (self.reading_room.acquire().await, self.calendar.now());
        let read = self.store.read(move |db| {
            authorise(db, peer, Endpoint::Register)?;
            register::read(db, now)
        });
        read.await.map_err(Stop::tell)
    }

    async fn activity(&self, peer: Peer, period: Period) -> Result<Activity, Refusal> {
        let (_turn, now) = (self.reading_room.acquire().await, self.calendar.now());
        let read = self.store.read(move |db| {
            authorise(db, peer, Endpoint::Activity)?;
            activity::read(db, period, now)
        });
        read.await.map_err(Stop::tell)
    }

    async fn apply(&self, peer: Peer, envelope: Vec<u8>) -> Result<ApplicationId, Refusal> {
        let now = self.calendar.now();
        let apply = self.store.write(move |db| {
            let caller = authorise(db, peer, Endpoint::Apply)?;
            applications::submit(db, caller, envelope, now)
        });
        apply.await.map_err(Stop::tell)
    }

    async fn applications(&self, peer: Peer) -> Result<Vec<ApplicationLine>, Refusal> {
        let now = self.calendar.now();
        let list = self.store.read(move |db| applications::list(db, authorise(db, peer, Endpoint::Applications)?, now));
        list.await.map_err(Stop::tell)
    }

    async fn application(&self, peer: Peer, id: ApplicationId) -> Result<ApplicationView, Refusal> {
        let now = self.calendar.now();
        let show =
            self.store.read(move |db| applications::show(db, authorise(db, peer, Endpoint::Application)?, &id, now));
        show.await.map_err(Stop::tell)
    }

    async fn withdraw(&self, peer: Peer, id: ApplicationId) -> Result<ApplicationView, Refusal> {
        let now = self.calendar.now();
        let withdraw =
            self.store.write(move |db| applications::withdraw(db, authorise(db, peer, Endpoint::Withdraw)?, &id, now));
        withdraw.await.map_err(Stop::tell)
    }

    async fn notify(&self, peer: Peer, id: ApplicationId, envelope: Vec<u8>) -> Result<ApplicationView, Refusal> {
        let now = self.calendar.now();
        let notify = self.store.write(move |db| {
            let caller = authorise(db, peer, Endpoint::Notify)?;
            applications::notify(db, caller, &id, envelope, now)
        });
        notify.await.map_err(Stop::tell)
    }

    async fn decide(&self, peer: Peer, id: ApplicationId, ruling: Ruling) -> Result<ApplicationView, Refusal> {
        let now = self.calendar.now();
        let decide = self.store.write(move |db| {
            let caller = authorise(db, peer, Endpoint::Decide)?;
            applications::decide(db, caller, &id, ruling, now)
        });
        let decided = decide.await.map_err(Stop::tell)?;
        self.presence.ring_all();
        Ok(decided)
    }

    async fn complete(&self, peer: Peer, id: ApplicationId, envelope: Vec<u8>) -> Result<ApplicationView, Refusal> {
        let now = self.calendar.now();
        let complete = self.store.write(move |db| {
            let caller = authorise(db, peer, Endpoint::Complete)?;
            applications::complete(db, caller, &id, envelope, now)
        });
        complete.await.map_err(Stop::tell)
    }

    async fn revoke(&self, peer: Peer, envelope: Vec<u8>) -> Result<PassedOn, Refusal> {
        let now = self.calendar.now();
        let revoke = self.store.write(move |db| {
            let caller = authorise(db, peer, Endpoint::Revoke)?;
            intake::revoke(db, caller.person()?, envelope, now)
        });
        let passed_on = revoke.await.map_err(Stop::tell)?;
        self.presence.ring_all();
        Ok(passed_on)
    }

    async fn publish(&self, peer: Peer, job: JobId) -> Result<(), Refusal> {
        let person = self.person(peer, Endpoint::Publish).await.map_err(Stop::tell)?;
        let view = self.view_of(person.clone(), job).await.map_err(Stop::tell)?;
        let now = self.calendar.now();
        let publish = self.store.write(move |db| register::publish(db, person, view, now));
        publish.await.map_err(Stop::tell)
    }
}

/// A person who watches a job. Views that nobody has read yet are never queued: the next one is made when it is asked for.
struct Watching {
    hub: Hub,
    person: PersonName,
    news: Receiver<News>,
    seen: View,
}

impl Watching {
    async fn step(watching: Option<Self>) -> Option<(Result<View, Refusal>, Option<Self>)> {
        let mut watching = watching?;
        if watching.seen.state.is_final() {
            return None;
        }
        match watching.change().await {
            Ok(view) => Some((Ok(view), Some(watching))),
            Err(stop) => Some((Err(stop.tell()), None)),
        }
    }

    /// The next view that differs from the last.
    async fn change(&mut self) -> Result<View, Stop> {
        loop {
            self.stirred().await?;
            let view = self.hub.view_of(self.person.clone(), self.seen.job.clone()).await?;
            if view != self.seen {
                self.seen = view.clone();
                return Ok(view);
            }
        }
    }

    /// Waits for news that may concern the job.
    async fn stirred(&mut self) -> Result<(), Refusal> {
        loop {
            match self.news.recv().await {
                Ok(News::Job(job)) if job == self.seen.job => return Ok(()),
                Ok(News::Node(node)) if self.seen.nodes.iter().any(|line| line.node == node) => return Ok(()),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(Refusal::Unavailable { what: "the hub".into() }),
            }
        }
    }
}

/// A node's work, read from the store one piece at a time: however slow the node, nothing piles up.
struct Work {
    hub: Hub,
    peer: Peer,
    attendance: Attendance,
    after: i64,
    /// The last entry of the log of governance that was looked at for this connection: all of them after each reconnection.
    told: i64,
    /// What is to be told of it first.
    news: VecDeque<Assignment>,
}

impl Work {
    async fn step(work: Option<Self>) -> Option<(Result<Assignment, Refusal>, Option<Self>)> {
        let mut work = work?;
        match work.next().await {
            Ok(assignment) => Some((Ok(assignment), Some(work))),
            Err(stop) => Some((Err(stop.tell()), None)),
        }
    }

    async fn next(&mut self) -> Result<Assignment, Stop> {
        loop {
            // Before any work: it may be of a permit that is taken back, or has given way to another.
            if let Some(assignment) = self.news().await? {
                return Ok(assignment);
            }
            if let Some((number, assignment)) = self.look().await? {
                self.after = number;
                return Ok(assignment);
            }
            self.attendance.rung().await?;
        }
    }

    async fn news(&mut self) -> Result<Option<Assignment>, Stop> {
        if let Some(assignment) = self.news.pop_front() {
            return Ok(Some(assignment));
        }
        let (peer, after) = (self.peer, self.told);
        let read = move |db: &rusqlite::Transaction<'_>| {
            applications::told(db, &authorise(db, peer, Endpoint::Attend)?.node()?, after)
        };
        let (told, news) = self.hub.store.read(read).await?;
        if news.iter().any(|one| matches!(one, Assignment::Permit { .. })) {
            let now = self.hub.calendar.now();
            let note = move |db: &rusqlite::Transaction<'_>| {
                applications::passed_on(db, &authorise(db, peer, Endpoint::Attend)?.node()?, told, now)
            };
            self.hub.store.write(note).await?;
        }
        (self.told, self.news) = (told, news.into());
        Ok(self.news.pop_front())
    }

    /// The caller is looked up each time: a node that was dismissed meanwhile gets no more work.
    async fn look(&self) -> Result<Option<(i64, Assignment)>, Stop> {
        let (peer, after) = (self.peer, self.after);
        let (hub, now) = (self.hub.witness.public(), self.hub.calendar.now());
        let look = move |db: &rusqlite::Transaction<'_>| {
            let node = authorise(db, peer, Endpoint::Attend)?.node()?;
            // Its jobs wait as long as the agreement is suspended.
            if agreements::live(db, &node, hub, now)?.is_err() {
                return Ok(None);
            }
            jobs::next(db, &node, after)
        };
        self.hub.store.read(look).await
    }
}
