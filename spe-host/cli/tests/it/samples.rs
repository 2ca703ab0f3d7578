//! Samples that people copy are read by the code that they are for.

use spe_kernel::{admission::NodePolicy, permit::PermitBody};

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
fn checked_in_modules_are_built_from_the_sources_beside_them() {
    spe_guest_lock::check(&example("")).unwrap();
}
