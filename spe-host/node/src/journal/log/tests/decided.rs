//! What officers and rules decided, in the log and in the ledger.

use spe_kernel::{
    audit::{Event, Who},
    dsse::SecretKey,
    ids::Digest,
    ledger::{Event as Step, Journal},
    officer::{Duty, Matter, Officer, VERDICT_FORMAT, Verdict, VerdictBody},
};

use super::World;
use crate::journal::{Records, tests::charge};

/// The officer's word on `matter`, which waited for it.
fn decide(records: &Records, matter: Matter, allowed: bool) {
    let (key, node) = (SecretKey::from_seed(&[3; 32]), "north".parse().expect("a name"));
    let body = VerdictBody {
        format: VERDICT_FORMAT.into(),
        node,
        matter,
        allowed,
        reason: "as the board decided".into(),
        officer: "ola".parse().expect("a name"),
        decided_at: "2030-01-01T00:00:00Z".parse().expect("a time"),
    };
    let duties = vec![Duty::CheckOutputs, Duty::ApproveRuns];
    let known = Officer { name: body.officer.clone(), key: key.public(), duties };
    let envelope = body.sign(&key);
    let verdict = Verdict::verify(&envelope, &body.node, &[known]).expect("a verdict");
    let line = charge(b"a", "rho=0.1").permit;
    records.wait_for_officer((matter, 1), &line, &serde_json::json!({})).expect("it waits");
    records.decide(&verdict, &envelope).expect("decided");
}

/// A log with one answer whose run and release an officer allowed, one that the rules let leave, and one that was refused.
fn decided(name: &str) -> World {
    let world = World::new(name);
    let mut records = world.records();
    records.log(&Who::Node, Event::NodeStarted { software: "spe".into() }).expect("an entry");
    records.append(&Step::Reserved(&charge(b"a", "rho=0.1"))).expect("a charge");
    decide(&records, Matter::Run(Digest::of(b"a")), true);
    decide(&records, Matter::Release(Digest::of(b"a")), true);
    world.answered(&mut records, b"a");
    world.answer(&mut records, b"b");
    decide(&records, Matter::Release(Digest::of(b"c")), false);
    world.publish(&records, true);
    drop(records);
    let checked = world.check();
    assert_eq!((checked.findings, checked.rows), (Vec::new(), 7), "two charges, two releases, three verdicts");
    world
}

/// What would be a bug: a verdict that is put in, taken out or turned round, in the ledger or in the log, unnoticed; an answer that was refused
/// and left all the same.
#[test]
fn every_verdict_is_in_the_log_and_every_entry_has_its_verdict() {
    let copy = "INSERT INTO verdict (kind, digest, envelope, refused, recorded_at)
        SELECT kind, zeroblob(32), envelope, refused, '2126-01-01T00:00:00.000Z' FROM verdict LIMIT 1";
    let turned =
        "UPDATE verdict SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"sig\":\"', '\"sig\":\"A') AS BLOB)";
    let swapped = "UPDATE verdict SET digest = zeroblob(32) WHERE kind = 'release' AND refused = 1";
    let left = "UPDATE release SET envelope = (SELECT digest FROM verdict WHERE refused = 1) WHERE position = 2";
    let tag = "UPDATE log_job SET tag = 'job-00000000000000000000000000000000' WHERE job = (SELECT digest FROM verdict WHERE kind = 'run')";
    for (name, sql, says) in [
        (
            "lost",
            "DELETE FROM verdict WHERE kind = 'release' AND refused = 0",
            "tells of a verdict that is not in the ledger",
        ),
        ("lost-run", "DELETE FROM verdict WHERE kind = 'run'", "tells of a verdict that is not in the ledger"),
        ("added", copy, "was signed about something else"),
        ("turned", turned, "is not as an officer signed it"),
        ("swapped", swapped, "was signed about something else"),
        ("left", left, "and an officer refused it"),
        ("other-job", tag, "tells of another decision than the verdict"),
        ("by-rules", "DELETE FROM release WHERE position = 2", "says that the rules let an answer leave"),
    ] {
        let world = decided(&format!("decided-{name}"));
        world.behind_its_back(sql);
        let found = world.check().findings;
        assert!(found.iter().any(|finding| finding.contains(says)), "{name}: {found:?} does not say {says:?}");
    }
    // A verdict that the log does not tell of; what it told of is pruned, or was before it began.
    let world = World::at_work("decided-in-silence");
    let records = world.records();
    decide(&records, Matter::Release(Digest::of(b"d")), false);
    drop(records);
    let silent = "DELETE FROM log WHERE idx = 13; DELETE FROM log_hash WHERE idx = 13 AND level = 0;
        DELETE FROM log_hash WHERE level > 0 AND (idx + 1) << level > 13";
    world.behind_its_back(silent);
    let found = world.check().findings;
    assert!(found.iter().any(|finding| finding.contains("is not in the log")), "{found:?}");
    world.behind_its_back("UPDATE verdict SET recorded_at = '2020-01-01T00:00:00.000Z'");
    assert_eq!(world.check().findings, Vec::<String>::new(), "a verdict of before the log");
}

/// What would be a bug: lines beside an exported log that say something else than the log, or less, or more.
#[test]
fn lines_for_reading_say_what_the_log_says() {
    let world = World::at_work("lines");
    let lines = world.folder.join("log").join(super::super::LINES);
    let bodies = world.records().entries(0, 100).expect("entries").into_iter().filter_map(|(_, body)| body);
    let text: Vec<u8> = bodies.flat_map(|body| [body, vec![b'\n']].concat()).collect();
    let found = |text: &[u8]| {
        std::fs::write(&lines, text).expect("written");
        super::check_files(&world.files(), world.secret.public()).expect("a check").findings
    };
    assert_eq!(found(&text), Vec::<String>::new());
    for at in (0..text.len()).step_by(61) {
        let mut bent = text.clone();
        bent[at] ^= 1;
        let entry = text[..at].iter().filter(|byte| **byte == b'\n').count();
        let says = found(&bent);
        assert!(says.iter().any(|why| why.contains(&format!("for entry {entry} "))), "a flip at byte {at}: {says:?}");
    }
    assert!(!found(&text[..text.len() - 1]).is_empty(), "cut");
    assert!(found(&[&text[..], b"{}\n"].concat()).iter().any(|why| why.contains("after the last")), "one more");
}
