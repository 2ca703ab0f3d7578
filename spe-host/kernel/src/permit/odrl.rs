//! A permit as an ODRL 2.2 Agreement in JSON-LD, for dataspaces: generated and never evaluated. The permit counts.

use serde_json::{Value, json};

use super::{Modules, PermitBody, PermitData, Review};
use crate::{dsse::PublicKey, job::Purpose};

/// DPV's vocabulary of the EHDS Regulation.
const EHDS: &str = "https://w3id.org/dpv/legal/eu/ehds#";

/// The agreement of a permit that `issuer` signed.
pub fn agreement(body: &PermitBody, issuer: &PublicKey) -> Value {
    let permissions: Vec<Value> = body.data.iter().map(|data| permission(body, data)).collect();
    json!({
        "@context": [
            "http://www.w3.org/ns/odrl.jsonld",
            { "dpv": "https://w3id.org/dpv#", "eu-ehds": EHDS, "spe": "urn:spe:odrl#" }
        ],
        "@type": "Agreement",
        "uid": format!("urn:spe:permit:{}", body.number),
        "profile": "urn:spe:odrl",
        "dpv:hasLegalBasis": { "@id": if u16::from(body.article) == 69 { "eu-ehds:DataRequest" } else { "eu-ehds:DataPermit" } },
        "assigner": { "@type": "Party", "uid": format!("urn:spe:key:{issuer}"), "spe:name": body.issuer },
        "assignee": body.persons.iter().map(|person| json!({
            "@type": "Party", "uid": format!("urn:spe:person:{}", person.name), "spe:role": person.role,
        })).collect::<Vec<_>>(),
        "permission": permissions,
        "prohibition": [
            { "action": { "@id": "spe:reIdentify" }, "spe:article": "61(3)" },
            { "action": "distribute", "spe:article": "61(2)" },
            { "action": "use", "spe:article": "54(c)", "constraint": [constraint("purpose", "isAnyOf", json!({ "@id": "dpv:Marketing" }))] },
        ],
    })
}

fn permission(body: &PermitBody, data: &PermitData) -> Value {
    let targets: Vec<Value> = match data.nodes.as_slice() {
        [] => vec![asset(format!("urn:spe:dataset:{}", data.dataset), data)],
        nodes => nodes.iter().map(|node| asset(format!("urn:spe:dataset:{}@{node}", data.dataset), data)).collect(),
    };
    let mut private = json!({ "action": { "@id": "spe:applyDifferentialPrivacy" },
        "constraint": [constraint("spe:privacyLoss", "lteq", json!(body.environment.loss_cap))] });
    if body.environment.release == Review::ExactTables
        && let Some(fields) = private.as_object_mut()
    {
        fields.insert("spe:except".into(), json!("exact tables, which are NOT differentially private"));
    }
    json!({
        "target": targets,
        "action": "use",
        "constraint": constraints(body, data),
        "duty": [private, { "action": "inform", "spe:article": "61(4)" }],
    })
}

fn asset(uid: String, data: &PermitData) -> Value {
    json!({ "@type": "Asset", "uid": uid, "spe:columns": data.columns, "spe:healthCategory": data.category.code() })
}

fn constraints(body: &PermitBody, data: &PermitData) -> Vec<Value> {
    let purposes: Vec<Value> = body.purposes().map(|p| json!({ "@id": format!("eu-ehds:{}", dpv(p)) })).collect();
    let mut all = vec![
        constraint("purpose", "isAnyOf", json!(purposes)),
        constraint("dateTime", "gteq", instant(body.valid_from)),
        constraint("dateTime", "lt", instant(body.valid_until)),
    ];
    match &body.environment.modules {
        Modules::Any => {}
        Modules::Only(list) => all.push(constraint("spe:moduleDigest", "isAnyOf", json!(list))),
        Modules::Class(class) => all.push(constraint("spe:outputKind", "isAnyOf", json!(class.kinds))),
    }
    if !body.plans.is_empty() {
        all.push(constraint("spe:planDigest", "isAnyOf", json!(body.plans)));
    }
    let day = |day: jiff::civil::Date| json!({ "@value": day.to_string(), "@type": "xsd:date" });
    if let Some(range) = data.time_range {
        all.extend(range.from.map(|from| constraint("spe:recordDate", "gteq", day(from))));
        all.extend(range.until.map(|until| constraint("spe:recordDate", "lt", day(until))));
    }
    all
}

/// An instant, as a literal of RDF.
pub(crate) fn instant(at: jiff::Timestamp) -> Value {
    json!({ "@value": at.to_string(), "@type": "xsd:dateTime" })
}

/// A constraint; an operand of the profile's own is named with its prefix.
pub(crate) fn constraint(left: &str, operator: &str, right: Value) -> Value {
    let left = if left.contains(':') { json!({ "@id": left }) } else { json!(left) };
    json!({ "leftOperand": left, "operator": operator, "rightOperand": right })
}

/// The name of a purpose in DPV's vocabulary of the Regulation (version 2.3).
const fn dpv(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::PublicHealth => "PublicInterestRelatedToHealth",
        Purpose::Policymaking => "PublicPolicyMaking",
        Purpose::OfficialStatistics => "ProvideHealthcareOfficialStatistics",
        Purpose::Education => "ImproveHealthcareEducation",
        Purpose::ScientificResearch => "HealthcareScientificResearch",
        Purpose::ProductDevelopment => "DevelopPublicHealthProductsAndServices",
        Purpose::AlgorithmTraining => "TrainTestAndEvaluateHealthAlgorithms",
        Purpose::ImprovingCare => "ImproveHealthcare",
    }
}
