//! A node that lies is left out; the others are merged.

use spe_kernel::{
    disclosure::{ANSWER_FORMAT, ANSWER_TYPE, Answer, Cells, NoisyOutput},
    dsse::{self, SecretKey},
    federation::{mechanism, merge, nominal_scale, open_answer},
    ids::Digest,
    plan::Plan,
};

use crate::fixture::plan;

fn key() -> SecretKey {
    SecretKey::from_seed(&[5; 32])
}

fn answer(plan: &Plan, cell: i128) -> Answer {
    let output = |p: &spe_kernel::plan::Planned| NoisyOutput {
        mechanism: mechanism(plan.measure()),
        scale: nominal_scale(p),
        cells: Cells(vec![cell; p.output.kind.cells()]),
    };
    Answer {
        format: ANSWER_FORMAT.into(),
        node: "north".parse().unwrap(),
        dataset: plan.dataset().clone(),
        snapshot: Digest::of(b"s"),
        plan: plan.digest(),
        loss: plan.loss(),
        outputs: plan.outputs().iter().map(output).collect(),
    }
}

fn open(answer: &Answer, plan: &Plan) -> Result<Answer, String> {
    let envelope = dsse::sign(ANSWER_TYPE, &serde_json::to_vec(answer).unwrap(), &key());
    open_answer(&envelope, plan, &"north".parse().unwrap(), key().public())
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
}

#[test]
fn a_lie_is_named() {
    let plan = plan("rho=0.1", 0);
    let lie = |change: &dyn Fn(&mut Answer)| {
        let mut answer = answer(&plan, 0);
        change(&mut answer);
        open(&answer, &plan).unwrap_err()
    };
    assert!(lie(&|a| a.plan = Digest::of(b"other")).contains("another plan"));
    assert!(lie(&|a| a.node = "south".parse().unwrap()).contains("south"));
    assert!(lie(&|a| a.loss = "rho=0.05".parse().unwrap()).contains("another plan"));
    assert!(lie(&|a| a.outputs[0].scale /= 2.0).contains("noise"), "too little noise would pass");
    assert!(lie(&|a| a.outputs[0].scale = f64::MAX).contains("noise"));
    assert!(lie(&|a| a.outputs[0].cells.0.clear()).contains("shape"));
    assert!(lie(&|a| a.outputs.truncate(1)).contains("shape"));
    assert!(lie(&|a| a.outputs[0].cells.0[0] = i128::MAX).contains("shape"), "a sum could overflow");
    let other = SecretKey::from_seed(&[6; 32]);
    let forged = dsse::sign(ANSWER_TYPE, &serde_json::to_vec(&answer(&plan, 0)).unwrap(), &other);
    assert!(
        open_answer(&forged, &plan, &"north".parse().unwrap(), key().public()).is_err(),
        "the hub could answer for a node"
    );
}

#[test]
fn the_length_of_an_answer_tells_nothing() {
    let plan = plan("rho=0.1", 0);
    let length = |cell| serde_json::to_vec(&answer(&plan, cell)).unwrap().len();
    assert_eq!(length(0), length(-123_456_789_012_345_678_901_234_567));
}
