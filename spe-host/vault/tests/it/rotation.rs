//! New pseudonyms: whoever opted out stays out, and nothing is half-done.

use std::fs;

use spe_kernel::{
    category::Categories,
    ids::DatasetName,
    job::Purpose,
    keys::{DataKey, Identifiers, KeyError, KeySource, LocalKeys, Newest},
    optout::{AsOf, Choice, Clock, Decision, Scope, Subject},
};
use spe_vault::{Ingest, IngestError, Ingested, Register, Vault};

use super::support::{CLINIC, HEADER, Site, keys, listing, partition, plan};

const DAYS: &str = r#"[{"table":"visits","columns":["day"],"max_rows":9}]"#;

fn rotated(pseudonyms: u32) -> LocalKeys {
    LocalKeys::rotated([7; 32], pseudonyms, 1)
}

fn ingest(site: &Site, keys: &dyn KeySource, rows: &str) -> Result<Ingested, IngestError> {
    let sources = [site.source("visits", "source.csv", format!("{HEADER}{rows}"))];
    Ingest::new(&site.declaration, &sources, keys, &site.vault()).run(|_| {})
}

fn choose(site: &Site, keys: &dyn KeySource, person: &str, choice: Choice, day: u32) {
    let register = Register::of(&site.vault(), &site.declaration.schema().name).unwrap();
    let subjects = register.subjects(keys, &[vec![person.to_owned()]]).unwrap();
    let channel = "test".parse().unwrap();
    let decision = Decision { choice, scope: Scope::EVERYTHING, effective_at: None, channel };
    register.record(&subjects, &decision, || Clock::Says(time(day))).unwrap();
}

fn time(day: u32) -> jiff::Timestamp {
    format!("2030-01-{day:02}T00:00:00Z").parse().unwrap()
}

/// The days of those whom a permit of that day covers.
fn seen(site: &Site, keys: &dyn KeySource, day: u32) -> Vec<String> {
    let vault = Vault::open(&site.vault(), keys).unwrap();
    let plan = plan(site.declaration.schema(), DAYS);
    let cohort = vault
        .cohort(plan.dataset(), AsOf { at: time(day), purpose: Purpose::Education, reads: Categories::ALL })
        .unwrap();
    let people = vault.scan(&plan, &cohort).unwrap().into_iter().flat_map(|part| partition(part).unwrap());
    let mut days: Vec<_> = people.flatten().flatten().map(|row| row[0].clone()).collect();
    days.sort();
    days
}

/// What would be a bug: a rotation after which somebody who opted out is in the data again, or an earlier permit that sees others.
#[test]
fn opt_outs_are_carried_over_to_new_pseudonyms() {
    let site = Site::new(CLINIC);
    let all = "a,1,,,,,,\nb,2,,,,,,\nc,3,,,,,,\nd,4,,,,,,\n";
    ingest(&site, &keys(), all).unwrap();
    for person in ["a", "b", "absent"] {
        choose(&site, &keys(), person, Choice::OptsOut, 1);
    }
    choose(&site, &keys(), "b", Choice::ComesBack, 3);
    let days = |keys: &dyn KeySource| [1, 2, 4].map(|day| seen(&site, keys, day));
    let before = days(&keys());
    let first = ingest(&site, &keys(), all).unwrap().snapshot;
    let second = ingest(&site, &rotated(2), all).unwrap().snapshot;
    assert_ne!(first, second);
    assert_eq!(days(&rotated(2)), before);
    assert_eq!(seen(&site, &rotated(2), 2), ["3", "4"]);
    // At the desk, under the new pseudonyms; and who was absent is found when they come, two rotations later.
    choose(&site, &rotated(2), "c", Choice::OptsOut, 5);
    assert_eq!(seen(&site, &rotated(2), 6), ["2", "4"]);
    ingest(&site, &rotated(3), all).unwrap();
    assert_eq!(seen(&site, &rotated(3), 6), ["2", "4"]);
    ingest(&site, &rotated(3), &format!("{all}absent,5,,,,,,\n")).unwrap();
    assert_eq!(seen(&site, &rotated(3), 6), ["2", "4"], "a person who had opted out before the first visit is seen");
    choose(&site, &rotated(3), "absent", Choice::ComesBack, 7);
    assert_eq!(seen(&site, &rotated(3), 8), ["2", "4", "5"]);
    let register = Register::of(&site.vault(), &"clinic".parse().unwrap()).unwrap();
    assert_eq!(register.read().unwrap().versions(), [3], "somebody was met and not carried over");
    let files = listing(&site.vault().join("clinic"));
    let registers = files.keys().filter(|path| path.to_string_lossy().contains("optout.")).count();
    assert_eq!(registers, 2, "old registers are still there");
}

/// What would be a bug: an older snapshot whose opt-outs are looked up under pseudonyms that are not its own, so that nobody is left out.
#[test]
fn a_node_with_the_old_snapshot_stops_until_it_is_restarted() {
    let site = Site::new(CLINIC);
    let all = "a,1,,,,,,\nb,2,,,,,,\n";
    ingest(&site, &keys(), all).unwrap();
    choose(&site, &keys(), "a", Choice::OptsOut, 1);
    let running = site.open();
    ingest(&site, &rotated(2), all).unwrap();
    let as_of = AsOf { at: time(2), purpose: Purpose::Education, reads: Categories::ALL };
    let fault = running.cohort(&"clinic".parse().unwrap(), as_of).err().unwrap().to_string();
    assert!(fault.contains("restart the node"), "{fault}");
    assert_eq!(seen(&site, &rotated(2), 2), ["2"]);
}

/// A key holder that goes away after so many questions, or in whose time somebody opts out.
struct Flaky<'a> {
    keys: LocalKeys,
    site: &'a Site,
    opts_out: bool,
}

impl KeySource for Flaky<'_> {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        self.keys.newest(dataset)
    }
    fn data_key(&self, dataset: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        self.keys.data_key(dataset, version)
    }
    fn pseudonyms(&self, dataset: &DatasetName, version: u32, all: &Identifiers) -> Result<Vec<Subject>, KeyError> {
        if !self.opts_out {
            return Err(KeyError::Away("nobody answers".into()));
        }
        if version == 2 {
            choose(self.site, &keys(), "b", Choice::OptsOut, 2);
        }
        self.keys.pseudonyms(dataset, version, all)
    }
}

/// What would be a bug: half an ingest that is published, an opt-out that is lost between two registers, or leftovers.
#[test]
fn a_key_holder_that_goes_away_and_a_choice_in_between_stop_the_ingest() {
    let site = Site::new(CLINIC);
    let all = "a,1,,,,,,\nb,2,,,,,,\n";
    ingest(&site, &keys(), all).unwrap();
    choose(&site, &keys(), "a", Choice::OptsOut, 1);
    let whole = listing(&site.vault());
    let away = Flaky { keys: rotated(2), site: &site, opts_out: false };
    let error = ingest(&site, &away, all).unwrap_err().to_string();
    assert!(error.contains("nobody answers") && error.contains("nothing was published"), "{error}");
    assert_eq!(listing(&site.vault()), whole);
    let meanwhile = Flaky { keys: rotated(2), site: &site, opts_out: true };
    let error = ingest(&site, &meanwhile, all).unwrap_err().to_string();
    assert!(error.contains("ingest again"), "{error}");
    assert_eq!(seen(&site, &keys(), 3), Vec::<String>::new());
    ingest(&site, &rotated(2), all).unwrap();
    assert_eq!(seen(&site, &rotated(2), 3), Vec::<String>::new(), "a choice was lost");
}

/// What would be a bug: an ingest with older keys, of a restored key holder, whose pseudonyms the register does not know.
#[test]
fn an_older_key_holder_is_refused_when_somebody_opted_out() {
    let site = Site::new(CLINIC);
    ingest(&site, &rotated(2), "a,1,,,,,,\nb,2,,,,,,\n").unwrap();
    choose(&site, &rotated(2), "a", Choice::OptsOut, 1);
    let log = fs::read(site.vault().join("clinic/optout.log")).unwrap();
    let error = ingest(&site, &keys(), "a,1,,,,,,\n").unwrap_err().to_string();
    assert!(error.contains("another pseudonym key") && error.contains("backup"), "{error}");
    assert_eq!(fs::read(site.vault().join("clinic/optout.log")).unwrap(), log);
}
