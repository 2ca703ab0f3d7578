//! A node that lies is left out; the others are merged.

use serde_json::json;
use spe_kernel::{
    certificate::{Certificate, Spent},
    disclosure::{ANSWER_FORMAT, ANSWER_TYPE, Answer, Cells, Mechanism, NO_KEY, NoisyOutput},
    dsse::{self, SecretKey},
    federation::{KEY_END, key_threshold, mechanism, merge, nominal_scale, open_answer},
    ids::Digest,
    ledger::{AnswerKey, Charge},
    manifest::Manifest,
    permit::PermitId,
    plan::{Choices, Plan, Planned},
    rounds::{Merged, state_digest, update_input},
    units::Loss,
};

use crate::fixture::{loss, manifest_json, module, plan, schema};

fn key() -> SecretKey {
    SecretKey::from_seed(&[5; 32])
}

fn answer(plan: &Plan, cell: i128) -> Answer {
    let output = |p: &Planned| NoisyOutput {
        mechanism: mechanism(plan.measure()),
        scale: nominal_scale(p),
        sensitivity: p.sensitivity(),
        cells: Cells(vec![cell; p.output.kind.cells()]),
    };
    let (charge, zero) = (plan.charge(), Loss::zero(plan.measure()));
    Answer {
        format: ANSWER_FORMAT.into(),
        node: "north".parse().unwrap(),
        dataset: plan.dataset().clone(),
        snapshot: Digest::of(b"s"),
        plan: plan.digest(),
        round: 0,
        state: state_digest(&[]),
        loss: charge,
        outputs: plan.outputs().iter().map(output).collect(),
        certificate: certificate(plan, Spent { before: zero, after: charge, exact_tables: 0 }),
    }
}

fn certificate(plan: &Plan, spent: Spent) -> Certificate {
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot: Digest::of(b"s"), round: 0 };
    let permit = PermitId { number: "dap-1".parse().unwrap(), issuer: self::key().public() };
    let (budget, loss) = (loss("rho=1"), plan.charge());
    let job = Digest::of(b"job");
    let (overlap, subjects_max, leaves_at) = (plan.overlap(), 10_000, jiff::Timestamp::UNIX_EPOCH);
    let (person, dataset_cap, permit_cap) = ("ada".parse().unwrap(), budget, budget);
    let release = plan.release();
    let charge =
        Charge { key, permit, person, job, loss, dataset_cap, permit_cap, overlap, subjects_max, leaves_at, release };
    Certificate::of(&charge, spent)
}

fn open(answer: &Answer, plan: &Plan) -> Result<Answer, String> {
    let envelope = dsse::sign(ANSWER_TYPE, &serde_json::to_vec(answer).unwrap(), &key());
    open_answer(&envelope, plan, &"north".parse().unwrap(), key().public())
}

/// The plan of a module with another output and other rounds.
fn other(change: impl FnOnce(&mut serde_json::Value), cost: &str) -> Plan {
    let mut manifest = manifest_json();
    change(&mut manifest);
    let manifest = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    Plan::new(&manifest, module(), &schema(), &Choices::new(loss(cost))).unwrap()
}

#[test]
fn answers_add_up() {
    let plan = plan("rho=0.1", 0);
    let one = 1_i128 << 20;
    let answers = [open(&answer(&plan, 40 * one), &plan).unwrap(), open(&answer(&plan, 60 * one), &plan).unwrap()];
    let merged = merge(&plan, &answers);
    let people = &merged[0].estimates[0];
    assert!((people.value - 100.0).abs() < 1e-9);
    let sd = nominal_scale(&plan.outputs()[0]) / one as f64 * 2.0_f64.sqrt();
    assert!((people.high - people.value - 1.959_964 * sd).abs() < 1e-4, "two nodes' noise adds in variance");
    assert_eq!(merged[1].estimates.len(), 3, "two categories and `other`");
    assert!(merge(&plan, &[]).is_empty());
    let next = Merged::of(&plan, &answers);
    assert!(next.fits(&plan) && next.nodes == 2);
    assert_eq!(next.sums, [Cells(vec![100 * one]), Cells(vec![100 * one; 6])], "a round would go on with other sums");
}

#[test]
fn a_lie_is_named() {
    let plan = plan("rho=0.1", 0);
    let lie = |change: &dyn Fn(&mut Answer)| {
        let mut answer = answer(&plan, 0);
        change(&mut answer);
        open(&answer, &plan).unwrap_err()
    };
    assert!(lie(&|a| a.format = "spe.answer/1".into()).contains("spe.answer/1"));
    assert!(lie(&|a| a.plan = Digest::of(b"other")).contains("another plan"));
    assert!(lie(&|a| a.node = "south".parse().unwrap()).contains("south"));
    assert!(lie(&|a| a.loss = "rho=0.05".parse().unwrap()).contains("another plan"));
    assert!(lie(&|a| a.outputs[0].scale /= 2.0).contains("noise"), "too little noise would pass");
    assert!(lie(&|a| a.outputs[0].scale = f64::MAX).contains("noise"));
    assert!(lie(&|a| a.outputs[0].mechanism = Mechanism::DiscreteLaplace).contains("noise"), "its interval is another");
    assert!(lie(&|a| a.outputs[0].scale = f64::NAN).contains("malformed"));
    assert!(lie(&|a| a.outputs[0].sensitivity += 1).contains("noise"), "it says that its contributions may be larger");
    assert!(lie(&|a| a.outputs[0].cells.0.clear()).contains("shape"));
    assert!(lie(&|a| a.outputs.truncate(1)).contains("shape"));
    assert!(lie(&|a| a.outputs[0].cells.0[0] = i128::MAX).contains("shape"), "a sum could overflow");
    assert!(lie(&|a| (a.round, a.loss) = (1, loss("rho=0"))).contains("round 1 of 1"));
    let forger = SecretKey::from_seed(&[6; 32]);
    let forged = dsse::sign(ANSWER_TYPE, &serde_json::to_vec(&answer(&plan, 0)).unwrap(), &forger);
    assert!(
        open_answer(&forged, &plan, &"north".parse().unwrap(), key().public()).is_err(),
        "the hub could answer for a node"
    );
}

/// Only the first round of an answer has a price, and that is the price of all.
#[test]
fn an_answer_of_a_later_round_costs_nothing() {
    let rounds = json!({ "default": 2, "max": 2, "state": ["w"] });
    let plan = other(|m| m["rounds"] = rounds, "rho=0.1");
    let at = |round: u32, cost: &str| open(&Answer { round, loss: loss(cost), ..answer(&plan, 0) }, &plan);
    assert!(at(0, "rho=0.1").is_ok() && at(1, "rho=0").is_ok());
    assert!(at(0, "rho=0").is_err() && at(1, "rho=0.1").is_err() && at(2, "rho=0").is_err());
}

/// A module learns moments in either ledger: shares, or sums of other numbers, would make another model.
#[test]
fn a_round_goes_on_with_moments() {
    let outputs = json!([
        { "name": "stay", "kind": "mean", "lower": 0.0, "upper": 30.0 },
        { "name": "spread", "kind": "variance", "lower": 0.0, "upper": 30.0 },
        { "name": "people", "kind": "count" }
    ]);
    let change = |m: &mut serde_json::Value| {
        m["outputs"] = outputs.clone();
        m["rounds"] = json!({ "default": 2, "max": 2, "state": ["w"] });
    };
    // Eight people with y = ½.
    for (cost, variance) in [("rho=0.1", [16, 8, -4]), ("epsilon=0.1", [1, 6, 9])] {
        let plan = other(change, cost);
        let halves = |cells: &[i128]| Cells(cells.iter().map(|cell| cell << 19).collect());
        let merged = Merged { nodes: 2, sums: vec![halves(&[4, 12]), halves(&variance), halves(&[16])] };
        assert_eq!(
            update_input(&plan, 1, &[0.5], Some(&merged)),
            [1.0, 2.0, 0.5, 8.0, 4.0, 8.0, 4.0, -2.0, 8.0],
            "in a ledger of {cost}"
        );
    }
}

#[test]
fn the_length_of_an_answer_tells_nothing() {
    let plan = plan("rho=0.1", 0);
    let length = |cell| serde_json::to_vec(&answer(&plan, cell)).unwrap().len();
    assert_eq!(length(0), length(-123_456_789_012_345_678_901_234_567));
}

fn keyed(per_subject: u32, cost: &str) -> Plan {
    let keys =
        json!([{ "name": "codes", "kind": "keys", "per_subject": per_subject, "released_max": 3, "default": null }]);
    other(|m| m["outputs"] = keys, cost)
}

/// A hub that took them for an answer would show keys that no node released, or add one up twice.
#[test]
fn keys_that_were_not_released_are_a_lie() {
    let plan = keyed(1, "rho=0.1,delta=0.000001");
    let planned = &plan.outputs()[0];
    let enough = key_threshold(planned, nominal_scale(planned));
    let opened = |cells: [i128; 6]| {
        let mut answer = answer(&plan, 0);
        answer.outputs[0].cells.0 = cells.to_vec();
        open(&answer, &plan).is_ok()
    };
    assert!(opened([NO_KEY, 0, NO_KEY, 0, NO_KEY, 0]));
    assert!(opened([0, enough, 7, enough + 9, KEY_END - 1, enough]));
    assert!(opened([5, enough, NO_KEY, 0, NO_KEY, 0]));
    assert!(!opened([5, enough - 1, NO_KEY, 0, NO_KEY, 0]), "below the threshold");
    assert!(!opened([5, enough, 5, enough, NO_KEY, 0]), "the same key twice");
    assert!(!opened([7, enough, 5, enough, NO_KEY, 0]), "an order that could tell something");
    assert!(!opened([NO_KEY, 0, 5, enough, NO_KEY, 0]), "an empty place before a key");
    assert!(!opened([5, enough, NO_KEY, 1, NO_KEY, 0]), "something in an empty place");
    assert!(!opened([KEY_END, enough, NO_KEY, 0, NO_KEY, 0]) && !opened([-2, enough, NO_KEY, 0, NO_KEY, 0]));
}

/// P[Z ≥ at] of the discrete Gaussian or Laplace of that scale, added up term by term.
fn tail(at: i128, mass: impl Fn(f64) -> f64, reach: i128) -> f64 {
    let from = |least: i128| (least..=reach).rev().map(|z| mass(z as f64)).sum::<f64>();
    from(at) / from(-reach)
}

/// A threshold one unit too low would release one person's key with more than the δ that was paid; one that is far too high would
/// hide what many have. On the coarse grid the bounds' slack of a few people shows.
#[test]
fn a_lone_key_passes_with_no_more_than_its_delta() {
    for cost in ["rho=0.5", "rho=0.01", "epsilon=1", "epsilon=0.1"] {
        for (delta, m) in [(0.1, 1), (0.01, 3), (1e-6, 1), (1e-6, 8), (1e-9, 1)] {
            for bits in [0, 3, 6] {
                let mut raw = serde_json::to_value(keyed(m, &format!("{cost},delta={delta:.12}"))).unwrap();
                raw["outputs"][0]["grid_bits"] = json!(bits);
                let plan: Plan = serde_json::from_value(raw).unwrap();
                let planned = &plan.outputs()[0];
                let scale = nominal_scale(planned);
                let (threshold, one) = (key_threshold(planned, scale), 1_i128 << bits);
                let gaussian = cost.starts_with("rho");
                let mass =
                    |z: f64| if gaussian { (-z * z / (2.0 * scale * scale)).exp() } else { (-z.abs() / scale).exp() };
                let reach = (scale * 60.0) as i128 + 60;
                let passes = |threshold: i128| tail(threshold - one, mass, reach) * f64::from(m);
                assert!(
                    passes(threshold) <= delta,
                    "{cost}, δ = {delta}, {m} keys on grid {bits}: {}",
                    passes(threshold)
                );
                let lower = threshold - 6 - (0.1 * scale) as i128;
                assert!(passes(lower) > delta, "{cost}, δ = {delta}, {m} keys on grid {bits}: {lower} would have done");
            }
        }
    }
}
