//! How long a job may take: a function of plan, public schema and policy, and never less than what its slowest run takes.

use std::num::NonZeroU64;

use jiff::SignedDuration;
use spe_kernel::{
    pace::{GuestPace, Pace},
    plan::{Choices, Plan},
    refusal::Refusal,
};

use crate::fixture::{loss, manifest, module, plan, schema};

fn with_memory(memory_bytes_max: u64) -> Plan {
    Plan::new(&manifest(), module(), &schema(), &Choices { memory_bytes_max, ..Choices::new(loss("rho=0.1")) }).unwrap()
}

/// What would be a bug: a table in which one person has ten million rows, of which the plan takes ten: reading the others would make
/// the node late, and tell that the person is there.
#[test]
fn all_rows_that_a_table_may_have_are_given_time() {
    let (pace, plan) = (Pace::default(), plan("rho=0.1", 0));
    let takes = |rows_max: Option<u64>| {
        let mut schema = schema();
        schema.tables[0].rows_max = rows_max;
        pace.longest(&plan, &schema).unwrap()
    };
    // A row and two columns; rows that the plan takes, ten of each of 10,000 people, are copied besides.
    let reading = |rows: i64| SignedDuration::from_nanos(rows * 3 * i64::from(pace.value_nanos));
    assert_eq!(takes(Some(10_000_000)) - takes(Some(1_000_000)), reading(9_000_000));
    assert_eq!(takes(Some(50_000)) - takes(Some(1)), reading(2 * 49_999));
    assert_eq!(takes(None), takes(Some(1_000_000)), "100 rows for each data subject, where nothing is declared");
}

/// What would be a bug: a text that is priced like a number, and takes longer.
#[test]
fn long_texts_and_filters_are_given_time() {
    let pace = Pace::default();
    let takes = |max_bytes: u32, filter: Option<&str>| {
        let mut json = crate::fixture::manifest_json();
        json["inputs"][0]["columns"] = serde_json::json!(["clinic", "days", "note"]);
        json["inputs"][0]["filter"] = serde_json::json!(filter);
        let mut schema = serde_json::to_value(schema()).unwrap();
        let note = serde_json::json!({ "name": "note", "type": "text", "max_bytes": max_bytes });
        schema["tables"][0]["columns"].as_array_mut().unwrap().push(note);
        let schema = serde_json::from_value(schema).unwrap();
        let manifest = spe_kernel::manifest::Manifest::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
        let plan = Plan::new(&manifest, module(), &schema, &Choices::new(loss("rho=0.1"))).unwrap();
        pace.longest(&plan, &schema).unwrap()
    };
    assert!(takes(3_200, None) > takes(32, None) + SignedDuration::from_secs(1), "99 values more, of a million rows");
    assert!(takes(32, Some("age > 5")) > takes(32, None), "a column that only the filter reads");
}

/// What would be a bug: a guest with more memory than the caches hold, that is reckoned to be as fast as one with less; one of whom
/// nobody knows how long it takes.
#[test]
fn guests_are_reckoned_by_their_memory() {
    let [few, many] = Pace::default().guests;
    let slow = GuestPace { fuel_per_second: NonZeroU64::new(1_000_000).unwrap(), ..many };
    let pace = Pace { guests: [few, slow], ..Pace::default() };
    let takes = |memory: u64| pace.longest(&with_memory(memory), &schema());
    assert!(takes(few.memory_bytes).unwrap() < SignedDuration::from_secs(60));
    assert!(takes(few.memory_bytes + 1).unwrap() > SignedDuration::from_secs(500));
    assert!(
        matches!(takes(many.memory_bytes + 1), Err(Refusal::PolicyForbids { rule }) if rule.contains("bytes of memory"))
    );
}
