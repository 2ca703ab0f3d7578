//! What one job shows to whoever looks on from outside.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    disclosure::{Answer, Cells, MayLeave},
    federation::open_answer,
    ids::Digest,
    pace::Pace,
    plan::Plan,
    refusal::{Refusal, Stop},
};
use tokio::time::sleep;

use crate::{
    attend::leaving,
    run::{Escort, Given, Step, Submitted, run},
    site::Site,
};

/// Everything that left, and when.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What the message says that it is.
    pub kind: &'static str,
    /// The message's bytes.
    pub bytes: Vec<u8>,
    /// The answer, where it is one.
    pub answer: Option<Answer>,
    /// The refusal, where it is one.
    pub refusal: Option<Refusal>,
    /// The steps of the corridor, in order.
    pub steps: Vec<Step>,
    /// When it was charged and left; none where nothing was charged.
    pub times: Option<Times>,
}

/// The instants of a charged job.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The charge was not made before.
    pub charged_after: Timestamp,
    /// The charge was made before.
    pub charged_before: Timestamp,
    /// When its sums were noised, if they were: what must not show.
    pub ready_at: Option<Timestamp>,
    /// Until when it was held.
    pub held_until: Timestamp,
    /// When it left.
    pub left_at: Timestamp,
}

impl Times {
    /// Whether it was held until a time that follows from the charge alone, and did not leave before.
    pub fn punctual(&self, pace: &Pace, longest: SignedDuration) -> bool {
        let due = |charged: Timestamp| pace.leaves(charged, longest, charged);
        let held = (due(self.charged_after)..=due(self.charged_before)).contains(&self.held_until);
        held && self.held_until <= self.left_at
    }

    /// Until when it was held, in slots after that of the charge.
    pub fn slots(&self, pace: &Pace) -> i64 {
        let slot = i64::from(pace.slot_ms.get());
        self.held_until.as_millisecond() / slot - self.charged_after.as_millisecond() / slot
    }

    /// From the charge's slot to the departure: all that a clock outside can tell.
    pub fn since_charge(&self) -> Duration {
        Duration::try_from(self.left_at.duration_since(self.charged_after)).unwrap_or_default()
    }
}

/// Everything that is seen of a message but numbers and times: what must be the same whoever is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// What the message says that it is.
    pub kind: &'static str,
    /// How long it is.
    pub bytes: usize,
    /// The refusal, without what is random in it.
    pub refusal: Option<Refusal>,
    /// The answer, without its numbers.
    pub answer: Option<Answer>,
    /// The steps of the corridor, in order.
    pub steps: Vec<Step>,
}

impl Outline {
    /// What is left of `seen`.
    pub fn of(seen: &Seen) -> Self {
        let refusal = match seen.refusal.clone() {
            Some(Refusal::Internal { .. }) => Some(Refusal::Internal { id: String::new() }),
            other => other,
        };
        let mut answer = seen.answer.clone();
        if let Some(answer) = &mut answer {
            // Keyed: it says that two datasets differ, and every ingest of other data has another.
            answer.snapshot = Digest::of(b"");
            answer.outputs.iter_mut().for_each(|output| output.cells = Cells(Vec::new()));
        }
        Self { kind: seen.kind, bytes: seen.bytes.len(), refusal, answer, steps: seen.steps.clone() }
    }
}

/// Runs one job, and looks on. What came to nothing is logged, as a node does that attends a hub.
pub async fn watch(site: &Site, submitted: &Submitted, plan: &Plan, wasm: &[u8]) -> Seen {
    let mut watch = Watch::new(wasm);
    let given = run(site, submitted, &mut watch).await;
    if let Err(stop) = &given {
        site.log_stopped(submitted, stop).await;
    }
    watch.seen(site, plan, given)
}

/// An escort that writes down what it sees.
pub struct Watch {
    wasm: Vec<u8>,
    steps: Vec<(Step, Timestamp)>,
    /// Until when it was told to hold, and when it let go.
    held: Vec<(Timestamp, Timestamp)>,
}

impl Watch {
    /// An escort that hands out this module.
    pub fn new(wasm: &[u8]) -> Self {
        Self { wasm: wasm.to_vec(), steps: Vec::new(), held: Vec::new() }
    }

    /// What was seen of the job that gave `given`.
    pub fn seen(self, site: &Site, plan: &Plan, given: Result<Given, Stop>) -> Seen {
        let left_at = site.clock();
        let (kind, bytes, refusal) = match given {
            Ok(Given::Answer(released)) => message(&released, None),
            Ok(Given::Finished(finished)) => message(&finished, None),
            Ok(Given::Waits(stage)) => message(&stage, None),
            Err(stop) => {
                let refusal = leaving(stop);
                message(&refusal, Some(refusal.clone()))
            }
        };
        let answer = open_answer(&bytes, plan, &site.name, site.key.public()).ok();
        let times = self.times(left_at);
        Seen { kind, bytes, answer, refusal, steps: self.steps.into_iter().map(|(step, _)| step).collect(), times }
    }

    fn times(&self, left_at: Timestamp) -> Option<Times> {
        let [(_, charged_after), (held_until, _)] = *self.held.as_slice() else { return None };
        let at = |wanted: Step| self.steps.iter().find(|(step, _)| *step == wanted).map(|(_, at)| *at);
        let (charged_before, ready_at) = (at(Step::Reserved)?, at(Step::Noised));
        Some(Times { charged_after, charged_before, ready_at, held_until, left_at })
    }
}

fn message<T: MayLeave>(what: &T, refusal: Option<Refusal>) -> (&'static str, Vec<u8>, Option<Refusal>) {
    (T::KIND, what.leave(), refusal)
}

impl Escort for Watch {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(self.wasm.clone())
    }

    fn passed(&mut self, step: Step) {
        self.steps.push((step, Timestamp::now()));
    }

    fn cancelled(&self) -> bool {
        false
    }

    async fn hold(&mut self, time: Timestamp) {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        sleep(wait).await;
        self.held.push((time, Timestamp::now()));
    }
}
