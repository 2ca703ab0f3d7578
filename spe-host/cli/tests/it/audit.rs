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
    place::{Place, eventually, module, outcome},
    question::{self, STEPS},
};

fn north() -> Place {
    let place = Place::new("rho=1");
    place.node("north", "site in (\"1\", \"2\")", "rho=2");
    place
}

fn at_work(place: &mut Place) {
    place.start_all(&["north"]);
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
    assert!(text.contains("charged rho=0.1 once, repeats are free"), "{text}");
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
    let (_, why) = place.fails(&["audit", "show", "north", "--person", "ada"]);
    assert!(why.contains("stop the node"), "a name that cannot be looked up is told as one who did nothing: {why}");
    let (_, why) = place.fails(&["audit", "show", "north", "--event", "nonsense"]);
    assert!(why.contains("nonsense") && why.contains("`job-refused`"), "it does not list the kinds: {why}");
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
        "gate-decided",
        "released",
        "job-refused",
        "node-stopped",
    ] {
        assert!(all.iter().any(|k| k == kind), "{kind} is not in the log: {all:?}");
    }
    let gate = place.ok(&["audit", "show", "north", "--event", "gate-decided"]);
    let [gate] = gate.as_array().unwrap().as_slice() else { panic!("one decision of the rules: {gate}") };
    assert_eq!((&gate["actor"], &gate["event"]["released"]), (&"node".into(), &true.into()), "{gate}");
    assert_eq!((&gate["event"]["document"], &gate["event"]["of"]), (&Value::Null, &0.into()), "{gate}");
    assert_eq!(gate["event"]["envelope"], opened["entry"]["event"]["envelope"], "decided on another answer: {gate}");
    let hers = place.ok(&["audit", "show", "north", "--person", "ada", "--event", "charged"]);
    assert_eq!(hers.as_array().unwrap().len(), 1, "what ada did is not found by her name: {hers}");
    let refused = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    assert_eq!(refused[0]["event"]["clause"], "policy-forbids");

    // An auditor with nothing but the exported files, who is a witness as well.
    place.ok(&["audit", "export", "north", "--to", "exported"]);
    let exported = place.ok(&["audit", "verify", "exported", "--node-key", &node]);
    assert_eq!(exported["holds"], true);
    let last = fs::read_dir(place.path("exported/tile/0/000.p")).unwrap().count();
    assert_eq!(last, 1, "what an earlier checkpoint had is exported, too");
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
    let gone = place.ok(&["node", "forget-person", "north", "--name", "ada"]);
    assert!(gone["stays"].to_string().contains("signed jobs that were charged"), "it does not say what stays: {gone}");
    let verified = place.ok(&["audit", "verify", "north"]);
    assert_eq!(verified["holds"], true, "the log does not verify without the person: {verified}");
    assert_eq!(place.ok(&["audit", "show", "north", "--person", "ada"]).as_array().unwrap().len(), 0);
    let forgotten = place.ok(&["audit", "show", "north", "--event", "person-forgotten"]);
    assert_eq!(forgotten.as_array().unwrap().len(), 1);
    place.fails(&["node", "forget-person", "north", "--name", "ada"]);
    let mut all = Vec::new();
    files(&place.path("north/data/log"), &mut all);
    assert!(all.len() >= 3, "{all:?}");
    let (quoted, account) = ("\"ada\"".to_owned(), forgotten[0]["person"].as_str().unwrap().to_owned());
    assert!(account.starts_with("account "), "who has forgotten is not known by the account: {forgotten}");
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

/// The refusal by which the node answers a question of that price, if it is one.
fn refusal(place: &Place, loss: &str) -> String {
    outcome(&place.ask(loss, &[]), "north")["why"]["refusal"].as_str().unwrap_or_default().to_owned()
}

/// What would be a bug: a node's folder that was put back as it was, which forgets charges, and a node that answers all the same: before or
/// after a restart, without anybody's word; one that never answers again when the right files are back, or when its operator has decided.
#[test]
fn an_old_copy_of_the_folder_answers_nothing() {
    let mut place = north();
    at_work(&mut place);
    place.ask("rho=0.1", &[]);
    place.stop("north");
    let (file, log) = (place.path("north/data/ledger.sqlite"), place.path("north/data/log"));
    let wal = place.path("north/data/ledger.sqlite-wal");
    let put_back = |copy: &[u8]| {
        fs::write(&file, copy).unwrap();
        fs::remove_file(&wal).ok();
        fs::remove_dir_all(&log).unwrap();
    };
    let copy = fs::read(&file).unwrap();
    let restart = |place: &mut Place| {
        place.start_node("north");
        place.wait_online(1);
    };
    restart(&mut place);
    place.ask("rho=0.11", &[]);
    place.stop("north");
    let newest = fs::read(&file).unwrap();
    place.ok(&["hub", "witness", "show", "hub"]);
    // The whole folder is put back: only the witness can tell, and does so before the first job.
    put_back(&copy);
    for _ in 0..2 {
        restart(&mut place);
        assert_eq!(refusal(&place, "rho=0.12"), "rolled-back");
        assert_eq!(place.spent("north"), "rho=0.1", "an old ledger was charged");
        place.stop("north");
    }
    let (_, error) = place.fails(&["hub", "witness", "show", "hub"]);
    assert!(error.contains("the log of node north"), "{error}");
    let shown = place.run(&["hub", "witness", "show", "hub", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(!shown["evidence"].as_array().unwrap().is_empty(), "the second history is not kept: {shown}");
    assert!(fs::read_to_string(place.path("hub.log")).unwrap().contains("AUDIT LOG NOT COSIGNED"));
    assert!(fs::read_to_string(place.path("north.log")).unwrap().contains("THE LEDGER IS NOT THE ONE"));
    put_back(&newest);
    restart(&mut place);
    assert_eq!(place.ask("rho=0.12", &[])["answered"], 1, "the right files are back");
    place.stop("north");
    // The ledger alone is put back: the node's own checkpoint tells, without a hub.
    fs::write(&file, &newest).unwrap();
    fs::remove_file(&wal).ok();
    let (_, said) = place.fails(&["audit", "export", "north", "--to", "elsewhere"]);
    assert!(said.contains("an old ledger was put back"), "{said}");
    restart(&mut place);
    assert_eq!(refusal(&place, "rho=0.13"), "rolled-back");
    place.fails(&["audit", "acknowledge", "north", "--reason", "it runs"]);
    place.stop("north");
    place.fails(&["audit", "acknowledge", "north", "--reason", " "]);
    let found = place.ok(&["audit", "acknowledge", "north", "--reason", "the disk was lost"]);
    assert!(!found["acknowledged"].as_array().unwrap().is_empty(), "{found}");
    place.fails(&["audit", "acknowledge", "north", "--reason", "twice"]);
    restart(&mut place);
    let job = place.ask("rho=0.13", &[])["job"].as_str().unwrap().to_owned();
    let said = String::from_utf8(place.run(&["job", "result", &job, "--as", "researcher"]).stdout).unwrap();
    assert!(said.contains("no witness is known to have seen it there: north"), "{said}");
    place.stop("north");
    let told = place.ok(&["audit", "show", "north", "--event", "rollback-acknowledged"]);
    assert_eq!(told.as_array().unwrap().len(), 1, "what the operator decided is not in the log");
    // A folder that cannot be looked at is not one in which nothing was found.
    fs::remove_dir_all(place.path("north/data/log")).unwrap();
    fs::write(place.path("north/data/log"), "").unwrap();
    let (_, said) = place.fails(&["audit", "acknowledge", "north", "--reason", "the disk is odd"]);
    assert!(said.contains("could not be looked at") && said.contains("data/log"), "{said}");
}

/// How many entries the hub sees that the log has.
fn entries(place: &Place) -> u64 {
    place.ok(&["audit", "verify", "north"])["entries"].as_u64().unwrap()
}

/// What would be a bug: a log from whose length, which is public, it shows that somebody opted out; strangers with keys of their own that make it
/// longer; a receipt that tells a later person who paid before.
#[test]
fn the_size_of_the_log_tells_neither_of_opt_outs_nor_of_strangers() {
    let mut place = north();
    at_work(&mut place);
    place.ask("rho=0.1", &[]);
    let first = entries(&place);
    place.ask("rho=0.11", &[]);
    let second = entries(&place);
    place.ok(&["node", "optout", "add", "north", "--dataset", "rand-hie", "--id", "somebody"]);
    place.ask("rho=0.12", &[]);
    let third = entries(&place);
    assert_eq!(third - second, second - first, "an opt-out shows in the size of the log");
    place.ok(&["hub", "invite", "hub", "--person", "eve", "--out", "eve"]);
    place.ok(&["key", "new", "eve/signing.key"]);
    for loss in ["rho=0.13", "rho=0.14"] {
        let ask = ["job", "submit", &module("visits-by-coinsurance"), "--as", "eve", "--permit", "permit.json"];
        let ask = [&ask[..], &["--dataset", "rand-hie", "--purpose", "policymaking", "--loss", loss]].concat();
        assert_eq!(outcome(&place.view(&ask).0, "north")["why"]["refusal"], "person-not-in-permit");
    }
    assert_eq!(entries(&place), third, "strangers write into the log");
    place.stop("north");
    let released = place.ok(&["audit", "show", "north", "--event", "released"]);
    assert_eq!((&released[0]["actor"], &released[0]["event"]["permit"]), (&"node".into(), &Value::Null));
    let text = place.ok(&["audit", "show", "north"]).to_string();
    assert!(!text.contains("\"eve\""), "a stranger is kept by name");
}

/// What would be a bug: a person who is excluded by name and asks on under another name with the same key; one who is forgotten and thereby no
/// longer excluded.
#[test]
fn an_excluded_person_does_not_come_back_under_another_name() {
    let mut place = north();
    at_work(&mut place);
    place.ask("rho=0.1", &[]);
    let permit = fs::read_to_string(place.path("permit.toml")).unwrap();
    fs::write(
        place.path("other.toml"),
        permit.replace("\"ada\"", "\"adele\"").replace("dap-2026-0001", "dap-2026-0002"),
    )
    .unwrap();
    place.ok(&["permit", "sign", "other.toml", "--key", "access-body.key", "--out", "other.json"]);
    place.ok(&["hub", "invite", "hub", "--person", "adele", "--out", "adele"]);
    fs::copy(place.path("researcher/signing.key"), place.path("adele/signing.key")).unwrap();
    let adele = |loss: &str| {
        let ask = ["job", "submit", &module("visits-by-coinsurance"), "--as", "adele", "--permit", "other.json"];
        place.view(&[&ask[..], &["--dataset", "rand-hie", "--purpose", "policymaking", "--loss", loss]].concat()).0
    };
    assert_eq!(adele("rho=0.11")["answered"], 1);
    let now = jiff::Timestamp::now();
    let until = now + jiff::SignedDuration::from_hours(48);
    let draft = format!(
        "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{now}\"\neffective_at = \"{now}\"\n\
         reason = \"re-identification\"\n[target.person]\nname = \"ada\"\nuntil = \"{until}\"\n"
    );
    fs::write(place.path("exclusion.toml"), draft).unwrap();
    place.ok(&["revocation", "sign", "exclusion.toml", "--key", "access-body.key", "--out", "exclusion.json"]);
    place.ok(&["node", "desk", "revoke", "north", "exclusion.json"]);
    assert_eq!(outcome(&adele("rho=0.12"), "north")["why"]["refusal"], "person-excluded");
    place.stop("north");
    let gone = place.ok(&["node", "forget-person", "north", "--name", "ada"]);
    assert!(gone["stays"].to_string().contains("Art. 63(3)"), "it does not say what stays: {gone}");
    place.start_node("north");
    place.wait_online(1);
    let ask = ["job", "submit", &module("visits-by-coinsurance"), "--as", "adele", "--permit", "other.json"];
    let ask = [&ask[..], &["--dataset", "rand-hie", "--purpose", "policymaking", "--loss", "rho=0.13"]].concat();
    assert_eq!(outcome(&place.view(&ask).0, "north")["why"]["refusal"], "person-excluded", "forgotten, and let in");
}

/// What would be a bug: a question that waits for ever for an officer who does not come, and of which whoever asked never hears; one that
/// cannot be asked again.
#[test]
fn what_no_officer_decides_is_told_after_a_time() {
    let mut place = north();
    let ola = place.ok(&["key", "new", "ola.key"])["public_key"].as_str().unwrap().to_owned();
    let officer = format!("[[officers]]\nname = \"ola\"\nkey = \"{ola}\"\nduties = [\"approve-runs\"]\n\n[outputs]");
    place.policy("north", "[outputs]", &officer);
    place.policy("north", "officer_days_max = 30", "officer_days_max = 0");
    fs::write(place.path("north/rules.cedar"), "permit (principal, action == Action::\"run\", resource);").unwrap();
    at_work(&mut place);
    let job = place.ask("rho=0.1", &["--detach"])["job"].as_str().unwrap().to_owned();
    let at = |place: &Place| outcome(&place.view(&["job", "result", &job, "--as", "researcher"]).0, "north");
    eventually("it waits", || at(&place)["stage"] == "awaits-approval");
    place.kill("north");
    place.start_node("north");
    eventually("it is told that nobody decided", || at(&place)["why"]["refusal"] == "officer-silent");
    assert_eq!(place.ok(&["node", "desk", "list", "north"]).as_array().unwrap().len(), 0);
    let again = place.ask("rho=0.1", &["--detach"])["job"].as_str().unwrap().to_owned();
    eventually("it waits again", || {
        let now = outcome(&place.view(&["job", "result", &again, "--as", "researcher"]).0, "north");
        // It may have waited too long once more by now.
        now["stage"] == "awaits-approval" || now["why"]["refusal"] == "officer-silent"
    });
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
