//! The hub's answers to persons and nodes. Every method finds out first who calls.

use std::sync::Arc;

use futures::{StreamExt, stream};
use spe_kernel::{
    disclosure::Catalogue,
    ids::{Digest, JobId, PersonName},
    refusal::Refusal,
};
use spe_wire::{
    Assignment, Feed, NodeCatalogue, Peer, Report, Service, SignedAnswer, Submission,
    view::{JobLine, View},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    Hub, intake,
    presence::{Attendance, News},
    stop::Stop,
    store::{jobs, members, modules, nodes, outcomes, rounds},
};

impl Service for Hub {
    async fn put_module(&self, peer: Peer, wasm: Vec<u8>) -> Result<Digest, Refusal> {
        let config = Arc::clone(&self.config);
        let put = self.store.write(move |db| modules::put(db, &members::person(db, peer)?, &wasm, &config));
        put.await.map_err(Stop::tell)
    }

    async fn submit(&self, peer: Peer, submission: Submission) -> Result<JobId, Refusal> {
        let config = Arc::clone(&self.config);
        let submit = self.store.write(move |db| intake::submit(db, peer, &submission, &config));
        let (id, asked) = submit.await.map_err(Stop::tell)?;
        self.presence.ring(&asked);
        Ok(id)
    }

    async fn watch(&self, peer: Peer, job: JobId) -> Result<Feed<View>, Refusal> {
        let person = self.person(peer).await.map_err(Stop::tell)?;
        // Listening starts before the first look, so that nothing is missed in between.
        let news = self.presence.news();
        let first = self.view_of(person.clone(), job).await.map_err(Stop::tell)?;
        let watching = Watching { hub: self.clone(), person, news, seen: first.clone() };
        let later = stream::unfold(Some(watching), Watching::step);
        Ok(Box::pin(stream::iter([Ok(first)]).chain(later)))
    }

    async fn view(&self, peer: Peer, job: JobId) -> Result<View, Refusal> {
        let person = self.person(peer).await.map_err(Stop::tell)?;
        self.view_of(person, job).await.map_err(Stop::tell)
    }

    async fn answers(&self, peer: Peer, job: JobId) -> Result<Feed<SignedAnswer>, Refusal> {
        let id = job.clone();
        let find = self.store.read(move |db| {
            let done = jobs::of(db, &members::person(db, peer)?, &id)?.done;
            Ok((done, outcomes::answers(db, &id)?))
        });
        let (done, answers) = find.await.map_err(Stop::tell)?;
        let Some(done) = done else { return Ok(Box::pin(stream::iter(answers.into_iter().map(Ok)))) };
        // The round under way too: what a node has said is paid for. One round at a time, for they may be large.
        let hub = self.clone();
        let round = move |round| {
            let (hub, job) = (hub.clone(), job.clone());
            async move {
                let read = hub.store.read(move |db| rounds::answers(db, &job, round)).await;
                let answers = read.map_or_else(|stop| vec![Err(stop.tell())], |all| all.into_iter().map(Ok).collect());
                stream::iter(answers)
            }
        };
        Ok(Box::pin(stream::iter(0..=done).then(round).flatten()))
    }

    async fn cancel(&self, peer: Peer, job: JobId) -> Result<View, Refusal> {
        let id = job.clone();
        let cancel = self.store.write(move |db| {
            let person = members::person(db, peer)?;
            let owing = jobs::cancel(db, &person, &id)?;
            Ok((person, owing))
        });
        let (person, owing) = cancel.await.map_err(Stop::tell)?;
        self.presence.ring(&owing);
        self.presence.tell(News::Job(job.clone()));
        self.view_of(person, job).await.map_err(Stop::tell)
    }

    async fn jobs(&self, peer: Peer) -> Result<Vec<JobLine>, Refusal> {
        let list = self.store.read(move |db| jobs::list(db, &members::person(db, peer)?));
        list.await.map_err(Stop::tell)
    }

    async fn browse(&self, peer: Peer) -> Result<Feed<NodeCatalogue>, Refusal> {
        let all = self.store.read(move |db| {
            members::caller(db, peer)?;
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
        let node = self.offered(peer, catalogue).await.map_err(Stop::tell)?;
        tracing::info!(%node, "a node attends");
        let work = Work { hub: self.clone(), peer, attendance: self.presence.attend(node), after: 0 };
        Ok(Box::pin(stream::unfold(Some(work), Work::step)))
    }

    async fn offer(&self, peer: Peer, catalogue: Catalogue) -> Result<(), Refusal> {
        self.offered(peer, catalogue).await.map(drop).map_err(Stop::tell)
    }

    async fn fetch_module(&self, peer: Peer, digest: Digest) -> Result<Vec<u8>, Refusal> {
        let fetch = self.store.read(move |db| modules::fetch(db, &members::node(db, peer)?, digest));
        fetch.await.map_err(Stop::tell)
    }

    async fn report(&self, peer: Peer, job: JobId, report: Report) -> Result<(), Refusal> {
        self.recorded(peer, job, report).await.map_err(Stop::tell)
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
            if let Some((number, assignment)) = self.look().await? {
                self.after = number;
                return Ok(assignment);
            }
            self.attendance.rung().await?;
        }
    }

    /// The caller is looked up each time: a node that was dismissed meanwhile gets no more work.
    async fn look(&self) -> Result<Option<(i64, Assignment)>, Stop> {
        let (peer, after) = (self.peer, self.after);
        self.hub.store.read(move |db| jobs::next(db, &members::node(db, peer)?, after)).await
    }
}
