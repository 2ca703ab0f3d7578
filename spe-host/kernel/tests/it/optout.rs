//! The register of opt-outs: who counts as opted out for which permit, and what becomes of a damaged register.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use spe_kernel::{
    category::{Categories, Category},
    dataset::{DatasetSchema, TableSchema},
    ids::{Digest, TableName},
    job::Purpose,
    optout::{AsOf, Channel, Choice, Clock, Decision, Entry, Scope, Subject, excluded, refused},
    permit::Permit,
    refusal::Refusal,
};

use crate::fixture::{body_key, permit, schema};

mod register;
use register::{Disk, decision};

const ADA: Subject = [1; 16];
const BEN: Subject = [2; 16];
const RESEARCH: Purpose = Purpose::ScientificResearch;

/// So many hours after the beginning of 2030.
fn at(hours: i64) -> Timestamp {
    "2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn letter() -> Channel {
    "letter, by post".parse().unwrap()
}

fn entry(subject: Subject, choice: Choice, effective: i64, recorded: i64) -> Entry {
    let (effective_at, recorded_at) = (at(effective), at(recorded));
    Entry { subject, version: 1, choice, scope: Scope::EVERYTHING, effective_at, recorded_at, channel: letter() }
}

fn as_of(hours: i64) -> AsOf {
    AsOf { at: at(hours), purpose: RESEARCH, reads: Categories::ALL }
}

fn out(entries: &[Entry], hours: i64, purpose: Purpose) -> Vec<Subject> {
    excluded(entries, AsOf { purpose, ..as_of(hours) }, &schema()).subjects().to_vec()
}

fn categories(points: &str) -> Categories {
    points.parse().unwrap()
}

/// What would be a bug: an opt-out that changes an earlier permit, that a later one does not heed, or that nobody can take back.
#[test]
fn an_opt_out_counts_from_its_entry_until_it_is_taken_back() {
    let entries = [entry(ADA, Choice::OptsOut, 10, 10), entry(ADA, Choice::ComesBack, 20, 20)];
    assert_eq!([9, 10, 19, 20].map(|hours| out(&entries, hours, RESEARCH).len()), [0, 1, 1, 0]);
    let snapshot = Digest::of(b"snapshot");
    let cohort = |hours| excluded(&entries, as_of(hours), &schema()).cohort(snapshot);
    assert_eq!(cohort(9), snapshot, "with nobody left out, the cohort is the snapshot");
    assert_eq!(cohort(20), snapshot, "everybody is back");
    assert_ne!(cohort(10), snapshot, "answers about two cohorts would be taken for one");
    assert_eq!(cohort(10), cohort(19), "one cohort would be paid for twice");
    assert_ne!(cohort(10), excluded(&entries, as_of(10), &schema()).cohort(Digest::of(b"new")));
}

/// What would be a bug: a date in a letter that reaches back behind the day on which the letter was entered, or a plan for next year
/// that counts today.
#[test]
fn both_times_must_have_come() {
    let dated_back = [entry(ADA, Choice::OptsOut, 1, 10)];
    assert_eq!([9, 10].map(|hours| out(&dated_back, hours, RESEARCH).len()), [0, 1]);
    let planned = [entry(ADA, Choice::OptsOut, 30, 10)];
    assert_eq!([10, 29, 30].map(|hours| out(&planned, hours, RESEARCH).len()), [0, 0, 1]);
}

/// What would be a bug: a letter of yesterday that is entered today and undoes what the person has decided since.
#[test]
fn the_latest_will_counts_not_the_latest_entry() {
    let crossed = [entry(ADA, Choice::OptsOut, 10, 10), entry(ADA, Choice::ComesBack, 5, 11)];
    assert_eq!(out(&crossed, 12, RESEARCH), [ADA]);
    let corrected = [entry(ADA, Choice::OptsOut, 10, 10), entry(ADA, Choice::ComesBack, 10, 11)];
    assert_eq!(out(&corrected, 12, RESEARCH), [[0; 16]; 0], "of two of one time the later entry counts");
}

/// What would be a bug: an opt-out from research that keeps a person out of statistics, or that coming back for one purpose undoes.
#[test]
fn a_choice_is_about_the_purposes_that_it_names() {
    let only = |purposes: &[Purpose], entry: Entry| Entry { scope: Scope::of(purposes, &[]), ..entry };
    let education = Purpose::Education;
    let entries = [
        only(&[RESEARCH], entry(ADA, Choice::OptsOut, 1, 1)),
        entry(BEN, Choice::OptsOut, 1, 1),
        only(&[education], entry(BEN, Choice::ComesBack, 2, 2)),
    ];
    assert_eq!(out(&entries, 1, RESEARCH), [ADA, BEN]);
    assert_eq!(out(&entries, 1, education), [BEN]);
    assert_eq!(out(&entries, 2, RESEARCH), [ADA, BEN]);
    assert_eq!(out(&entries, 2, education), [[0; 16]; 0]);
    for purpose in Purpose::ALL {
        assert!(out(&entries, 1, purpose).contains(&BEN), "everything is not {purpose}");
    }
    assert_eq!(Scope::of(&[], &[]), Scope::EVERYTHING, "a choice about nothing would be none");
    assert_eq!(Scope::of(&[education, RESEARCH, education], &[]).to_string(), "education,scientific-research");
}

/// What would be a bug: a job that reads genetic data of somebody who has refused that, or that loses somebody who refused it though it
/// reads none; and coming back for other data, or for another purpose, that undoes the refusal.
#[test]
fn a_choice_is_about_the_categories_that_it_names() {
    let (genetic, records) = ("f".parse::<Category>().unwrap(), "a".parse::<Category>().unwrap());
    let of = |purposes: &[Purpose], categories: &[Category], entry| Entry {
        scope: Scope::of(purposes, categories),
        ..entry
    };
    let entries = [
        of(&[], &[genetic], entry(ADA, Choice::OptsOut, 1, 1)),
        of(&[], &[records], entry(ADA, Choice::ComesBack, 2, 2)),
        of(&[Purpose::Education], &[], entry(ADA, Choice::ComesBack, 3, 3)),
        entry(BEN, Choice::OptsOut, 1, 1),
        of(&[], &[genetic, records], entry(BEN, Choice::ComesBack, 2, 2)),
    ];
    let out = |hours, purpose, reads: &str| {
        let as_of = AsOf { at: at(hours), purpose, reads: categories(reads) };
        excluded(&entries, as_of, &schema()).subjects().to_vec()
    };
    assert_eq!(out(1, RESEARCH, "f"), [ADA, BEN]);
    assert_eq!(out(1, RESEARCH, "a"), [BEN]);
    assert_eq!(out(3, RESEARCH, "a"), [[0; 16]; 0], "whoever came back for it is still left out");
    assert_eq!(out(3, RESEARCH, "a,f"), [ADA], "a job that also reads what was refused");
    assert_eq!(out(3, Purpose::Education, "f"), [[0; 16]; 0]);
    assert_eq!(out(3, RESEARCH, "f,q"), [ADA, BEN], "Ben came back for two kinds of data, and not for q");
    let refused = refused(&entries, at(3), RESEARCH);
    assert_eq!(refused.iter().map(|(who, _)| *who).collect::<Vec<_>>(), [ADA, BEN]);
    assert_eq!(refused[0].1.to_string(), "f");
    assert_eq!(refused[1].1.to_string(), "b,c,d,e,g,h,i,j,k,l,m,n,o,p,q");
}

/// A dataset with tables of those names and categories.
fn of_tables(tables: &[(&str, Option<&str>)]) -> DatasetSchema {
    let table = |(name, category): &(&str, Option<&str>)| TableSchema {
        name: name.parse().unwrap(),
        rows_max: None,
        category: category.map(|point| point.parse().unwrap()),
        time: None,
        columns: Vec::new(),
    };
    DatasetSchema {
        name: "care".parse().unwrap(),
        title: String::new(),
        overlap: 1,
        subjects_max: 1,
        tables: tables.iter().map(table).collect(),
    }
}

/// What would be a bug: somebody who refused all data that there is of them and is counted by jobs on other data of the dataset; a choice about
/// data that the dataset has none of, which makes an answered question another one; two cohorts under one digest.
#[test]
fn who_refused_other_data_is_left_out_where_there_is_no_more_of_them() {
    let refusing = |subject, points: &str| Entry {
        scope: Scope::of(&[], &categories(points).iter().collect::<Vec<_>>()),
        ..entry(subject, Choice::OptsOut, 1, 1)
    };
    let both = of_tables(&[("visits", Some("a")), ("genes", Some("f"))]);
    let of = |schema: &DatasetSchema, reads: &str, entries: &[Entry]| {
        let as_of = AsOf { at: at(9), purpose: RESEARCH, reads: categories(reads) };
        let out = excluded(entries, as_of, schema);
        (out.subjects().to_vec(), out.elsewhere().to_vec(), out.cohort(Digest::of(b"snapshot")))
    };
    let (genes, biobanks) = (refusing(ADA, "f"), refusing(BEN, "q"));
    let (everywhere, elsewhere, digest) = of(&both, "a", &[genes.clone(), biobanks.clone()]);
    assert_eq!((everywhere, elsewhere), (vec![], vec![(ADA, categories("f"))]));
    assert_eq!(digest, of(&both, "a", std::slice::from_ref(&genes)).2, "the dataset has no data of biobanks");
    let (everywhere, elsewhere, read) = of(&both, "f", std::slice::from_ref(&genes));
    assert_eq!((everywhere, elsewhere), (vec![ADA], vec![]));
    let wider = of(&both, "a", &[refusing(ADA, "f,g")]).2;
    let another = of(&both, "a", &[refusing(BEN, "f")]).2;
    let distinct: BTreeSet<_> = [digest, read, wider, another, Digest::of(b"snapshot")].into_iter().collect();
    assert_eq!(distinct.len(), 5);
    let one = of_tables(&[("visits", Some("a")), ("stays", Some("a"))]);
    let (_, elsewhere, digest) = of(&one, "a", std::slice::from_ref(&genes));
    assert_eq!((elsewhere, digest), (vec![], Digest::of(b"snapshot")), "there is no other data");
    let unsaid = of_tables(&[("visits", Some("a")), ("other", None)]);
    assert_eq!(of(&unsaid, "a", &[biobanks]).1, [(BEN, categories("q"))], "the other table may be of biobanks");
}

/// What would be a bug: a table of no declared category that is read as if nobody had refused anything.
#[test]
fn a_table_that_does_not_say_of_which_category_it_is_may_be_of_any() {
    let schema = of_tables(&[("visits", Some("a")), ("genes", Some("f")), ("other", None)]);
    let reads = |names: &[&str]| {
        let names: Vec<TableName> = names.iter().map(|name| name.parse().unwrap()).collect();
        schema.categories(names.iter())
    };
    assert_eq!(reads(&["visits"]), categories("a"));
    assert_eq!(reads(&["genes", "visits"]), categories("a,f"));
    assert_eq!(reads(&["visits", "other"]), Categories::ALL);
    assert_eq!(reads(&[]), Categories::ALL, "a job that reads no table still counts people");
}

/// What would be a bug: a choice that is read back as another one.
#[test]
fn what_a_choice_is_about_is_read_as_it_was_written() {
    for text in ["everything", "everything:f", "education,scientific-research", "education:a,f,q"] {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
    }
    for wrong in ["", "everything:", "everything:x", ":a", "education:a:b", "research", "everything,education"] {
        assert!(wrong.parse::<Scope>().is_err(), "{wrong:?} is read as something");
    }
}

/// A permit of tomorrow would cover whoever opts out until then, and would not.
#[test]
fn a_permit_from_the_future_is_refused() {
    let trusted = [body_key().public()];
    let verify = |now: &str| {
        let mut body = permit();
        body.valid_from = "2029-01-01T00:00:00Z".parse().unwrap();
        Permit::verify(&body.sign(&body_key()), &trusted, now.parse().unwrap())
    };
    let refused = verify("2029-12-31T23:59:59.999Z").err();
    assert_eq!(refused, Some(Refusal::PermitFromTheFuture { at: "2030-01-01T00:00:00Z".into() }));
    assert!(verify("2030-01-01T00:00:00Z").is_ok());
}

/// What a made-up choice is about.
type About = (Vec<Purpose>, Vec<Category>);

/// A made-up register: its entries as they were made, and the hour of each.
fn acts() -> impl Strategy<Value = Vec<(u8, bool, About, Option<i64>, i64)>> {
    let purposes = prop::collection::vec(prop::sample::select(&Purpose::ALL[..3]), 0..3);
    let categories = prop::collection::vec(prop::sample::select(&Category::ALL[..3]), 0..3);
    let act = (0..5_u8, any::<bool>(), (purposes, categories), prop::option::of(0..40_i64), 0..4_i64);
    prop::collection::vec(act, 0..30)
}

/// What a clerk would say of data of one category, with the whole list at hand: goes through the hours one by one, and through the
/// entries of each. What each is about is given as it was decided, not as the register has it.
fn clerk(entries: &[(Entry, About)], now: i64, purpose: Purpose, category: Category) -> BTreeSet<Subject> {
    let mut out = BTreeSet::new();
    for hour in 0..=now {
        for (entry, (purposes, categories)) in entries {
            if entry.recorded_at > at(now) || entry.effective_at != at(hour) {
                continue;
            }
            let about = (purposes.is_empty() || purposes.contains(&purpose))
                && (categories.is_empty() || categories.contains(&category));
            match entry.choice {
                _ if !about => false,
                Choice::OptsOut => out.insert(entry.subject),
                Choice::ComesBack => out.remove(&entry.subject),
            };
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Reference model: the clerk. What would be a bug besides: that a later entry changes what an earlier permit covers.
    #[test]
    fn any_register_says_what_a_clerk_would_say(acts in acts(), now in 0..45_i64) {
        let (mut disk, mut hour) = (Disk::new(), 0);
        let mut abouts = Vec::new();
        for (number, (subject, opts_out, about, effective, passed)) in acts.into_iter().enumerate() {
            hour += passed;
            let choice = if opts_out { Choice::OptsOut } else { Choice::ComesBack };
            let before = disk.entries();
            let scope = Scope::of(&about.0, &about.1);
            abouts.push(about);
            let decision = Decision { choice, scope, effective_at: effective.map(at), channel: letter() };
            disk.add(&[[subject; 16]], &decision, Clock::Says(at(hour))).unwrap();
            let entries = disk.entries();
            prop_assert!(entries.len() == number + 1 && entries[..number] == before[..], "history was rewritten");
            let told: Vec<_> = entries.iter().cloned().zip(abouts.iter().cloned()).collect();
            for purpose in Purpose::ALL.into_iter().take(4) {
                if hour > now {
                    prop_assert_eq!(out(&entries, now, purpose), out(&before, now, purpose), "an earlier permit changed");
                }
                let [a, b, q] = ["a", "b", "q"].map(|point| clerk(&told, now, purpose, point.parse().unwrap()));
                let reading = |reads: &str| {
                    excluded(&entries, AsOf { at: at(now), purpose, reads: categories(reads) }, &schema()).subjects().to_vec()
                };
                prop_assert_eq!(reading("a"), a.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(reading("b,q"), b.union(&q).copied().collect::<Vec<_>>());
            }
        }
    }
}

/// A country's worth of opt-outs at one node must not hold up its jobs.
#[test]
fn a_hundred_thousand_entries_are_read_at_once() {
    let subjects: Vec<Subject> = (0..100_000_u128).map(|i| (i * 0x9e37_79b9_7f4a_7c15_u128).to_be_bytes()).collect();
    let mut disk = Disk::new();
    disk.add(&subjects, &decision(Choice::OptsOut, &[], None), Clock::Says(at(1))).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(out(&disk.entries(), 2, RESEARCH).len(), 100_000);
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("figures: 100,000 entries, {} MB: {seconds:.2} s", disk.log.len() / 1_000_000);
}
