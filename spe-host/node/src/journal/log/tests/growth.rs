//! A log only grows, and strangers do not make it grow.

use std::fs;

use jiff::Timestamp;
use spe_kernel::audit::{Entry, Event, Who};

use super::World;
use crate::journal::{Counted, ShownBy};

/// What would be a bug: a ledger that was put back and that its own files show to be old, unnoticed; one that is found and forgotten by a
/// restart, or that answers again before somebody has said why; a second time that is not found because the first was acknowledged.
#[test]
fn an_old_ledger_is_found_by_its_own_files() {
    let world = World::at_work("files-ahead");
    let copy = fs::read(world.file()).expect("a copy");
    let mut records = world.records();
    world.answer(&mut records, b"d");
    world.publish(&records, false);
    assert_eq!(records.rolled_back().expect("a look"), Vec::<String>::new(), "an honest log");
    for _ in 0..2 {
        drop(records);
        fs::write(world.file(), &copy).expect("the old copy");
        records = world.records();
        assert!(
            records.publish(&world.files(), &world.secret, true).is_err(),
            "the files of the newer one are overwritten"
        );
        drop(records);
        records = world.records();
        assert_eq!(records.rolled_back().expect("a look").len(), 1, "it is forgotten");
        let by = Who::account("operator");
        assert!(records.acknowledge_rollback(&world.files(), " ", &by).is_err(), "for no reason");
        records.acknowledge_rollback(&world.files(), "the disk was lost", &by).expect("acknowledged");
        assert_eq!(records.rolled_back().expect("a look"), Vec::<String>::new());
        world.answer(&mut records, b"e");
        world.publish(&records, true);
    }
    let (_, body) = records.entries(13, 1).expect("entries").remove(0);
    assert!(String::from_utf8_lossy(&body.expect("a body")).contains("rollback-acknowledged"), "the log does not tell");
    drop(records);
    assert_eq!(world.check().findings, Vec::<String>::new());
}

/// What would be a bug: a witness that has to be heard again each time that the node comes, or that is not heard by the first word; one that is
/// never heard again, and so does not tell of the next old copy; one that fills the file.
#[test]
fn what_the_witness_said_is_acknowledged_once() {
    let world = World::at_work("witness-said");
    let say = |why: &str| world.records().found_rolled_back(ShownBy::Witness("north"), why).expect("a note");
    let acknowledge = || {
        let by = Who::account("operator");
        world.records().acknowledge_rollback(&world.files(), "lost", &by).expect("acknowledged");
    };
    let stands = || world.records().rolled_back().expect("a look");
    say("history 1");
    (2..20).for_each(|number| say(&format!("history {number}")));
    assert_eq!(stands(), ["history 1"], "a witness that says something else each time fills the file");
    acknowledge();
    say("history 1");
    assert_eq!(stands(), Vec::<String>::new());
    say("history 2");
    assert_eq!(stands(), ["history 2"], "what was put back later is not heard of");
    acknowledge();
    ["history 1", "history 2"].into_iter().for_each(say);
    assert_eq!(stands(), Vec::<String>::new());
    world.records().found_rolled_back(ShownBy::Witness("north again"), "history 1").expect("a note");
    assert_eq!(stands(), ["history 1"], "another log's witness is not heard");
}

/// What would be a bug: a log that grows with the jobs of people whom nobody named, or with bytes that nobody signed; refusals of which it
/// never tells.
#[test]
fn strangers_and_damage_write_one_entry_an_hour() {
    let world = World::at_work("strangers");
    let records = world.records();
    let entries = || records.entries(0, 1_000).expect("entries").len();
    let (before, people) = (entries(), records.people().expect("people").len());
    let at = |minute: i64| Timestamp::from_second(1_800_000_000 + 60 * minute).expect("a time");
    for minute in 0..180 {
        for _ in 0..3 {
            records.count(Counted::Strangers, at(minute)).expect("counted");
            records.count(Counted::Damaged, at(minute)).expect("counted");
        }
    }
    assert_eq!(entries(), before + 4, "540 of each in three hours");
    records.tell_counted(at(300)).expect("told");
    assert_eq!((entries(), records.people().expect("people").len()), (before + 6, people));
    let told = records.entries(u64::try_from(before).expect("a number"), 10).expect("entries");
    let (mut jobs, mut documents) = (0, 0);
    for (_, body) in told {
        match Entry::parse(&body.expect("a body")).expect("an entry").event {
            Event::StrangersRefused { jobs: more, .. } => jobs += more,
            Event::DamagedRefused { documents: more, .. } => documents += more,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((jobs, documents), (540, 540), "somebody is not counted");
}
