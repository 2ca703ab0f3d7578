//! The way of one answer: accumulate, pay, noise, commit, open at the hub, merge.

use serde_json::json;
use spe_kernel::{
    Timestamp,
    disclosure::{Answer, Confidential, Draw},
    dsse::SecretKey,
    fault::Fault,
    federation::{merge, open_answer},
    gate::{self, Cleared, OutputRules},
    ids::{Digest, NodeName},
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reservation, Reserving, Total},
    permit::{PermitId, Review},
    plan::Plan,
    record::Contribution,
};
use spe_release::{Accumulator, draw};

use crate::plans::{every_kind, plan, plan_of, try_plan_of, wide_kinds};

/// A journal that forgets.
struct Forgetful;

impl Journal for Forgetful {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        Ok(Vec::new())
    }
    fn find(&mut self, _: &AnswerKey) -> Result<Option<Entry>, Fault> {
        Ok(None)
    }
    fn leaves_at(&mut self, _: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        Ok(None)
    }
    fn paid_by(&mut self, _: &Charge) -> Result<bool, Fault> {
        Ok(false)
    }
    fn state(&mut self, _: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        Ok(None)
    }
    fn bought(&mut self, _: Digest) -> Result<bool, Fault> {
        Ok(false)
    }
    fn append(&mut self, _: &Event<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

fn pay(ledger: &mut Ledger<Forgetful>, plan: &Plan) -> Reservation {
    let snapshot = Digest::of(b"snapshot");
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot, round: 0 };
    let issuer = SecretKey::from_seed(&[1; 32]).public();
    let (loss, permit) = (plan.charge(), PermitId { number: "p-1".parse().unwrap(), issuer });
    let charge = Charge {
        key,
        permit,
        person: "ada".parse().unwrap(),
        job: Digest::of(b"job"),
        loss,
        dataset_cap: loss,
        permit_cap: loss,
        overlap: plan.overlap(),
        subjects_max: 1_000_000,
        leaves_at: Timestamp::UNIX_EPOCH,
        release: plan.release(),
    };
    let Ok(Reserving::Paid(paid)) = ledger.reserve(&charge, &[]) else { panic!("refused") };
    paid
}

/// What leaves for these sums: paid for, noised, signed, logged, and opened as the hub does.
pub(crate) fn answer(plan: &Plan, node: &str, sums: Accumulator) -> Answer {
    struct Log;
    impl spe_kernel::audit::AuditLog for Log {
        fn record(&mut self, _: &AnswerKey, _: Digest) -> Result<(), Fault> {
            Ok(())
        }
    }
    let (key, node) = (SecretKey::from_seed(&[7; 32]), node.parse::<NodeName>().unwrap());
    let mut ledger = Ledger::open(Forgetful).unwrap();
    let noise = draw(plan).unwrap();
    let paid = pay(&mut ledger, plan);
    let noised = Confidential::seal(sums).map(Accumulator::finish).noise(paid, noise).unwrap();
    let committed = ledger.commit(noised, &node, &key).unwrap();
    let examined = gate::examine(&committed, plan, (&node, key.public()), &OutputRules::default()).unwrap();
    let cleared = Cleared::automatically(committed, &examined, Review::Automatic).ok().expect("an answer in order");
    let released = spe_kernel::audit::append(&mut Log, cleared).unwrap();
    open_answer(released.envelope(), plan, &node, key.public()).expect("an answer that the hub accepts")
}

fn three_outputs() -> Plan {
    let outputs = [
        json!({"name": "people", "kind": "count"}),
        json!({"name": "visits", "kind": "grouped_mean", "categories": ["a", "b"], "lower": 0, "upper": 20}),
        json!({"name": "cost", "kind": "sum", "lower": 0, "upper": 5}),
    ];
    plan_of(&outputs.map(|output| json!({"output": output, "grid_bits": 20, "loss": "rho=0.5"})))
}

/// Two nodes' worth of people through every step; a draw that fits no sum, or a scale that the hub rejects, would show here.
#[test]
fn answers_merge_into_statistics() {
    let plan = three_outputs();
    let people = || {
        let mut sums = Accumulator::new(&plan);
        (0..5_000).for_each(|i| sums.add(Contribution::Numbers(&[1.0, f64::from(i % 2), 4.0, f64::from(i % 2) * 9.0])));
        sums
    };
    let statistics = merge(&plan, &[answer(&plan, "north", people()), answer(&plan, "south", people())]);
    let value = |i: usize, j: usize| statistics[i].estimates[j].value;
    for (name, value, truth, slack) in [
        ("people", value(0, 0), 10_000.0, 20.0),
        ("visits a", value(1, 0), 4.0, 0.1),
        ("visits b", value(1, 1), 4.0, 0.1),
        ("cost", value(2, 0), 25_000.0, 100.0),
    ] {
        assert!((value - truth).abs() < slack && (value - truth).abs() > 1e-9, "{name}: {value} for {truth}");
    }
}

/// Noise for another plan could be too small for these sums: no number may come of it.
#[test]
fn noise_of_another_plan_is_refused() {
    let (one, other) = (
        plan(&json!({"name": "o", "kind": "count"}), 20, "rho=0.5"),
        plan(&json!({"name": "o", "kind": "count"}), 20, "rho=5"),
    );
    let sums = || Confidential::seal(Accumulator::new(&one).finish());
    let paid = || pay(&mut Ledger::open(Forgetful).unwrap(), &one);
    let wrong: [Draw; 1] = [draw(&other).unwrap()];
    for noise in wrong {
        assert!(sums().noise(paid(), noise).is_err());
    }
    let mixed = Accumulator::new(&one).merge(Accumulator::new(&other)).finish();
    assert!(
        Confidential::seal(mixed).noise(paid(), draw(&one).unwrap()).is_err(),
        "sums of two plans were noised as one's"
    );
    assert!(sums().noise(paid(), draw(&one).unwrap()).is_ok());
}

/// A key shows what one person has unless a δ was paid for it: a plan without one must not exist.
#[test]
fn keys_need_a_delta() {
    let planned = |kind: &str, loss: &str| {
        let output = if kind == "keys" { json!({"released_max": 5}) } else { json!({}) };
        let named = json!({"name": "o", "kind": kind});
        let fields =
            [named, output].iter().flat_map(|o| o.as_object().unwrap().clone()).collect::<serde_json::Map<_, _>>();
        try_plan_of(&[json!({"output": fields, "grid_bits": 20, "loss": loss})]).is_ok()
    };
    assert!(planned("keys", "rho=0.5,delta=0.000001") && planned("keys", "epsilon=0.5,delta=0.000001"));
    assert!(!planned("keys", "rho=0.5") && !planned("keys", "epsilon=0.5"));
    assert!(!planned("count", "rho=0.5,delta=0.000001"), "a δ that buys nothing");
}

/// Every kind through every step: a draw that fits no sum, or an answer that the hub does not open, would show here.
#[test]
fn every_kind_finds_the_way_out() {
    for output in every_kind((-1.0, 1.0)).iter().chain(&wide_kinds()) {
        for loss in ["rho=2", "epsilon=4"] {
            let plan = plan(output, 20, loss);
            let mut sums = Accumulator::new(&plan);
            (0..5_000).for_each(|_| sums.add(Contribution::Numbers(&vec![1.0; plan.numbers()])));
            let merged = merge(&plan, &[answer(&plan, "north", sums)]);
            let estimates = &merged[0].estimates;
            assert!(!estimates.is_empty(), "{output}: nothing came out");
            assert!(estimates.iter().all(|e| e.low <= e.value && e.value <= e.high), "{output}: {estimates:?}");
        }
    }
}
