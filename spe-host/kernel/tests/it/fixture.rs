//! A small dataset, module, permit and job.

use std::collections::BTreeMap;

use spe_kernel::{
    admission::NodePolicy,
    dataset::{DatasetSchema, Offer},
    dsse::SecretKey,
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    manifest::Manifest,
    pace::Pace,
    permit::{Modules, PERMIT_FORMAT, PermitBody, PermitData, PermitPerson},
    plan::{Choices, Plan},
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
    PermitBody {
        format: PERMIT_FORMAT.into(),
        number: "p-1".parse().unwrap(),
        issuer: "Body".into(),
        issued_at: "2030-01-01T00:00:00Z".parse().unwrap(),
        valid_from: "2030-01-01T00:00:00Z".parse().unwrap(),
        valid_until: "2031-01-01T00:00:00Z".parse().unwrap(),
        persons: vec![PermitPerson { name: "ada".parse().unwrap(), key: person_key().public() }],
        purposes: vec![Purpose::ScientificResearch],
        data: vec![PermitData {
            dataset: "care".parse().unwrap(),
            columns: vec!["visits.clinic".into(), "visits.days".into()],
        }],
        modules: Modules::Only(vec![module()]),
        loss_cap: loss("rho=1"),
    }
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
    }
}

pub fn policy() -> NodePolicy {
    NodePolicy {
        access_bodies: vec![body_key().public()],
        purposes: Purpose::ALL.to_vec(),
        modules: Modules::Any,
        loss_per_job_min: vec![loss("rho=0.0001")],
        loss_per_job_max: vec![loss("rho=0.5")],
        fuel_per_subject_max: 100_000_000,
        guest_memory_bytes_max: 64 << 20,
        suppress_below_min: 0,
        release: Pace::default(),
        job_age_days_max: 30,
    }
}

pub fn with_loss(output: &str, cost: &str) -> Choices {
    let mut choices = Choices::new(loss("rho=0.1"));
    choices.losses = BTreeMap::from([(output.to_owned(), loss(cost))]);
    choices
}
