//! A node's process, killed between any two steps of the corridor.
//!
//! What would be a bug: a charge that is lost (data was read, and the ledger does not know), a charge that is made twice, a
//! second draw of noise for the same question, an answer that was released and is gone or differs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::Released,
    dsse::SecretKey,
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    ledger::{AnswerKey, Entry, Journal},
    plan::{Choices, Plan},
    refusal::{Refusal, Stop},
};
use spe_node::{
    config::NodeConfig,
    journal::Records,
    run::{Escort, Step, Submitted, run},
    site::Site,
};

use crate::place::{Place, SPE, example};

/// The job's price; the ledger must show its multiple by the number of charges, exactly.
const LOSS: &str = "rho=0.001";
const STEPS: [Step; 8] = [
    Step::Admitted,
    Step::Approved,
    Step::Drawn,
    Step::Reserved,
    Step::Summed,
    Step::Noised,
    Step::Committed,
    Step::Released,
];
/// How often a process is killed after each step, and at how many random instants.
const ROUNDS: u32 = 25;
const RANDOM_KILLS: u32 = 60;
/// Jobs that the process runs one after the other until it is killed at a random instant.
const JOBS: u32 = 40;

fn open(place: &Path) -> Site {
    Site::open(&place.join("north"), (SPE.into(), vec!["compile-module".into()])).unwrap()
}

fn wasm() -> Vec<u8> {
    std::fs::read(example("examples/modules/visits-by-coinsurance.wasm")).unwrap()
}

fn job(site: &Site, place: &Path, attempt: u32) -> (Submitted, AnswerKey) {
    let inspection = spe_sandbox::inspect(&wasm()).unwrap();
    let offer = site.offer(&"rand-hie".parse().unwrap()).unwrap();
    let choices = Choices { attempt, ..Choices::new(LOSS.parse().unwrap()) };
    let plan = Plan::new(&inspection.manifest, inspection.digest, &offer.schema, &choices).unwrap();
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot: offer.snapshot };
    let signer: SecretKey = std::fs::read_to_string(place.join("researcher/signing.key")).unwrap().parse().unwrap();
    let body = JobBody {
        format: JOB_FORMAT.into(),
        permit: "dap-2026-0001".parse().unwrap(),
        person: "ada".parse().unwrap(),
        purpose: Purpose::Policymaking,
        nodes: vec![],
        signed_at: Timestamp::now(),
        plan,
    };
    (Submitted { job: body.sign(&signer), permit: std::fs::read(place.join("permit.json")).unwrap() }, key)
}

/// Says which step was passed, and waits there for its death if it is the last one wished for.
struct Doomed {
    last: Option<Step>,
}

impl Escort for Doomed {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(wasm())
    }
    fn passed(&mut self, step: Step) {
        if self.last == Some(step) {
            println!("passed {step:?}");
            std::thread::sleep(Duration::from_secs(600));
        }
    }
    fn cancelled(&self) -> bool {
        false
    }
}

fn go(site: &Site, place: &Path, attempt: u32, last: Option<Step>) -> Result<Released, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    runtime.block_on(run(site, &job(site, place, attempt).0, &mut Doomed { last }))
}

/// The other process: this test, started again with variables that name its work. Without them it has none.
#[test]
fn one_process() {
    let Ok(place) = std::env::var("SPE_TEST_PLACE") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let place = Path::new(&place);
    let site = open(place);
    let last = STEPS.get(number("SPE_TEST_LAST") as usize).copied();
    for attempt in number("SPE_TEST_FIRST")..number("SPE_TEST_FIRST") + number("SPE_TEST_JOBS") {
        let released = go(&site, place, attempt, last).unwrap();
        println!("released {attempt} {}", Digest::of(released.envelope()).hex());
    }
    println!("done");
}

fn start(place: &Path, last: usize, first: u32, jobs: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["corridor::one_process", "--exact", "--nocapture"])
        .env("SPE_TEST_PLACE", place)
        .env("SPE_TEST_LAST", last.to_string())
        .env("SPE_TEST_FIRST", first.to_string())
        .env("SPE_TEST_JOBS", jobs.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn records(place: &Path) -> Records {
    Records::open(&NodeConfig::read(&place.join("north")).unwrap().ledger_file()).unwrap()
}

fn spent_pico(records: &mut Records) -> u64 {
    records.totals().unwrap().iter().map(|t| t.spent.pico()).sum()
}

fn place() -> Place {
    let place = Place::new("rho=1000");
    place.node("north", "site = \"1\"", "rho=1000");
    place
}

#[test]
fn a_kill_after_any_step_loses_no_charge_no_answer_and_draws_no_second_noise() {
    let place = place();
    let dir = place.dir.path();
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico();
    let mut charges = 0;
    let mut attempt = 1_000;
    for _ in 0..ROUNDS {
        for (index, step) in STEPS.iter().enumerate() {
            attempt += 1;
            let mut child = start(dir, index, attempt, 1);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(lines.any(|line| line.contains(&format!("passed {step:?}"))), "the process ended before {step:?}");
            child.kill().unwrap();
            child.wait().unwrap();

            let site = open(dir);
            let (_, key) = job(&site, dir, attempt);
            let mut records = site.audit();
            let entry = records.find(&key).unwrap();
            let paid = index >= 3;
            charges += u64::from(paid);
            assert_eq!(spent_pico(&mut records), charges * one, "after {step:?}: charged too much or too little");
            let again = go(&site, dir, attempt, None);
            match (step, entry) {
                (Step::Admitted | Step::Approved | Step::Drawn, None) => {
                    assert!(again.is_ok(), "nothing was charged, so the same question must be answered");
                    charges += 1;
                }
                (Step::Reserved | Step::Summed | Step::Noised, Some(Entry::Open)) => {
                    assert!(matches!(again, Err(Stop::Refused(Refusal::Interrupted { .. }))), "a second draw of noise");
                }
                (Step::Committed | Step::Released, Some(Entry::Answered(bytes))) => {
                    assert_eq!(again.unwrap().envelope(), bytes, "the answer differs from what was durable");
                }
                (step, entry) => panic!("after {step:?} the journal holds {entry:?}"),
            }
            assert_eq!(spent_pico(&mut records), charges * one, "asking again after {step:?} changed the charge");
        }
    }
}

#[test]
fn a_kill_at_any_instant_leaves_a_ledger_that_adds_up() {
    let place = place();
    let dir = place.dir.path();
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico();
    let begin = Instant::now();
    let mut child = start(dir, STEPS.len(), 0, JOBS);
    child.wait().unwrap();
    let whole = begin.elapsed();
    let mut known = u64::from(JOBS);
    for round in 1..=RANDOM_KILLS {
        let first = round * JOBS;
        let mut child = start(dir, STEPS.len(), first, JOBS);
        std::thread::sleep(whole * (round * 37 % 97) / 97);
        child.kill().unwrap();
        let said: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
        child.wait().unwrap();
        let mut records = records(dir);
        let keys: Vec<_> = (first..first + JOBS).collect();
        let total = spent_pico(&mut records);
        drop(records);
        let site = open(dir);
        let mut journal = site.audit();
        let entries: Vec<_> =
            keys.iter().map(|attempt| (attempt, journal.find(&job(&site, dir, *attempt).1).unwrap())).collect();
        let charged = entries.iter().filter(|(_, entry)| entry.is_some()).count() as u64;
        known += charged;
        assert_eq!(total, known * one, "the ledger does not add up");
        let open_entries = entries.iter().filter(|(_, e)| matches!(e, Some(Entry::Open))).count();
        assert!(open_entries <= 1, "jobs run one after the other, so at most one was under way");
        for line in said.iter().filter_map(|l| l.split("released ").nth(1)) {
            let (attempt, digest) = line.split_once(' ').unwrap();
            let entry = entries.iter().find(|(a, _)| a.to_string() == attempt).map(|(_, e)| e.clone());
            let Some(Some(Entry::Answered(bytes))) = entry else { panic!("answer {attempt} was released and is lost") };
            assert_eq!(Digest::of(&bytes).hex(), digest, "answer {attempt} differs from what was released");
        }
        if let Some((attempt, Some(Entry::Answered(bytes)))) =
            entries.iter().find(|(_, e)| matches!(e, Some(Entry::Answered(_))))
        {
            assert_eq!(go(&site, dir, **attempt, None).unwrap().envelope(), bytes, "asked again, the answer differs");
        }
    }
}
