//! What leaves was examined, and somebody answers for it.

use spe_kernel::{
    disclosure::{Committed, Confidential, Draw, DrawnOutput, Fresh, OutputSums},
    dsse::SecretKey,
    federation::{mechanism, nominal_scale},
    gate::{Cleared, Examined, OutputRules, examine},
    ids::NodeName,
    ledger::{AnswerKey, Ledger},
    officer::{Duty, Matter, Officer, VERDICT_FORMAT, Verdict, VerdictBody},
    permit::Review,
    plan::Plan,
    refusal::Refusal,
};

use crate::{
    disk::{Memory, charge, paid},
    fixture::{loss, plan},
};

fn north() -> NodeName {
    "north".parse().unwrap()
}

fn signer() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

/// A committed answer of so many people, with no noise, at `scale` times the scale that the plan buys.
fn committed(plan: &Plan, people: i128, scale: f64) -> Committed {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), ..charge(1, 0, plan.charge()).key };
    let cap = loss("rho=1");
    let asked = spe_kernel::ledger::Charge { key, dataset_cap: cap, permit_cap: cap, ..charge(1, 0, plan.charge()) };
    let paid = paid(ledger.reserve(&asked, &[]));
    let sums = |p: &spe_kernel::plan::Planned| OutputSums::Cells(vec![people << p.grid_bits; p.output.kind.cells()]);
    let drawn = |p: &spe_kernel::plan::Planned| DrawnOutput {
        mechanism: mechanism(plan.measure()),
        scale: scale * nominal_scale(p),
        sensitivity: p.sensitivity(),
        noise: Fresh::Cells(vec![0; p.output.kind.cells()]),
    };
    let draw = Draw::new(plan.digest(), plan.outputs().iter().map(drawn).collect());
    let noised = Confidential::seal(plan.outputs().iter().map(sums).collect()).noise(paid, draw).unwrap();
    ledger.commit(noised, &north(), &signer()).unwrap()
}

fn seen(committed: &Committed, plan: &Plan) -> Examined {
    examined(committed, plan, 10)
}

fn examined(committed: &Committed, plan: &Plan, people_min: u32) -> Examined {
    let rules = OutputRules { people_min, ..OutputRules::default() };
    examine(committed, plan, (&north(), signer().public()), &rules).unwrap()
}

fn verdict(about: &Committed, allowed: bool) -> Verdict {
    let (name, key): (spe_kernel::ids::PersonName, _) = ("ola".parse().unwrap(), SecretKey::from_seed(&[4; 32]));
    let body = VerdictBody {
        format: VERDICT_FORMAT.into(),
        node: north(),
        matter: Matter::Release(about.digest()),
        allowed,
        reason: "too few".into(),
        officer: name.clone(),
        decided_at: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    let officer = Officer { name, key: key.public(), duties: vec![Duty::CheckOutputs] };
    Verdict::verify(&body.sign(&key), &north(), &[officer]).unwrap()
}

#[test]
fn an_answer_in_order_leaves_by_itself_where_the_permit_says_so() {
    let plan = plan("rho=0.1", 0);
    let answer = committed(&plan, 50, 1.0);
    let examined = examined(&answer, &plan, 10);
    assert!(examined.findings().is_empty() && examined.statistics().len() == plan.outputs().len());
    let held = Cleared::automatically(answer, &examined, Review::Checked);
    // A bug would be: an answer that a person was to check leaves without one.
    let answer = held.err().expect("an officer was to check it");
    assert!(Cleared::automatically(answer, &examined, Review::Automatic).is_ok());
}

#[test]
fn small_groups_do_not_leave_by_themselves() {
    let plan = plan("rho=0.1", 0);
    let answer = committed(&plan, 9, 1.0);
    let few = examined(&answer, &plan, 10);
    assert!(!few.findings().is_empty(), "a number about 9 people passed a rule of 10");
    assert!(Cleared::automatically(answer, &few, Review::Automatic).is_err());
    let negative = examined(&committed(&plan, -5, 1.0), &plan, 0);
    assert!(negative.findings().is_empty(), "a noisy count below 0 was held back where there is no rule");
    assert!(examined(&committed(&plan, 9, 1.0), &plan, 9).findings().is_empty(), "9 are not fewer than 9");
}

#[test]
fn what_was_found_in_one_answer_clears_no_other() {
    let plan = plan("rho=0.1", 0);
    let good = examined(&committed(&plan, 50, 1.0), &plan, 10);
    assert!(Cleared::automatically(committed(&plan, 9, 1.0), &good, Review::Automatic).is_err());
}

#[test]
fn an_answer_with_too_little_noise_never_leaves() {
    let plan = plan("rho=0.1", 0);
    let weak = committed(&plan, 50, 0.9);
    examine(&weak, &plan, (&north(), signer().public()), &OutputRules::default())
        .expect_err("noise was a tenth too small");
}

#[test]
fn an_officer_clears_the_very_answer_that_was_seen() {
    let plan = plan("rho=0.1", 0);
    let (answer, other) = (committed(&plan, 9, 1.0), committed(&plan, 8, 1.0));
    let (yes, no) = (verdict(&answer, true), verdict(&answer, false));
    let (of_answer, of_other) = (seen(&answer, &plan), seen(&other, &plan));
    assert!(Cleared::by_officer(other, &of_other, &yes).is_err(), "a verdict about another answer let this one out");
    let refused = Cleared::by_officer(answer, &of_answer, &no).err();
    assert_eq!(refused, Some(Refusal::OfficerRefused { reason: "too few".into() }));
    assert!(Cleared::by_officer(committed(&plan, 9, 1.0), &of_other, &yes).is_err(), "another answer was examined");
    assert!(Cleared::by_officer(committed(&plan, 9, 1.0), &of_answer, &yes).is_ok());
}

#[test]
fn the_stricter_review_counts() {
    use Review::{Automatic, Checked};
    for (node, permit, both) in
        [(Automatic, Automatic, Automatic), (Automatic, Checked, Checked), (Checked, Automatic, Checked)]
    {
        assert_eq!(OutputRules { review: node, people_min: 0 }.review(permit), both);
    }
}
