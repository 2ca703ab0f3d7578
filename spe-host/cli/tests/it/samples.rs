//! Samples that people copy are read by the code that they are for.

use spe_kernel::{
    admission::NodePolicy,
    ids::Digest,
    pace::{Hold, Pace},
    permit::{Modules, PermitBody},
    units::{Loss, Measure},
};

use crate::place::example;

#[test]
fn every_sample_policy_and_permit_parses() {
    let read = |folder: &str| {
        let files = std::fs::read_dir(example(folder)).unwrap().map(|e| e.unwrap().path());
        files.map(|p| std::fs::read_to_string(p).unwrap()).collect::<Vec<_>>()
    };
    let (policies, permits) = (read("policies/node"), read("policies/permits"));
    assert!(policies.len() >= 3 && !permits.is_empty());
    for text in policies {
        toml::from_str::<NodePolicy>(&text).unwrap();
    }
    for text in permits {
        toml::from_str::<PermitBody>(&text).unwrap();
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
