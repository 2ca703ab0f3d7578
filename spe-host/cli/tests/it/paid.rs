//! What was paid for is not lost, told early, or somebody else's: cancellations, crashes, other permits, other processes.

use jiff::Timestamp;
use spe_kernel::{
    ledger::{Entry, Journal},
    refusal::{Refusal, Stop},
};
use spe_node::{
    run::{Given, Step},
    site::Site,
};

use crate::{
    corridor::{kill_after, start},
    place::{DECLARATION, Place, SPE, example},
    question::{
        COUNT, Doomed, IN_ROUNDS, LOSS, PERMIT, Question, STEPS, escorted, given, next, once, open, place, spent_pico,
        walk,
    },
};

/// What would be a bug: a cancellation, which nobody signs, that costs an answer which is paid for, or a round; one before the charge that
/// is charged all the same.
#[test]
fn a_cancellation_is_free_before_the_charge_and_costs_no_answer_after_it() {
    let place = place();
    let dir = place.dir.path();
    let site = open(dir);
    let one = LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico() / u64::from(COUNT) * u64::from(COUNT);
    let mut charges = 0;
    for round in 0..2_u32 {
        for (attempt, step) in STEPS.iter().take(6).enumerate() {
            let question = Question { module: IN_ROUNDS, attempt: round * 100 + u32::try_from(attempt).unwrap() };
            let where_ = format!("cancelled after {step:?} of round {round}");
            let first = (round == 1).then(|| given(&site, dir, question, None, None).unwrap());
            let asked = first.map(|given| match given {
                Given::Answer(released) => next(&question.plan(&site), &released),
                _ => panic!("{where_}: no round was run"),
            });
            let mut escort = Doomed::new(question, None);
            escort.cancel = Some(*step);
            let cancelled = escorted(&site, &question.submitted(&site, dir, asked), &mut escort);
            assert!(matches!(cancelled, Err(Stop::Refused(Refusal::Cancelled))), "{where_}");
            let charged = attempt >= 3;
            charges += u64::from(charged || round == 1);
            assert_eq!(spent_pico(&mut site.audit()), charges * one, "{where_}: charged too much or too little");
            let durable = site.audit().find(&question.key(&site).at_round(round)).unwrap();
            assert_eq!(matches!(durable, Some(Entry::Answered(_))), charged, "{where_}: the ledger holds {durable:?}");
            let (answers, last) = walk(&site, dir, question, None);
            charges += u64::from(!charged && round == 0);
            assert_eq!((answers.len(), last.unwrap().rounds), (COUNT as usize, COUNT), "{where_}: asked again");
            if let Some(Entry::Answered(bytes)) = durable {
                assert_eq!(answers[round as usize].envelope(), bytes, "{where_}: asked again, the answer differs");
            }
            assert_eq!(spent_pico(&mut site.audit()), charges * one, "{where_}: charged for asking again");
        }
    }
}

/// What would be a bug: a process after a crash that lets go at once of what the one before would have held, be it an answer or that there is
/// none; and so tells how long something took, or what crashed it.
#[test]
fn after_a_crash_nothing_leaves_before_its_time() {
    let place = Place::new("rho=1000");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=1000");
    let dir = place.dir.path();
    for (attempt, step) in [(0, Step::Reserved), (1, Step::Noised), (2, Step::Committed)] {
        let index = STEPS.iter().position(|s| *s == step).unwrap();
        let before = Timestamp::now();
        kill_after(start(dir, index, attempt, 1), step);
        let after = Timestamp::now();

        let (site, question) = (open(dir), once(attempt));
        let (plan, pace) = (question.plan(&site), site.policy.release);
        let longest = pace.longest(&plan, &site.offer(plan.dataset()).unwrap().schema).unwrap();
        let due = pace.leaves(before, longest, before)..=pace.leaves(after, longest, after);
        let mut escort = Doomed::new(question, None);
        let again = escorted(&site, &question.submitted(&site, dir, None), &mut escort);
        let held_as_it_should = matches!(escort.held.as_slice(), [time] if due.contains(time));
        assert!(held_as_it_should, "killed after {step:?}: held until {:?}, and due is {due:?}", escort.held);
        match again {
            Ok(_) => assert_eq!(step, Step::Committed),
            Err(stop) => assert!(matches!(stop, Stop::Refused(Refusal::Interrupted { .. })) && step != Step::Committed),
        }
    }
}

/// What would be a bug: a permit holder who asks what another has paid for and then chooses its next rounds; or who is kept from the
/// answer that there is.
#[test]
fn only_who_paid_goes_on_with_the_rounds() {
    let place = place();
    let dir = place.dir.path();
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    std::fs::write(place.path("other.toml"), text.replace(PERMIT.0, "dap-2026-0002")).unwrap();
    place.ok(&["permit", "sign", "other.toml", "--key", "access-body.key", "--out", "other.json"]);
    let other = ("dap-2026-0002", "other.json");
    let site = open(dir);
    let question = Question { module: IN_ROUNDS, attempt: 0 };
    let ask = |permit, next| {
        let submitted = question.submitted_under(permit, &site, dir, next);
        escorted(&site, &submitted, &mut Doomed::new(question, None))
    };
    let answered = |given: Result<Given, Stop>| match given {
        Ok(Given::Answer(released)) => released,
        Ok(_) => panic!("no round was run"),
        Err(stop) => panic!("{stop:?}"),
    };
    let first = answered(ask(PERMIT, None));
    let spent = spent_pico(&mut site.audit());
    assert_eq!(answered(ask(other, None)).envelope(), first.envelope(), "the same question has another answer");
    let round = next(&question.plan(&site), &first);
    let refused = ask(other, Some(round.clone()));
    assert!(
        matches!(refused, Err(Stop::Refused(Refusal::RoundOfAnother { round: 1 }))),
        "they chose the next question"
    );
    // A job that is signed again, as after a crash, is the payer's still.
    let second = answered(ask(PERMIT, Some(round.clone())));
    assert_eq!(answered(ask(other, Some(round))).envelope(), second.envelope());
    assert_eq!(spent_pico(&mut site.audit()), spent);
}

/// What would be a bug: two processes with one node's folder, each of which knows of its own charges only.
#[test]
fn a_nodes_folder_serves_one_process() {
    let place = place();
    let site = open(place.dir.path());
    let (_, message) = place.fails(&["node", "run", "north"]);
    assert!(message.contains("in use by another node"), "{message}");
    drop(site);
    let mut place = place;
    place.start_all(&["north"]);
    let second = Site::open(&place.path("north"), (SPE.into(), vec!["compile-module".into()])).err().unwrap();
    assert!(second.to_string().contains("in use by another node"), "{second}");
}
