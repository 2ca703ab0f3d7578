//! Invented people, one of whom an attacker looks for.

use std::fmt::Write;

/// One person, with everything recorded about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// What identifies the person; dropped at ingest.
    pub id: u32,
    /// Whether it is the one whom the guests look for.
    pub target: bool,
    /// The person's rows.
    pub visits: Vec<Visit>,
}

/// One row of the table `visits`.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// 0 to 1000.
    pub amount: f64,
    /// At most 32 bytes.
    pub note: String,
}

/// The identifier of the target.
const TARGET: u32 = 271_828;

/// So many ordinary people, with 1 to 5 rows each. The same each time.
pub fn crowd(count: u32) -> Vec<Person> {
    let visit =
        |id: u32, i: u32| Visit { amount: f64::from((id * 37 + i * 11) % 97), note: format!("seen {i} of {id}") };
    let person = |id: u32| Person { id, target: false, visits: (0..=id % 5).map(|i| visit(id, i)).collect() };
    (1..=count).map(person).collect()
}

/// What a row of theirs counts as: itself, three columns, and a text of 32 bytes.
pub(super) const READER_VALUES: f64 = 5.0;

/// So many people with so many rows each.
pub(super) fn readers((people, rows): (u32, u32)) -> Vec<Person> {
    let visit = |row: u32| Visit { amount: f64::from(row % 1_000), note: format!("row {row} of many and some text") };
    let visits: Vec<Visit> = (0..rows).map(visit).collect();
    (1..=people).map(|id| Person { id, target: false, visits: visits.clone() }).collect()
}

/// The person whom the guests look for. One of them looks for the word `NEIGHBOUR` in what it can see of others.
pub fn target() -> Person {
    let visits = [271.828_182, 314.159_265].map(|amount| Visit { amount, note: "NEIGHBOUR of a rare disease".into() });
    Person { id: TARGET, target: true, visits: visits.into() }
}

/// The same person with other records.
pub fn changed() -> Person {
    let visits = [0.577_215, 662.607_015, 137.035_999].map(|amount| Visit { amount, note: "NEIGHBOUR".into() });
    Person { visits: visits.into(), ..target() }
}

/// The crowd with somebody more.
#[must_use]
pub fn and(mut crowd: Vec<Person>, person: Person) -> Vec<Person> {
    crowd.push(person);
    crowd
}

/// The rows as an operator's file has them.
pub(super) fn csv(people: &[Person]) -> String {
    let mut text = String::from("person,target,amount,note\n");
    for Person { id, target, visits } in people {
        for Visit { amount, note } in visits {
            // Writing to a string does not fail.
            writeln!(text, "{id},{target},{amount},{note}").ok();
        }
    }
    text
}

/// The declaration of their dataset, of which a node has at most `subjects_max`.
pub(super) fn declaration(subjects_max: u32) -> String {
    format!(
        r#"
name = "evil"
title = "People whom nobody is"
subjects_max = {subjects_max}
partitions = 4

[[tables]]
name = "visits"
key = ["person"]
order_by = ["amount"]

[[tables.columns]]
name = "target"
type = "boolean"
description = "is the one whom the guests look for"

[[tables.columns]]
name = "amount"
type = "number"
min = 0
max = 1000

[[tables.columns]]
name = "note"
type = "text"
max_bytes = 32
"#
    )
}
