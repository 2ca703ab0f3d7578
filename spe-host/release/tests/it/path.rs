//! The way of one answer: accumulate, pay, noise, commit, open at the hub, merge.

use serde_json::json;
use spe_kernel::{
    disclosure::{Confidential, Draw},
    dsse::SecretKey,
    fault::Fault,
    federation::{merge, open_answer},
    ids::{Digest, NodeName},
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reservation, Reserving, Total},
    permit::PermitId,
    plan::Plan,
    record::Contribution,
};
use spe_release::{Accumulator, draw};

use crate::plans::{plan, plan_of};

/// A journal that forgets.
struct Forgetful;

impl Journal for Forgetful {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        Ok(Vec::new())
    }
    fn find(&mut self, _: &AnswerKey) -> Result<Option<Entry>, Fault> {
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
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot: Digest::of(b"snapshot") };
    let issuer = SecretKey::from_seed(&[1; 32]).public();
    let (loss, permit) = (plan.loss(), PermitId { number: "p-1".parse().unwrap(), issuer });
    let charge = Charge { key, permit, job: Digest::of(b"job"), loss, dataset_cap: loss, permit_cap: loss };
    let Ok(Reserving::Paid(paid)) = ledger.reserve(&charge) else { panic!("refused") };
    paid
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
    let key = SecretKey::from_seed(&[7; 32]);
    let answer = |name: &str| {
        let node: NodeName = name.parse().unwrap();
        let mut ledger = Ledger::open(Forgetful).unwrap();
        let paid = pay(&mut ledger, &plan);
        let noise = draw(&plan).unwrap();
        let sums = Confidential::seal(Accumulator::new(&plan)).map(|mut sums| {
            (0..5_000)
                .for_each(|i| sums.add(Contribution::Numbers(&[1.0, f64::from(i % 2), 4.0, f64::from(i % 2) * 9.0])));
            sums.finish()
        });
        let noised = sums.noise(paid, noise).unwrap();
        let committed = ledger.commit(noised, &node, &key).unwrap();
        struct Log;
        impl spe_kernel::audit::AuditLog for Log {
            fn record(&mut self, _: &AnswerKey, _: Digest) -> Result<(), Fault> {
                Ok(())
            }
        }
        let released = spe_kernel::audit::append(&mut Log, committed).unwrap();
        open_answer(released.envelope(), &plan, &node, key.public()).expect("an answer that the hub accepts")
    };
    let statistics = merge(&plan, &[answer("north"), answer("south")]);
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
