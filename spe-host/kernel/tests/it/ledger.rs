//! The ledger against a reference model, with random requests, rounds and crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spe_kernel::{
    dsse::SecretKey,
    ids::Digest,
    ledger::{AnswerKey, Charge, Ledger, Reserving},
    permit::PermitId,
    refusal::{Refusal, Stop},
    rounds::state_digest,
    units::{Loss, Measure},
};

use crate::{
    disk::{Memory, Stored, answer, charge, commit, key, paid, permit_id, rho},
    fixture::loss,
};

/// Rounds of every question of the model.
const ROUNDS: u32 = 3;

#[derive(Debug, Clone)]
enum Act {
    Ask { question: u8, permit: u8, pico: u64, atto: u64, overlap: u32, commit: bool },
    Next { question: u8, permit: u8, round: u32, commit: bool },
    FailNext(bool),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let ask = (0..8_u8, 0..3_u8, 1..200_u64, 0..200_u64, 1..3_u32, any::<bool>());
    prop_oneof![
        6 => ask.prop_map(|(question, permit, pico, atto, overlap, commit)| {
            Act::Ask { question, permit, pico, atto, overlap, commit }
        }),
        6 => (0..8_u8, 0..3_u8, 0..=ROUNDS, prop::bool::weighted(0.8))
            .prop_map(|(question, permit, round, commit)| Act::Next { question, permit, round, commit }),
        1 => any::<bool>().prop_map(Act::FailNext),
        2 => Just(Act::Restart),
    ]
}

struct Model {
    disk: Memory,
    ledger: Ledger<Memory>,
    /// Every answer that was ever on the disk.
    seen: BTreeMap<AnswerKey, Vec<u8>>,
}

impl Model {
    fn ask(&mut self, asked: &Charge, finish: bool, noise: i128) -> Result<(), TestCaseError> {
        let before = self.disk.stored(&asked.key);
        match (self.ledger.reserve(asked, &[]), before) {
            (Ok(Reserving::Paid(paid)), None) => {
                prop_assert!(self.disk.stored(&asked.key).is_some(), "not durable before data is read");
                let certificate = paid.certificate();
                prop_assert_eq!(certificate.spent_after, self.disk.0.borrow().spent(|_| true), "a wrong certificate");
                prop_assert_eq!(certificate.spent_before.plus(asked.loss), Ok(certificate.spent_after));
                prop_assert_eq!((paid.loss(), certificate.overlap), (asked.loss, asked.overlap));
                if finish {
                    let _ = commit(&mut self.ledger, paid, noise);
                }
            }
            (Ok(Reserving::Answered(_)), Some(Stored { answer: Some(_), .. })) => {}
            (Err(Stop::Refused(Refusal::Interrupted { .. })), Some(Stored { answer: None, .. })) => {}
            (Err(Stop::Refused(_)), None) => prop_assert!(self.disk.stored(&asked.key).is_none()),
            (Err(Stop::Failed(_)), _) => {}
            (_, before) => prop_assert!(false, "unexpected outcome; before: {before:?}"),
        }
        Ok(())
    }

    fn next(&mut self, asked: &Charge, round: u32, finish: bool, noise: i128) -> Result<(), TestCaseError> {
        let (at, state) = (asked.key.at_round(round), [noise as f64]);
        let answered = |stored: Option<Stored>| stored.is_some_and(|stored| stored.answer.is_some());
        let last = round.checked_sub(1).map(|last| asked.key.at_round(last));
        let in_turn = round < ROUNDS && last.is_some_and(|last| answered(self.disk.stored(&last)));
        let (before, spent) = (self.disk.stored(&at), self.disk.0.borrow().spent(|_| true));
        let payer = self.disk.stored(&asked.key).and_then(|stored| stored.charge).map(|charge| charge.permit);
        let paid_by_asker = payer.as_ref() == Some(&asked.permit);
        match (self.ledger.begin(asked, round, ROUNDS, &state), before) {
            (Ok(Reserving::Paid(paid)), None) => {
                prop_assert!(in_turn, "round {round} does not follow an answered one: nobody paid for it");
                prop_assert!(paid_by_asker, "round {round} was paid for under another permit");
                let durable = self.ledger.state(&at).unwrap();
                prop_assert_eq!(durable.as_deref(), Some(&state[..]), "not durable before data is read");
                prop_assert_eq!((paid.loss(), paid.state()), (Loss::zero(Measure::Zcdp), state_digest(&state)));
                prop_assert_eq!((paid.certificate().spent_before, paid.certificate().spent_after), (spent, spent));
                if finish {
                    let _ = commit(&mut self.ledger, paid, noise);
                }
            }
            (Ok(Reserving::Answered(_)), Some(Stored { answer: Some(_), .. })) => {}
            (Err(Stop::Refused(Refusal::Interrupted { .. })), Some(Stored { answer: None, .. })) => {}
            (Err(Stop::Refused(Refusal::RoundOutOfTurn { .. })), None) => prop_assert!(!in_turn, "its turn had come"),
            (Err(Stop::Refused(Refusal::RoundOfAnother { .. })), None) => {
                prop_assert!(in_turn && !paid_by_asker, "it was paid for under this permit");
            }
            (Err(Stop::Failed(_)), _) => {}
            (_, before) => prop_assert!(false, "unexpected outcome; before: {before:?}"),
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let disk = self.disk.0.borrow();
        let total = disk.spent(|_| true);
        prop_assert!(total.fits(rho(1_000)), "the dataset's cap was exceeded: {total}");
        for permit in 0..3_u8 {
            let spent = disk.spent(|charge| charge.permit == permit_id(permit));
            prop_assert!(spent.fits(rho(600)), "the permit's cap was exceeded: {spent}");
        }
        for (key, stored) in &disk.rounds {
            if let Some(answer) = &stored.answer {
                let first = self.seen.entry(key.clone()).or_insert_with(|| answer.clone());
                prop_assert_eq!(first, answer, "an answer changed");
            }
            prop_assert!(disk.rounds[&key.at_round(0)].charge.is_some(), "a round without a charge");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Reference model: what is on the disk. A lost charge, a charge above a cap in ρ or δ, a round that nobody paid for, a second
    /// answer or a changed answer is a bug.
    #[test]
    fn nothing_is_lost_or_overspent(acts in prop::collection::vec(act(), 1..80)) {
        let disk = Memory::default();
        let mut model = Model { ledger: Ledger::open(disk.clone()).unwrap(), disk, seen: BTreeMap::new() };
        for (step, act) in acts.into_iter().enumerate() {
            match act {
                Act::Restart => {
                    model.disk.0.borrow_mut().fail = None;
                    model.ledger = Ledger::open(model.disk.clone()).unwrap();
                }
                Act::FailNext(after) => model.disk.0.borrow_mut().fail = Some(after),
                Act::Ask { question, permit, pico, atto, overlap, commit } => {
                    let one = Loss::from_pico(Measure::Zcdp, pico).with_delta_atto(atto);
                    let asked = Charge { overlap, ..charge(question, permit, one.times(overlap).unwrap()) };
                    model.ask(&asked, commit, step as i128)?;
                }
                Act::Next { question, permit, round, commit } => {
                    model.next(&charge(question, permit, rho(1)), round, commit, step as i128)?;
                }
            }
            model.check()?;
        }
    }
}

/// The price of all rounds is in the first answer; a later one that named a price would be added up twice by whoever reads them.
#[test]
fn all_rounds_are_charged_with_the_first() {
    let disk = Memory::default();
    let mut ledger = Ledger::open(disk.clone()).unwrap();
    let asked = charge(1, 0, rho(600));
    let first = paid(ledger.reserve(&asked, &[0.5]));
    assert_eq!(first.state(), state_digest(&[0.5]));
    commit(&mut ledger, first, 1).unwrap();
    for round in 1..ROUNDS {
        let next = paid(ledger.begin(&asked, round, ROUNDS, &[2.5]));
        commit(&mut ledger, next, 1).unwrap();
    }
    let answers = [0, 1, 2].map(|round| answer(&disk, &asked.key.at_round(round)));
    assert_eq!(answers.each_ref().map(|a| a.round), [0, 1, 2]);
    assert_eq!(answers.each_ref().map(|a| a.loss), [rho(600), rho(0), rho(0)]);
    assert_eq!(answers.each_ref().map(|a| a.state), [[0.5], [2.5], [2.5]].map(|state| state_digest(&state)));
    assert_eq!(answers.each_ref().map(|a| a.certificate.spent_after), [rho(600); 3]);
    let beyond = ledger.begin(&asked, ROUNDS, ROUNDS, &[2.5]);
    assert!(
        matches!(beyond, Err(Stop::Refused(Refusal::RoundOutOfTurn { round: ROUNDS }))),
        "more rounds than paid for"
    );
}

/// A bug would be: another permit holder with the same plan who uses up its rounds on states of their own; or one who is kept from what
/// was answered already.
#[test]
fn only_who_paid_goes_on_with_the_rounds() {
    let disk = Memory::default();
    let mut ledger = Ledger::open(disk.clone()).unwrap();
    let asked = charge(1, 0, rho(5));
    let first = paid(ledger.reserve(&asked, &[0.5]));
    commit(&mut ledger, first, 1).unwrap();
    let other_permit = charge(1, 1, rho(5));
    let other_person = Charge { person: "eve".parse().unwrap(), ..asked.clone() };
    for other in [&other_permit, &other_person] {
        assert!(matches!(ledger.reserve(other, &[0.5]), Ok(Reserving::Answered(_))), "the first answer is theirs too");
        let refused = ledger.begin(other, 1, ROUNDS, &[9.0]);
        assert!(
            matches!(refused, Err(Stop::Refused(Refusal::RoundOfAnother { round: 1 }))),
            "they chose the next question"
        );
        let early = ledger.begin(other, 2, ROUNDS, &[9.0]);
        assert!(matches!(early, Err(Stop::Refused(Refusal::RoundOutOfTurn { round: 2 }))));
    }
    // Signed again after a crash: the job is another, the person is not.
    let signed_again = Charge { job: Digest::of(b"signed again"), ..asked };
    let next = paid(ledger.begin(&signed_again, 1, ROUNDS, &[2.5]));
    commit(&mut ledger, next, 1).unwrap();
    for other in [&other_permit, &other_person] {
        assert!(matches!(ledger.begin(other, 1, ROUNDS, &[9.0]), Ok(Reserving::Answered(_))));
    }
}

/// A bug would be: a process that comes after a crash and does not know until when the one before would have held what it gives.
#[test]
fn when_it_leaves_is_durable_with_the_charge_and_with_each_round() {
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let disk = Memory::default();
    let mut ledger = Ledger::open(disk.clone()).unwrap();
    let asked = Charge { leaves_at: at(100), ..charge(1, 0, rho(5)) };
    assert_eq!(ledger.leaves_at(&asked.key).unwrap(), None);
    let first = paid(ledger.reserve(&asked, &[]));
    commit(&mut ledger, first, 1).unwrap();
    drop(paid(ledger.begin(&Charge { leaves_at: at(200), ..asked.clone() }, 1, ROUNDS, &[2.5])));
    let mut ledger = Ledger::open(disk).unwrap();
    let known = [0, 1, 2].map(|round| ledger.leaves_at(&asked.key.at_round(round)).unwrap());
    assert_eq!(known, [Some(at(100)), Some(at(200)), None]);
}

/// Were the round run again, there would be two draws of noise on the same sums.
#[test]
fn a_crash_in_a_later_round_is_the_end_of_the_job() {
    let disk = Memory::default();
    let mut ledger = Ledger::open(disk.clone()).unwrap();
    let asked = charge(1, 0, rho(5));
    let first = paid(ledger.reserve(&asked, &[]));
    commit(&mut ledger, first, 1).unwrap();
    drop(paid(ledger.begin(&asked, 1, ROUNDS, &[2.5])));
    let mut ledger = Ledger::open(disk).unwrap();
    let interrupted = |came: Result<Reserving, Stop>| matches!(came, Err(Stop::Refused(Refusal::Interrupted { .. })));
    assert!(interrupted(ledger.begin(&asked, 1, ROUNDS, &[2.5])));
    assert!(interrupted(ledger.begin(&asked, 1, ROUNDS, &[9.0])), "another state would be another draw as well");
    let after = ledger.begin(&asked, 2, ROUNDS, &[2.5]);
    assert!(matches!(after, Err(Stop::Refused(Refusal::RoundOutOfTurn { round: 2 }))));
}

#[test]
fn measures_do_not_mix_on_one_dataset() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let in_epsilon = charge(1, 0, loss("epsilon=0.000000000001"));
    assert!(matches!(ledger.reserve(&in_epsilon, &[]), Err(Stop::Refused(Refusal::DatasetLossExhausted { .. }))));
}

/// A δ that was not asked of the data holder would be one that nobody agreed to.
#[test]
fn a_cap_without_delta_lets_none_through() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let caps = loss("rho=1");
    let keyed =
        Charge { dataset_cap: caps, permit_cap: caps, ..charge(1, 0, loss("rho=0.1,delta=0.000000000000000001")) };
    assert!(matches!(ledger.reserve(&keyed, &[]), Err(Stop::Refused(Refusal::DeltaNotAllowed { .. }))));
    let by_dataset = Charge { dataset_cap: loss("rho=1,delta=0.1"), ..keyed };
    assert!(matches!(ledger.reserve(&by_dataset, &[]), Err(Stop::Refused(Refusal::DeltaNotAllowed { .. }))));
    let by_both = Charge { permit_cap: loss("rho=1,delta=0.1"), ..by_dataset };
    assert!(matches!(ledger.reserve(&by_both, &[]), Ok(Reserving::Paid(_))));
    let all = loss("rho=0.1,delta=0.1");
    let more = Charge { dataset_cap: by_both.dataset_cap, permit_cap: by_both.permit_cap, ..charge(2, 0, all) };
    let more = ledger.reserve(&more, &[]);
    assert!(matches!(more, Err(Stop::Refused(Refusal::DatasetLossExhausted { .. }))), "δs add up beyond their cap");
}

#[test]
fn a_replayed_job_buys_nothing_on_a_new_snapshot() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let asked = charge(1, 0, rho(5));
    assert!(matches!(ledger.reserve(&asked, &[]), Ok(Reserving::Paid(_))));
    let on_new_data = Charge { key: AnswerKey { snapshot: Digest::of(b"new"), ..key(1) }, ..asked };
    let replayed = ledger.reserve(&on_new_data, &[]);
    assert!(matches!(replayed, Err(Stop::Refused(Refusal::JobSpent))), "a hub could spend the budget with old jobs");
    let signed_again = Charge { job: Digest::of(b"signed again"), ..on_new_data };
    assert!(matches!(ledger.reserve(&signed_again, &[]), Ok(Reserving::Paid(_))));
}

#[test]
fn permits_of_two_bodies_with_one_number_do_not_share_a_cap() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    assert!(matches!(ledger.reserve(&charge(1, 0, rho(500)), &[]), Ok(Reserving::Paid(_))));
    let issuer = SecretKey::from_seed(&[2; 32]).public();
    let others = Charge { permit: PermitId { issuer, ..permit_id(0) }, ..charge(2, 0, rho(500)) };
    let reserved = ledger.reserve(&others, &[]);
    assert!(matches!(reserved, Ok(Reserving::Paid(_))), "one body could use up the permits of another");
}
