//! A log whose every change shows. Each test changes something behind the node's back and says which change would go unnoticed.

use std::{fs, path::PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    audit::{AuditLog, Entry, Event, Person, Who},
    dsse::SecretKey,
    ids::Digest,
    ledger::{Event as Step, Journal},
    receipt::{log_key, witness_key},
    refusal::Stop,
    tlog::{Known as Seen, Verdict, judge},
};

use super::{super::layout, Checked, LogFiles, Records, check_files};
use crate::journal::tests::{File, charge, key};

mod decided;
mod growth;
mod hidden;
mod paid;

/// A node's records with their files, in a folder that goes with the test.
struct World {
    folder: PathBuf,
    secret: SecretKey,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spe-log-{}-{name}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a folder");
        Self { folder, secret: SecretKey::from_seed(&[8; 32]) }
    }

    /// The same with three answers, of which one was released, and everything published.
    fn at_work(name: &str) -> Self {
        let world = Self::new(name);
        let mut records = world.records();
        records.log(&Who::Node, Event::NodeStarted { software: "spe".into() }).expect("an entry");
        for plan in [b"a", b"b", b"c"] {
            world.answer(&mut records, plan);
        }
        world.publish(&records, true);
        drop(records);
        assert_eq!(world.check().findings, Vec::<String>::new(), "a log that nobody touched");
        world
    }

    fn answer(&self, records: &mut Records, plan: &[u8]) {
        records.append(&Step::Reserved(&charge(plan, "rho=0.1"))).expect("a charge");
        self.answered(records, plan);
    }

    /// What was charged is answered and released.
    fn answered(&self, records: &mut Records, plan: &[u8]) {
        records.append(&Step::Committed { key: &key(plan), envelope: plan }).expect("an answer");
        records.record(&key(plan), Digest::of(plan)).expect("a release");
    }

    fn file(&self) -> PathBuf {
        self.folder.join("ledger.sqlite")
    }

    fn records(&self) -> Records {
        Records::open(&self.file()).expect("records")
    }

    fn files(&self) -> LogFiles {
        LogFiles::new(&self.folder.join("log"), &"north".parse().expect("a name"))
    }

    fn publish(&self, records: &Records, whole: bool) {
        records.publish(&self.files(), &self.secret, whole).expect("files");
    }

    fn check(&self) -> Checked {
        self.records().check_log(&self.files(), self.secret.public()).expect("a check")
    }

    /// Does something to the file that no trigger is to stop.
    fn behind_its_back(&self, sql: &str) {
        let db = Connection::open(self.file()).expect("the file");
        let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
        let names: Vec<String> =
            db.prepare(triggers).expect("triggers").query_map([], |r| r.get(0)).expect("triggers").flatten().collect();
        names.iter().for_each(|name| drop(db.execute_batch(&format!("DROP TRIGGER {name}"))));
        db.execute_batch(sql).expect(sql);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// What would be a bug: an entry, hash, charge or release that can be changed, moved, added or taken out in the ledger's file, unnoticed.
#[test]
fn a_change_of_the_ledgers_file_shows_and_is_named() {
    let swap = "UPDATE log SET idx = 99 WHERE idx = 2; UPDATE log SET idx = 2 WHERE idx = 3; UPDATE log SET idx = 3 WHERE idx = 99";
    let copy = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico)
        SELECT snapshot, dataset, snapshot, permit, job, measure, pico FROM charge LIMIT 1";
    for (name, sql, says) in [
        ("delete", "DELETE FROM log WHERE idx = 3", "entries 3 to 3 are missing"),
        ("cut", "DELETE FROM log WHERE idx >= 11", "is not that of its entries"),
        (
            "rewrite",
            "UPDATE log SET body = CAST(replace(CAST(body AS TEXT), 'rho=0.1', 'rho=0.2') AS BLOB) WHERE idx = 1",
            "entry 1",
        ),
        ("reorder", swap, "entry 2"),
        ("body", "UPDATE log SET body = NULL WHERE idx = 0", "less than a year old"),
        ("old-body", "UPDATE log SET body = NULL, at_ms = 0 WHERE idx = 0", "the log tells that 0 were pruned"),
        ("hash", "UPDATE log_hash SET hash = zeroblob(32) WHERE level = 1 AND idx = 1", "hash 1 of level 1"),
        ("cheaper", "UPDATE charge SET pico = 1 WHERE id = 2", "the charge for plan"),
        ("refund", "DELETE FROM charge WHERE id = 2", "is in the log and not in the ledger"),
        ("added", copy, "is not in the log"),
        ("answer", "UPDATE charge SET envelope = x'00' WHERE id = 2", "another one in the ledger than in the log"),
        ("no-answer", "UPDATE charge SET envelope = NULL WHERE id = 2", "is in the log and not in the ledger"),
        ("release", "UPDATE release SET envelope = zeroblob(32) WHERE position = 2", "the release of plan"),
        ("no-release", "DELETE FROM release WHERE position = 2", "the release of plan"),
    ] {
        let world = World::at_work(name);
        world.behind_its_back(sql);
        let found = world.check().findings;
        assert!(found.iter().any(|finding| finding.contains(says)), "{name}: {found:?} does not say {says:?}");
    }
}

/// What would be a bug: a file for auditors that can be changed or lost, unnoticed.
#[test]
fn a_change_of_the_files_shows_and_is_named() {
    for name in ["checkpoint", "tile/0/000.p/13", "tile/entries/000.p/13"] {
        let world = World::at_work(&name.replace('/', "-"));
        let file = world.folder.join("log").join(name);
        let whole = fs::read(&file).expect("the file");
        for at in (0..whole.len()).step_by(whole.len() / 37 + 1) {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            fs::write(&file, &bent).expect("a change");
            let found = check_files(&world.files(), world.secret.public()).expect("a check").findings;
            assert!(!found.is_empty(), "a flip at byte {at} of {name} went unnoticed");
        }
        fs::remove_file(&file).expect("a loss");
        let found = check_files(&world.files(), world.secret.public()).expect("a check").findings;
        assert!(found.iter().any(|finding| finding.contains(name)), "{name} is gone, and it says {found:?}");
    }
    let world = World::at_work("stranger");
    let other = SecretKey::from_seed(&[7; 32]).public();
    assert!(!check_files(&world.files(), other).expect("a check").findings.is_empty(), "another node's key will do");
}

/// What would be a bug: a history that is consistent in itself and was put in the place of the one that the node signed.
#[test]
fn another_history_is_not_the_one_that_was_signed() {
    let (world, other) = (World::at_work("one"), World::at_work("other"));
    fs::copy(other.file(), world.file()).expect("a copy");
    let found = world.check().findings;
    assert!(found.iter().any(|finding| finding.contains("another log than the node's checkpoint")), "{found:?}");
    let records = world.records();
    assert!(records.publish(&world.files(), &world.secret, true).is_err(), "what the node signed is overwritten");
    records.acknowledge_rollback(&world.files(), "a test", &Who::account("operator")).expect("acknowledged");
    world.publish(&records, false);
    drop(records);
    assert_eq!(world.check().findings, Vec::<String>::new(), "the files still have the first history");
    // Signed again by whoever has the node's key, it is still not what a witness saw.
    let signed = {
        let records = other.records();
        records.checkpoint(&other.files(), &other.secret).expect("a checkpoint")
    };
    let hub = SecretKey::from_seed(&[5; 32]);
    let witness = witness_key(hub.public()).expect("a key");
    let line = signed.cosign(witness.name(), &hub, 1_800_000_000).expect("a cosignature");
    let cosigned = signed.with_cosignature(&line, &witness).expect("a cosignature");
    let third = World::at_work("third");
    third.records().keep_witnessed(hub.public(), &cosigned).expect("a witness");
    let found = third.check().findings;
    assert!(found.iter().any(|finding| finding.contains("is not the one of which")), "{found:?}");
}

/// What would be a bug: a folder that was put back as it was, or a second history, that a witness cosigns.
#[test]
fn an_old_copy_and_a_fork_are_caught_by_the_witness() {
    let world = World::at_work("rollback");
    let copy = fs::read(world.file()).expect("a copy");
    let node_key = log_key(world.files().node(), world.secret.public()).expect("a key");
    let shown = |records: &Records| records.checkpoint(&world.files(), &world.secret).expect("a checkpoint");
    let mut records = world.records();
    let first = shown(&records);
    world.answer(&mut records, b"d");
    let second = shown(&records);
    let asked = records.ask(first.checkpoint().size, &second).expect("a request");
    let known = |signed: &spe_kernel::tlog::SignedCheckpoint| {
        let (size, root) = signed.tree();
        Some(Seen { size, root })
    };
    assert!(matches!(judge(known(&first), &asked, &node_key), Ok(Verdict::Consistent(_))), "an honest log");
    drop(records);
    fs::write(world.file(), copy).expect("the old copy");
    let mut records = world.records();
    let back = shown(&records);
    let asked = records.ask(second.checkpoint().size, &back).expect("a request");
    assert!(matches!(judge(known(&second), &asked, &node_key), Ok(Verdict::Shorter(_))), "an old copy was cosigned");
    // It goes on, until it is as long as before and longer.
    for plan in [b"e", b"f"] {
        world.answer(&mut records, plan);
        let forked = shown(&records);
        let asked = records.ask(second.checkpoint().size, &forked).expect("a request");
        assert!(matches!(judge(known(&second), &asked, &node_key), Ok(Verdict::Forked(_))), "a fork was cosigned");
    }
}

/// What would be a bug: files that stay behind or broken after a crash between the log and its files.
#[test]
fn files_that_are_missing_or_behind_are_made_again() {
    let world = World::at_work("heal");
    let mut records = world.records();
    world.answer(&mut records, b"d");
    drop(records);
    assert_eq!(world.check().findings, Vec::<String>::new(), "files that are behind are no damage");
    world.publish(&world.records(), true);
    for name in ["checkpoint", "tile/0/000.p/17", "tile/entries/000.p/17"] {
        fs::remove_file(world.folder.join("log").join(name)).expect(name);
        world.publish(&world.records(), true);
        let checked = world.check();
        assert_eq!((checked.findings, checked.checkpoint), (Vec::new(), Some(17)), "after {name} was lost");
    }
    fs::remove_dir_all(world.folder.join("log")).expect("all lost");
    world.publish(&world.records(), true);
    assert_eq!(world.check().findings, Vec::<String>::new());
}

/// What would be a bug: a log that holds only until a tile is full, or files that grow with every entry for ever.
#[test]
fn a_long_log_holds_in_full_tiles() {
    let world = World::new("long");
    let records = world.records();
    for i in 0..600_u32 {
        records.log(&Who::Node, Event::NodeStarted { software: format!("spe {i}") }).expect("an entry");
        if i % 97 == 0 {
            world.publish(&records, false);
        }
    }
    world.publish(&records, false);
    drop(records);
    let checked = world.check();
    assert_eq!((checked.findings, checked.entries), (Vec::new(), 600));
    let log = world.folder.join("log");
    assert!(log.join("tile/0/001").exists() && log.join("tile/1/000.p/2").exists());
    assert!(!log.join("tile/0/000.p").exists(), "partial files of a full tile stay");
    assert_eq!(
        fs::read_dir(log.join("tile/0/002.p")).expect("partial files").count(),
        2,
        "more than this and the one before"
    );
}

/// What would be a bug: a person's name that can be read in the log, or after it was erased; a log that does not verify then.
#[test]
fn a_person_is_a_tag_and_can_be_forgotten() {
    let world = World::at_work("forget");
    let records = world.records();
    let eve =
        Person { name: "eve-planted-name".into(), key: Some(SecretKey::from_seed(&[2; 32]).public()), identity: None };
    let decided = Event::BreakerReset { dataset: "d".parse().expect("a name"), misses: 1 };
    records.log(&Who::Person(eve.clone()), decided.clone()).expect("an entry");
    records.log(&Who::Person(eve.clone()), decided).expect("an entry");
    let tags: Vec<_> = records.people().expect("people").into_iter().filter(|(_, person)| *person == eve).collect();
    assert_eq!(tags.len(), 1, "one person, one tag");
    let by = Who::account("operator");
    let gone = records.forget("eve-planted-name", None, &by, Timestamp::now()).expect("forgotten");
    assert_eq!(gone.tags, [tags[0].0.clone()]);
    world.publish(&records, true);
    for file in [world.file(), world.folder.join("ledger.sqlite-wal")] {
        let bytes = fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("eve-planted-name"), "{} still has the name", file.display());
    }
    drop(records);
    assert_eq!(world.check().findings, Vec::<String>::new(), "the log does not verify without the person");
    for (_, body) in world.records().entries(0, 1_000).expect("entries") {
        let text = String::from_utf8_lossy(&body.expect("a body")).into_owned();
        assert!(!text.contains("planted"), "an entry names a person: {text}");
    }
}

/// What would be a bug: a tag that can be given to somebody else afterwards.
#[test]
fn a_tag_stands_for_nobody_else() {
    let world = World::at_work("tag");
    let person = Person { name: "ada".into(), key: None, identity: None };
    let other = serde_json::to_string(&Person { name: "bob".into(), ..person }).expect("json");
    world.behind_its_back(&format!("UPDATE log_person SET person = '{other}', name = 'bob'"));
    let found = world.check().findings;
    assert!(found.iter().any(|finding| finding.contains("was given to another person")), "{found:?}");
}

/// What would be a bug: entries of the last year that can be pruned, or a log that does not verify after older ones were.
#[test]
fn only_what_is_old_enough_is_pruned() {
    let world = World::at_work("prune");
    let day = |days: i64| Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    let by = Who::account("operator");
    for (before, days, says) in [(day(364), 365, "Art. 73(1)(e)"), (day(500), 600, "600 days")] {
        let refused = world.records().prune_log(before, days, &by).expect_err("too young");
        assert!(matches!(&refused, Stop::Refused(refusal) if refusal.to_string().contains(says)), "{refused:?}");
    }
    // All of it was written long ago.
    world.behind_its_back("UPDATE log SET at_ms = 0");
    let records = world.records();
    assert_eq!(records.prune_log(day(366), 365, &by).expect("pruned"), 4, "the start, and who let answers leave");
    world.publish(&records, true);
    drop(records);
    let checked = world.check();
    assert_eq!((checked.findings, checked.pruned), (Vec::new(), 4));
}

/// What would be a bug: rows of a version without this log that no entry tells of, or an upgrade that cannot be told from the beginning.
#[test]
fn a_file_of_version_2_is_carried_over() {
    let file = File::new("version-2");
    let mut db = Connection::open(&file.0).expect("a file");
    layout::lay_out_until(&mut db, 2).expect("the tables of version 2");
    let (permit, snapshot) = (charge(b"a", "rho=1").permit.to_string(), Digest::of(b"snapshot"));
    let values = |plan: &[u8]| (*Digest::of(plan).as_bytes(), *snapshot.as_bytes());
    for plan in [b"a".as_slice(), b"b"] {
        let (plan, snapshot) = values(plan);
        let sql = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico) VALUES (?1, 'd', ?2, ?3, ?1, 'rho', 5)";
        db.execute(sql, params![plan, snapshot, permit]).expect("a charge");
    }
    let (plan, snapshot) = values(b"a");
    db.execute("UPDATE charge SET envelope = x'01' WHERE plan = ?1", [plan]).expect("an answer");
    let sql = "INSERT INTO round (plan, dataset, snapshot, round, state) VALUES (?1, 'd', ?2, 1, x'')";
    db.execute(sql, params![plan, snapshot]).expect("a round");
    let sql = "INSERT INTO release (plan, dataset, snapshot, envelope, chain, released_at) VALUES (?1, 'd', ?2, ?3, ?3, 'then')";
    db.execute(sql, params![plan, snapshot, Digest::of(&[1]).as_bytes()]).expect("a release");
    drop(db);
    let (folder, secret) = (World::new("version-2-files"), SecretKey::from_seed(&[8; 32]));
    for _ in 0..2 {
        let records = Records::open(&file.0).expect("an upgrade");
        records.publish(&folder.files(), &secret, true).expect("files");
        let checked = records.check_log(&folder.files(), secret.public()).expect("a check");
        assert_eq!((checked.findings, checked.entries, checked.rows), (Vec::new(), 6, 4));
        assert_eq!(records.releases().expect("releases")[0].released_at, "then", "when it was released is forgotten");
        let (_, first) = records.entries(0, 1).expect("entries").remove(0);
        let first = Entry::parse(&first.expect("a body")).expect("an entry");
        let carried = matches!(first.event, Event::CarriedOver { charges: 2, releases: 1, chain: Some(_), .. });
        assert!(carried, "it does not say that it was carried over: {first:?}");
    }
}
