//! A ledger's file outlives the program that wrote it.

use std::{collections::BTreeSet, path::PathBuf};

use jiff::Timestamp;
use rusqlite::params;
use spe_kernel::{
    audit::{AuditLog, Who},
    dsse::SecretKey,
    ids::Digest,
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reserving},
    officer::Matter,
    permit::PermitId,
    refusal::{Refusal, Stop},
    units::Loss,
};

use super::*;

/// A file that goes with the test.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    pub(crate) fn new(name: &str) -> Self {
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
        release: spe_kernel::plan::Release::Noisy,
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

/// What would be a bug: a late run, or a job that came to nothing, from which a forgotten person's name can be read; a name that an upgrade
/// leaves behind; a breaker that is lifted and not logged.
#[test]
fn a_forgotten_person_is_in_no_row() {
    let file = File::new("forgotten");
    let mut db = Connection::open(&file.0).expect("a file");
    layout::lay_out_until(&mut db, 13).expect("the tables before late runs had tags");
    let insert = "INSERT INTO miss (dataset, plan, snapshot, round, permit, person) VALUES ('d', x'00', x'00', 0, 'p', 'ada-planted')";
    // A digest is 32 bytes.
    db.execute(&insert.replace("x'00'", "zeroblob(32)"), []).expect("a late run of an earlier version");
    drop(db);
    let records = Records::open(&file.0).expect("an upgrade");
    let ada = Charge { person: "ada-planted".parse().expect("a name"), ..charge(b"a", "rho=0.1") };
    records.clone().append(&Event::Reserved(&ada)).expect("a charge");
    records.missed(&ada, 0).expect("a miss");
    let names =
        |records: &Records| records.all_misses().expect("misses").into_iter().map(|m| m.person).collect::<Vec<_>>();
    assert_eq!(names(&records), ["ada-planted", "ada-planted"], "the operator does not see who asked");
    let by = Who::account("operator");
    assert_eq!(records.resume(&"d".parse().expect("a name"), "looked at", &by).expect("resumed"), 2);
    let last = records.entries(0, 100).expect("entries").pop().and_then(|(_, body)| body).expect("an entry");
    assert!(String::from_utf8_lossy(&last).contains("breaker-reset"), "the breaker is lifted in silence");
    let gone = records.forget("ada-planted", None, &by, Timestamp::now()).expect("forgotten");
    assert!(gone.tags.len() == 1 && gone.stays.len() == 1, "{gone:?}");
    assert!(names(&records).iter().all(|name| name.starts_with("person-")), "{:?}", names(&records));
    assert!(records.paid_by_person_of(&ada), "the ledger lost who paid");
    drop(records);
    let bytes = std::fs::read(&file.0).expect("the file");
    assert!(!bytes.windows(11).any(|eleven| eleven == b"ada-planted"), "the name is still in the file");
}

impl Records {
    /// Whether the charge is still somebody's.
    fn paid_by_person_of(&self, charge: &Charge) -> bool {
        let sql = "SELECT person LIKE 'person-%' FROM charge WHERE job = ?1";
        self.connection().query_row(sql, [charge.job.as_bytes()], |r| r.get(0)).expect("a charge")
    }
}

/// What would be a bug: something that waits for ever for an officer who does not come; what was not decided and can still be; a question
/// that cannot be asked again; an answer that an officer was to check and that leaves by itself when that took too long.
#[test]
fn what_waits_too_long_for_an_officer_waits_no_more() {
    let file = File::new("lapses");
    let records = Records::open(&file.0).expect("a file");
    let (matter, line) = (Matter::Release(Digest::of(b"answer")), charge(b"a", "rho=0.1").permit);
    let about = serde_json::json!({ "person": "ada-planted" });
    records.wait_for_officer((matter, 1), &line, &about).expect("it waits");
    let by = Who::account("operator");
    let stays = records.forget("ada-planted", None, &by, Timestamp::now()).expect("nothing to forget").stays;
    assert!(matches!(stays.as_slice(), [one] if one.number == 1 && one.what.contains("officer")), "{stays:?}");
    assert_eq!(records.lapse(Timestamp::now() - jiff::SignedDuration::from_hours(1)).expect("a look"), 0);
    assert_eq!((records.lapsed_at(matter).expect("a look"), records.pending().expect("a list").len()), (None, 1));
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(1);
    assert_eq!(records.lapse(later).expect("a look"), 1);
    assert!(records.lapsed_at(matter).expect("a look").is_some() && records.pending().expect("a list").is_empty());
    assert!(records.is_officers(matter).expect("a look"), "what an officer was to check leaves by itself");
    let stays = records.forget("ada-planted", None, &by, Timestamp::now()).expect("nothing to forget").stays;
    assert_eq!(stays, [], "what nobody decides keeps a name");
    let kept: String = records.connection().query_row("SELECT about FROM matter", [], |r| r.get(0)).expect("a row");
    assert_eq!(kept, "{}", "what nobody decides keeps what it was about");
    records.wait_for_officer((matter, 1), &line, &about).expect("it waits again");
    assert_eq!((records.lapsed_at(matter).expect("a look"), records.pending().expect("a list").len()), (None, 1));
}

impl Records {
    /// A permit that was seen, in force for the year 2030.
    fn saw(&self, line: &PermitId) {
        let insert = "INSERT INTO permit VALUES (?1, ?2, 'n', 'granted', NULL, ?3, ?3, '2031-01-01T00:00:00Z', ?3, ?3)";
        let (line, from) = (line.to_string(), "2030-01-01T00:00:00Z");
        let digest = Digest::of(line.as_bytes());
        let values = params![digest.as_bytes(), line, from];
        self.connection().execute(insert, values).expect("a permit");
    }
}

/// What would be a bug: a public entry about the end of a permit that only the hub told of; or an end of which nothing is said, though the
/// permit was charged, brought a module, or had a job that waits.
#[test]
fn only_what_was_used_here_ends_here() {
    let file = File::new("ends-where-used");
    let records = Records::open(&file.0).expect("a file");
    let line = |number: &str| PermitId {
        number: number.parse().expect("a number"),
        issuer: SecretKey::from_seed(&[1; 32]).public(),
    };
    let [told, brought, waits, charged, checked] = ["told", "brought", "waits", "charged", "checked"].map(line);
    for line in [&told, &brought, &waits, &charged, &checked] {
        records.saw(line);
    }
    records.brought(&brought, Digest::of(b"module")).expect("noted");
    let wait = |matter, line| records.wait_for_officer((matter, 1), line, &serde_json::json!({})).expect("it waits");
    wait(Matter::Run(Digest::of(b"job")), &waits);
    wait(Matter::Release(Digest::of(b"answer")), &checked);
    let charge = Charge { permit: charged.clone(), ..charge(b"a", "rho=0.1") };
    records.clone().append(&Event::Reserved(&charge)).expect("a charge");
    let over = || records.over(|_, _| None, "2032-01-01T00:00:00Z".parse().expect("a time")).expect("what is over");
    let lines = |over: Vec<Over>| over.into_iter().map(|over| over.line).collect::<BTreeSet<_>>();
    assert_eq!(lines(over()), [brought, waits, charged].into());
    for over in over() {
        records.end(&over, None).expect("ended");
    }
    assert_eq!((lines(over()), records.endings().expect("endings").len()), (BTreeSet::new(), 3));
}

/// What would be a bug: what a renewed permit brought and nobody deletes, because the line had ended once; a second end without a certificate
/// of its own; a module that another line's permit needs and that goes.
#[test]
fn a_line_that_was_renewed_ends_again() {
    let file = File::new("ends-again");
    let records = Records::open(&file.0).expect("a file");
    let line = charge(b"a", "rho=0.1").permit;
    let other = PermitId { number: "other".parse().expect("a number"), ..line.clone() };
    let permit = |line: &PermitId, number: &str, until: &str| {
        let insert = "INSERT INTO permit VALUES (?1, ?2, ?3, 'granted', NULL, ?4, ?4, ?5, ?4, ?4)";
        let (digest, from) = (Digest::of(number.as_bytes()), "2030-01-01T00:00:00Z");
        let values = params![digest.as_bytes(), line.to_string(), number, from, until];
        records.connection().execute(insert, values).expect("a permit");
    };
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let over = |now: &str| records.over(|_, _| None, at(now)).expect("what is over");
    permit(&line, "p", "2031-01-01T00:00:00Z");
    records.brought(&line, Digest::of(b"module")).expect("noted");
    assert!(over("2030-06-01T00:00:00Z").is_empty());
    let first = over("2031-06-01T00:00:00Z").remove(0);
    assert_eq!(first.modules, [Digest::of(b"module")]);
    records.end(&first, Some(b"first")).expect("ended");
    assert!(over("2031-06-01T00:00:00Z").is_empty(), "it ends for ever");
    permit(&line, "p-2", "2033-01-01T00:00:00Z");
    permit(&other, "other", "2040-01-01T00:00:00Z");
    records.brought(&line, Digest::of(b"module")).expect("noted");
    records.brought(&line, Digest::of(b"shared")).expect("noted");
    records.brought(&other, Digest::of(b"shared")).expect("noted");
    assert!(over("2032-01-01T00:00:00Z").is_empty(), "a renewed line is over");
    let second = over("2034-01-01T00:00:00Z").remove(0);
    assert_eq!(
        second.modules,
        [Digest::of(b"module")],
        "what the renewed permit brought stays, or goes from under another"
    );
    records.end(&second, Some(b"second")).expect("ended again");
    assert!(over("2034-01-01T00:00:00Z").is_empty());
    let told: Vec<_> = records.endings().expect("endings").into_iter().map(|e| (e.number, e.certificate)).collect();
    assert_eq!(told, [(1, Some("first".into())), (2, Some("second".into()))]);
}

/// What would be a bug: one permit holder whose questions, which cost nothing, keep all others from the officers; or an answer, which is paid
/// for, that finds no room.
#[test]
fn one_line_of_permits_does_not_take_all_of_the_officers_time() {
    let file = File::new("busy");
    let records = Records::open(&file.0).expect("a file");
    let line = |number: &str| PermitId {
        number: number.parse().expect("a number"),
        issuer: SecretKey::from_seed(&[1; 32]).public(),
    };
    let (one, other) = (line("p-1"), line("p-2"));
    for asked in 0..50_u8 {
        assert!(!records.officers_are_busy(&one).expect("counted"), "{asked} are too many");
        let matter = Matter::Run(Digest::of(&[asked]));
        records.wait_for_officer((matter, 1), &one, &serde_json::json!({})).expect("noted");
        let answer = Matter::Release(Digest::of(&[asked]));
        records.wait_for_officer((answer, 1), &other, &serde_json::json!({})).expect("noted");
    }
    assert!(records.officers_are_busy(&one).expect("counted"));
    assert!(!records.officers_are_busy(&other).expect("counted"), "answers, or another's questions, count");
}
