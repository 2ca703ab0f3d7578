//! The key holder as a process of its own: whom it sees, what it keeps, and what becomes of a node without it.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::place::{Place, SPE, eventually, example, free_port};

const DATASET: &str = r#"
name = "visits"
title = "Visits"
subjects_max = 1000
partitions = 2

[[tables]]
name = "visits"
key = ["person"]
drop = ["name"]

[[tables.columns]]
name = "n"
type = "integer"
min = 0
max = 10
"#;

/// A person whom nobody is.
fn planted(number: usize) -> (String, String) {
    (format!("PERSON-CANARY-{number:05}"), format!("Name Canary {number:05}"))
}

/// A key holder's process, and a node that has not ingested anything.
struct World {
    place: Place,
    port: u16,
    key: String,
}

impl World {
    fn new() -> Self {
        let place = Place::new("rho=1");
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let made = place.ok(&["keyholder", "init", "keys", "--listen", &listen, "--host", "localhost"]);
        let key = made["public_key"].as_str().unwrap().to_owned();
        let mut world = Self { place, port, key };
        world.start();
        world.place.ok(&["keyholder", "invite", "keys", "--node", "north", "--out", "north-keys"]);
        world.place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
        let body = world.place.access_body.clone();
        let init = ["node", "init", "north", "--connection", "invitation", "--keyholder", "north-keys"];
        world.place.ok(&[&init[..], &["--access-body", &body, "--unmeasured"]].concat());
        let people = (0..500).map(planted);
        let rows: String = people.map(|(person, name)| format!("{person},{name},1\n")).collect();
        world.write("visits.toml", DATASET);
        world.write("visits.csv", &format!("person,name,n\n{rows}"));
        world
    }

    fn start(&mut self) {
        self.place.start("keys", &["keyholder", "run", "keys"]);
        eventually("the key holder listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.place.path(name), text).unwrap();
    }

    fn ingest(&self) -> Value {
        self.place.ok(&INGEST)
    }

    fn optout(&self, command: &str, more: &[&str]) -> Value {
        self.place.ok(&[&["node", "optout", command, "north", "--dataset", "visits"], more].concat())
    }

    fn destroy(&self) {
        let order = ["--by", "data protection officer", "--reason", "the permits have expired", "--out", "gone.json"];
        let order = [&order[..], &["--yes"]].concat();
        self.place.ok(&[&["keyholder", "destroy", "keys", "north", "visits"], &order[..]].concat());
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.place.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Datasets that the hub shows of the node.
    fn offered(&self) -> usize {
        let output = self.place.run(&["budget", "--as", "researcher", "--json"]);
        let nodes: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let nodes = nodes.as_array().cloned().unwrap_or_default();
        nodes.iter().filter(|line| line["node"] == "north" && !line["dataset"].is_null()).count()
    }
}

const INGEST: [&str; 9] =
    ["data", "ingest", "north", "--declaration", "visits.toml", "--table", "visits=visits.csv", "--budget", "rho=2"];

/// The keys that the key holder keeps: each as bytes, and in hexadecimal digits.
fn secrets(world: &World) -> Vec<[Vec<u8>; 2]> {
    let kept = rusqlite::Connection::open(world.place.path("keys/keys.sqlite")).unwrap();
    let mut keys = kept.prepare("SELECT key FROM key UNION ALL SELECT digest_key FROM dataset").unwrap();
    let keys = keys.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().map(Result::unwrap);
    let hex = |key: &[u8]| key.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
    keys.map(|key| [key.clone(), hex(&key)]).collect()
}

/// All files below `dir` that hold `text`, and beside it the logs.
fn holding(dir: &Path, text: impl AsRef<[u8]>) -> Vec<PathBuf> {
    let text = text.as_ref();
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text)
    };
    entries
        .flat_map(|path| {
            if path.is_dir() {
                holding(&path, text)
            } else if holds(&path) {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

/// Requirement P5. What would be a bug: a name or an identifier in any file of the node or of the key holder, a log among them; or a
/// secret of the key holder in the node's folder.
#[test]
fn planted_names_are_in_no_file() {
    let mut world = World::new();
    assert_eq!(world.ingest()["subjects"], 500);
    world.place.start_hub();
    world.place.start_node("north");
    world.place.wait_online(1);
    let (person, _) = planted(7);
    world.optout("add", &["--id", &person]);
    assert_eq!(world.optout("show", &["--id", &person])["entries"].as_array().unwrap().len(), 1);
    assert_eq!(world.optout("list", &[])["left_out"]["education"], 1);
    world.place.stop("north");
    for text in ["PERSON-CANARY", "Name Canary"] {
        let found = holding(world.place.dir.path(), text);
        assert_eq!(found, [world.place.path("visits.csv")], "{text} is written down");
    }
    let secrets = secrets(&world);
    assert_eq!(secrets.len(), 3, "a key of pseudonyms, one of data, one of digests");
    for [key, hex] in &secrets {
        let found = holding(world.place.dir.path(), key);
        let keys = world.place.path("keys");
        assert!(!found.is_empty(), "the search finds no key where it is kept");
        assert!(found.iter().all(|file| file.starts_with(&keys)), "a secret of the key holder is in {found:?}");
        assert_eq!(
            holding(world.place.dir.path(), hex),
            [] as [PathBuf; 0],
            "a secret of the key holder is written out"
        );
    }
    let asked = world.place.ok(&["keyholder", "log", "keys"]);
    let items: i64 = asked
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["what"] == "pseudonyms")
        .map(|a| a["items"].as_i64().unwrap())
        .sum();
    assert!((501..=503).contains(&items), "500 at ingest and one for each word at the desk: {asked}");
    let listed = world.place.ok(&["keyholder", "list", "keys"]);
    assert_eq!(listed[0]["keys"].as_array().unwrap().len(), 2);
}

/// What would be a bug: half an ingest that is served, or a node that cannot go on after its key holder was killed.
#[test]
fn a_key_holder_that_dies_in_the_middle_of_an_ingest_leaves_nothing() {
    let mut world = World::new();
    let rows = fs::read(world.place.path("visits.csv")).unwrap();
    fs::remove_file(world.place.path("visits.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(world.place.path("visits.csv")).status().unwrap().success());
    let ingest = Command::new(SPE)
        .args(INGEST)
        .current_dir(world.place.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Opens when the ingest does: it has its data key by then.
    let mut source = fs::OpenOptions::new().write(true).open(world.place.path("visits.csv")).unwrap();
    world.place.kill("keys");
    source.write_all(&rows).unwrap();
    drop(source);
    let done = ingest.wait_with_output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success(), "an ingest without pseudonyms succeeded");
    assert!(error.contains("the key holder at localhost") && error.contains("nothing was published"), "{error}");
    assert!(!error.contains("CANARY"), "{error}");
    assert_eq!(fs::read_dir(world.place.path("north/data/vault")).unwrap().count(), 0, "something was left behind");
    fs::remove_file(world.place.path("visits.csv")).unwrap();
    fs::write(world.place.path("visits.csv"), rows).unwrap();
    let (_, error) = world.place.fails(&INGEST);
    assert!(error.contains("the key holder at localhost"), "{error}");
    world.start();
    assert_eq!(world.ingest()["subjects"], 500, "the key holder does not come back after it was killed");
}

/// What would be a bug: a node that gives up, or that serves without its keys; one whose data changed because the key holder was away.
#[test]
fn a_node_waits_for_its_key_holder() {
    let mut world = World::new();
    let snapshot = world.ingest()["snapshot"].clone();
    world.place.kill("keys");
    world.place.start_hub();
    world.place.start_node("north");
    eventually("the node says that it waits", || world.log("north").contains("waiting for the key holder"));
    assert_eq!(world.offered(), 0);
    world.start();
    world.place.wait_online(1);
    assert_eq!(world.offered(), 1);
    // Away again: what is open stays open, and is listed.
    world.place.kill("keys");
    let keys = || world.place.ok(&["data", "list", "north"])[0]["keys"].clone();
    assert_eq!(keys(), "unknown");
    let (file, elsewhere) = (world.place.path("north-keys/connection.toml"), world.place.path("elsewhere.toml"));
    fs::rename(&file, &elsewhere).unwrap();
    assert_eq!(keys(), "unknown", "a node without a key holder's file");
    fs::rename(&elsewhere, &file).unwrap();
    std::thread::sleep(spe_node::keys::RECHECK + std::time::Duration::from_secs(1));
    assert_eq!(world.offered(), 1, "a key holder that is away took a dataset with it");
    assert!(!world.log("north").contains("not served any more"), "{}", world.log("north"));
    world.start();
    assert_eq!(world.ingest()["snapshot"], snapshot);
}

/// What would be a bug: a dataset that is served after its keys were destroyed, by a node that runs or one that starts; one that takes other
/// datasets with it; a destruction that nobody can prove.
#[test]
fn destroyed_keys_end_a_dataset_and_a_certificate_proves_it() {
    let mut world = World::new();
    world.ingest();
    world.write("other.toml", &DATASET.replace("\"visits\"\ntitle", "\"other\"\ntitle"));
    let mut other = INGEST;
    other[4] = "other.toml";
    world.place.ok(&other);
    world.place.start_hub();
    world.place.start_node("north");
    eventually("both are offered", || world.offered() == 2);
    let refused = ["keyholder", "destroy", "keys", "north", "visits", "--by", "operator", "--reason", "a mistake"];
    let (_, error) = world.place.fails(&refused);
    assert!(error.contains("nothing was destroyed"), "{error}");
    world.destroy();
    eventually("the running node drops it", || world.log("north").contains("not served any more"));
    assert!(world.log("north").contains("destroyed"), "{}", world.log("north"));
    eventually("the hub does not show it any more", || world.offered() == 1);
    let listed = world.place.ok(&["data", "list", "north"]);
    let keys: Vec<_> = listed.as_array().unwrap().iter().map(|line| (&line["dataset"], &line["keys"])).collect();
    assert_eq!(keys, [(&"other".into(), &"given".into()), (&"visits".into(), &"destroyed".into())]);
    world.place.stop("north");
    world.place.start_node("north");
    eventually("only the other is offered", || world.offered() == 1);
    // The hub may offer one still from before the node was stopped.
    eventually("it says why", || ["not served: ", "destroyed at"].iter().all(|said| world.log("north").contains(said)));
    world.place.stop("north");
    let told = world.place.ok(&["audit", "show", "north", "--event", "keys-destroyed"]);
    assert_eq!(told.as_array().unwrap().len(), 1, "the audit log does not tell once: {told}");
    let (_, error) = world.place.fails(&INGEST);
    assert!(error.contains("destroyed"), "{error}");
    let verified = world.place.ok(&["keyholder", "verify", "gone.json", "--key", &world.key]);
    assert_eq!((&verified["node"], &verified["dataset"]), (&"north".into(), &"visits".into()));
    assert_eq!(verified["deleted"].as_array().unwrap().len(), 2);
    let (code, error) = world.place.fails(&["keyholder", "verify", "gone.json", "--key", &world.place.access_body]);
    assert!(code != 0 && error.contains("deletion certificate"), "{error}");
    assert_eq!(world.place.ok(&["keyholder", "certificates", "keys"]).as_array().unwrap().len(), 1);
}

/// What would be a bug: a rotation that changes answers, loses an opt-out, or leaves the old key needed.
#[test]
fn keys_are_rotated_with_the_commands_of_their_owners() {
    let world = World::new();
    let first = world.ingest()["snapshot"].clone();
    let (person, _) = planted(7);
    world.optout("add", &["--id", &person]);
    world.place.ok(&["keyholder", "rotate", "keys", "visits", "--data-key"]);
    let anew = world.place.ok(&["data", "reencrypt", "north", "visits"]);
    assert_eq!((&anew["data_key_before"], &anew["data_key"]), (&1.into(), &2.into()));
    assert_eq!(
        world.place.ok(&["data", "list", "north"])[0]["snapshot"],
        first,
        "encrypted anew, it is another snapshot"
    );
    let order = ["--version", "1", "--by", "operator", "--reason", "rotated", "--yes"];
    world.place.ok(&[&["keyholder", "destroy", "keys", "north", "visits"], &order[..]].concat());
    world.place.ok(&["keyholder", "rotate", "keys", "visits", "--pseudonyms"]);
    assert_eq!(world.optout("verify", &[])["key_matches"], true);
    assert_ne!(world.ingest()["snapshot"], first);
    assert_eq!(world.optout("list", &[])["left_out"]["education"], 1);
    assert_eq!(world.optout("show", &["--id", &person])["entries"].as_array().unwrap().len(), 1);
    assert_eq!(world.optout("verify", &[])["key_matches"], true);
}

/// What would be a bug: a mistake that is told in a way that helps nobody.
#[test]
fn mistakes_are_told() {
    let world = World::new();
    let says = |args: &[&str], parts: &[&str]| {
        let (_, error) = world.place.fails(args);
        for part in parts {
            assert!(error.contains(part), "{args:?}: {error:?} does not say {part:?}");
        }
    };
    says(&["keyholder", "run", "nowhere"], &["nowhere/keyholder.toml"]);
    says(&["keyholder", "init", "keys", "--host", "localhost"], &["keys"]);
    says(&["keyholder", "invite", "keys", "--node", "north", "--out", "north-keys"], &["exists already"]);
    says(&["keyholder", "rotate", "keys", "visits", "--data-key"], &["any key of dataset visits"]);
    says(&["keyholder", "dismiss", "keys", "--node", "south"], &["south"]);
    says(&["keyholder", "verify", "visits.csv", "--key", &world.key], &["deletion certificate"]);
    world.place.ok(&["hub", "invite", "hub", "--node", "south", "--out", "south-invitation"]);
    let init = ["node", "init", "south", "--connection", "south-invitation", "--keyholder", "north-keys"];
    says(&init, &["node north", "not for node south"]);
    world.place.ok(&["keyholder", "dismiss", "keys", "--node", "north"]);
    says(&INGEST, &["keys", "nothing was published"]);
    assert!(example("docs/keyholder.md").exists());
}
