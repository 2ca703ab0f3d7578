//! A node's process, killed between any two steps of the corridor.
//!
//! What would be a bug: a charge that is lost (data was read, and the ledger does not know), a charge that is made twice, a
//! second draw of noise for the same question, an answer that was released and is gone or differs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use spe_kernel::{
    disclosure::Released,
    ids::Digest,
    ledger::{Entry, Journal},
    refusal::{Refusal, Stop},
    rounds::{Merged, NextRound},
};
use spe_node::{
    config::NodeConfig,
    journal::Records,
    run::{Given, Step},
    site::Site,
};

use crate::question::{COUNT, IN_ROUNDS, LOSS, Question, STEPS, given, once, open, place, spent_pico, walk};

/// How often a process is killed after each step, and at how many random instants.
const REPEATS: u32 = 12;
const RANDOM_KILLS: u32 = 40;
/// Jobs that the process runs one after the other until it is killed at a random instant.
const JOBS: u32 = 40;

fn go(site: &Site, place: &Path, attempt: u32, last: Option<Step>) -> Result<Released, Stop> {
    match given(site, place, once(attempt), None, last)? {
        Given::Answer(released) => Ok(released),
        _ => panic!("a job without rounds has an answer and no last state"),
    }
}

/// The other process: this test, started again with variables that name its work. Without them it has none.
#[test]
fn one_process() {
    let Ok(place) = std::env::var("SPE_TEST_PLACE") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let place = Path::new(&place);
    let site = open(place);
    let last = STEPS.get(number("SPE_TEST_LAST") as usize).copied();
    let doomed_round = std::env::var("SPE_TEST_ROUND").ok().map(|round| round.parse::<u32>().unwrap());
    for attempt in number("SPE_TEST_FIRST")..number("SPE_TEST_FIRST") + number("SPE_TEST_JOBS") {
        if let Some(round) = doomed_round {
            walk(&site, place, Question { module: IN_ROUNDS, attempt }, last.map(|step| (round, step))).1.unwrap();
            continue;
        }
        let released = go(&site, place, attempt, last).unwrap();
        println!("released {attempt} {}", Digest::of(released.envelope()).hex());
    }
    println!("done");
}

fn process(place: &Path, last: usize, first: u32, jobs: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["corridor::one_process", "--exact", "--nocapture"])
        .env("SPE_TEST_PLACE", place)
        .env("SPE_TEST_LAST", last.to_string())
        .env("SPE_TEST_FIRST", first.to_string())
        .env("SPE_TEST_JOBS", jobs.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

pub(crate) fn start(place: &Path, last: usize, first: u32, jobs: u32) -> Child {
    process(place, last, first, jobs).spawn().unwrap()
}

/// Lets the process pass `step`, and kills it; what it said before.
pub(crate) fn kill_after(mut child: Child, step: Step) -> Vec<String> {
    let passed = format!("passed {step:?}");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let died = lines.inspect(|line| said.push(line.clone())).any(|line| line.contains(&passed));
    assert!(died, "the process ended before {step:?}: {said:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

fn records(place: &Path) -> Records {
    Records::open(&NodeConfig::read(&place.join("north")).unwrap().ledger_file()).unwrap()
}

#[test]
fn a_kill_after_any_step_loses_no_charge_no_answer_and_draws_no_second_noise() {
    let place = place();
    let dir = place.dir.path();
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico();
    let mut charges = 0;
    let mut attempt = 1_000;
    for _ in 0..REPEATS {
        for (index, step) in STEPS.iter().enumerate() {
            attempt += 1;
            kill_after(start(dir, index, attempt, 1), *step);

            let site = open(dir);
            let key = once(attempt).key(&site);
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
            keys.iter().map(|attempt| (attempt, journal.find(&once(*attempt).key(&site)).unwrap())).collect();
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

/// What would be a bug besides: rounds that are charged again, a round that is drawn twice, a job that cannot go on after a crash
/// between two rounds.
#[test]
fn a_kill_after_any_step_of_any_round_loses_nothing_and_draws_no_round_twice() {
    let place = place();
    let dir = place.dir.path();
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico() / u64::from(COUNT) * u64::from(COUNT);
    let (mut charges, mut attempt) = (0, 0);
    for round in 0..COUNT {
        for (index, step) in STEPS.iter().enumerate() {
            attempt += 1;
            let child = process(dir, index, attempt, 1).env("SPE_TEST_ROUND", round.to_string()).spawn().unwrap();
            let said = kill_after(child, *step);
            let before: Vec<_> = said.iter().filter_map(|l| l.split("released ").nth(1)?.split(' ').nth(1)).collect();
            assert_eq!(before.len(), round as usize, "rounds before the one that was killed");

            let site = open(dir);
            let question = Question { module: IN_ROUNDS, attempt };
            let key = question.key(&site);
            let mut records = site.audit();
            charges += u64::from(round > 0 || index >= 3);
            let where_ = format!("after {step:?} of round {round}");
            assert_eq!(spent_pico(&mut records), charges * one, "{where_}: charged too much or too little");
            let entry = records.find(&key.at_round(round)).unwrap();
            let (answers, last) = walk(&site, dir, question, None);
            let again: Vec<_> = answers.iter().map(|a| Digest::of(a.envelope()).hex()).collect();
            assert_eq!(again[..before.len()], before, "{where_}: an earlier round's answer differs");
            match (step, entry) {
                (Step::Admitted | Step::Approved | Step::Drawn, None) => charges += u64::from(round == 0),
                (Step::Reserved | Step::Summed | Step::Noised, Some(Entry::Open)) => {
                    assert!(matches!(last, Err(Stop::Refused(Refusal::Interrupted { .. }))), "{where_}: a second draw");
                    assert_eq!(answers.len(), before.len());
                    assert_eq!(spent_pico(&mut records), charges * one, "asking again {where_} changed the charge");
                    continue;
                }
                (Step::Committed | Step::Released, Some(Entry::Answered(bytes))) => {
                    assert_eq!(answers[round as usize].envelope(), bytes, "{where_}: the round's answer differs");
                }
                (_, entry) => panic!("{where_} the journal holds {entry:?}"),
            }
            // Everything that was not under way goes on to the end, for nothing more.
            assert_eq!(last.unwrap().rounds, COUNT, "{where_}: the rounds did not go on");
            assert_eq!(answers.len(), COUNT as usize);
            assert_eq!(spent_pico(&mut records), charges * one, "going on {where_} changed the charge");
        }
    }
}

/// What would be a bug: a round that is run though the one before it is unknown here, or one too many.
#[test]
fn a_round_out_of_turn_is_refused_and_reads_nothing() {
    let place = place();
    let dir = place.dir.path();
    let site = open(dir);
    let question = Question { module: IN_ROUNDS, attempt: 0 };
    let merged = Merged::of(&question.plan(&site), &[]);
    for round in [1, 2, COUNT + 1] {
        let asked = Some(NextRound { round, merged: merged.clone() });
        let refused = given(&site, dir, question, asked, None);
        assert!(matches!(refused, Err(Stop::Refused(Refusal::RoundOutOfTurn { .. }))), "round {round} was run");
    }
    let misshapen = NextRound { round: 1, merged: Merged { sums: vec![], ..merged } };
    let refused = given(&site, dir, question, Some(misshapen), None);
    assert!(matches!(refused, Err(Stop::Refused(Refusal::PlanUnfit { .. }))), "sums of another shape were taken");
    assert_eq!(spent_pico(&mut site.audit()), 0);
}
