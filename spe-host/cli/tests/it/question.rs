//! One question to a node in this process: asked step by step, cancelled, or waiting for its death.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::{Answer, Released},
    dsse::{self, SecretKey},
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    ledger::{AnswerKey, Journal},
    plan::{Choices, Plan},
    refusal::Stop,
    rounds::{Finished, Merged, NextRound},
};
use spe_node::{
    journal::Records,
    run::{Escort, Given, Step, Submitted, run},
    site::Site,
};

use crate::place::{Place, SPE, module};

/// The job's price; the ledger must show its multiple by the number of charges, exactly.
pub(crate) const LOSS: &str = "rho=0.001";
pub(crate) const STEPS: [Step; 8] = [
    Step::Admitted,
    Step::Approved,
    Step::Drawn,
    Step::Reserved,
    Step::Summed,
    Step::Noised,
    Step::Committed,
    Step::Released,
];
pub(crate) fn open(place: &Path) -> Site {
    Site::open(&place.join("north"), (SPE.into(), vec!["compile-module".into()])).unwrap()
}

/// A module that is run once, and one with rounds.
const ONCE: &str = "visits-by-coinsurance";
pub(crate) const IN_ROUNDS: &str = "kmeans";
/// Rounds of the one with rounds.
pub(crate) const COUNT: u32 = 3;

/// Number and file of the permit that is asked under.
pub(crate) const PERMIT: (&str, &str) = ("dap-2026-0001", "permit.json");

/// What is asked: by which module, and which time.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub(crate) module: &'static str,
    pub(crate) attempt: u32,
}

impl Question {
    fn wasm(self) -> Vec<u8> {
        std::fs::read(module(self.module)).unwrap()
    }

    pub(crate) fn plan(self, site: &Site) -> Plan {
        let inspection = spe_sandbox::inspect(&self.wasm()).unwrap();
        let offer = site.offer(&"rand-hie".parse().unwrap()).unwrap();
        let rounds = (self.module == IN_ROUNDS).then_some(COUNT);
        let choices = Choices { attempt: self.attempt, rounds, ..Choices::new(LOSS.parse().unwrap()) };
        Plan::new(&inspection.manifest, inspection.digest, &offer.schema, &choices).unwrap()
    }

    pub(crate) fn key(self, site: &Site) -> AnswerKey {
        let plan = self.plan(site);
        let snapshot = site.offer(plan.dataset()).unwrap().snapshot;
        AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot, round: 0 }
    }

    pub(crate) fn submitted(self, site: &Site, place: &Path, next: Option<NextRound>) -> Submitted {
        self.submitted_under(PERMIT, site, place, next)
    }

    /// Ada's job under the permit of that number, which is in the file of that name.
    pub(crate) fn submitted_under(
        self,
        (number, file): (&str, &str),
        site: &Site,
        place: &Path,
        next: Option<NextRound>,
    ) -> Submitted {
        let signer: SecretKey = std::fs::read_to_string(place.join("researcher/signing.key")).unwrap().parse().unwrap();
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: number.parse().unwrap(),
            person: "ada".parse().unwrap(),
            purpose: Purpose::Policymaking,
            nodes: vec![],
            signed_at: Timestamp::now(),
            plan: self.plan(site),
            identity: None,
        };
        let permit = std::fs::read(place.join(file)).unwrap();
        Submitted { job: body.sign(&signer), permit, next }
    }
}

/// Says which step was passed, and waits there for its death if it is the last one wished for. Waits for no other time, but
/// writes down until when it should.
pub(crate) struct Doomed {
    question: Question,
    last: Option<Step>,
    /// The step after which the job is cancelled.
    pub(crate) cancel: Option<Step>,
    cancelled: bool,
    pub(crate) held: Vec<Timestamp>,
}

impl Doomed {
    pub(crate) fn new(question: Question, last: Option<Step>) -> Self {
        Self { question, last, cancel: None, cancelled: false, held: Vec::new() }
    }
}

impl Escort for Doomed {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(self.question.wasm())
    }
    fn passed(&mut self, step: Step) {
        if self.last == Some(step) {
            println!("passed {step:?}");
            std::thread::sleep(Duration::from_secs(600));
        }
        self.cancelled |= self.cancel == Some(step);
    }
    fn cancelled(&self) -> bool {
        self.cancelled
    }
    async fn hold(&mut self, time: Timestamp) {
        self.held.push(time);
    }
}

pub(crate) fn once(attempt: u32) -> Question {
    Question { module: ONCE, attempt }
}

pub(crate) fn given(
    site: &Site,
    place: &Path,
    question: Question,
    next: Option<NextRound>,
    last: Option<Step>,
) -> Result<Given, Stop> {
    escorted(site, &question.submitted(site, place, next), &mut Doomed::new(question, last))
}

pub(crate) fn escorted(site: &Site, submitted: &Submitted, escort: &mut Doomed) -> Result<Given, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    runtime.block_on(run(site, submitted, escort))
}

/// What the hub would hand out after `answer`, if this node were the only one.
pub(crate) fn next(plan: &Plan, answer: &Released) -> NextRound {
    let opened = dsse::verify(answer.envelope(), spe_kernel::disclosure::ANSWER_TYPE, "the answer").unwrap();
    let answer: Answer = serde_json::from_slice(&opened.payload).unwrap();
    NextRound { round: answer.round + 1, merged: Merged::of(plan, &[answer]) }
}

/// All rounds one after the other, up to the last state; says the digest of each answer. `doom` is where to wait for death.
pub(crate) fn walk(
    site: &Site,
    place: &Path,
    question: Question,
    doom: Option<(u32, Step)>,
) -> (Vec<Released>, Result<Finished, Stop>) {
    let plan = question.plan(site);
    let mut answers: Vec<Released> = Vec::new();
    loop {
        let round = u32::try_from(answers.len()).unwrap();
        let last = doom.filter(|(doomed, _)| *doomed == round).map(|(_, step)| step);
        let asked = answers.last().map(|answer| next(&plan, answer));
        match given(site, place, question, asked, last) {
            Ok(Given::Answer(released)) => {
                println!("released {} {}", question.attempt, Digest::of(released.envelope()).hex());
                answers.push(released);
            }
            Ok(Given::Finished(finished)) => return (answers, Ok(finished)),
            Ok(Given::Waits(_)) => panic!("nobody has to approve anything here"),
            Err(stop) => return (answers, Err(stop)),
        }
    }
}

pub(crate) fn spent_pico(records: &mut Records) -> u64 {
    records.totals().unwrap().iter().map(|t| t.spent.pico()).sum()
}

pub(crate) fn place() -> Place {
    let place = Place::new("rho=1000");
    place.node("north", "site = \"1\"", "rho=1000");
    place
}
