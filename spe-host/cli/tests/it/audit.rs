//! The audit log of a node at work: what it says, who can check it, and what becomes of one that was tampered with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use spe_kernel::dsse::SecretKey;
use spe_node::{config::NodeConfig, journal::LogFiles};

use crate::{
    corridor,
    place::Place,
    question::{self, STEPS},
};

fn north() -> Place {
    let place = Place::new("rho=1");
    place.node("north", "site in (\"1\", \"2\")", "rho=2");
    place
}

fn at_work(place: &mut Place) {
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
}

fn key_of(place: &Place, file: &str) -> String {
    place.ok(&["key", "show", file])["public_key"].as_str().unwrap().to_owned()
}

fn kinds(entries: &Value) -> Vec<String> {
    entries.as_array().unwrap().iter().map(|e| e["event"]["kind"].as_str().unwrap().to_owned()).collect()
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), all) } else { all.push(entry.path()) }
    }
}

/// What would be a bug: an answer without a receipt; a receipt that holds for another answer; a log that does not verify, that leaves
/// something out, or that cannot be checked without its node.
#[test]
fn an_answer_leaves_with_a_receipt_that_anybody_can_check() {
    let mut place = north();
    at_work(&mut place);
    let view = place.ask("rho=0.1", &[]);
    let job = view["job"].as_str().unwrap().to_owned();
    place.ok(&["job", "result", &job, "--as", "researcher", "--receipts", "receipts"]);
    let text = place.run(&["job", "result", &job, "--as", "researcher"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("receipts: every answer is in its node's audit log, and the hub has seen it there"),
        "{text}"
    );
    let witness = place.ok(&["hub", "witness", "show", "hub"])["witness_key"].as_str().unwrap().to_owned();
    let (node, ada) = (key_of(&place, "north/signing.key"), key_of(&place, "researcher/signing.key"));
    let receipt =
        ["audit", "verify", "--receipt", "receipts/north-0.tlog-proof", "--answer", "receipts/north-0.answer.json"];
    let keys = ["--node-key", &node, "--witness-key", &witness];
    let opened = place.ok(&[&receipt[..], &keys].concat());
    assert_eq!((opened["node"].as_str(), opened["entry"]["event"]["kind"].as_str()), (Some("north"), Some("released")));
    assert_eq!(opened["entry"]["event"]["loss"], "rho=0.1");
    // Another key, another answer, another byte.
    place.fails(&[&receipt[..], &["--node-key", &ada]].concat());
    place.fails(&[&receipt[..], &["--node-key", &node, "--witness-key", &ada]].concat());
    let file = place.path("receipts/north-0.answer.json");
    fs::write(&file, [fs::read(&file).unwrap(), b" ".to_vec()].concat()).unwrap();
    let (_, said) = place.fails(&[&receipt[..], &keys].concat());
    assert!(said.contains("the receipt is for the answer"), "{said}");

    // While the node runs, its files can be checked; a refusal is logged once a signed job.
    let running = place.ok(&["audit", "verify", "north"]);
    assert_eq!((running["holds"].as_bool(), running["whole"].as_bool()), (Some(true), Some(false)), "{running}");
    place.ask("rho=0.95", &[]);
    place.stop("north");
    let whole = place.ok(&["audit", "verify", "north"]);
    assert_eq!((whole["holds"].as_bool(), whole["whole"].as_bool()), (Some(true), Some(true)), "{whole}");
    assert!(whole["rows"] == 2 && whole["cosigned"].as_u64().unwrap() > 4, "{whole}");
    let all = kinds(&place.ok(&["audit", "show", "north"]));
    for kind in [
        "node-started",
        "policy-changed",
        "dataset-ingested",
        "permit-seen",
        "job-admitted",
        "charged",
        "committed",
        "released",
        "job-refused",
        "node-stopped",
    ] {
        assert!(all.iter().any(|k| k == kind), "{kind} is not in the log: {all:?}");
    }
    let hers = place.ok(&["audit", "show", "north", "--person", "ada", "--event", "charged"]);
    assert_eq!(hers.as_array().unwrap().len(), 1, "what ada did is not found by her name: {hers}");
    let refused = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    assert_eq!(refused[0]["event"]["clause"], "policy-forbids");

    // An auditor with nothing but the exported files, who is a witness as well.
    place.ok(&["audit", "export", "north", "--to", "exported"]);
    let exported = place.ok(&["audit", "verify", "exported", "--node-key", &node]);
    assert_eq!(exported["holds"], true);
    place.ok(&["key", "new", "auditor.key"]);
    let cosign = [
        "audit",
        "witness",
        "--checkpoint",
        "exported/checkpoint",
        "--node-key",
        &node,
        "--state",
        "seen.json",
        "--key",
        "auditor.key",
    ];
    let line = place.ok(&cosign)["cosignature"].as_str().unwrap().to_owned();
    assert!(line.starts_with("\u{2014} spe.witness/"), "{line}");
    place.ok(&cosign);
    let state = fs::read_to_string(place.path("seen.json")).unwrap();
    let root = serde_json::from_str::<Value>(&state).unwrap()["root"].as_str().unwrap().to_owned();
    fs::write(place.path("seen.json"), state.replace(&root, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap();
    assert!(place.fails(&cosign).1.contains("another history"));

    // An entry that was rewritten in the auditors' files is found; the node makes the files again from its ledger.
    let mut all = Vec::new();
    files(&place.path("north/data/log/tile/entries"), &mut all);
    for file in &all {
        let mut bytes = fs::read(file).unwrap();
        while let Some(at) = bytes.windows(7).position(|seven| seven == b"rho=0.1") {
            bytes[at + 6] = b'2';
        }
        fs::write(file, bytes).unwrap();
    }
    let (_, said) = place.fails(&["audit", "verify", "north"]);
    assert!(said.contains("does not have the hashes of its entries"), "{said}");
    fs::remove_dir_all(place.path("north/data/log")).unwrap();
    place.start_node("north");
    place.wait_online(1);
    place.stop("north");
    assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true, "the files are not made again");
}

/// What would be a bug: a natural person who can be read out of the log by whoever gets it, or after being forgotten.
#[test]
fn no_name_key_or_address_is_in_the_log() {
    let mut place = north();
    at_work(&mut place);
    place.ask("rho=0.1", &[]);
    place.stop("north");
    let account = std::env::var("USER").unwrap_or_else(|_| "unknown".into());
    place.ok(&["node", "forget-person", "north", "--name", "ada"]);
    let verified = place.ok(&["audit", "verify", "north"]);
    assert_eq!(verified["holds"], true, "the log does not verify without the person: {verified}");
    assert_eq!(place.ok(&["audit", "show", "north", "--person", "ada"]).as_array().unwrap().len(), 0);
    let forgotten = place.ok(&["audit", "show", "north", "--event", "person-forgotten"]);
    assert_eq!(forgotten.as_array().unwrap().len(), 1);
    place.fails(&["node", "forget-person", "north", "--name", "ada"]);
    let mut all = Vec::new();
    files(&place.path("north/data/log"), &mut all);
    assert!(all.len() >= 3, "{all:?}");
    let (quoted, account) = ("\"ada\"".to_owned(), format!("account {account}"));
    for secret in [quoted, key_of(&place, "researcher/signing.key"), account] {
        for file in &all {
            let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
            assert!(!text.contains(&secret), "{} names a person: {secret}", file.display());
        }
    }
    assert!(place.fails(&["audit", "prune", "north", "--before", "2126-01-01T00:00:00Z"]).1.contains("Art. 73(1)(e)"));
    let toml = place.path("north/node.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("log_retention_days = 365", "log_retention_days = 364")).unwrap();
    let (_, said) = place.fails(&["node", "run", "north"]);
    assert!(said.contains("Art. 73(1)(e)") && said.contains("node.toml"), "{said}");
}

/// What would be a bug: a node's folder that was put back as it was, which forgets charges, and a hub that has not noticed.
#[test]
fn an_old_copy_of_the_folder_is_caught_by_the_hub() {
    let mut place = north();
    at_work(&mut place);
    place.ask("rho=0.1", &[]);
    place.stop("north");
    let file = place.path("north/data/ledger.sqlite");
    let copy = fs::read(&file).unwrap();
    place.start_node("north");
    place.wait_online(1);
    place.ask("rho=0.11", &[]);
    place.stop("north");
    place.ok(&["hub", "witness", "show", "hub"]);
    fs::write(&file, copy).unwrap();
    fs::remove_file(place.path("north/data/ledger.sqlite-wal")).ok();
    place.start_node("north");
    place.wait_online(1);
    // The answers still leave, and say that nobody has seen them in the log.
    let mut said = String::new();
    for loss in ["rho=0.12", "rho=0.13", "rho=0.14"] {
        let job = place.ask(loss, &[])["job"].as_str().unwrap().to_owned();
        said = String::from_utf8(place.run(&["job", "result", &job, "--as", "researcher"]).stdout).unwrap();
        assert!(said.contains("no witness is known to have seen it there: north"), "{said}");
    }
    drop(said);
    let (_, error) = place.fails(&["hub", "witness", "show", "hub"]);
    assert!(error.contains("the log of node north has two histories"), "{error}");
    let shown = place.run(&["hub", "witness", "show", "hub", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let evidence = shown["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|e| e["kind"] == "forked"), "the second history is not kept: {shown}");
    assert!(fs::read_to_string(place.path("hub.log")).unwrap().contains("AUDIT LOG NOT COSIGNED"));
}

/// What would be a bug: a process that dies between any two steps and leaves a charge, an answer or a release that the log does not tell
/// of, or tells of what did not happen.
#[test]
fn a_kill_after_any_step_leaves_a_log_that_agrees_with_the_ledger() {
    let place = question::place();
    let dir = place.dir.path();
    let config = NodeConfig::read(&dir.join("north")).unwrap();
    let secret: SecretKey = fs::read_to_string(&config.signing_key_file).unwrap().parse().unwrap();
    let files = LogFiles::new(&config.log_dir(), &config.name);
    for (index, step) in STEPS.iter().enumerate() {
        corridor::kill_after(corridor::start(dir, index, 2_000 + u32::try_from(index).unwrap(), 1), *step);
        let site = question::open(dir);
        let records = site.audit();
        records.publish(&files, &secret, true).unwrap();
        let checked = records.check_log(&files, secret.public()).unwrap();
        assert_eq!(checked.findings, Vec::<String>::new(), "after {step:?}");
        assert_eq!(checked.checkpoint, Some(checked.entries), "the files stay behind after {step:?}");
    }
}
