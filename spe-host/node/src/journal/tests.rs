//! A ledger's file outlives the program that wrote it.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::params;
use spe_kernel::{
    audit::AuditLog,
    dsse::SecretKey,
    ids::Digest,
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reserving},
    permit::PermitId,
    refusal::{Refusal, Stop},
    units::Loss,
};

use super::*;

/// A file that goes with the test.
pub(super) struct File(pub(super) PathBuf);

impl File {
    pub(super) fn new(name: &str) -> Self {
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

pub(super) fn key(plan: &[u8]) -> AnswerKey {
    let dataset = "d".parse().expect("a name");
    AnswerKey { plan: Digest::of(plan), dataset, snapshot: Digest::of(b"snapshot"), round: 0 }
}

pub(super) fn charge(plan: &[u8], loss: &str) -> Charge {
    let loss_of = |text: &str| text.parse::<Loss>().expect("a loss");
    Charge {
        key: key(plan),
        permit: PermitId { number: "p".parse().expect("a number"), issuer: SecretKey::from_seed(&[1; 32]).public() },
        person: "ada".parse().expect("a name"),
        job: Digest::of(plan),
        loss: loss_of(loss),
        dataset_cap: loss_of("rho=1,delta=0.001"),
        permit_cap: loss_of("rho=1,delta=0.001"),
        overlap: 1,
        subjects_max: 100,
        leaves_at: Timestamp::from_millisecond(1_700_000_000_150).expect("a time"),
    }
}

/// As version 1 left it: one charge with its released answer, one whose process died, a quarter ρ each.
fn version_1(file: &File) {
    let mut db = Connection::open(&file.0).expect("a file");
    layout::lay_out_until(&mut db, 1).expect("the tables of version 1");
    // It did not write its number down.
    db.pragma_update(None, "user_version", 0).expect("no number");
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
fn a_file_of_version_1_keeps_its_charges_and_answers() {
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
            matches!(releases.as_slice(), [r] if r.answer == Digest::of(b"answer")),
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
    assert_eq!(records.releases().expect("releases").len(), 2, "the log does not go on");
}

/// What would be a bug: a program that was rolled back and writes into a ledger whose tables it does not know.
#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let file = File::new("later");
    drop(Records::open(&file.0).expect("a file"));
    let later = layout::newest() + 1;
    Connection::open(&file.0).and_then(|db| db.pragma_update(None, "user_version", later)).expect("a later version");
    let refused = Records::open(&file.0).err().map(|fault| fault.to_string()).unwrap_or_default();
    assert!(refused.contains(&format!("version {later}")), "{refused:?}");
}

/// What would be a bug: a process after a crash that does not know until when the one before held what it computed; a round that goes on
/// for somebody else than who paid; a payer whom an upgrade locked out.
#[test]
fn who_paid_and_when_it_leaves_outlive_the_process() {
    let file = File::new("payer");
    let mut db = Connection::open(&file.0).expect("a file");
    layout::lay_out_until(&mut db, 2).expect("the tables of version 2");
    let (old, snapshot) = (charge(b"old", "rho=0.25"), Digest::of(b"snapshot"));
    let insert = "INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico, envelope)
        VALUES (?1, 'd', ?2, ?3, ?4, 'rho', 250000000000, x'00')";
    let values = params![old.key.plan.as_bytes(), snapshot.as_bytes(), old.permit.to_string(), old.job.as_bytes()];
    db.execute(insert, values).expect("a charge");
    drop(db);
    let new = charge(b"new", "rho=0.25");
    let later = Charge { leaves_at: Timestamp::from_second(1_700_000_001).expect("a time"), ..new.clone() };
    {
        let mut records = Records::open(&file.0).expect("an upgrade");
        let mut ledger = Ledger::open(records.clone()).expect("a ledger");
        assert!(matches!(ledger.reserve(&new, &[]), Ok(Reserving::Paid(_))));
        records.append(&Event::Committed { key: &new.key, envelope: b"answer" }).expect("an answer");
        assert!(matches!(ledger.begin(&later, 1, 2, &[0.5]), Ok(Reserving::Paid(_))));
    }
    let mut records = Records::open(&file.0).expect("the file");
    let times = [&new.key, &new.key.at_round(1), &new.key.at_round(2), &old.key]
        .map(|key| records.leaves_at(key).expect("a time"));
    assert_eq!(times, [Some(new.leaves_at), Some(later.leaves_at), None, None]);
    let other_permit =
        Charge { permit: PermitId { number: "q".parse().expect("a number"), ..new.permit.clone() }, ..new.clone() };
    let other_person = Charge { person: "eve".parse().expect("a name"), ..new.clone() };
    let other_job = Charge { job: Digest::of(b"signed again"), ..old.clone() };
    let payers = [&new, &later, &other_permit, &other_person, &old, &other_job];
    assert_eq!(payers.map(|c| records.paid_by(c).expect("an answer")), [true, true, false, false, true, false]);
}
