//! Samples that people copy are read by the code that they are for.

use spe_kernel::{
    admission::NodePolicy,
    ids::Digest,
    permit::{Modules, PermitBody},
};

use crate::place::example;

#[test]
fn every_sample_policy_and_permit_parses() {
    let read = |folder: &str| {
        let files = std::fs::read_dir(example(folder)).unwrap().map(|e| e.unwrap().path());
        files.map(|p| std::fs::read_to_string(p).unwrap()).collect::<Vec<_>>()
    };
    let (policies, permits) = (read("policies/node"), read("policies/permits"));
    assert!(policies.len() >= 2 && !permits.is_empty());
    for text in policies {
        toml::from_str::<NodePolicy>(&text).unwrap();
    }
    for text in permits {
        toml::from_str::<PermitBody>(&text).unwrap();
    }
}

#[test]
fn modules_that_sample_policies_name_are_those_that_are_checked_in() {
    let visits = std::fs::read(example("examples/modules/visits-by-coinsurance.wasm")).unwrap();
    let policy = std::fs::read_to_string(example("policies/node/reviewed-modules-only.toml")).unwrap();
    let policy: NodePolicy = toml::from_str(&policy).unwrap();
    assert_eq!(policy.modules, Modules::Only(vec![Digest::of(&visits)]));
}

#[test]
fn checked_in_modules_are_built_from_the_sources_beside_them() {
    spe_guest_lock::check(&example("")).unwrap();
}
