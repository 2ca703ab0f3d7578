//! A ledger's file outlives the program that wrote it.

use std::path::PathBuf;

use spe_kernel::{
    dsse::SecretKey,
    ledger::{Charge, Ledger, Reserving},
    permit::PermitId,
    refusal::{Refusal, Stop},
};

use super::*;

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spe-journal-{}-{name}.sqlite", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{ending}", self.0.display())).ok();
        }
    }
}

/// The tables as version 1 made them, with its triggers; it knew neither rounds nor δ.
const VERSION_1: &str = "
CREATE TABLE IF NOT EXISTS charge (
  id INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  permit TEXT NOT NULL, job BLOB NOT NULL, measure TEXT NOT NULL CHECK (measure IN ('rho', 'epsilon')),
  pico INTEGER NOT NULL CHECK (pico > 0), reserved_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  envelope BLOB, UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE INDEX IF NOT EXISTS charge_totals ON charge (dataset, permit, measure, pico);
CREATE INDEX IF NOT EXISTS charge_job ON charge (job);
CREATE TRIGGER IF NOT EXISTS charge_stays BEFORE DELETE ON charge BEGIN SELECT RAISE(ABORT, 'a charge stays'); END;
CREATE TRIGGER IF NOT EXISTS charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.reserved_at <> OLD.reserved_at
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE IF NOT EXISTS release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE TRIGGER IF NOT EXISTS release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER IF NOT EXISTS release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
";

fn key(plan: &[u8]) -> AnswerKey {
    let dataset = "d".parse().expect("a name");
    AnswerKey { plan: Digest::of(plan), dataset, snapshot: Digest::of(b"snapshot"), round: 0 }
}

fn charge(plan: &[u8], loss: &str) -> Charge {
    let loss_of = |text: &str| text.parse::<Loss>().expect("a loss");
    Charge {
        key: key(plan),
        permit: PermitId { number: "p".parse().expect("a number"), issuer: SecretKey::from_seed(&[1; 32]).public() },
        job: Digest::of(plan),
        loss: loss_of(loss),
        dataset_cap: loss_of("rho=1,delta=0.001"),
        permit_cap: loss_of("rho=1,delta=0.001"),
        overlap: 1,
        subjects_max: 100,
    }
}

/// As version 1 left it: one charge with its released answer, one whose process died, a quarter ρ each.
fn version_1(file: &File) {
    let db = Connection::open(&file.0).expect("a file");
    db.execute_batch(VERSION_1).expect("the tables of version 1");
    let (permit, snapshot) = (charge(b"a", "rho=1").permit.to_string(), Digest::of(b"snapshot"));
    let insert = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico, envelope)
        VALUES (?1, 'd', ?2, ?3, ?1, 'rho', 250000000000, ?4)";
    for (plan, answer) in [(b"a", Some(b"answer".as_slice())), (b"b", None)] {
        let plan = Digest::of(plan);
        db.execute(insert, params![plan.as_bytes(), snapshot.as_bytes(), permit, answer]).expect("a charge");
    }
    let (plan, dataset, answer) = (Digest::of(b"a"), Digest::of(b"d"), Digest::of(b"answer"));
    let chain = Digest::of(&[*plan.as_bytes(), *dataset.as_bytes(), *snapshot.as_bytes(), *answer.as_bytes()].concat());
    let insert = "INSERT INTO release (plan, dataset, snapshot, envelope, chain) VALUES (?1, 'd', ?2, ?3, ?4)";
    let values = params![plan.as_bytes(), snapshot.as_bytes(), answer.as_bytes(), chain.as_bytes()];
    db.execute(insert, values).expect("a release");
}

/// What would be a bug: an upgrade after which a charge is forgotten, an answer differs, or a charge can be taken back.
#[test]
fn a_file_of_version_1_keeps_its_charges_answers_and_chain() {
    let file = File::new("version-1");
    version_1(&file);
    for opened in 1..=2 {
        let mut records = Records::open(&file.0).expect("an upgrade");
        let totals = records.totals().expect("totals");
        assert_eq!(totals.iter().map(|t| t.spent).collect::<Vec<_>>(), ["rho=0.5".parse::<Loss>().expect("a loss")]);
        assert_eq!(records.find(&key(b"a")).expect("a row"), Some(Entry::Answered(b"answer".to_vec())));
        assert_eq!(records.find(&key(b"b")).expect("a row"), Some(Entry::Open));
        let releases = records.releases().expect("releases");
        assert!(
            matches!(releases.as_slice(), [r] if r.holds && r.position == 1),
            "opened {opened} times: {releases:?}"
        );
        for change in
            ["DELETE FROM charge", "UPDATE charge SET pico = 1", "DELETE FROM release", "UPDATE release SET round = 1"]
        {
            assert!(records.connection().execute(change, []).is_err(), "{change} was possible after the upgrade");
        }
    }
    let records = Records::open(&file.0).expect("the file");
    let mut ledger = Ledger::open(records.clone()).expect("a ledger");
    assert!(matches!(ledger.recall(&key(b"b")), Err(Stop::Refused(Refusal::Interrupted { .. }))));
    let refused = ledger.reserve(&charge(b"c", "rho=0.6"), &[]);
    assert!(matches!(refused, Err(Stop::Refused(Refusal::DatasetLossExhausted { .. }))), "old charges do not count");
    let paid = ledger.reserve(&charge(b"c", "rho=0.25,delta=0.0001"), &[]);
    assert!(matches!(paid, Ok(Reserving::Paid(_))));
    let totals = records.clone().totals().expect("totals");
    assert_eq!(
        totals.iter().map(|t| t.spent).collect::<Vec<_>>(),
        ["rho=0.75,delta=0.0001".parse::<Loss>().expect("a loss")]
    );
    records.clone().record(&key(b"c").at_round(3), Digest::of(b"later")).expect("a release");
    let releases = records.releases().expect("releases");
    assert!(releases.len() == 2 && releases.iter().all(|r| r.holds), "the chain does not go on: {releases:?}");
}

/// What would be a bug: a line of the audit log that was changed behind the node's back, and does not show.
#[test]
fn a_changed_line_of_the_audit_log_shows() {
    let file = File::new("changed");
    let mut records = Records::open(&file.0).expect("a file");
    for plan in [b"a", b"b", b"c"] {
        records.record(&key(plan), Digest::of(plan)).expect("a release");
    }
    drop(records);
    let db = Connection::open(&file.0).expect("the file");
    db.execute_batch("DROP TRIGGER release_is_final").expect("no trigger");
    db.execute("UPDATE release SET envelope = ?1 WHERE position = 2", [Digest::of(b"x").as_bytes()]).expect("a change");
    drop(db);
    let releases = Records::open(&file.0).expect("the file").releases().expect("releases");
    assert_eq!(releases.iter().map(|r| r.holds).collect::<Vec<_>>(), [true, false, true]);
}

/// What would be a bug: a program that was rolled back and writes into a ledger whose tables it does not know.
#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let file = File::new("later");
    drop(Records::open(&file.0).expect("a file"));
    let later = VERSION + 1;
    Connection::open(&file.0).and_then(|db| db.pragma_update(None, "user_version", later)).expect("a later version");
    let refused = Records::open(&file.0).err().map(|fault| fault.to_string()).unwrap_or_default();
    assert!(refused.contains(&format!("version {later}")), "{refused:?}");
}
