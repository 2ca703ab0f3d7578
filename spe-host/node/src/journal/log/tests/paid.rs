//! The permit that paid is hidden in the entry of a release, and kept so that it can be shown.

use spe_kernel::{
    audit::PaidUnder,
    ids::Digest,
    ledger::{Event as Step, Journal},
    receipt::logged,
};

use super::World;
use crate::journal::tests::{charge, key};

/// A log with one answer that was paid for under the signed document `permit`.
fn paid(name: &str) -> World {
    let world = World::new(name);
    let mut records = world.records();
    records.append(&Step::Reserved(&charge(b"a", "rho=0.1"))).expect("a charge");
    let came_with = "UPDATE log_job SET document = ?1";
    let document = Digest::of(b"permit");
    records.connection().execute(came_with, [document.as_bytes()]).expect("as it was admitted");
    world.answered(&mut records, b"a");
    world.publish(&records, true);
    world
}

fn shown(world: &World, permit: &[u8]) -> Option<PaidUnder> {
    let records = world.records();
    let checkpoint = records.checkpoint(&world.files(), &world.secret).expect("a checkpoint");
    let receipt = records.receipt(Digest::of(b"a"), Digest::of(permit), &checkpoint).expect("a receipt");
    logged(receipt.text()).expect("it holds").paid_under
}

/// What would be a bug: a receipt that says to somebody with another permit who paid, or that says another thing after a restart.
#[test]
fn a_receipt_says_who_paid_to_whoever_has_the_permit() {
    let world = paid("paid-under");
    let first = shown(&world, b"permit").expect("it does not say");
    assert_eq!(first.permit, (&charge(b"a", "rho=0.1").permit).into());
    assert_eq!(shown(&world, b"permit"), Some(first), "another salt after a restart");
    assert_eq!(shown(&world, b"another"), None);
    assert_eq!(world.check().findings, Vec::<String>::new());
    // What a version before released says nothing, and holds.
    let world = World::at_work("paid-before");
    let plain = shown(&world, b"permit");
    assert_eq!((plain, world.check().findings), (None, Vec::new()));
    assert!(world.records().find(&key(b"a")).expect("a look").is_some());
}

/// What would be a bug: what the ledger keeps beside the entry, and would be shown, changed unnoticed.
#[test]
fn what_is_kept_of_who_paid_is_what_the_entry_hides() {
    for (name, sql, says) in [
        (
            "salt",
            r#"json_set(paid_under, '$.salt', '0000000000000000000000000000000000000000000000000000000000000000')"#,
            "than its entry hides",
        ),
        ("number", "json_set(paid_under, '$.permit.number', 'q')", "names another permit than its charge"),
        ("gone", "NULL", "than its entry hides"),
    ] {
        let world = paid(&format!("paid-{name}"));
        world.behind_its_back(&format!("UPDATE release SET paid_under = {sql}"));
        let found = world.check().findings;
        assert!(found.iter().any(|finding| finding.contains(says)), "{name}: {found:?} does not say {says:?}");
    }
}
