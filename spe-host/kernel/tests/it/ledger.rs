//! The ledger against a reference model, with random requests and crashes.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use proptest::prelude::*;
use spe_kernel::{
    disclosure::{Confidential, Draw, DrawnOutput, Mechanism},
    dsse::SecretKey,
    fault::Fault,
    ids::Digest,
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reserving, Total},
    permit::PermitId,
    refusal::{Refusal, Stop},
};

use crate::fixture::loss;

#[derive(Default)]
struct Disk {
    charges: BTreeMap<AnswerKey, (Charge, Option<Vec<u8>>)>,
    /// Fails the next append before (`Some(false)`) or after (`Some(true)`) it became durable.
    fail: Option<bool>,
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Disk>>);

impl Journal for Memory {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        let mut sums: BTreeMap<_, spe_kernel::units::Loss> = BTreeMap::new();
        for (charge, _) in self.0.borrow().charges.values() {
            let name = (charge.key.dataset.clone(), charge.permit.clone());
            let sum = sums.get(&name).map_or(Ok(charge.loss), |s| s.plus(charge.loss)).unwrap();
            sums.insert(name, sum);
        }
        Ok(sums.into_iter().map(|((dataset, permit), spent)| Total { dataset, permit, spent }).collect())
    }

    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        let disk = self.0.borrow();
        Ok(disk.charges.get(key).map(|(_, answer)| answer.clone().map_or(Entry::Open, Entry::Answered)))
    }

    fn bought(&mut self, job: Digest) -> Result<bool, Fault> {
        Ok(self.0.borrow().charges.values().any(|(charge, _)| charge.job == job))
    }

    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let mut disk = self.0.borrow_mut();
        let fail = disk.fail.take();
        if fail == Some(false) {
            return Err(Fault::new("test", "the disk failed before the event"));
        }
        match event {
            Event::Reserved(charge) => {
                let new = disk.charges.insert(charge.key.clone(), ((*charge).clone(), None)).is_none();
                assert!(new, "the same question was charged twice");
            }
            Event::Committed { key, envelope } => {
                let slot = &mut disk.charges.get_mut(*key).expect("committed without a charge").1;
                assert!(slot.replace(envelope.to_vec()).is_none(), "a second answer to the same question");
            }
        }
        if fail.is_some() { Err(Fault::new("test", "the disk failed after the event")) } else { Ok(()) }
    }
}

fn key(question: u8) -> AnswerKey {
    AnswerKey { plan: Digest::of(&[question]), dataset: "care".parse().unwrap(), snapshot: Digest::of(b"s") }
}

fn permit_id(permit: u8) -> PermitId {
    PermitId { number: format!("p{permit}").parse().unwrap(), issuer: SecretKey::from_seed(&[1; 32]).public() }
}

fn charge(question: u8, permit: u8, pico: u64) -> Charge {
    Charge {
        key: key(question),
        permit: permit_id(permit),
        job: Digest::of(&[question, 1]),
        loss: spe_kernel::units::Loss::from_pico(spe_kernel::units::Measure::Zcdp, pico),
        dataset_cap: spe_kernel::units::Loss::from_pico(spe_kernel::units::Measure::Zcdp, 1_000),
        permit_cap: spe_kernel::units::Loss::from_pico(spe_kernel::units::Measure::Zcdp, 600),
    }
}

fn commit(ledger: &mut Ledger<Memory>, paid: spe_kernel::ledger::Reservation, noise: i128) -> Result<(), Fault> {
    let draw = Draw::new(
        paid.key().plan,
        vec![DrawnOutput { mechanism: Mechanism::DiscreteGaussian, scale: 1.0, noise: vec![noise] }],
    );
    let noised = Confidential::seal(vec![vec![0]]).noise(paid, draw)?;
    ledger.commit(noised, &"north".parse().unwrap(), &SecretKey::from_seed(&[3; 32])).map(drop)
}

#[derive(Debug, Clone)]
enum Act {
    Ask { question: u8, permit: u8, pico: u64, commit: bool },
    FailNext(bool),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..12_u8, 0..3_u8, 1..300_u64, any::<bool>())
            .prop_map(|(question, permit, pico, commit)| Act::Ask { question, permit, pico, commit }),
        1 => any::<bool>().prop_map(Act::FailNext),
        2 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Reference model: what is on the disk. A lost charge, a charge above a cap, a second answer or a changed answer is a bug.
    #[test]
    fn nothing_is_lost_or_overspent(acts in prop::collection::vec(act(), 1..60)) {
        let disk = Memory::default();
        let mut ledger = Ledger::open(disk.clone()).unwrap();
        let mut seen: BTreeMap<AnswerKey, Vec<u8>> = BTreeMap::new();
        for (step, act) in acts.into_iter().enumerate() {
            match act {
                Act::Restart => {
                    disk.0.borrow_mut().fail = None;
                    ledger = Ledger::open(disk.clone()).unwrap();
                }
                Act::FailNext(after) => disk.0.borrow_mut().fail = Some(after),
                Act::Ask { question, permit, pico, commit: finish } => {
                    let before = disk.0.borrow().charges.get(&key(question)).cloned();
                    let asked = charge(question, permit, pico);
                    match (ledger.reserve(&asked), before) {
                        (Ok(Reserving::Paid(paid)), None) => {
                            prop_assert!(disk.0.borrow().charges.contains_key(&key(question)), "not durable before data is read");
                            if finish { let _ = commit(&mut ledger, paid, step as i128); }
                        }
                        (Ok(Reserving::Answered(_)), Some((_, Some(_)))) => {}
                        (Err(Stop::Refused(Refusal::Interrupted { .. })), Some((_, None))) => {}
                        (Err(Stop::Refused(_)), None) => prop_assert!(!disk.0.borrow().charges.contains_key(&key(question))),
                        (Err(Stop::Failed(_)), _) => {}
                        (_, before) => prop_assert!(false, "unexpected outcome; before: {before:?}"),
                    }
                }
            }
            let disk = disk.0.borrow();
            let total: u64 = disk.charges.values().map(|(c, _)| c.loss.pico()).sum();
            prop_assert!(total <= 1_000, "the dataset's cap was exceeded: {total}");
            for permit in 0..3_u8 {
                let name = permit_id(permit);
                let spent: u64 = disk.charges.values().filter(|(c, _)| c.permit == name).map(|(c, _)| c.loss.pico()).sum();
                prop_assert!(spent <= 600, "the permit's cap was exceeded: {spent}");
            }
            for (key, (_, answer)) in &disk.charges {
                if let Some(answer) = answer {
                    prop_assert_eq!(seen.entry(key.clone()).or_insert_with(|| answer.clone()), answer, "an answer changed");
                }
            }
        }
    }
}

#[test]
fn noise_for_another_plan_or_shape_is_not_added() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let mut paid = |question| match ledger.reserve(&charge(question, 0, 1)) {
        Ok(Reserving::Paid(paid)) => paid,
        _ => panic!("refused"),
    };
    let draw = |plan, cells| {
        Draw::new(plan, vec![DrawnOutput { mechanism: Mechanism::DiscreteLaplace, scale: 1.0, noise: vec![0; cells] }])
    };
    assert!(Confidential::seal(vec![vec![7]]).noise(paid(1), draw(key(2).plan, 1)).is_err());
    assert!(Confidential::seal(vec![vec![7]]).noise(paid(3), draw(key(3).plan, 2)).is_err());
    assert!(Confidential::seal(vec![vec![7], vec![8]]).noise(paid(4), draw(key(4).plan, 1)).is_err());
    assert!(
        Confidential::seal(vec![vec![i128::MAX]])
            .noise(
                paid(5),
                Draw::new(
                    key(5).plan,
                    vec![DrawnOutput { mechanism: Mechanism::DiscreteLaplace, scale: 1.0, noise: vec![1] }]
                )
            )
            .is_err()
    );
}

#[test]
fn measures_do_not_mix_on_one_dataset() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let in_epsilon = Charge { loss: loss("epsilon=0.000000000001"), ..charge(1, 0, 1) };
    assert!(matches!(ledger.reserve(&in_epsilon), Err(Stop::Refused(Refusal::DatasetLossExhausted { .. }))));
}

#[test]
fn a_replayed_job_buys_nothing_on_a_new_snapshot() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    assert!(matches!(ledger.reserve(&charge(1, 0, 5)), Ok(Reserving::Paid(_))));
    let on_new_data = Charge { key: AnswerKey { snapshot: Digest::of(b"new"), ..key(1) }, ..charge(1, 0, 5) };
    let replayed = ledger.reserve(&on_new_data);
    assert!(matches!(replayed, Err(Stop::Refused(Refusal::JobSpent))), "a hub could spend the budget with old jobs");
    let signed_again = Charge { job: Digest::of(b"signed again"), ..on_new_data };
    assert!(matches!(ledger.reserve(&signed_again), Ok(Reserving::Paid(_))));
}

#[test]
fn permits_of_two_bodies_with_one_number_do_not_share_a_cap() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    assert!(matches!(ledger.reserve(&charge(1, 0, 500)), Ok(Reserving::Paid(_))));
    let issuer = SecretKey::from_seed(&[2; 32]).public();
    let others = Charge { permit: PermitId { issuer, ..permit_id(0) }, ..charge(2, 0, 500) };
    assert!(matches!(ledger.reserve(&others), Ok(Reserving::Paid(_))), "one body could use up the permits of another");
}
