//! Who opted out is in nothing that a scan gives; and the register that says so is kept, or nobody is scanned.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use spe_kernel::{
    category::Categories,
    job::Purpose,
    keys::LocalKeys,
    optout::{AsOf, Choice, Clock, Decision, Scope},
    plan::Plan,
};
use spe_vault::{Cohort, Declaration, Ingest, Recorded, Register, ScanSizes, Vault};

use super::{
    scan::{COHORT, site},
    support::{CLINIC, HEADER, Site, Subject, block_plan, current, grep, keys, partition, plan, pseudonym},
};

const LABS: &str =
    r#"[{"table":"labs","columns":["note","day"],"max_rows":65536},{"table":"people","columns":["age"],"max_rows":9}]"#;
const NOTES: &str = r#"[{"table":"labs","columns":["note"],"max_rows":65536}]"#;

/// An instant of 2030, by its day of January.
fn time(day: u32) -> String {
    format!("2030-01-{day:02}T00:00:00Z")
}

fn as_of(day: u32, purpose: Purpose) -> AsOf {
    AsOf { at: time(day).parse().unwrap(), purpose, reads: Categories::ALL }
}

fn register(site: &Site) -> Register {
    Register::of(&site.vault(), &site.declaration.schema().name).unwrap()
}

fn log(site: &Site) -> PathBuf {
    site.vault().join(site.declaration.schema().name.as_str()).join("optout.log")
}

fn decision(choice: Choice, purposes: &[Purpose]) -> Decision {
    Decision { choice, scope: Scope::of(purposes, &[]), effective_at: None, channel: "test".parse().unwrap() }
}

fn named<'a>(people: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    people.into_iter().map(|person| vec![person.to_owned()]).collect()
}

/// Enters a choice of `people` on a day of January 2030.
fn enter(site: &Site, people: &[&str], choice: Choice, purposes: &[Purpose], day: u32) -> Recorded {
    let register = register(site);
    let subjects = register.subjects(&keys(), &named(people.iter().copied())).unwrap();
    let clock = || Clock::Says(time(day).parse().unwrap());
    register.record(&subjects, &decision(choice, purposes), clock).unwrap()
}

fn cohort(vault: &Vault, plan: &Plan, day: u32) -> Cohort {
    vault.cohort(plan.dataset(), as_of(day, Purpose::ScientificResearch)).unwrap()
}

/// Everything that a scan gives on that day, in its order.
fn seen(vault: &Vault, plan: &Plan, day: u32) -> Vec<Subject> {
    let scans = vault.scan(plan, &cohort(vault, plan, day)).unwrap();
    scans.into_iter().flat_map(|scan| partition(scan).unwrap()).collect()
}

fn fault(vault: &Vault, plan: &Plan) -> String {
    vault.cohort(plan.dataset(), as_of(9, Purpose::Education)).err().unwrap().to_string()
}

/// A thousand people, each with an age and two rows that say whose they are.
fn thousand() -> Site {
    let people: String = (0..1_000).map(|i| format!("p{i},{}\n", i % 100)).collect();
    let labs: String = (0..1_000).map(|i| format!("p{i},1,1,of {i}\np{i},2,,of {i}\n")).collect();
    site(&format!("id,age\n{people}"), &format!("person,day,value,note\n{labs}"))
}

fn owners(records: &[Subject]) -> Vec<usize> {
    let notes = records.iter().flat_map(|r| &r[0]).map(|row| row[0].trim_matches('"')[3..].parse().unwrap());
    notes.collect()
}

/// What would be a bug: one row, one empty record, one block's share of somebody who opted out.
#[test]
fn of_a_thousand_people_a_hundred_are_not_seen() {
    let site = thousand();
    let gone: Vec<String> = (0..1_000).filter(|i| i % 10 == 3).map(|i| format!("p{i}")).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let recorded = enter(&site, &gone, Choice::OptsOut, &[], 5);
    assert_eq!((recorded.numbers, recorded.torn_bytes), ((1, 100), 0));
    let vault = site.open();
    for inputs in [LABS, r#"[{"table":"labs","columns":["note"],"max_rows":1,"filter":"day = 2"}]"#] {
        let plan = plan(site.declaration.schema(), inputs);
        let before = seen(&vault, &plan, 4);
        let after = seen(&vault, &plan, 5);
        assert_eq!((before.len(), after.len()), (1_000, 900));
        let mut left = owners(&after);
        left.dedup();
        left.sort_unstable();
        assert_eq!(
            left,
            (0..1_000).filter(|i| i % 10 != 3).collect::<Vec<_>>(),
            "somebody else is missing, or is there"
        );
    }
    let nothing = r#"[{"table":"labs","columns":["note"],"max_rows":1,"filter":"day = 77"}]"#;
    assert_eq!(seen(&vault, &plan(site.declaration.schema(), nothing), 5).len(), 900, "empty records of others stay");
    for blocks in [2, 7, 64, 3_000] {
        let plan = block_plan(site.declaration.schema(), NOTES, blocks);
        let (before, after) = (seen(&vault, &plan, 4), seen(&vault, &plan, 5));
        assert_eq!((before.len(), after.len()), (blocks, blocks), "the number of blocks tells who is there");
        assert_eq!(owners(&before).len(), 2_000);
        let left = owners(&after);
        assert!(left.len() == 1_800 && left.iter().all(|i| i % 10 != 3), "{blocks} blocks");
    }
    // Who is cut from a block makes room for others.
    let cut = block_plan(site.declaration.schema(), &NOTES.replace("65536", "10"), 2);
    assert!(seen(&vault, &cut, 5).iter().all(|block| block[0].len() == 10));
    assert!(owners(&seen(&vault, &cut, 5)).iter().all(|i| i % 10 != 3));
}

/// What would be a bug: an opt-out that reaches an earlier permit, a later permit that does not heed it, or a return that does not count;
/// a job that is told to have heeded another state of the register than it did.
#[test]
fn three_permits_see_three_cohorts() {
    let site = thousand();
    let plan = plan(site.declaration.schema(), LABS);
    let vault = site.open();
    let everybody = seen(&vault, &plan, 1);
    let snapshot = vault.datasets().next().unwrap().snapshot();
    let head = || register(&site).head().unwrap();
    let (chosen, exempt) = (cohort(&vault, &plan, 1), vault.cohort_of_everybody(plan.dataset()).unwrap());
    assert_eq!([chosen.register(), exempt.register()], [head(), head()]);
    // The node runs all the time: the vault is not opened again.
    enter(&site, &["p7"], Choice::OptsOut, &[], 10);
    assert_ne!(chosen.register(), head(), "a log tells of another register than whom a job was about was chosen by");
    assert_eq!(cohort(&vault, &plan, 1).register(), head(), "a register is told that nobody had any more");
    let (a, b) = (cohort(&vault, &plan, 1).digest(), cohort(&vault, &plan, 15).digest());
    assert!(a == snapshot && b != snapshot);
    assert_eq!(seen(&vault, &plan, 1), everybody, "the permit of before sees another cohort");
    let without = seen(&vault, &plan, 15);
    assert_eq!(without, everybody.iter().filter(|r| owners(&[(*r).clone()])[0] != 7).cloned().collect::<Vec<_>>());
    enter(&site, &["p7"], Choice::ComesBack, &[], 20);
    assert_eq!(seen(&vault, &plan, 25), everybody, "a return does not count");
    assert_eq!(cohort(&vault, &plan, 25).digest(), a, "the same people under another digest would be paid for twice");
    assert_eq!((seen(&vault, &plan, 1), cohort(&vault, &plan, 1).digest()), (everybody, a));
    assert_eq!(
        (seen(&vault, &plan, 15), cohort(&vault, &plan, 15).digest()),
        (without, b),
        "an earlier permit changed"
    );
}

#[test]
fn an_opt_out_from_one_purpose_is_no_other() {
    let site = thousand();
    enter(&site, &["p1"], Choice::OptsOut, &[Purpose::Education, Purpose::OfficialStatistics], 1);
    let (vault, plan) = (site.open(), plan(site.declaration.schema(), LABS));
    for purpose in Purpose::ALL {
        let cohort = vault.cohort(plan.dataset(), as_of(2, purpose)).unwrap();
        let scans = vault.scan(&plan, &cohort).unwrap();
        let people: usize = scans.into_iter().map(|scan| partition(scan).unwrap().len()).sum();
        let out = matches!(purpose, Purpose::Education | Purpose::OfficialStatistics);
        assert_eq!(people, if out { 999 } else { 1_000 }, "{purpose}");
    }
}

fn people_and_labs(people: &[(u16, u8)], site: &Site) -> [spe_vault::Source; 2] {
    let ages: String = people.iter().filter(|(id, _)| id % 3 > 0).map(|(id, _)| format!("{id},30\n")).collect();
    let row = |id: &u16, day: u8| format!("{id},{day},1,of {id}\n");
    let rows = |(id, rows): &(u16, u8)| (0..*rows + u8::from(id % 3 == 0)).map(|day| row(id, day)).collect::<String>();
    let labs: String = people.iter().map(rows).collect();
    [
        site.source("people", "people.csv", format!("id,age\n{ages}")),
        site.source("labs", "labs.csv", format!("person,day,value,note\n{labs}")),
    ]
}

fn ingested(people: &[(u16, u8)], partitions: usize) -> Site {
    let site = Site::new(&COHORT.replace("partitions = 2", &format!("partitions = {partitions}")));
    let sources = people_and_labs(people, &site);
    Ingest { row_group_rows: 3, ..Ingest::new(&site.declaration, &sources, &keys(), &site.vault()) }
        .run(|_| {})
        .unwrap();
    site
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Reference: a dataset into which those who opted out were never brought. Whatever the sizes, everything that is scanned is the
    /// same: who opted out has no trace in it, and nobody else is touched.
    #[test]
    fn who_opted_out_might_as_well_not_be_in_the_data(
        mut people in prop::collection::vec((0..500_u16, 0..5_u8), 2..40),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        strangers in prop::collection::vec(500..600_u16, 0..4),
        partitions in 1..6_usize,
        (batch_rows, chunk_subjects, chunk_rows) in (1..9_usize, 1..6_usize, 1..12_usize),
        blocks in 2..40_usize,
        rows_max in 1..6_usize,
        filter in prop::sample::select(vec!["day >= 0", "day = 1", "day > 50"]),
    ) {
        people.sort_unstable();
        people.dedup_by_key(|(id, _)| *id);
        let gone: Vec<u16> = gone.iter().map(|i| i.get(&people).0).chain(strangers).collect();
        let others: Vec<_> = people.iter().filter(|(id, _)| !gone.contains(id)).copied().collect();
        prop_assume!(!others.is_empty());
        let site = ingested(&people, partitions);
        let ids: Vec<String> = gone.iter().map(ToString::to_string).collect();
        enter(&site, &ids.iter().map(String::as_str).collect::<Vec<_>>(), Choice::OptsOut, &[], 1);
        let sizes = ScanSizes { batch_rows, chunk_subjects, chunk_rows };
        let never_there = ingested(&others, partitions);
        let (with, without) = (site.open().with_sizes(sizes), never_there.open());
        let inputs = format!(r#"[{{"table":"labs","columns":["note","day"],"max_rows":{rows_max},"filter":"{filter}"}},{{"table":"people","columns":["age"],"max_rows":2}}]"#);
        for plan in [plan(site.declaration.schema(), &inputs), block_plan(site.declaration.schema(), &inputs, blocks)] {
            prop_assert_eq!(seen(&with, &plan, 2), seen(&without, &plan, 2));
        }
    }
}

/// What would be a bug: an ingest after which nobody is opted out any more, or a person who opts out before their first visit and is
/// in the data afterwards.
#[test]
fn the_register_outlives_every_snapshot() {
    let site = Site::new(CLINIC);
    let days = r#"[{"table":"visits","columns":["day"],"max_rows":9}]"#;
    let found = |day| {
        let plan = plan(site.declaration.schema(), days);
        seen(&site.open(), &plan, day).iter().flatten().flatten().map(|row| row[0].clone()).collect::<Vec<_>>()
    };
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\nb,2,,,,,,\n")).unwrap();
    enter(&site, &["a", "newborn"], Choice::OptsOut, &[], 1);
    let written = fs::read(log(&site)).unwrap();
    for day in 3..7 {
        site.ingest_csv(format!("{HEADER}a,{day},,,,,,\nb,2,,,,,,\nnewborn,9,,,,,,\n")).unwrap();
        assert_eq!(fs::read(log(&site)).unwrap(), written, "an ingest changed the register");
        assert_eq!(found(1), ["2"]);
    }
    fs::remove_dir_all(site.vault().join("clinic")).unwrap();
    assert!(
        Register::of(&site.vault(), &site.declaration.schema().name).is_err(),
        "a choice for a dataset that is not there"
    );
}

/// What would be a bug: a job that runs, or an ingest that makes a new register, when nobody can tell any more who opted out.
#[test]
fn without_a_sound_register_nobody_is_scanned() {
    let site = thousand();
    enter(&site, &["p1", "p2"], Choice::OptsOut, &[], 1);
    enter(&site, &["p2"], Choice::ComesBack, &[], 2);
    let (vault, plan) = (site.open(), plan(site.declaration.schema(), LABS));
    let (log, head) = (log(&site), log(&site).with_file_name("optout.head"));
    let (whole, whole_head) = (fs::read(&log).unwrap(), fs::read(&head).unwrap());
    let line = |number: usize| whole.split_inclusive(|b| *b == b'\n').nth(number).unwrap().to_vec();
    let damages: [(&str, &dyn Fn()); 8] = [
        ("gone", &|| fs::remove_file(&log).unwrap()),
        ("gone", &|| fs::remove_file(&head).unwrap()),
        ("gone", &|| [&log, &head].into_iter().for_each(|file| fs::remove_file(file).unwrap())),
        ("lines are gone", &|| fs::write(&log, "").unwrap()),
        ("lines are gone", &|| fs::write(&log, [line(0), line(1)].concat()).unwrap()),
        ("entry 1 is not", &|| fs::write(&log, [line(0), line(2), line(1), line(3)].concat()).unwrap()),
        ("entry 2 is not", &|| {
            let mut bent = whole.clone();
            bent[line(0).len() + line(1).len() + 30] ^= 4;
            fs::write(&log, bent).unwrap();
        }),
        ("head is not one", &|| fs::write(&head, "").unwrap()),
    ];
    for (why, damage) in damages {
        damage();
        assert!(fault(&vault, &plan).contains(why), "{}", fault(&vault, &plan));
        let entered = register(&site).record(&[[0; 16]], &decision(Choice::OptsOut, &[]), || unreachable!());
        assert!(entered.is_err(), "an entry behind a damaged one");
        let refused = site.ingest(&people_and_labs(&[(1, 1)], &site)).unwrap_err().to_string();
        assert!(refused.contains(why) && refused.contains("nothing was published"), "{refused}");
        fs::write(&log, &whole).unwrap();
        fs::write(&head, &whole_head).unwrap();
        assert_eq!(seen(&vault, &plan, 9).len(), 999, "restored, it is what it was");
    }
    let other = Site::new(CLINIC);
    other.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    fs::copy(other.vault().join("clinic/optout.log"), &log).unwrap();
    fs::copy(other.vault().join("clinic/optout.head"), &head).unwrap();
    assert!(fault(&vault, &plan).contains("that of dataset clinic"), "{}", fault(&vault, &plan));
}

/// A process that was killed while it appended: what it had not acknowledged is lost at most, and the next one says so.
#[test]
fn a_torn_line_is_passed_over_and_told() {
    let site = thousand();
    let plan = plan(site.declaration.schema(), LABS);
    enter(&site, &["p1"], Choice::OptsOut, &[], 1);
    let (log, head) = (log(&site), log(&site).with_file_name("optout.head"));
    let (before, before_head) = (fs::read(&log).unwrap(), fs::read(&head).unwrap());
    enter(&site, &["p2"], Choice::OptsOut, &[], 1);
    let after = fs::read(&log).unwrap();
    fs::write(&log, &after[..after.len() - 9]).unwrap();
    fs::write(&head, &before_head).unwrap();
    let torn = after.len() - before.len() - 9;
    assert_eq!(register(&site).read().unwrap().torn_bytes(), torn);
    assert_eq!(seen(&site.open(), &plan, 2).len(), 999, "what was acknowledged before is lost, or half a line counts");
    let recorded = enter(&site, &["p3"], Choice::OptsOut, &[], 2);
    assert_eq!((recorded.torn_bytes, recorded.numbers), (torn, (2, 2)));
    assert_eq!(seen(&site.open(), &plan, 3).len(), 998);
    // Killed between the line and the head: somebody has made that choice.
    fs::write(&head, &before_head).unwrap();
    assert_eq!(seen(&site.open(), &plan, 3).len(), 998);
    assert_eq!(enter(&site, &["p4"], Choice::OptsOut, &[], 3).numbers, (3, 3));
}

/// What would be a bug: an entry that was acknowledged and is gone, or two in one place.
#[test]
fn writers_take_turns() {
    let site = thousand();
    let register = register(&site);
    let numbers = std::thread::scope(|scope| {
        let writer = |writer: u8| {
            let register = &register;
            let enter = move |n: u8| {
                let clock = || Clock::Says(time(1).parse().unwrap());
                register.record(&[[writer, n].repeat(8).try_into().unwrap()], &decision(Choice::OptsOut, &[]), clock)
            };
            scope.spawn(move || (0..20).map(|n| enter(n).unwrap().numbers.0).collect::<Vec<_>>())
        };
        let writers: Vec<_> = (0..4).map(writer).collect();
        let readers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| (0..200).for_each(|_| drop(register.read().unwrap())))).collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let mut numbers: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    });
    assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
    let history = register.read().unwrap();
    let mut subjects: Vec<_> = history.entries().iter().map(|e| e.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!((history.entries().len(), subjects.len()), (80, 80));
}

/// Under another key every entry would be about nobody, and everybody who opted out would be back without a word.
#[test]
fn a_register_is_of_one_pseudonym_key_and_one_shape_of_key() {
    let site = Site::new(CLINIC);
    let table = |name: &str| site.source("visits", name, format!("{HEADER}a,1,,,,,,\nb,2,,,,,,\n"));
    let sources = [table("visits.csv")];
    let other = LocalKeys::from_seed([8; 32]);
    let ingest = |keys: &LocalKeys, declaration: &Declaration| {
        Ingest::new(declaration, &sources, keys, &site.vault()).run(|_| {}).map_err(|e| e.to_string())
    };
    ingest(&other, &site.declaration).unwrap();
    ingest(&keys(), &site.declaration).unwrap();
    // Nobody had opted out, so nothing was lost. Now somebody does.
    let refused = register(&site).subjects(&other, &named(["a"])).unwrap_err().to_string();
    assert!(refused.contains("another pseudonym key"), "{refused}");
    enter(&site, &["a"], Choice::OptsOut, &[], 1);
    let refused = ingest(&other, &site.declaration).unwrap_err();
    assert!(refused.contains("another pseudonym key") && refused.contains("nothing was published"), "{refused}");
    let two = Declaration::parse(&CLINIC.replace("key = [\"pid\"]", "key = [\"pid\", \"extra\"]")).unwrap();
    let refused = ingest(&keys(), &two).unwrap_err();
    assert!(refused.contains("named by 1 columns, the declaration names them by 2"), "{refused}");
    ingest(&keys(), &site.declaration).unwrap();
    for wrong in [vec!["a", "b"], vec![], vec![" "], vec!["a", ""]] {
        let person = wrong.iter().map(|v| (*v).to_owned()).collect();
        let refused = register(&site).subjects(&keys(), &[vec!["b".into()], person]).unwrap_err().to_string();
        assert!(refused.starts_with("person 2 is named by"), "{refused}");
    }
    let spaced = register(&site).subjects(&keys(), &named(["a", "  a\t"])).unwrap();
    assert_eq!(spaced[0], spaced[1], "at ingest spaces around a key do not count either");
}

/// Snapshots of the version before had no register: the next ingest founds it. One of this version that has none has lost it.
#[test]
fn a_dataset_from_before_there_were_registers_gets_one() {
    let site = Site::new(CLINIC);
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let home = site.vault().join("clinic");
    let json = current(&site).join("snapshot.json");
    let old = fs::read_to_string(&json).unwrap().replace("spe.snapshot/3", "spe.snapshot/1");
    fs::write(&json, old).unwrap();
    fs::remove_file(log(&site)).unwrap();
    fs::remove_file(home.join("optout.head")).unwrap();
    // A digest is over the format too: the same records are another snapshot now.
    site.ingest_csv(format!("{HEADER}a,2,,,,,,\n")).unwrap();
    assert!(register(&site).read().unwrap().entries().is_empty());
}

#[test]
fn no_persons_key_is_in_the_vault() {
    let site = thousand();
    let canary = "CANARY-1977-05-25";
    enter(&site, &[canary, "p5"], Choice::OptsOut, &[], 1);
    assert!(grep(&site.vault(), &[canary]).is_empty());
    assert!(!grep(&site.vault(), &["opts-out"]).is_empty(), "the search finds nothing at all");
    let pseudonym = pseudonym("cohort", &[canary.as_bytes()]);
    assert!(register(&site).read().unwrap().entries()[0].subject == pseudonym);
}
