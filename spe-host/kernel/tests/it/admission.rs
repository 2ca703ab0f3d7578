//! Every clause of a permit and of a node's policy, violated in turn.

use jiff::Timestamp;
use spe_kernel::{
    admission::{Admitted, NodePolicy, admit},
    dataset::{DatasetSchema, Offer},
    dsse::SecretKey,
    job::{Job, JobBody, Purpose},
    permit::{Modules, Permit, PermitBody},
    plan::{Choices, Plan, record_bytes_max},
    purpose::Article53,
    refusal::Refusal,
};

use crate::fixture::{body_key, job, loss, offer, permit, person_key, plan, policy, schema, with_loss};

fn now() -> Timestamp {
    "2030-06-01T00:00:00Z".parse().unwrap()
}

fn ask(permit: &PermitBody, job: &JobBody, policy: &NodePolicy) -> Result<Admitted, Refusal> {
    let permit = Permit::verify(&permit.sign(&body_key()), &policy.access_bodies, now())?;
    admit(Job::verify(&job.sign(&person_key()))?, &permit, &offer("rho=2"), policy, &"north".parse().unwrap(), now())
}

fn refusal(permit: &PermitBody, job: &JobBody, policy: &NodePolicy) -> Refusal {
    match ask(permit, job, policy) {
        Err(refusal) => refusal,
        Ok(_) => panic!("it was admitted"),
    }
}

#[test]
fn what_agrees_is_admitted_and_priced() {
    let admitted = ask(&permit(), &job(), &policy()).unwrap();
    assert_eq!(admitted.charge().loss, loss("rho=0.1"));
    assert_eq!(admitted.charge().permit_cap, loss("rho=1"));
    assert_eq!(admitted.charge().dataset_cap, loss("rho=2"));
    let by = admitted.charge().permit.issuer;
    assert_eq!(by, body_key().public(), "the cap would be shared with another body's permit of the same number");
}

#[test]
fn each_clause_of_the_permit_binds() {
    let violated = |change: &dyn Fn(&mut PermitBody)| {
        let mut body = permit();
        change(&mut body);
        refusal(&body, &job(), &policy())
    };
    let ada = "ada".parse().unwrap();
    assert_eq!(violated(&|p| p.persons[0].name = "eve".parse().unwrap()), Refusal::PersonNotInPermit { person: ada });
    assert!(matches!(violated(&|p| p.persons[0].key = Some(body_key().public())), Refusal::PersonNotInPermit { .. }));
    assert!(matches!(
        violated(&|p| p.purpose.article53 = vec![Article53(Purpose::Education)]),
        Refusal::PurposeNotInPermit { .. }
    ));
    assert!(matches!(violated(&|p| p.data[0].dataset = "other".parse().unwrap()), Refusal::DatasetNotInPermit { .. }));
    let missing = Refusal::ColumnNotInPermit { dataset: "care".parse().unwrap(), column: "visits.days".into() };
    assert_eq!(violated(&|p| p.data[0].columns.truncate(1)), missing);
    assert!(matches!(violated(&|p| p.environment.modules = Modules::Only(vec![])), Refusal::ModuleNotInPermit { .. }));
    assert!(matches!(
        violated(&|p| p.valid_from = "2030-07-01T00:00:00Z".parse().unwrap()),
        Refusal::PermitNotYetValid { .. }
    ));
    assert!(matches!(
        violated(&|p| p.valid_until = "2030-06-01T00:00:00Z".parse().unwrap()),
        Refusal::PermitExpired { .. }
    ));
    assert!(matches!(violated(&|p| p.valid_until = p.valid_from), Refusal::Malformed { .. }));
    assert!(matches!(violated(&|p| p.data[0].columns.push("days".into())), Refusal::Malformed { .. }));
    assert!(matches!(
        violated(&|p| (p.number, p.original) = ("p-2".parse().unwrap(), "p-2".parse().unwrap())),
        Refusal::WrongPermit { .. }
    ));
    assert!(matches!(violated(&|p| p.format = "spe.permit/9".into()), Refusal::Malformed { .. }));
}

#[test]
fn each_rule_of_the_operator_binds() {
    let violated = |change: &dyn Fn(&mut NodePolicy)| {
        let mut rules = policy();
        change(&mut rules);
        refusal(&permit(), &job(), &rules)
    };
    assert!(matches!(violated(&|p| p.access_bodies.clear()), Refusal::UntrustedKey { .. }));
    for change in [
        &|p: &mut NodePolicy| p.purposes.clear() as _,
        &|p: &mut NodePolicy| p.modules = Modules::Only(vec![]),
        &|p: &mut NodePolicy| p.loss_per_job_max = vec![loss("rho=0.099999999999")],
        &|p: &mut NodePolicy| p.loss_per_job_max = vec![loss("epsilon=5")],
        &|p: &mut NodePolicy| p.loss_per_job_min = vec![loss("rho=0.100000000001")],
        &|p: &mut NodePolicy| p.fuel_per_subject_max = 1,
        &|p: &mut NodePolicy| p.guest_memory_bytes_max = 1,
        &|p: &mut NodePolicy| p.suppress_below_min = 5,
        &|p: &mut NodePolicy| p.release.job_seconds_max = 1,
    ] as [&dyn Fn(&mut NodePolicy); 9]
    {
        assert!(matches!(violated(change), Refusal::PolicyForbids { .. }));
    }
}

/// What would be a bug: many rounds, each with a time of its own to be looked at, for the least that one may cost.
#[test]
fn every_round_costs_what_a_job_must_cost_at_least() {
    let mut raw = serde_json::to_value(plan("rho=0.1", 0)).unwrap();
    raw["rounds"] = serde_json::json!({ "count": 3, "state": ["w"] });
    let asked = JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() };
    let least = |text: &str| NodePolicy { loss_per_job_min: vec![loss(text)], ..policy() };
    assert_eq!(ask(&permit(), &asked, &least("rho=0.1")).unwrap().charge().loss, loss("rho=0.3"));
    let refused = refusal(&permit(), &asked, &least("rho=0.100000000001"));
    assert!(matches!(&refused, Refusal::PolicyForbids { rule } if rule.contains("at least")), "{refused}");
}

#[test]
fn a_job_for_other_nodes_is_refused() {
    let elsewhere = JobBody { nodes: vec!["south".parse().unwrap()], ..job() };
    assert!(matches!(refusal(&permit(), &elsewhere, &policy()), Refusal::NodeNotAsked { .. }));
}

#[test]
fn a_job_signed_by_another_person_is_refused() {
    let permit = Permit::verify(&permit().sign(&body_key()), &[body_key().public()], now()).unwrap();
    let mallory = SecretKey::from_seed(&[9; 32]);
    let job = Job::verify(&job().sign(&mallory)).unwrap();
    let refused = admit(job, &permit, &offer("rho=2"), &policy(), &"north".parse().unwrap(), now());
    assert!(matches!(refused, Err(Refusal::PersonNotInPermit { .. })), "a hub could forge jobs");
}

#[test]
fn a_filter_needs_the_permit_for_its_columns_too() {
    let mut raw = serde_json::to_value(plan("rho=0.1", 0)).unwrap();
    raw["inputs"][0]["filter"] = "age > 50".into();
    let asked = JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() };
    let refused = refusal(&permit(), &asked, &policy());
    assert!(matches!(&refused, Refusal::ColumnNotInPermit { column, .. } if column == "visits.age"), "{refused}");
}

#[test]
fn a_plan_for_what_does_not_exist_is_refused() {
    for (at, value) in [
        ("table", serde_json::json!("labs")),
        ("columns", serde_json::json!(["clinic", "weight"])),
        ("filter", serde_json::json!("1 = 1")),
    ] {
        let mut raw = serde_json::to_value(plan("rho=0.1", 0)).unwrap();
        raw["inputs"][0][at] = value;
        let asked = JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() };
        assert!(matches!(refusal(&permit(), &asked, &policy()), Refusal::PlanUnfit { .. }), "{at}");
    }
}

#[test]
fn a_byte_flipped_in_a_permit_or_job_is_refused() {
    let (signed_permit, signed_job) = (permit().sign(&body_key()), job().sign(&person_key()));
    for at in (0..signed_permit.len()).step_by(7) {
        let mut bent = signed_permit.clone();
        bent[at] ^= 1;
        assert!(Permit::verify(&bent, &[body_key().public()], now()).is_err(), "byte {at} of the permit");
    }
    for at in (0..signed_job.len()).step_by(7) {
        let mut bent = signed_job.clone();
        bent[at] ^= 1;
        assert!(Job::verify(&bent).is_err(), "byte {at} of the job");
    }
}

#[test]
fn losses_may_be_given_by_output() {
    let plan = spe_kernel::plan::Plan::new(
        &crate::fixture::manifest(),
        crate::fixture::module(),
        &schema(),
        &with_loss("stay", "rho=0.3"),
    )
    .unwrap();
    assert_eq!(plan.loss(), loss("rho=0.4"), "the named output costs its own, the other the whole of the rest");
}

#[test]
fn shares_of_a_loss_add_up_to_it() {
    let plan = spe_kernel::plan::Plan::new(
        &crate::fixture::manifest(),
        crate::fixture::module(),
        &schema(),
        &spe_kernel::plan::Choices::new(loss("rho=0.000000000003")),
    );
    assert_eq!(plan.unwrap().loss(), loss("rho=0.000000000003"));
}

#[test]
fn an_old_signature_does_not_ask_again() {
    let signed = |at: &str| JobBody { signed_at: at.parse().unwrap(), ..job() };
    let old = refusal(&permit(), &signed("2030-04-30T00:00:00Z"), &policy());
    assert!(matches!(old, Refusal::JobNotFresh { .. }), "a hub could replay it on every new snapshot: {old}");
    assert!(matches!(refusal(&permit(), &signed("2030-06-02T00:00:00Z"), &policy()), Refusal::JobNotFresh { .. }));
    assert!(ask(&permit(), &signed("2030-05-05T00:00:00Z"), &policy()).is_ok());
}

/// Somebody who is at three nodes loses three times what each noises for: a node that charged less would let the cap be passed.
#[test]
fn a_person_at_several_nodes_is_charged_for_at_each() {
    let shared = DatasetSchema { overlap: 3, ..schema() };
    let offer = Offer { schema: shared.clone(), ..offer("rho=2") };
    let asked = |cost: &str| {
        let plan = Plan::new(&crate::fixture::manifest(), crate::fixture::module(), &shared, &Choices::new(loss(cost)));
        let job = Job::verify(&JobBody { plan: plan.unwrap(), ..job() }.sign(&person_key())).unwrap();
        let permit = Permit::verify(&permit().sign(&body_key()), &policy().access_bodies, now()).unwrap();
        admit(job, &permit, &offer, &policy(), &"north".parse().unwrap(), now())
    };
    let admitted = asked("rho=0.1").unwrap();
    assert_eq!((admitted.charge().loss, admitted.charge().overlap), (loss("rho=0.3"), 3));
    assert_eq!(admitted.plan().loss(), loss("rho=0.1"), "the noise is for the loss at one node");
    assert!(matches!(asked("rho=0.2"), Err(Refusal::PolicyForbids { .. })), "0.6 in all, of at most 0.5");
    let alone = refused_by(&offer);
    assert!(matches!(alone, Refusal::PlanUnfit { .. }), "a plan that says nobody is at two nodes: {alone}");
}

/// What would be a bug: a record that may not fit beside a module's own memory, so that who has many rows is told by a failure.
#[test]
fn a_record_takes_half_of_the_guests_memory_at_most() {
    let asked = |memory: u64| {
        let mut raw = serde_json::to_value(plan("rho=0.1", 0)).unwrap();
        raw["memory_bytes_max"] = memory.into();
        ask(&permit(), &JobBody { plan: serde_json::from_value(raw).unwrap(), ..job() }, &policy())
    };
    let record = record_bytes_max(&plan("rho=0.1", 0), &schema());
    assert!(asked(2 * record).is_ok());
    let refused = asked(2 * record - 1).err();
    let told = matches!(&refused, Some(Refusal::PolicyForbids { rule }) if rule.contains("half of the guest's memory"));
    assert!(told, "{refused:?}");
}

/// What would be a bug: a loss in one measure that is charged to a ledger in the other.
#[test]
fn a_loss_in_another_measure_than_the_datasets_is_refused() {
    let refused = refused_by(&offer("epsilon=2"));
    let told = matches!(&refused, Refusal::PolicyForbids { rule } if rule.contains("ask with epsilon=<loss>"));
    assert!(told, "{refused}");
}

fn refused_by(offer: &Offer) -> Refusal {
    let permit = Permit::verify(&permit().sign(&body_key()), &policy().access_bodies, now()).unwrap();
    let job = Job::verify(&job().sign(&person_key())).unwrap();
    match admit(job, &permit, offer, &policy(), &"north".parse().unwrap(), now()) {
        Err(refusal) => refusal,
        Ok(_) => panic!("it was admitted"),
    }
}
