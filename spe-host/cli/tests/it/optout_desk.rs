//! The intake desk of opt-outs, beside a node that runs: who hears of a choice, and what becomes of it when something goes wrong.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use spe_kernel::ids::Digest;

use crate::{
    optout::{optout, permit_now},
    place::{Place, SPE, eventually, module, outcome},
};

/// Everything below a folder, and beside it the logs.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(file: &Path, text: &str) -> bool {
    // A socket has no bytes.
    std::fs::read(file).unwrap_or_default().windows(text.len()).any(|window| window == text.as_bytes())
}

fn view(place: &Place, permit: &str) -> Value {
    let module = module("visits-by-coinsurance");
    let ask = ["job", "submit", &module, "--as", "researcher", "--permit", permit, "--dataset", "rand-hie"];
    place.view(&[&ask[..], &["--purpose", "policymaking", "--loss", "rho=0.1"]].concat()).0
}

/// Digest of the register's head, as the log names the register.
fn register(place: &Place) -> String {
    Digest::of(&std::fs::read(place.path("north/data/vault/rand-hie/optout.head")).unwrap()).to_string()
}

/// A choice counts for jobs from the moment that it is entered, and the desk shows it within this time.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// What would be a bug: a desk at which a person's choice does not show at once. The best of three, for the machine may be busy.
#[test]
fn a_choice_shows_within_a_second() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let taken = ["one", "two", "three"].map(|id| {
        let begun = Instant::now();
        optout(&place, "north", "add", &["--id", id]);
        let shown = optout(&place, "north", "show", &["--id", id]);
        let taken = begun.elapsed();
        assert_eq!(shown["entries"][0]["choice"], "opts-out", "{shown}");
        taken
    });
    assert!(taken.iter().any(|taken| *taken < SHOWN_WITHIN), "from `optout add` to `optout show`: {taken:?}");
}

fn snapshot(place: &Place, view: &Value) -> String {
    let certificate = place.ok(&["job", "certificate", view["job"].as_str().unwrap(), "--as", "researcher"]);
    certificate["participants"][0]["snapshot"].as_str().unwrap().to_owned()
}

/// What would be a bug: a node that heeds a choice only after its next start; an id that is written anywhere or said; a catalogue that
/// changes with somebody's choice.
#[test]
fn a_running_node_heeds_a_choice_at_its_next_job_and_nobody_hears_of_it() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    permit_now(&place, "a");
    let before = register(&place);
    let first = snapshot(&place, &view(&place, "a.json"));
    let offered = || place.ok(&["budget", "--as", "researcher"])[0]["snapshot"].as_str().unwrap().to_owned();
    assert_eq!(first, offered());

    let canary = "CANARY-19770525";
    let ids = ["--id", canary, "--source", "web form"];
    let said = place.run(&[&["node", "optout", "add", "north", "--dataset", "rand-hie"], &ids[..]].concat());
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    assert!(said.contains("1 person opted out of everything") && !said.contains(canary), "{said}");
    assert!(said.contains("earlier ones are not affected"), "{said}");
    permit_now(&place, "b");
    let second = snapshot(&place, &view(&place, "b.json"));
    assert_ne!(first, second, "the running node did not see the choice");
    // At the start, and with each job: the register as it was read.
    let read = place.ok(&["audit", "show", "north", "--event", "opt-outs-read"]);
    let read: Vec<_> =
        read.as_array().unwrap().iter().map(|entry| entry["event"]["register"].as_str().unwrap()).collect();
    assert_eq!(read, [&before, &before, &register(&place)], "the log does not say by which register a cohort was made");
    assert_ne!(before, register(&place));
    let verified = optout(&place, "north", "verify", &["--permit", "b.json"]);
    assert_eq!((&verified["cohorts"][0]["left_out"], &verified["key_matches"]), (&1.into(), &true.into()));
    assert_eq!(verified["cohorts"][0]["snapshot_in_answers"], second.as_str());
    assert_eq!(offered(), first, "the catalogue tells of somebody's choice");

    // The person's own history; the list, in which nobody is named.
    optout(&place, "north", "withdraw", &["--id", canary, "--purpose", "education"]);
    let own = optout(&place, "north", "show", &["--id", canary]);
    let choices: Vec<_> = own["entries"].as_array().unwrap().iter().map(|e| e["choice"].as_str().unwrap()).collect();
    assert_eq!(choices, ["opts-out", "comes-back"]);
    assert_eq!(
        (own["entries"][0]["source"].as_str(), own["entries"][1]["scope"].as_str()),
        (Some("web form"), Some("education"))
    );
    let by = own["entries"][0]["by"].as_str().unwrap();
    assert!(by.starts_with("account "), "nobody knows who entered it: {by}");
    assert_eq!(own["left_out_of"].as_array().unwrap().len(), 7);
    let nobody = optout(&place, "north", "show", &["--id", "stranger"]);
    assert_eq!((nobody["entries"].as_array().unwrap().len(), nobody["left_out_of"].as_array().unwrap().len()), (0, 0));
    let list = optout(&place, "north", "list", &[]);
    assert_eq!(
        (&list["entries"], &list["left_out"]["education"], &list["left_out"]["policymaking"]),
        (&2.into(), &0.into(), &1.into())
    );
    assert_eq!(list["persons"][0]["pseudonym"].as_str().unwrap().len(), 8);
    let outputs = [own.to_string(), list.to_string(), verified.to_string()];
    assert!(outputs.iter().all(|said| !said.contains(canary)));
    let text = |command: &str| {
        let said = place.run(&["node", "optout", command, "north", "--dataset", "rand-hie"]).stdout;
        String::from_utf8(said).unwrap()
    };
    assert!(text("list").contains("policymaking: 1") && text("verify").contains("2 entries, whole and in order"));
    let found: Vec<_> = files(place.dir.path()).into_iter().filter(|file| holds(file, canary)).collect();
    assert!(found.is_empty(), "the id is in {found:?}");
    assert!(files(place.dir.path()).iter().any(|file| holds(file, "web form")), "the search finds nothing at all");

    // What would be a bug: an opt-out that somebody takes back under another spelling, and believes to be gone.
    let shown = place.run(&["node", "optout", "show", "north", "--dataset", "rand-hie", "--id", "misspelt"]).stdout;
    assert!(String::from_utf8(shown).unwrap().contains("nothing was ever entered of this id"));
    for (id, warned) in [("misspelt", true), (canary, false)] {
        let back = place.run(&["node", "optout", "withdraw", "north", "--dataset", "rand-hie", "--id", id]);
        let said = String::from_utf8(back.stderr).unwrap();
        assert!(back.status.success() && said.contains("1 of these had no entry") == warned, "{id}: {said}");
    }
}

/// What would be a bug: an answer, or a charge, at a node where nobody can tell any more who opted out.
#[test]
fn a_damaged_register_stops_jobs_before_they_are_charged() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    optout(&place, "north", "add", &["--id", "somebody"]);
    permit_now(&place, "b");
    place.start_all(&["north"]);
    let log = place.path("north/data/vault/rand-hie/optout.log");
    let whole = std::fs::read(&log).unwrap();
    let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut bent = whole.clone();
    bent[first + 60] ^= 1;
    for (damaged, why) in [(whole[..first].to_vec(), "lines are gone"), (bent, "entry 1 is not as it was written")] {
        std::fs::write(&log, damaged).unwrap();
        let refused = outcome(&view(&place, "b.json"), "north");
        assert_eq!(refused["why"]["refusal"], "internal", "{refused}");
        let told = std::fs::read_to_string(place.path("north.log")).unwrap();
        assert!(told.contains(why), "the operator is not told: {told}");
        let (_, message) = place.fails(&["node", "optout", "verify", "north", "--dataset", "rand-hie"]);
        assert!(message.contains(why) && message.contains("backup"), "{message}");
    }
    assert_eq!(place.spent("north"), "rho=0");
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(view(&place, "b.json")["answered"], 1, "restored, the node answers again");
}

/// What would be a bug: an entry that was acknowledged and is gone because two desks were busy at once, or because a process died.
#[test]
fn desks_work_at_the_same_time_and_may_die() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let file: String = (0..2_000).map(|i| format!("many-{i}\n")).collect();
    std::fs::write(place.path("many.ids"), file).unwrap();
    let desk = |args: &[&str]| {
        let fixed = ["node", "optout", "add", "--json", "north", "--dataset", "rand-hie"];
        let mut command = Command::new(SPE);
        command.args(fixed).args(args).current_dir(place.dir.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    // Some die at once, some at once after.
    let many = ["--ids-file", "many.ids"];
    let mut doomed: Vec<_> = (0..12_u64).map(|n| (n, desk(&many))).collect();
    let careful: Vec<_> = (0..12).map(|n| desk(&["--id", &format!("one-{n}")])).collect();
    for (n, child) in &mut doomed {
        std::thread::sleep(Duration::from_millis(*n));
        child.kill().unwrap();
    }
    let mut acknowledged = Vec::new();
    for child in careful {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        acknowledged.push(said["entries"][0].as_u64().unwrap());
    }
    for (_, child) in doomed {
        let output = child.wait_with_output().unwrap();
        if let Ok(said) = serde_json::from_slice::<Value>(&output.stdout) {
            acknowledged.extend(said["entries"][0].as_u64().unwrap()..=said["entries"][1].as_u64().unwrap());
        }
    }
    let count = acknowledged.len();
    acknowledged.sort_unstable();
    acknowledged.dedup();
    assert_eq!(acknowledged.len(), count, "two entries in one place");
    let verified = optout(&place, "north", "verify", &[]);
    assert!(verified["entries"].as_u64().unwrap() >= acknowledged.last().copied().unwrap(), "{verified}");
    for n in 0..12 {
        let own = optout(&place, "north", "show", &["--id", &format!("one-{n}")]);
        assert_eq!(own["entries"].as_array().unwrap().len(), 1, "desk {n} was told that it is done");
    }
}

/// What would be a bug: half a list that counts after the desk was told that nothing did, or a register that a full disk spoils.
#[test]
fn what_is_wrong_is_said_and_enters_nothing() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    optout(&place, "north", "add", &["--id", "somebody"]);
    let log = place.path("north/data/vault/rand-hie/optout.log");
    let before = std::fs::read(&log).unwrap();
    let file: String = (0..500).map(|i| format!("many-{i}\n")).collect();
    std::fs::write(place.path("many.ids"), file).unwrap();
    let add = ["node", "optout", "add", "north", "--dataset", "rand-hie"];
    let message = place.fails_on_a_full_disk(&[&add[..], &["--ids-file", "many.ids"]].concat());
    assert!(message.contains("optout.log") && message.contains("too large"), "{message}");
    assert_eq!(std::fs::read(&log).unwrap(), before);
    let says = |args: &[&str], parts: &[&str]| {
        let (_, message) = place.fails(&[&add[..], args].concat());
        for part in parts {
            assert!(message.contains(part), "{args:?}: {message:?} does not say {part:?}");
        }
        assert!(!message.contains("secret-7"), "the id is said: {message}");
    };
    says(&["--id", "secret-7", "--source", "letter of secret-7"], &["contains a person's id"]);
    says(&["--id", "secret-7", "--source", &"x".repeat(65)], &["1 to 64 bytes"]);
    says(&["--id", "secret-7", "--purpose", "marketing"], &["Art. 53"]);
    says(&["--id", "secret-7", "--effective", "soon"], &["effective"]);
    says(&["--id", "secret-7", "--effective", "2020-01-01"], &["write 2020-01-01T00:00:00Z"]);
    says(&["--id", "secret-7", "--id", "secret-77"], &["2 values", "1 columns"]);
    says(&["--id", " "], &["0 values"]);
    says(&["--ids-file", "nowhere"], &["nowhere"]);
    says(&[], &["--id"]);
    let (_, message) = place.fails(&["node", "optout", "add", "north", "--dataset", "rand-hei", "--id", "x"]);
    assert!(message.contains("rand-hei") && message.contains("spe data list"), "{message}");
    assert_eq!(std::fs::read(&log).unwrap(), before, "something was entered");
    // From standard input, so that no id is in a shell's history or a list of processes.
    let mut child = Command::new(SPE)
        .args(add)
        .args(["--ids-file", "-"])
        .current_dir(place.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"one\r\n\n two \n").unwrap();
    assert!(child.wait().unwrap().success());
    eventually("both are entered", || optout(&place, "north", "verify", &[])["entries"] == 3);
    assert_eq!(optout(&place, "north", "show", &["--id", "two"])["left_out_of"].as_array().unwrap().len(), 8);
}
