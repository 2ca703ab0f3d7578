//! A small dataset, module, permit and job.

use std::collections::BTreeMap;

use spe_kernel::{
    admission::NodePolicy,
    dataset::{DatasetSchema, Offer},
    dsse::SecretKey,
    gate::OutputRules,
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    manifest::Manifest,
    pace::Pace,
    permit::{Modules, PermitBody, PermitData, PermitPerson},
    person::People,
    plan::{Choices, Plan},
    purpose::Article53,
    units::Loss,
};

pub fn loss(text: &str) -> Loss {
    text.parse().unwrap()
}

pub fn schema() -> DatasetSchema {
    serde_json::from_value(serde_json::json!({
        "name": "care", "title": "Care", "subjects_max": 10_000, "tables": [{ "name": "visits", "columns": [
            { "name": "clinic", "type": "category", "values": ["a", "b"] },
            { "name": "days", "type": "integer", "min": 0, "max": 100 },
            { "name": "age", "type": "number", "min": 0.0, "max": 120.0 }
        ]}]
    }))
    .unwrap()
}

pub fn manifest() -> Manifest {
    Manifest::parse(&serde_json::to_vec(&manifest_json()).unwrap()).unwrap()
}

pub fn manifest_json() -> serde_json::Value {
    serde_json::json!({
        "name": "stay", "version": "1", "abi": 1,
        "inputs": [{ "table": "visits", "columns": ["clinic", "days"], "max_rows": 10 }],
        "params": [{ "name": "floor", "min": 0.0, "max": 10.0, "default": 1.0 }],
        "outputs": [
            { "name": "people", "kind": "count", "default": null },
            { "name": "stay", "kind": "grouped_mean", "categories": ["a", "b"], "lower": 0.0, "upper": 30.0, "unit": "days", "default": null }
        ]
    })
}

pub fn module() -> Digest {
    Digest::of(b"module")
}

pub fn plan(cost: &str, attempt: u32) -> Plan {
    let mut choices = Choices::new(loss(cost));
    choices.attempt = attempt;
    Plan::new(&manifest(), module(), &schema(), &choices).unwrap()
}

pub fn offer(budget: &str) -> Offer {
    let spent = Loss::zero(loss(budget).measure());
    Offer { schema: schema(), snapshot: Digest::of(b"snapshot"), budget: loss(budget), spent }
}

pub fn body_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub fn person_key() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

pub fn permit() -> PermitBody {
    let period = ("2030-01-01T00:00:00Z".parse().unwrap(), "2031-01-01T00:00:00Z".parse().unwrap());
    let mut permit = PermitBody::granted("p-1".parse().unwrap(), period, loss("rho=1"));
    permit.persons = vec![PermitPerson::investigator("ada".parse().unwrap(), person_key().public())];
    permit.purpose.article53 = vec![Article53(Purpose::ScientificResearch)];
    permit.data = vec![PermitData {
        dataset: "care".parse().unwrap(),
        nodes: vec![],
        category: "a".parse().unwrap(),
        columns: vec!["visits.clinic".into(), "visits.days".into()],
        time_range: None,
        format: "table".into(),
        pseudonymised: true,
    }];
    permit.environment.modules = Modules::Only(vec![module()]);
    permit
}

pub fn job() -> JobBody {
    JobBody {
        format: JOB_FORMAT.into(),
        permit: "p-1".parse().unwrap(),
        person: "ada".parse().unwrap(),
        purpose: Purpose::ScientificResearch,
        nodes: vec![],
        signed_at: "2030-06-01T00:00:00Z".parse().unwrap(),
        plan: plan("rho=0.1", 0),
        identity: None,
    }
}

pub fn policy() -> NodePolicy {
    NodePolicy {
        access_bodies: vec![body_key().public()],
        purposes: Purpose::ALL.to_vec(),
        modules: Modules::Any,
        opt_out_exceptions: false,
        loss_per_job_min: vec![loss("rho=0.0001")],
        loss_per_job_max: vec![loss("rho=0.5")],
        fuel_per_subject_max: 100_000_000,
        guest_memory_bytes_max: 64 << 20,
        suppress_below_min: 0,
        release: Pace::default(),
        job_age_days_max: 30,
        officer_days_max: 30,
        people: People::default(),
        outputs: OutputRules::default(),
        officers: Vec::new(),
        exact_tables: None,
    }
}

pub fn with_loss(output: &str, cost: &str) -> Choices {
    let mut choices = Choices::new(loss("rho=0.1"));
    choices.losses = BTreeMap::from([(output.to_owned(), loss(cost))]);
    choices
}
