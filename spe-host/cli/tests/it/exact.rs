//! Exact tables under disclosure rules: off by default, approved before the charge, signed for by two, and right where they are shown.

use std::collections::BTreeMap;

use serde_json::Value;
use spe_kernel::ids::Digest;

use crate::place::{Place, eventually, example, module, outcome};

const EDGES: [f64; 5] = [0.0, 1.0, 2.0, 5.0, 10.0];
const SHARES: [&str; 5] = ["0", "25", "50", "95", "100"];

/// The example of a table, as it is checked in.
fn table_module() -> Vec<u8> {
    std::fs::read(module("visits-table")).unwrap()
}

/// People of the public file at site 1, by what they pay and how often they see the doctor in a year, in the order of the cells' labels.
fn truth() -> BTreeMap<String, usize> {
    let mut reader = csv::Reader::from_path(example("examples/data/randhie.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|h| h == name).unwrap();
    let [site, person, year, coins, visits] = ["site", "zper", "year", "coins", "mdvis"].map(at);
    let mut people: BTreeMap<String, Vec<(u32, String, f64)>> = BTreeMap::new();
    for record in reader.records().map(Result::unwrap).filter(|record| &record[site] == "1") {
        let row = (record[year].parse().unwrap(), record[coins].to_owned(), record[visits].parse().unwrap());
        people.entry(record[person].to_owned()).or_default().push(row);
    }
    let mut labels = EDGES.windows(2).map(|edges| format!("{}–{}", edges[0], edges[1])).collect::<Vec<_>>();
    labels.push("other".into());
    let mut cells: BTreeMap<String, usize> = BTreeMap::new();
    for share in SHARES.iter().chain(&["other"]) {
        for label in &labels {
            cells.insert(format!("{share} · {label}"), 0);
        }
    }
    for mut years in people.into_values() {
        years.sort_by_key(|(year, ..)| *year);
        let mean = years.iter().map(|(.., visits)| visits).sum::<f64>() / years.len() as f64;
        // The last edge belongs to the last bin.
        let at_end = (mean == EDGES[4]).then_some(3);
        let bin = EDGES.windows(2).position(|edges| (edges[0]..edges[1]).contains(&mean)).or(at_end);
        let bin = bin.unwrap_or(labels.len() - 1);
        *cells.get_mut(&format!("{} · {}", years[0].1, labels[bin])).unwrap() += 1;
    }
    cells
}

/// A node whose officers are those, each with a key of its own and the duties; `exact` is the policy's section, if it has one.
fn place(officers: &[(&str, &str, &str)], exact: &str) -> Place {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let officer = |(name, key, duties): &(&str, &str, &str)| {
        let key = match place.path(key).exists() {
            true => place.ok(&["key", "show", key]),
            false => place.ok(&["key", "new", key]),
        };
        format!("[[officers]]\nname = \"{name}\"\nkey = {}\nduties = [{duties}]\n\n", key["public_key"])
    };
    let officers: String = officers.iter().map(officer).collect();
    place.policy("north", "[outputs]", &format!("{exact}\n{officers}[outputs]"));
    std::fs::write(place.path("visits-table.wasm"), table_module()).unwrap();
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    let mut permit: toml::Table = toml::from_str(&text).unwrap();
    for number in ["number", "original", "application"] {
        permit[number] = "dap-2026-0002".into();
    }
    permit["environment"]["release"] = "exact_tables".into();
    let only = toml::Value::from(vec![Digest::of(&table_module()).to_string()]);
    permit["environment"]["modules"] = toml::Table::from_iter([("only".to_owned(), only)]).into();
    std::fs::write(place.path("exact.toml"), toml::to_string(&permit).unwrap()).unwrap();
    place.ok(&["permit", "sign", "exact.toml", "--key", "access-body.key", "--out", "exact.json"]);
    place.start_all(&["north"]);
    place
}

const OPENED: &str = "[exact_tables]\npeople_min = 10\nprice = [\"rho=0.1\"]\n";
const BOTH: &str = "\"approve-runs\", \"check-outputs\"";
const CHECK: &str = "\"check-outputs\"";

fn asked<'a>(permit: &'a str, loss: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = "job submit visits-table.wasm --as researcher --dataset rand-hie --purpose policymaking";
    let fixed: Vec<&str> = fixed.split(' ').collect();
    [&fixed[..], &["--permit", permit, "--loss", loss], more].concat()
}

fn detach(place: &Place, more: &[&str]) -> String {
    let job = place.ok(&asked("exact.json", "rho=0.1", &[&["--exact", "--detach"], more].concat()));
    job["job"].as_str().unwrap().to_owned()
}

fn at_north(place: &Place, job: &str) -> Value {
    outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, "north")
}

/// What waits at the desk when the job has come so far.
fn waits(place: &Place, job: &str, stage: &str) -> (String, Value) {
    eventually(&format!("the job {stage}"), || at_north(place, job)["stage"] == stage);
    let waiting = place.ok(&["node", "desk", "list", "north"]);
    assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting}");
    let matter = waiting[0]["matter"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    (matter.trim_start_matches("blake3:").chars().take(12).collect(), waiting[0].clone())
}

fn verdict<'a>(said: &'a str, matter: &'a str, officer: &'a str, key: &'a str) -> Vec<&'a str> {
    vec!["node", "desk", said, "north", matter, "--officer", officer, "--key", key, "--reason", "as the board decided"]
}

/// What would be a bug: a node that releases an exact table without its operator's word, or begins what two persons could never release.
#[test]
fn it_is_off_by_default_and_refused_before_the_charge() {
    let refused = |officers: &[(&str, &str, &str)], exact: &str, why: &str| {
        let place = place(officers, exact);
        let job = detach(&place, &[]);
        eventually("it is refused", || at_north(&place, &job)["outcome"] == "refused");
        let refusal = &at_north(&place, &job)["why"];
        assert_eq!(refusal["refusal"], "policy-forbids", "{refusal}");
        assert!(refusal["rule"].as_str().unwrap().contains(why), "{refusal}");
        assert_eq!(place.spent("north"), "rho=0");
        place
    };
    refused(&[("ola", "ola.key", BOTH), ("max", "max.key", CHECK)], "", "[exact_tables]");
    // One person with two keys, and who asks, are no others; nor does who approves the run sign.
    let (ola, ada) = (("ola", "ola.key", BOTH), ("ada", "researcher/signing.key", CHECK));
    refused(&[ola, ("max", "max.key", BOTH), ("ola", "second.key", CHECK), ada], OPENED, "three persons");
    let place = refused(&[ola, ("max", "max.key", CHECK), ("max", "third.key", CHECK)], OPENED, "three persons");
    // Nor does a permit that does not say so open it.
    let (view, _) = place.view(&asked("permit.json", "rho=0.1", &["--exact"]));
    assert_eq!(outcome(&view, "north")["why"]["refusal"], "permit-forbids", "{view}");
    assert_eq!(place.spent("north"), "rho=0");
}

/// What would be a bug: a table that leaves on fewer than two persons' word besides that on the run, a count that is not the count or is of few, and anything that calls
/// it private.
#[test]
fn a_table_leaves_when_two_persons_have_signed_and_its_cells_are_the_counts() {
    let ada = ("ada", "researcher/signing.key", BOTH);
    let (ola, max) = (("ola", "ola.key", BOTH), ("max", "max.key", CHECK));
    let kim = ("kim", "kim.key", CHECK);
    let officers = [ola, ("ola", "second.key", CHECK), max, ("max", "third.key", CHECK), kim, ada];
    let mut place = place(&officers, OPENED);
    let job = detach(&place, &[]);
    let (run, waiting) = waits(&place, &job, "awaits-approval");
    assert_eq!(place.spent("north"), "rho=0", "charged before an officer vouched for the module");
    assert!(waiting["about"]["because"].as_str().unwrap().contains("source"), "{waiting}");
    what_is_asked_is_told(&waiting);
    let (code, message) = place.fails(&verdict("approve", &run, "ada", "researcher/signing.key"));
    assert!(code == 5 && message.contains("themselves"), "{code}: {message}");
    place.ok(&verdict("approve", &run, "ola", "ola.key"));

    let (table, waiting) = waits(&place, &job, "awaits-two-signatures");
    assert_eq!((place.spent("north").as_str(), waiting["wanted"].as_u64()), ("rho=0.1", Some(2)));
    assert!(waiting["about"]["findings"][0].as_str().unwrap().contains("NOT differentially private"), "{waiting}");
    let seen = waiting["about"]["statistics"][0]["estimates"].as_array().unwrap();
    let small = |e: &&Value| e["suppressed"] != true && e["value"].as_f64().unwrap() < 10.0;
    assert_eq!(seen.iter().filter(small).count(), 0, "an officer saw a small cell: {waiting}");
    what_is_asked_is_told(&waiting);
    assert_eq!(waiting["about"]["run_approved_by"]["name"], "ola", "{waiting}");
    for key in ["ola.key", "second.key"] {
        let (code, message) = place.fails(&verdict("approve", &table, "ola", key));
        assert!(code == 5 && message.contains("whose run they approved"), "{key}: {code}: {message}");
    }
    assert_eq!(at_north(&place, &job)["stage"], "awaits-two-signatures", "who approved the run signed");
    place.ok(&verdict("approve", &table, "max", "max.key"));
    let (_, waiting) = waits(&place, &job, "awaits-second-signature");
    assert_eq!(waiting["wanted"], 1);
    for (officer, key, why) in [
        ("max", "third.key", "sign twice"),
        ("max", "max.key", "sign twice"),
        ("ola", "second.key", "whose run they approved"),
        ("ada", "researcher/signing.key", "themselves"),
    ] {
        let (code, message) = place.fails(&verdict("approve", &table, officer, key));
        assert!(code == 5 && message.contains(why), "{officer} with {key}: {code}: {message}");
    }
    assert_eq!(at_north(&place, &job)["stage"], "awaits-second-signature", "one person's word let it out");
    place.ok(&verdict("approve", &table, "kim", "kim.key"));
    eventually("the table is there", || at_north(&place, &job)["outcome"] == "answered");
    the_cells_are_the_counts(&place, &job);
    nothing_calls_it_private(&place, &job);
    a_noisy_answer_is_in_the_same_ledger_and_log(&place);
    crate::receipts::verified(&place, (&job, 1), "exact.json");
    place.stop("north");
    let named = ["run-decided", "gate-decided"].map(|kind| crate::receipts::named(&place, kind));
    assert_eq!(named, [vec!["ola"], vec!["max", "kim"]], "the log does not name who signed");
}

/// Officers see the whole question before they answer for it.
fn what_is_asked_is_told(waiting: &Value) {
    let plan = &waiting["about"]["plan"];
    assert_eq!(plan["release"], "exact_tables", "{waiting}");
    assert_eq!(plan["module"], Digest::of(&table_module()).to_string(), "{waiting}");
    assert!(plan["fuel_per_subject"].is_u64() && plan["params"].is_array(), "{waiting}");
    let groups = &plan["outputs"][0]["output"]["groups"];
    assert_eq!(groups[0]["categories"], serde_json::json!(SHARES), "{waiting}");
    assert!(waiting["about"]["cohort"].as_str().unwrap().starts_with("blake3:"), "{waiting}");
}

fn the_cells_are_the_counts(place: &Place, job: &str) {
    let (view, _) = place.view(&["job", "result", job, "--as", "researcher"]);
    let (truth, estimates) = (truth(), view["statistics"][0]["estimates"].as_array().unwrap().clone());
    assert_eq!(estimates.len(), truth.len());
    // Of 30 cells eleven are about fewer than 10 people, and about 5 together: the twelfth, with 13, goes with them.
    let mut order: Vec<_> = truth.iter().map(|(label, people)| (*people, label.as_str())).collect();
    order.sort_unstable();
    let numbers: Vec<_> = order.iter().map(|(people, _)| *people).skip(9).take(4).collect();
    assert_eq!(numbers, [0, 5, 13, 20], "the file has changed");
    let hidden: Vec<_> = order.iter().take(12).map(|(_, label)| *label).collect();
    for estimate in &estimates {
        let (label, people) = (estimate["label"].as_str().unwrap(), truth[estimate["label"].as_str().unwrap()]);
        let told = (estimate["suppressed"] == true, estimate["value"].as_f64().unwrap());
        let expected = if hidden.contains(&label) { (true, 0.0) } else { (false, people as f64) };
        assert_eq!(told, expected, "{label}: {people} people");
    }
}

fn nothing_calls_it_private(place: &Place, job: &str) {
    let said = "NOT differentially private";
    let text = |args: &[&str]| String::from_utf8(place.run(args).stdout).unwrap();
    let shown = text(&["job", "result", job, "--as", "researcher", "--page", "page.html"]);
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    let certificate = text(&["job", "certificate", job, "--as", "researcher", "--out", "certificate.json"]);
    let preview = text(&asked("exact.json", "rho=0.1", &["--exact", "--dry-run"]));
    for (what, text) in [("result", &shown), ("page", &page), ("certificate", &certificate), ("preview", &preview)] {
        assert!(text.contains(said), "the {what} does not say what it is: {text}");
        assert!(
            !text.contains("ε =") && !text.contains("carries differentially private"),
            "the {what} has an ε: {text}"
        );
    }
    assert!(!certificate.contains("protects   each person"), "{certificate}");
    assert!(!preview.contains("less --fuel"), "fuel is the same for everybody: {preview}");
    let written = std::fs::read_to_string(place.path("certificate.json")).unwrap();
    assert!(
        written.contains(said) && !written.contains("\"epsilon\"") && !written.contains("\"spent_epsilon\""),
        "{written}"
    );
}

fn a_noisy_answer_is_in_the_same_ledger_and_log(place: &Place) {
    let noisy = place.view(&asked("permit.json", "rho=0.05", &[])).0;
    assert_eq!(outcome(&noisy, "north")["outcome"], "answered", "{noisy}");
    assert_eq!(noisy["statistics"][0]["mechanism"], "discrete-gaussian");
    assert_eq!(place.spent("north"), "rho=0.15");
    let job = noisy["job"].as_str().unwrap();
    let certificate = place.ok(&["job", "certificate", job, "--as", "researcher"]);
    let participant = &certificate["participants"][0];
    assert_eq!(participant["exact_tables"], 1);
    assert!(
        participant["spent_epsilon"].is_null(),
        "an ε for all that was spent, beside an exact table: {participant}"
    );
    assert!(certificate["cost"]["epsilon"].is_array(), "the noise's own");
    let log = place.ok(&["audit", "show", "north"]);
    let count = |kind: &str| log.as_array().unwrap().iter().filter(|e| e["event"]["kind"] == kind).count();
    assert_eq!((count("charged"), count("committed"), count("released")), (2, 2, 2), "{log}");
    assert_eq!((count("run-decided"), count("gate-decided")), (1, 3), "{log}");
    let signatures = log.as_array().unwrap().iter().filter(|e| e["event"]["kind"] == "gate-decided");
    let signatures: Vec<_> =
        signatures.map(|e| (e["event"]["signature"].as_u64(), e["event"]["of"].as_u64())).collect();
    assert_eq!(
        signatures,
        [(Some(1), Some(2)), (Some(2), Some(2)), (Some(0), Some(0))],
        "the log does not say which signature of how many, or that the rules let the noisy answer leave"
    );
}

/// What would be a bug: an exact table that leaves although one officer refused it, whatever another says, or when it is asked for again.
#[test]
fn what_one_officer_refuses_never_leaves() {
    let pat = ("pat", "pat.key", CHECK);
    let place = place(&[("ola", "ola.key", BOTH), ("max", "max.key", CHECK), ("kim", "kim.key", CHECK), pat], OPENED);
    let job = detach(&place, &[]);
    let (run, _) = waits(&place, &job, "awaits-approval");
    place.ok(&verdict("approve", &run, "ola", "ola.key"));
    let (table, waiting) = waits(&place, &job, "awaits-two-signatures");
    let statistics = waiting["about"]["statistics"].clone();
    place.ok(&verdict("approve", &table, "max", "max.key"));
    let (_, waiting) = waits(&place, &job, "awaits-second-signature");
    assert_eq!(waiting["about"]["earlier_exact_tables"], serde_json::json!([]), "compared with itself: {waiting}");
    place.ok(&verdict("refuse", &table, "kim", "kim.key"));
    eventually("it is refused", || at_north(&place, &job)["why"]["refusal"] == "officer-refused");
    place.fails(&verdict("approve", &table, "pat", "pat.key"));
    let (again, code) = place.view(&asked("exact.json", "rho=0.1", &["--exact"]));
    assert_eq!((outcome(&again, "north")["why"]["refusal"].as_str(), code), (Some("officer-refused"), 5), "{again}");
    assert_eq!(place.spent("north"), "rho=0.1", "its charge stays, once");
    // What the next one is compared with, officers are told.
    let other = detach(&place, &["--attempt", "1"]);
    let (_, waiting) = waits(&place, &other, "awaits-approval");
    let earlier = waiting["about"]["earlier_exact_tables"].as_array().unwrap();
    assert_eq!(earlier.len(), 1, "{waiting}");
    assert_eq!(earlier[0]["plan"]["module"], Digest::of(&table_module()).to_string(), "{waiting}");
    assert_eq!(earlier[0]["statistics"], statistics, "the earlier table's cells are not what officers saw: {waiting}");
    let told = String::from_utf8(place.run(&["node", "desk", "list", "north"]).stdout).unwrap();
    for part in ["earlier exact table of", "params", "fuel per subject", "25 · 2–5", "suppressed"] {
        assert!(told.contains(part), "{part:?} is not told: {told}");
    }
    assert_eq!(waiting["about"]["earlier_exact_tables_in_all"], 1, "{waiting}");
    assert_eq!(waiting["about"]["question"]["exact"], true, "{waiting}");
}

/// What would be a bug: a rule that asks for an officer as well, and so hides from that officer that the table has no noise.
#[test]
fn a_rule_that_asks_does_not_hide_that_it_is_exact() {
    let officers = [("ola", "ola.key", BOTH), ("max", "max.key", CHECK), ("kim", "kim.key", CHECK)];
    let mut place = place(&officers, OPENED);
    place.kill("north");
    let rules = "permit (principal, action, resource);\n@id(\"office-hours\") forbid (principal, action == Action::\"run_unattended\", resource);";
    std::fs::write(place.path("north/rules.cedar"), rules).unwrap();
    place.start_node("north");
    place.wait_online(1);
    let job = detach(&place, &[]);
    let (_, waiting) = waits(&place, &job, "awaits-approval");
    let because = waiting["about"]["because"].as_str().unwrap();
    assert!(because.contains("NOT differentially private") && because.contains("office-hours"), "{because}");
}

/// What would be a bug: a table that leaves with one signature because the process died before the second; a signature that is lost with it, or
/// that its officer can give twice; a table that never leaves after a death when both have signed.
#[test]
fn a_signature_outlives_the_process_and_one_is_not_enough() {
    let (ola, max, kim) = (("ola", "ola.key", BOTH), ("max", "max.key", CHECK), ("kim", "kim.key", CHECK));
    let mut place = place(&[ola, max, kim], OPENED);
    let job = detach(&place, &[]);
    let (run, _) = waits(&place, &job, "awaits-approval");
    place.ok(&verdict("approve", &run, "ola", "ola.key"));
    let (table, _) = waits(&place, &job, "awaits-two-signatures");
    place.ok(&verdict("approve", &table, "max", "max.key"));
    place.kill("north");
    place.start_node("north");
    place.wait_online(1);
    let (again, waiting) = waits(&place, &job, "awaits-second-signature");
    assert_eq!((again.as_str(), &waiting["wanted"]), (table.as_str(), &1.into()), "{waiting}");
    let (code, message) = place.fails(&verdict("approve", &table, "max", "max.key"));
    assert!(code == 5 && message.contains("sign twice"), "{code}: {message}");
    let released = || place.ok(&["audit", "show", "north", "--event", "released"]).as_array().unwrap().len();
    assert_ne!(at_north(&place, &job)["outcome"], "answered", "it left with one signature");
    assert_eq!(released(), 0, "it left with one signature");
    place.ok(&verdict("approve", &table, "kim", "kim.key"));
    place.kill("north");
    place.start_node("north");
    eventually("the table is there", || at_north(&place, &job)["outcome"] == "answered");
    the_cells_are_the_counts(&place, &job);
    assert_eq!(place.spent("north"), "rho=0.1", "it was charged again");
    place.stop("north");
    let log = place.ok(&["audit", "show", "north"]);
    let count = |kind: &str| log.as_array().unwrap().iter().filter(|e| e["event"]["kind"] == kind).count();
    assert_eq!((count("gate-decided"), count("released"), count("charged")), (2, 1, 1), "{log}");
    let whole = place.ok(&["audit", "verify", "north"]);
    assert_eq!(whole["holds"], true, "{whole}");
}

/// The commands of the docs' example, each as its words.
fn documented() -> Vec<Vec<String>> {
    let docs = std::fs::read_to_string(example("docs/exact-tables.md")).unwrap();
    let (_, after) = docs.split_once("## An example, from the module to the table").expect("the docs have no example");
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("no commands");
    let words = |line: &str| {
        let quoted = line.split('"').enumerate().flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        });
        quoted.skip(1).collect()
    };
    block.replace("\\\n", " ").lines().filter(|line| line.starts_with("spe ")).map(words).collect()
}

/// What would be a bug: an example that a newcomer types as it is written and that does not work, or comes to no table.
#[test]
fn the_docs_example_works_as_it_is_written() {
    let place = place(&[("ola", "ola.key", BOTH), ("max", "max.key", CHECK), ("kim", "kim.key", CHECK)], OPENED);
    let (mut job, mut ran) = (String::new(), 0);
    for mut words in documented() {
        let stage = |words: &[String]| match () {
            () if words.iter().any(|word| word == "RUN") => Some("awaits-approval"),
            () if words.iter().any(|word| word == "kim") => Some("awaits-second-signature"),
            () if words.iter().any(|word| word == "TABLE") => Some("awaits-two-signatures"),
            () => None,
        };
        let matter = stage(&words).map_or_else(String::new, |stage| waits(&place, &job, stage).0);
        for word in &mut words {
            match word.as_str() {
                "JOB" => word.clone_from(&job),
                "RUN" | "TABLE" => word.clone_from(&matter),
                _ => {}
            }
        }
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        if args[..2] == ["job", "result"] {
            eventually("the table is there", || at_north(&place, &job)["outcome"] == "answered");
        }
        let said = place.ok(&args);
        if args.contains(&"--detach") {
            job = said["job"].as_str().unwrap().to_owned();
        }
        ran += 1;
    }
    assert!(ran >= 8, "the example has {ran} commands");
    the_cells_are_the_counts(&place, &job);
}
