//! Row 4: marked records, everything that can go wrong with them, and a search of everything that is left behind.
//!
//! A real hub and a real node with `RUST_LOG=trace`. The people's keys, notes and amounts are marked. All evil guests are asked, a
//! job is cancelled in its middle, questions are refused, the vault's files are damaged. Then every byte that these processes wrote
//! outside of the vault's tables is searched: logs, output, answers, the ledger, the hub's and the researcher's folders.
//!
//! What would be a bug: a mark anywhere, as text, decimal, hexadecimal, base64, list of bytes or IEEE number. The vault's own tables
//! may hold notes and amounts, and nothing may hold a key. A pseudonym stands in the register of opt-outs, if its person is there, and is in
//! nothing else: no module is given one, and none leaves.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use spe_kernel::{
    category::Categories,
    job::Purpose,
    optout::AsOf,
    plan::{Choices, Plan},
    record::{Chunk, Values},
};
use spe_node::{
    config::NodeConfig,
    keys::Holder,
    selftest::attacks::{ALL, Attack, Must},
};
use spe_vault::Register;

use crate::{
    place::{Place, SPE, eventually, example},
    question,
};

const KEY: &str = "ZEBRAPERSON";
const NOTE: &str = "QUAGGANOTE";
const AMOUNTS: [f64; 2] = [271.828_182, 314.159_265];
const DECLARATION: &str = r#"
name = "evil"
title = "Marked people"
subjects_max = 16
partitions = 2
[[tables]]
name = "visits"
key = ["person"]
order_by = ["amount"]
[[tables.columns]]
name = "target"
type = "boolean"
[[tables.columns]]
name = "amount"
type = "number"
min = 0
max = 1000
[[tables.columns]]
name = "note"
type = "text"
max_bytes = 32
"#;

/// A dozen people whose key is marked; the target's notes and amounts are marked too.
fn csv() -> String {
    let mut text = String::from("person,target,amount,note\n");
    for i in 0..12 {
        text.push_str(&format!("{KEY}{i},false,{i},seen 0 of {i}\n"));
    }
    for amount in AMOUNTS {
        text.push_str(&format!("{KEY},true,{amount},{NOTE} NEIGHBOUR\n"));
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What base64 shows of `bytes` wherever they begin in a longer text: the digits that depend on no other byte.
fn base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    let digits = |skip: usize| {
        let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
        let whole = bits[(6 - skip * 8 % 6) % 6..].chunks_exact(6);
        whole.map(|six| BASE64[six.iter().fold(0, |n, bit| n << 1 | usize::from(*bit))]).collect()
    };
    (0..3).map(digits).collect()
}

/// Every form in which `bytes` might be written.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> String {
        bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut forms = base64(bytes);
    forms.extend([bytes.to_vec(), hex(true).into(), hex(false).into(), list.into()]);
    forms
}

fn text_marks(text: &str) -> Vec<Vec<u8>> {
    [forms(text.as_bytes()), forms(text.to_lowercase().as_bytes())].concat()
}

fn number_marks(amount: f64) -> Vec<Vec<u8>> {
    let decimal = amount.to_string().into_bytes();
    let steps = format!("{:.0}", amount * f64::from(1 << 20)).into_bytes();
    [forms(&amount.to_le_bytes()), forms(&amount.to_be_bytes()), vec![decimal[..7].to_vec(), decimal, steps]].concat()
}

/// The marks that stand for a key, and those that stand for a record.
fn marks() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    (text_marks(KEY), [text_marks(NOTE), AMOUNTS.map(number_marks).concat()].concat())
}

/// The pseudonyms of all thirteen people, the target's first, as the key holder makes them.
fn pseudonyms(place: &Place) -> Vec<[u8; 16]> {
    let config = NodeConfig::read(&place.path("north")).unwrap();
    let register = Register::of(&config.vault_dir(), &"evil".parse().unwrap()).unwrap();
    let others = (0..12).map(|i| vec![format!("{KEY}{i}")]);
    let named: Vec<_> = [vec![KEY.to_owned()]].into_iter().chain(others).collect();
    register.subjects(&Holder::open(&config.keyholder_file).unwrap(), &named).unwrap()
}

/// Everything that a module is given of these people, as it lies in the guest's memory.
fn given(chunk: &Chunk) -> Vec<u8> {
    let columns = chunk.tables.iter().flat_map(|table| &table.columns);
    let bytes = columns.map(|column| match &column.values {
        Values::Integer(all) | Values::Timestamp(all) => all.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Values::Number(all) => all.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Values::Boolean(all) => all.clone(),
        Values::Category(all) | Values::Date(all) => all.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Values::Text(_, all) => all.clone(),
    });
    bytes.collect::<Vec<Vec<u8>>>().concat()
}

/// Every record through the scan of a module that reads texts: no pseudonym is in what it gets.
fn no_module_is_given_a_pseudonym(place: &Place, pseudonyms: &[Vec<u8>]) {
    let site = question::open(place.dir.path());
    let wasm = fs::read(example("guest-sdk/evil/modules/read-neighbours.wasm")).unwrap();
    let (inspection, dataset) = (spe_sandbox::inspect(&wasm).unwrap(), "evil".parse().unwrap());
    let schema = site.offer(&dataset).unwrap().schema;
    let choices = Choices::new("rho=0.5".parse().unwrap());
    let plan = Plan::new(&inspection.manifest, inspection.digest, &schema, &choices).unwrap();
    let before = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
    let as_of = AsOf { at: before, purpose: Purpose::Policymaking, reads: Categories::ALL };
    let cohort = site.vault.cohort(&dataset, as_of).unwrap();
    let (parts, mut people, mut bytes) = (site.vault.scan(&plan, &cohort).unwrap(), 0, Vec::new());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for mut part in parts {
            while let Some(chunk) = part.next().await {
                // A test may look where the node may not.
                chunk.unwrap().map(|chunk| {
                    people += chunk.subjects;
                    bytes.extend(given(&chunk));
                });
            }
        }
    });
    assert_eq!((people, has(&bytes, NOTE.as_bytes())), (13, true), "it was not given everybody's records");
    assert_eq!(found(&bytes, pseudonyms), Vec::<String>::new(), "a module is given a pseudonym");
}

fn has(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

fn found<'m>(bytes: &[u8], marks: &'m [Vec<u8>]) -> Vec<String> {
    let show = |mark: &'m Vec<u8>| String::from_utf8_lossy(mark).into_owned();
    marks.iter().filter(|mark| has(bytes, mark)).map(show).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    // Sockets hold nothing.
    let found = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    found.filter(|path| path.is_file()).collect()
}

/// A process whose output is kept; it ends with the test.
struct Process(Child);

impl Process {
    fn start(place: &Place, args: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(place.path(&format!("{}.log", args[0]))).unwrap();
        let tmp = place.path("tmp");
        fs::create_dir_all(&tmp).unwrap();
        let mut command = Command::new(SPE);
        command.args(args).current_dir(place.dir.path()).env("RUST_LOG", "trace").env("TMPDIR", tmp);
        Self(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// The most memory that it ever had, in KiB.
    fn memory_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A hub's and a node's folders, and a permit for everything.
fn found_place() -> Place {
    let place = Place::new("rho=1000");
    let outside = tempfile::tempdir().unwrap();
    let (declaration, table) = (outside.path().join("evil.toml"), outside.path().join("visits.csv"));
    fs::write(&declaration, DECLARATION).unwrap();
    fs::write(&table, csv()).unwrap();
    place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
    let init = ["node", "init", "north", "--connection", "invitation", "--access-body", &place.access_body];
    place.ok(&[&init[..], &["--unmeasured"]].concat());
    let (declaration, table) = (declaration.display().to_string(), format!("visits={}", table.display()));
    let ingest = ["data", "ingest", "north", "--declaration", &declaration, "--table", &table];
    place.ok(&[&ingest[..], &["--budget", "rho=1000,delta=0.5"]].concat());
    place.policy("north", "loss_per_job_max = [\"rho=0.5\"", "loss_per_job_max = [\"rho=0.5,delta=0.001\"");
    let mut permit: toml::Table =
        toml::from_str(&fs::read_to_string(example("policies/permits/visits.toml")).unwrap()).unwrap();
    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    permit["persons"][0]["key"] = ada.into();
    permit["environment"]["loss_cap"] = "rho=1000,delta=0.5".into();
    permit["data"][0]["dataset"] = "evil".into();
    let columns = ["visits.target", "visits.amount", "visits.note"].map(toml::Value::from);
    permit["data"][0]["columns"] = columns.to_vec().into();
    fs::write(place.path("evil.toml"), toml::to_string(&permit).unwrap()).unwrap();
    place.ok(&["permit", "sign", "evil.toml", "--key", "access-body.key", "--out", "evil.json"]);
    place
}

/// Asks, keeps everything that the researcher's program says, and gives its view.
fn ask(place: &Place, attack: &Attack, more: &[&str]) -> Value {
    ask_for(place, attack, if attack.must == Must::HideKeys { "rho=0.5,delta=0.000001" } else { "rho=0.5" }, more)
}

fn ask_for(place: &Place, attack: &Attack, loss: &str, more: &[&str]) -> Value {
    let module = example(&format!("guest-sdk/evil/modules/{}.wasm", attack.name)).display().to_string();
    let fuel = attack.fuel.to_string();
    let fixed = ["job", "submit", &module, "--as", "researcher", "--permit", "evil.json", "--dataset", "evil"];
    let rest = ["--purpose", "policymaking", "--loss", loss, "--fuel", &fuel, "--json"];
    let output = place.run(&[&fixed[..], &rest, more].concat());
    let said = place.path(&format!("said-{}", files(place.dir.path()).len()));
    fs::write(said, [output.stdout.clone(), output.stderr].concat()).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Breaks the vault's tables: some bytes of each, or its second half.
fn damage(place: &Place, truncate: bool) {
    let tables = files(&place.path("north/data/vault"));
    for file in tables.iter().filter(|file| file.components().any(|part| part.as_os_str() == "visits")) {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        if truncate {
            bytes.truncate(middle)
        } else {
            bytes[8..middle].iter_mut().for_each(|byte| *byte ^= 0x55)
        }
        fs::write(file, bytes).unwrap();
    }
}

fn start_node(place: &Place) -> Process {
    let node = Process::start(place, &["node", "run", "north"]);
    place.wait_online(1);
    node
}

/// Why the only node refused; nothing where it answered.
fn refusal(view: &Value) -> Option<&str> {
    view["nodes"][0]["why"]["refusal"].as_str()
}

/// The search finds every form of a mark; otherwise it would show nothing to find nothing.
#[test]
fn the_search_finds_marks_in_every_form() {
    let (keys, records) = marks();
    let mut haystack = b"...".to_vec();
    for mark in keys.iter().chain(&records) {
        assert!(mark.len() >= 7, "a mark of {} bytes would be found by chance", mark.len());
        haystack.extend_from_slice(mark);
        haystack.push(b' ');
    }
    assert_eq!(found(&haystack, &keys).len() + found(&haystack, &records).len(), keys.len() + records.len());
    // Base64 of a longer text shows the mark, wherever it begins in it.
    for before in ["", "a", "ab"] {
        let encoded = base64(format!("{before}{NOTE}!!").as_bytes()).remove(0);
        assert!(!found(&encoded, &base64(NOTE.as_bytes())).is_empty(), "{before:?}");
    }
    assert!(!found(csv().as_bytes(), &keys).is_empty() && !found(csv().as_bytes(), &records).is_empty());
}

#[test]
fn no_mark_is_left_anywhere_but_in_the_vault() {
    let place = found_place();
    // After the permit was issued: she stays in the data, and stands in the register.
    fs::write(place.path("tmp-ids"), KEY).unwrap();
    place.ok(&["node", "optout", "add", "north", "--dataset", "evil", "--ids-file", "tmp-ids"]);
    fs::remove_file(place.path("tmp-ids")).unwrap();
    let pseudonyms = pseudonyms(&place);
    let marks: Vec<_> = pseudonyms.iter().flat_map(|pseudonym| forms(pseudonym)).collect();
    let hub = Process::start(&place, &["hub", "run", "hub"]);
    let node = start_node(&place);
    for attack in ALL.iter().filter(|attack| attack.must != Must::BeRefused) {
        let before = node.memory_peak();
        let view = ask(&place, attack, &[]);
        assert_eq!(refusal(&view), None, "{}: {view}", attack.name);
        // Row 7: 16 MiB for each guest, of which there are as many as processors.
        let grown = node.memory_peak().saturating_sub(before);
        assert!(attack.name != "grow-if-target" || grown < 128 << 10, "the node grew by {grown} KiB");
    }
    refusals_and_cancellation(&place);
    drop(node);
    no_module_is_given_a_pseudonym(&place, &marks);
    for (attempt, truncate) in [("7", false), ("8", true)] {
        damage(&place, truncate);
        let node = start_node(&place);
        let view = ask(&place, Attack::named("low-bits").unwrap(), &["--attempt", attempt]);
        assert_eq!(refusal(&view), Some("internal"), "damaged records were read: {view}");
        drop(node);
    }
    drop(hub);
    search(&place, &marks);
}

/// Things that a node says no to, and a job that is cancelled while its guest spins.
fn refusals_and_cancellation(place: &Place) {
    assert_eq!(refusal(&ask(place, Attack::named("spin-in-start").unwrap(), &[])), Some("module-refused"));
    let dear = ask_for(place, Attack::named("low-bits").unwrap(), "rho=0.6", &[]);
    assert_eq!(refusal(&dear), Some("policy-forbids"));
    let spinning = Attack { fuel: 20_000_000, ..*Attack::named("spin-if-target").unwrap() };
    let job = ask(place, &spinning, &["--detach"])["job"].as_str().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(700));
    place.run(&["job", "cancel", &job, "--as", "researcher"]);
    eventually("the cancelled job is over", || {
        let (view, _) = place.view(&["job", "result", &job, "--as", "researcher"]);
        view["nodes"][0]["outcome"] != "working"
    });
}

/// Every file that is left. The target, of whom the first forms are, opted out.
fn search(place: &Place, pseudonyms: &[Vec<u8>]) {
    let (keys, records) = marks();
    let vault = place.path("north/data/vault");
    let (mut searched, mut in_vault) = (0, 0);
    for file in files(place.dir.path()) {
        let bytes = fs::read(&file).unwrap();
        assert_eq!(found(&bytes, &keys), Vec::<String>::new(), "{} holds a key", file.display());
        let in_register = file.ends_with("evil/optout.log");
        let told = found(&bytes, pseudonyms).len();
        assert_eq!(told, usize::from(in_register), "{} holds a pseudonym", file.display());
        if file.starts_with(&vault) && file.extension().is_some_and(|e| e == "parquet") {
            in_vault += 1;
        } else {
            assert_eq!(found(&bytes, &records), Vec::<String>::new(), "{} holds a record", file.display());
            searched += bytes.len();
        }
    }
    println!("canary: {searched} bytes searched, {in_vault} tables of the vault left out");
    assert!(in_vault > 0 && searched > 1_000_000, "only {searched} bytes were searched: was nothing logged?");
    let log = fs::read_to_string(place.path("node.log")).unwrap();
    assert!(
        log.contains("TRACE") && log.contains("answered") && log.contains("refused"),
        "the log is not what it should be"
    );
}
