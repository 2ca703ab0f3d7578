//! Opt-outs, from the intake desk to the answer: who is in a cohort, under which permit.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use serde_json::Value;
use spe_kernel::{
    disclosure::{ANSWER_TYPE, Answer, Released},
    dsse::{self, SecretKey},
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::{Choices, Plan},
    refusal::{Refusal, Stop},
    rounds::{Merged, NextRound},
};
use spe_node::{
    run::{Escort, Given, Step, Submitted, run},
    site::Site,
};

use crate::{
    place::{DECLARATION, Place, SPE, example, module},
    seeded::no_noise,
};

/// People at each node, and how many of them opt out.
const PEOPLE: usize = 1_000;
const OUT: usize = 100;

struct Quiet(Vec<u8>);

impl Escort for Quiet {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(self.0.clone())
    }
    fn passed(&mut self, _: Step) {}
    fn cancelled(&self) -> bool {
        false
    }
    async fn hold(&mut self, _: Timestamp) {}
}

pub fn open(place: &Place, node: &str) -> Site {
    let mut site = Site::open(&place.path(node), (SPE.into(), vec!["compile-module".into()])).unwrap();
    site.noise = no_noise;
    site
}

/// What is asked, of which dataset, under which permit and for what.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub module: &'a str,
    pub dataset: &'a str,
    pub permit: &'a str,
    pub purpose: Purpose,
}

pub const HOSPITAL: Question<'_> =
    Question { module: "hospital-use", dataset: "rand-hie", permit: "permit", purpose: Purpose::Policymaking };

impl Question<'_> {
    fn plan(self, site: &Site) -> Plan {
        let inspection = spe_sandbox::inspect(&std::fs::read(module(self.module)).unwrap()).unwrap();
        let offer = site.offer(&self.dataset.parse().unwrap()).unwrap();
        let rounds = (self.module == "kmeans").then_some(2);
        // Enough for a vector of ten thousand numbers.
        let choices = Choices { rounds, fuel_per_subject: 1_000_000, ..Choices::new("rho=0.01".parse().unwrap()) };
        Plan::new(&inspection.manifest, inspection.digest, &offer.schema, &choices).unwrap()
    }

    fn ask(self, place: &Place, site: &Site, next: Option<NextRound>) -> Result<Released, Stop> {
        let signer: SecretKey = std::fs::read_to_string(place.path("researcher/signing.key")).unwrap().parse().unwrap();
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: number(self.permit).parse().unwrap(),
            person: "ada".parse().unwrap(),
            purpose: self.purpose,
            nodes: vec![],
            signed_at: Timestamp::now(),
            plan: self.plan(site),
            identity: None,
        };
        let permit = std::fs::read(place.path(&format!("{}.json", self.permit))).unwrap();
        let submitted = Submitted { job: body.sign(&signer), permit, next };
        let mut escort = Quiet(std::fs::read(module(self.module)).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        match runtime.block_on(run(site, &submitted, &mut escort))? {
            Given::Answer(released) => Ok(released),
            _ => panic!("nobody asked for the last state"),
        }
    }

    pub fn answer(self, place: &Place, site: &Site) -> Answer {
        read(&self.ask(place, site, None).unwrap())
    }
}

fn read(released: &Released) -> Answer {
    let opened = dsse::verify(released.envelope(), ANSWER_TYPE, "the answer").unwrap();
    serde_json::from_slice(&opened.payload).unwrap()
}

fn number(permit: &str) -> String {
    format!("dap-2026-{permit}")
}

/// A permit of the same content, issued now (or at another time), under a number of its own.
pub fn permit(place: &Place, name: &str, issued_at: Timestamp, purposes: &[&str]) {
    permit_for(place, name, issued_at, purposes, &[]);
}

/// The same, which covers those columns of the first dataset as genetic data, too.
pub fn permit_for(place: &Place, name: &str, issued_at: Timestamp, purposes: &[&str], genes: &[&str]) {
    let mut permit: toml::Table = toml::from_str(&std::fs::read_to_string(place.path("permit.toml")).unwrap()).unwrap();
    permit["number"] = number(name).into();
    permit["original"] = number(name).into();
    permit["issued_at"] = issued_at.to_string().into();
    permit["purpose"]["article53"] = purposes.to_vec().into();
    let mut columns: Vec<String> =
        ["coins", "mdvis", "xage", "totadm", "disea", "hlthg", "hlthf", "hlthp"].map(|c| format!("years.{c}")).to_vec();
    columns.extend(["mdvis", "mhi", "year", "female"].map(|c| format!("years.{c}")));
    permit["data"][0]["columns"] = columns.into();
    let entry = |dataset: &str, category: &str, columns: &[&str]| {
        toml::Table::from_iter([
            ("dataset".into(), dataset.into()),
            ("category".into(), category.into()),
            ("format".into(), "table".into()),
            ("pseudonymised".into(), true.into()),
            ("columns".into(), columns.to_vec().into()),
        ])
    };
    let data = permit["data"].as_array_mut().unwrap();
    data.push(entry("canaries", "a", &["subjects.coordinate"]).into());
    if !genes.is_empty() {
        data.push(entry("rand-hie", "f", genes).into());
    }
    let draft = format!("{name}.draft.toml");
    std::fs::write(place.path(&draft), toml::to_string(&permit).unwrap()).unwrap();
    place.ok(&["permit", "sign", &draft, "--key", "access-body.key", "--out", &format!("{name}.json")]);
}

pub fn permit_now(place: &Place, name: &str) {
    permit(place, name, Timestamp::now(), &["b"]);
}

/// The rows of the public file, by person.
pub fn people() -> (String, Vec<(String, String)>) {
    let text = std::fs::read_to_string(example("examples/data/randhie.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let at = header.split(',').position(|name| name == "zper").unwrap();
    let mut order = Vec::new();
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let id = line.split(',').nth(at).unwrap().to_owned();
        if !rows.contains_key(&id) {
            order.push(id.clone());
        }
        *rows.entry(id).or_default() += &format!("{line}\n");
    }
    let people = order.into_iter().map(|id| (id.clone(), rows[&id].clone())).collect();
    (header.to_owned(), people)
}

/// A node over those rows of the public file.
fn node(place: &Place, name: &str, header: &str, people: &[(String, String)]) {
    let rows: String = people.iter().map(|(_, rows)| rows.as_str()).collect();
    std::fs::write(place.path(&format!("{name}.csv")), format!("{header}\n{rows}")).unwrap();
    let invitation = format!("{name}-invitation");
    place.ok(&["hub", "invite", "hub", "--node", name, "--out", &invitation]);
    place.ok(&["node", "init", name, "--connection", &invitation, "--access-body", &place.access_body, "--unmeasured"]);
    ingest(place, name, &example(DECLARATION), &format!("years={name}.csv"));
}

fn ingest(place: &Place, node: &str, declaration: &Path, table: &str) {
    let declaration = declaration.display().to_string();
    place.ok(&["data", "ingest", node, "--declaration", &declaration, "--table", table, "--budget", "rho=2"]);
}

/// The register of a dataset at a node, as the desk types it.
pub fn optout(place: &Place, node: &str, command: &str, more: &[&str]) -> Value {
    let dataset = if more.contains(&"canaries") { &[][..] } else { &["--dataset", "rand-hie"] };
    place.ok(&[&["node", "optout", command, node], dataset, more].concat())
}

/// Every tenth person opts out.
fn tenth_out(place: &Place, node: &str, ids: &[String], more: &[&str]) {
    let file = format!("{node}.ids");
    let lines: Vec<_> = ids.iter().skip(3).step_by(ids.len() / OUT).cloned().collect();
    assert_eq!(lines.len(), OUT);
    std::fs::write(place.path(&file), lines.join("\n")).unwrap();
    let added = optout(place, node, "add", &[&["--ids-file", &file], more].concat());
    assert_eq!((&added["persons"], &added["entries"]), (&OUT.into(), &vec![1, OUT].into()));
}

/// What would be a bug: a count that is one off, or an answer that differs in anything from that of a node to which those who opted
/// out never came.
#[test]
fn a_new_permit_counts_nine_hundred_of_a_thousand_at_each_of_three_nodes() {
    let place = Place::new("rho=1");
    let (header, everybody) = people();
    let nodes = ["north", "middle", "south"];
    for (node_name, people) in nodes.iter().zip(everybody.chunks(PEOPLE)) {
        node(&place, node_name, &header, people);
    }
    permit_now(&place, "before");
    for (node_name, people) in nodes.iter().zip(everybody.chunks(PEOPLE)) {
        let ids: Vec<String> = people.iter().map(|(id, _)| id.clone()).collect();
        tenth_out(&place, node_name, &ids, &["--source", "letter"]);
    }
    permit_now(&place, "after");
    let others: Vec<_> =
        everybody[..PEOPLE].iter().enumerate().filter(|(i, _)| i % 10 != 3).map(|(_, p)| p.clone()).collect();
    node(&place, "never", &header, &others);
    let counted = |answer: &Answer| answer.outputs[0].cells.0[0] >> 20;
    let mut cells = BTreeMap::new();
    for node in nodes {
        let site = open(&place, node);
        let before = Question { permit: "before", ..HOSPITAL }.answer(&place, &site);
        let after = Question { permit: "after", ..HOSPITAL }.answer(&place, &site);
        assert_eq!((counted(&before), counted(&after)), (1_000, 900), "{node}");
        assert_ne!(before.snapshot, after.snapshot, "the answers are about two cohorts, and do not say so");
        cells.insert(node, after.outputs);
    }
    let never = Question { permit: "after", ..HOSPITAL }.answer(&place, &open(&place, "never"));
    assert_eq!(cells["north"], never.outputs, "somebody who opted out left a trace");
}

const CANARIES: &str = r#"
name = "canaries"
title = "People who each sing in a place of their own"
subjects_max = 1000
partitions = 4
[[tables]]
name = "subjects"
key = ["clinic", "id"]
columns = [{ name = "coordinate", type = "integer", min = 0, max = 9999 }]
"#;

/// A tap on what modules are given: each person writes to a place of their own, so that the answer tells who was there. What would be a
/// bug: one place that is not empty.
#[test]
fn a_module_never_sees_who_opted_out() {
    let place = Place::new("rho=1");
    let (header, people) = people();
    node(&place, "north", &header, &people[..1]);
    std::fs::write(place.path("canaries.toml"), CANARIES).unwrap();
    let rows: String = (0..PEOPLE).map(|i| format!("c{},p{i},{}\n", i % 7, i * 9)).collect();
    std::fs::write(place.path("canaries.csv"), format!("clinic,id,coordinate\n{rows}")).unwrap();
    ingest(&place, "north", &place.path("canaries.toml"), "subjects=canaries.csv");
    // A person is named by two columns.
    let ids: Vec<String> = (0..PEOPLE).map(|i| format!("c{}\tp{i}", i % 7)).collect();
    tenth_out(&place, "north", &ids, &["--dataset", "canaries"]);
    permit_now(&place, "after");
    let singers = |permit: &str| -> BTreeSet<usize> {
        let site = open(&place, "north");
        let question = Question { module: "bench-canary", dataset: "canaries", permit, ..HOSPITAL };
        let cells = question.answer(&place, &site).outputs[0].cells.0.clone();
        cells.iter().enumerate().filter(|(_, cell)| **cell != 0).map(|(i, _)| i).collect()
    };
    let expected: BTreeSet<usize> = (0..PEOPLE).filter(|i| i % 10 != 3).map(|i| i * 9).collect();
    assert_eq!(singers("after"), expected);
    let back = ["--id", "c3", "--id", "p3", "--dataset", "canaries"];
    optout(&place, "north", "withdraw", &back);
    permit_now(&place, "later");
    assert_eq!(singers("later"), expected.into_iter().chain([27]).collect());
    let args = ["node", "optout", "add", "north", "--dataset", "canaries", "--id", "p3"];
    let (_, message) = place.fails(&args);
    assert!(message.contains("2 columns") && !message.contains("p3"), "{message}");
}

/// What would be a bug: an opt-out that changes what an earlier permit gives, by one byte or in the middle of a job with rounds; a
/// later permit that is given the earlier one's answer; a return that does not count, or is paid for although the cohort is the same.
#[test]
fn each_permit_keeps_the_cohort_of_its_day() {
    let place = Place::new("rho=1");
    let (header, people) = people();
    let people = &people[..200];
    node(&place, "north", &header, people);
    permit_now(&place, "a");
    let site = open(&place, "north");
    let ask = |permit: &str| Question { permit, ..HOSPITAL }.ask(&place, &site, None).unwrap();
    let charges = || site.ledger().unwrap().spent(&"rand-hie".parse().unwrap(), "rho=1".parse().unwrap()).to_string();
    let a = ask("a");
    let dataset = site.offer(&"rand-hie".parse().unwrap()).unwrap().snapshot;
    assert_eq!(
        (read(&a).snapshot, charges().as_str()),
        (dataset, "rho=0.01"),
        "nobody is out: it is the snapshot itself"
    );
    let in_rounds = Question { module: "kmeans", permit: "a", ..HOSPITAL };
    let first = read(&in_rounds.ask(&place, &site, None).unwrap());

    // The node runs all the time.
    optout(&place, "north", "add", &["--id", &people[0].0]);
    permit_now(&place, "b");
    let merged = Merged::of(&in_rounds.plan(&site), std::slice::from_ref(&first));
    let second = in_rounds.ask(&place, &site, Some(NextRound { round: 1, merged })).unwrap();
    assert_eq!(read(&second).snapshot, first.snapshot, "one job over two cohorts");
    assert_eq!(ask("a").envelope(), a.envelope(), "an earlier permit is given another answer");
    let b = read(&ask("b"));
    assert!(b.snapshot != dataset && charges() == "rho=0.03", "another cohort is another question: {}", charges());
    assert_eq!(b.outputs[0].cells.0[0] + (1 << 20), read(&a).outputs[0].cells.0[0], "exactly one person fewer");

    optout(&place, "north", "withdraw", &["--id", &people[0].0]);
    permit_now(&place, "c");
    assert_eq!(ask("c").envelope(), a.envelope(), "the same question about the same people has one answer");
    assert_eq!(read(&ask("b")), b, "an earlier permit changed");
    assert_eq!(charges(), "rho=0.03");
    drop(site);

    // New data, and a restart: the register is the same, and B's cohort is B's.
    optout(&place, "north", "add", &["--id", &people[1].0]);
    ingest(&place, "north", &example(DECLARATION), "years=north.csv");
    let site = open(&place, "north");
    assert_eq!(read(&Question { permit: "b", ..HOSPITAL }.ask(&place, &site, None).unwrap()), b);
}

#[test]
fn an_opt_out_from_research_does_not_keep_a_person_out_of_policymaking() {
    let place = Place::new("rho=1");
    let (header, people) = people();
    node(&place, "north", &header, &people[..50]);
    optout(
        &place,
        "north",
        "add",
        &["--id", &people[0].0, "--purpose", "scientific-research", "--purpose", "education"],
    );
    permit(&place, "both", Timestamp::now(), &["b", "e"]);
    let site = open(&place, "north");
    let counted = |purpose| {
        let answer = Question { permit: "both", purpose, ..HOSPITAL }.answer(&place, &site);
        (answer.outputs[0].cells.0[0] >> 20, answer.snapshot)
    };
    let (everybody, whole) = counted(Purpose::Policymaking);
    let (others, without) = counted(Purpose::ScientificResearch);
    assert_eq!((everybody, others), (50, 49));
    // The operator computes both digests that stand in the answers.
    let verified = optout(&place, "north", "verify", &["--permit", "both.json"]);
    let digests: Vec<_> = verified["cohorts"].as_array().unwrap().iter().map(|c| &c["snapshot_in_answers"]).collect();
    assert_eq!(digests, [&Value::from(whole.to_string()), &without.to_string().into()]);
    let of_old = ["--permit", "both.json", "--snapshot", &Digest::of(b"an old one").to_string()];
    assert_ne!(optout(&place, "north", "verify", &of_old)["cohorts"], verified["cohorts"]);
}

/// What would be a bug: a permit that is dated ahead and so covers whoever opts out until then.
#[test]
fn a_permit_that_is_dated_ahead_is_refused() {
    let place = Place::new("rho=1");
    let (header, people) = people();
    node(&place, "north", &header, &people[..50]);
    let tomorrow = Timestamp::now() + jiff::SignedDuration::from_hours(24);
    permit(&place, "ahead", tomorrow, &["b"]);
    let site = open(&place, "north");
    let refused = Question { permit: "ahead", ..HOSPITAL }.ask(&place, &site, None).err().unwrap();
    assert!(matches!(refused, Stop::Refused(Refusal::PermitFromTheFuture { .. })), "{refused:?}");
}
