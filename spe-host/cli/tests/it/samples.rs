//! Samples that people copy are read by the code that they are for.

use spe_kernel::{
    admission::NodePolicy,
    application::ApplicationBody,
    decision::DecisionBody,
    document::{self, Document},
    dsse::SecretKey,
    ids::Digest,
    pace::{Hold, Pace},
    permit::{Modules, PermitBody},
    revocation::RevocationBody,
    units::{Loss, Measure},
};

use crate::place::example;

/// The drafts in a folder of `policies/`, by name.
fn drafts(folder: &str) -> Vec<(String, String)> {
    let files = std::fs::read_dir(example(&format!("policies/{folder}"))).unwrap().map(|e| e.unwrap().path());
    files.map(|p| (p.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(p).unwrap())).collect()
}

/// What would be a bug: a sample that people copy and cannot sign, or a JSON sample that is not the draft beside it.
#[test]
fn every_sample_document_can_be_signed_and_is_published_as_json() {
    let key = SecretKey::from_seed(&[7; 32]);
    fn signs<D: Document>(text: &str, key: &SecretKey) {
        let body: D = toml::from_str(text).unwrap();
        document::open::<D>(&document::sign(&body, key)).unwrap();
    }
    let kinds: [(&str, &str, fn(&str, &SecretKey)); 4] = [
        ("permit", "permits", signs::<PermitBody>),
        ("application", "applications", signs::<ApplicationBody>),
        ("decision", "decisions", signs::<DecisionBody>),
        ("revocation", "revocations", signs::<RevocationBody>),
    ];
    let mut published = std::fs::read_dir(example("docs/schemas/samples")).unwrap().count();
    for (kind, folder, signs) in kinds {
        for (name, text) in drafts(folder) {
            signs(&text, &key);
            let made: serde_json::Value = toml::from_str(&text).unwrap();
            let file = example(&format!("docs/schemas/samples/{kind}-{name}.json"));
            if std::env::var_os("SPE_UPDATE_GENERATED").is_some() {
                std::fs::write(&file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
            }
            let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            assert_eq!(
                kept,
                made,
                "{} is not {folder}/{name}.toml: run this test with SPE_UPDATE_GENERATED=1",
                file.display()
            );
            published -= 1;
        }
    }
    assert_eq!(published, 0, "a JSON sample has no draft");
}

/// What would be a bug: a field that nobody can look up, or an example in the docs that is refused.
#[test]
fn the_docs_explain_every_field_and_their_examples_parse() {
    let docs = std::fs::read_to_string(example("docs/permit-format.md")).unwrap();
    for kind in ["permit", "application", "decision", "revocation"] {
        let schema = std::fs::read(example(&format!("docs/schemas/{kind}.json"))).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
        for field in schema["properties"].as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{field}`")), "docs/permit-format.md does not explain {field} of a {kind}");
        }
    }
    let examples: Vec<&str> = docs.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 3);
    let sample = std::fs::read_to_string(example("policies/permits/visits.toml")).unwrap();
    for text in examples {
        // Each is a part of a permit: it replaces that part of the sample.
        let mut permit: toml::Table = toml::from_str(&sample).unwrap();
        permit.extend(toml::from_str::<toml::Table>(text).unwrap());
        let body: PermitBody = permit.try_into().unwrap_or_else(|e| panic!("{e}: {text}"));
        PermitBody::read(&body.sign(&SecretKey::from_seed(&[7; 32]))).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
}

#[test]
fn every_sample_policy_parses() {
    let read = |folder: &str| {
        let files = std::fs::read_dir(example(folder)).unwrap().map(|e| e.unwrap().path());
        files.map(|p| std::fs::read_to_string(p).unwrap()).collect::<Vec<_>>()
    };
    let policies = read("policies/node");
    assert!(policies.len() >= 3);
    for text in policies {
        toml::from_str::<NodePolicy>(&text).unwrap();
    }
}

/// What would be a bug: a folder of samples that nobody who reads the list of them finds.
#[test]
fn every_folder_of_policies_is_listed() {
    let listed = std::fs::read_to_string(example("policies/README.md")).unwrap();
    for entry in std::fs::read_dir(example("policies")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let is_folder = entry.file_type().unwrap().is_dir();
        assert!(!is_folder || listed.contains(&format!("`{name}/`")), "policies/README.md does not list {name}/");
    }
}

fn policy(name: &str) -> NodePolicy {
    toml::from_str(&std::fs::read_to_string(example(&format!("policies/node/{name}.toml"))).unwrap()).unwrap()
}

/// What would be a bug: a sample that says another thing than its comments, or than the code does without it.
#[test]
fn sample_policies_say_what_their_comments_say() {
    let default = policy("default");
    assert_eq!(default.release, Pace::default(), "the sample's pace must be the one that the code has without it");
    assert_eq!((default.suppress_below_min, default.release.hold), (0, Hold::Deadline));
    let strict = policy("reviewed-modules-only");
    assert_eq!((strict.suppress_below_min, strict.release.hold), (10, Hold::Deadline));
    assert!(strict.release.slot_ms > default.release.slot_ms);
    let keyed = |policy: &NodePolicy| policy.loss_per_job_max.iter().any(|max| max.delta_atto() > 0);
    assert_eq!([&default, &strict, &policy("keys-allowed")].map(keyed), [false, false, true]);
    let exact = ["default", "reviewed-modules-only", "keys-allowed", "exact-tables"]
        .map(|name| policy(name).exact_tables.is_some());
    assert_eq!(exact, [false, false, false, true], "exact tables are off unless an operator opens them");
}

#[test]
fn a_budget_with_a_delta_is_written_as_the_docs_say() {
    let served: spe_node::config::Served = toml::from_str("budget = \"rho=10,delta=0.000001\"").unwrap();
    assert_eq!(served.budget, Loss::from_pico(Measure::Zcdp, 10_000_000_000_000).with_delta_atto(1_000_000_000_000));
}

#[test]
fn modules_that_sample_policies_name_are_those_that_are_checked_in() {
    let visits = std::fs::read(example("examples/modules/visits-by-coinsurance.wasm")).unwrap();
    assert_eq!(policy("reviewed-modules-only").modules, Modules::Only(vec![Digest::of(&visits)]));
}

#[test]
fn checked_in_modules_are_built_from_the_sources_beside_them() {
    spe_guest_lock::check(&example("")).unwrap();
}
