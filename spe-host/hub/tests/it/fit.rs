//! A job with rounds, and nodes that do what its module would: each round's level is the number of people of the one before.

use std::time::Duration;

use spe_hub::Config;
use spe_kernel::{
    ids::JobId,
    plan::Plan,
    refusal::Refusal,
    rounds::{Finished, NextRound},
};
use spe_wire::{Assignment, Incoming, encode, view::View};

use crate::{
    answers::Claim,
    federation::{Federation, Node, Person, assigned, job_of, plan_in},
};

/// The level before the first round.
pub(crate) const START: f64 = 0.5;

/// The state that the module makes of a round's merged sums.
pub(crate) fn level(next: &NextRound) -> f64 {
    people(next) as f64
}

/// The people that the last round counted.
pub(crate) fn people(next: &NextRound) -> i128 {
    next.merged.sums[0].0[0] >> 20
}

/// How long a hub waits for the slow, by its clock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node at its work.
pub(crate) struct Worker {
    pub(crate) node: Node,
    pub(crate) work: Incoming<Assignment>,
}

pub(crate) struct Fit {
    pub(crate) federation: Federation,
    pub(crate) anna: Person,
    pub(crate) workers: Vec<Worker>,
    pub(crate) plan: Plan,
    pub(crate) job: JobId,
}

impl Fit {
    /// A job in so many rounds at the nodes of these names, each of which has been told to run it.
    pub(crate) async fn new(names: &[&str], rounds: u32) -> Self {
        Self::with(names, rounds, |_| {}).await
    }

    pub(crate) async fn with(names: &[&str], rounds: u32, change: impl FnOnce(&mut Config)) -> Self {
        let federation = Federation::found_with(change).await;
        let anna = federation.person("anna").await;
        let mut workers = Vec::new();
        for name in names {
            let node = federation.node(name).await;
            let work = node.attend().await;
            workers.push(Worker { node, work });
        }
        let job = anna.ask_in(rounds).await;
        for worker in &mut workers {
            assert_eq!(job_of(&mut worker.work).await, job);
        }
        Self { federation, anna, workers, plan: plan_in(rounds, 0), job }
    }

    /// An answer of a node in a round on a state.
    pub(crate) fn claim<'a>(&'a self, at: usize, people: i128, round: u32, state: &'a [f64]) -> Claim<'a> {
        Claim { round, state, ..Claim::honest(&self.workers[at].node, &self.plan, people) }
    }

    /// Sends it.
    pub(crate) async fn answer(&self, at: usize, people: i128, round: u32, state: f64) -> Result<(), Refusal> {
        let released = self.claim(at, people, round, &[state]).release();
        self.workers[at].node.hub.report(&self.job, encode(&released)).await
    }

    pub(crate) async fn finish(&self, at: usize, rounds: u32, state: f64) -> Result<(), Refusal> {
        let finished = Finished { plan: self.plan.digest(), rounds, state: vec![state] };
        self.workers[at].node.hub.report(&self.job, encode(&finished)).await
    }

    pub(crate) async fn refuse(&self, at: usize) {
        let refusal = Refusal::PolicyForbids { rule: "enough".into() };
        self.workers[at].node.hub.report(&self.job, encode(&refusal)).await.unwrap();
    }

    /// All nodes answer a round truly: node i has 10^i people.
    pub(crate) async fn answer_all(&self, round: u32, state: f64) {
        for at in 0..self.workers.len() {
            self.answer(at, 10_i128.pow(u32::try_from(at).unwrap()), round, state).await.unwrap();
        }
    }

    /// The round that a node is given next.
    pub(crate) async fn next(&mut self, at: usize) -> NextRound {
        match assigned(&mut self.workers[at].work).await {
            Assignment::Round { job, next, .. } => {
                assert_eq!(job, self.job);
                next
            }
            other => panic!("no round came, but {other:?}"),
        }
    }

    pub(crate) async fn view(&self) -> View {
        self.anna.hub.view(&self.job).await.unwrap()
    }

    /// So much of the hub's patience is over, and the hub has noticed.
    pub(crate) async fn pass(&self, time: Duration) {
        self.federation.winder.pass(time);
        self.view().await;
    }

    /// That these nodes have nothing to do: the next that they hear of is a job that is asked now, for the first time.
    pub(crate) async fn are_idle(&mut self, nodes: &[usize]) {
        let next = self.anna.ask(0).await.unwrap();
        for at in nodes {
            assert_eq!(job_of(&mut self.workers[*at].work).await, next);
        }
    }

    /// The node comes again, on a new stream.
    pub(crate) async fn comes_again(&mut self, at: usize) {
        self.workers[at].work = self.workers[at].node.attend().await;
    }
}
