//! Commands that must fail, and how: what was wrong, where, and what to do.

use std::net::TcpListener;

use crate::place::{Place, example};

#[test]
fn help_teaches_every_command() {
    let place = Place::new("rho=1");
    for command in ["hub", "node", "data", "module", "permit", "key", "job", "budget", "demo"] {
        let help = place.run(&[command, "--help"]);
        assert!(help.status.success() && help.stdout.len() > 200, "spe {command} --help says too little");
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let place = Place::new("rho=1");
    let says = |args: &[&str], parts: &[&str]| {
        let (_, message) = place.fails(args);
        for part in parts {
            assert!(message.contains(part), "spe {}: {message:?} does not say {part:?}", args.join(" "));
        }
    };
    says(&["key", "new", "access-body.key"], &["access-body.key", "exists"]);
    says(&["key", "show", "permit.json"], &["permit.json", "ed25519-secret:"]);
    says(&["permit", "show", "permit.toml"], &["the permit is malformed"]);
    says(
        &["permit", "sign", "permit.toml", "--key", "access-body.key", "--out", "permit.json"],
        &["permit.json exists"],
    );
    says(&["module", "check", "permit.json"], &["core WebAssembly module"]);
    says(&["module", "check", "nowhere.wasm"], &["nowhere.wasm"]);
    says(&["node", "init", "n", "--connection", "researcher"], &["person ada", "not for a node"]);
    says(&["node", "run", "nowhere"], &["nowhere/node.toml"]);
    says(&["budget", "--as", "researcher"], &["localhost", "try again"]);
    assert_eq!(place.fails(&["budget", "--as", "researcher"]).0, 8, "nobody answers");
    says(
        &[
            "job",
            "submit",
            "x",
            "--as",
            "researcher",
            "--permit",
            "p",
            "--dataset",
            "d",
            "--purpose",
            "marketing",
            "--loss",
            "rho=1",
        ],
        &["Art. 53"],
    );
    says(
        &[
            "job",
            "submit",
            "x",
            "--as",
            "researcher",
            "--permit",
            "p",
            "--dataset",
            "d",
            "--purpose",
            "education",
            "--loss",
            "1",
        ],
        &["rho=<decimal>"],
    );
}

#[test]
fn a_signed_permit_with_a_flipped_byte_is_refused() {
    let place = Place::new("rho=1");
    let mut permit = std::fs::read(place.path("permit.json")).unwrap();
    let at = permit.len() / 2;
    permit[at] = if permit[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(place.path("bent.json"), permit).unwrap();
    let (code, message) = place.fails(&["permit", "show", "bent.json"]);
    assert_eq!(code, 9, "{message}");
}

#[test]
fn bad_data_is_refused_with_its_line_and_leaves_nothing() {
    let place = Place::new("rho=1");
    place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
    place.ok(&["node", "init", "north", "--connection", "invitation"]);
    let data = std::fs::read_to_string(example("examples/data/randhie.csv")).unwrap();
    let mut lines: Vec<&str> = data.lines().take(50).collect();
    let bent = lines[7].replacen(',', ",often", 1);
    lines[7] = &bent;
    std::fs::write(place.path("bent.csv"), lines.join("\n")).unwrap();
    let declaration = example("examples/data/rand-hie.toml").display().to_string();
    let before = tree(&place.path("north"));
    let (_, message) = place.fails(&[
        "data",
        "ingest",
        "north",
        "--declaration",
        &declaration,
        "--table",
        "years=bent.csv",
        "--budget",
        "rho=1",
    ]);
    assert!(message.contains("bent.csv") && message.contains("line 8"), "{message}");
    assert_eq!(tree(&place.path("north")), before, "a refused ingest left something behind");
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let place = Place::new("rho=1");
    place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
    place.ok(&["node", "init", "north", "--connection", "invitation"]);
    let declaration = example("examples/data/rand-hie.toml").display().to_string();
    let table = format!("years={}", example("examples/data/randhie.csv").display());
    let before = tree(&place.path("north"));
    let ingest = ["data", "ingest", "north", "--declaration", &declaration, "--table", &table, "--budget", "rho=1"];
    let message = place.fails_on_a_full_disk(&ingest);
    assert!(message.contains("too large") && message.contains("vault"), "{message}");
    assert_eq!(tree(&place.path("north")), before, "a failed ingest left something behind");
    place.ok(&ingest);
}

fn tree(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new("rho=1");
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    place.ok(&["hub", "init", "second", "--listen", &address, "--host", "localhost"]);
    let (_, message) = place.fails(&["hub", "run", "second"]);
    assert!(message.contains(&address) && message.contains("another program"), "{message}");
}

#[test]
fn two_processes_do_not_share_a_ledger() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
    let (_, message) = place.fails(&["node", "run", "north"]);
    assert!(message.contains("another node") && message.contains("north/data"), "{message}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let ledger = place.path("north/data/ledger.sqlite");
    std::fs::create_dir(&ledger).unwrap();
    let (_, message) = place.fails(&["node", "run", "north"]);
    assert!(message.contains("ledger"), "{message}");
}

fn ask() -> Vec<&'static str> {
    const VISITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/modules/visits-by-coinsurance.wasm");
    let fixed = ["job", "submit", VISITS, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
    [&fixed[..], &["--purpose", "policymaking"]].concat()
}

#[test]
fn the_price_is_shown_before_anything_is_asked() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
    let preview = place.ask("rho=0.1", &["--dry-run"]);
    assert_eq!(preview["loss_at_each_node"], "rho=0.1");
    assert!(preview["outputs"][0]["half_width_95"].as_f64().unwrap() > 1.0);
    let (refused, exit) = place.view(&[&ask()[..], &["--loss", "rho=1.5", "--dry-run"]].concat());
    assert_eq!((refused["refusals"][0]["why"]["refusal"].as_str(), exit), (Some("permit-loss-exhausted"), 6));
    assert_eq!(place.spent("north"), "rho=0");
    assert_eq!(place.ok(&["job", "list", "--as", "researcher"]).as_array().unwrap().len(), 0);
}

#[test]
fn the_demo_does_not_remove_a_real_federation() {
    let place = Place::new("rho=1");
    let before = tree(place.dir.path());
    let (_, message) = place.fails(&["demo", "--dir", "."]);
    assert!(message.contains("not empty"), "{message}");
    assert_eq!(tree(place.dir.path()), before);
}

#[test]
fn wrong_use_is_json_too() {
    let place = Place::new("rho=1");
    let output = place.run(&["job", "submit", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["error"].as_str().unwrap().contains("--permit"));
}

#[test]
fn a_dataset_that_is_not_there_is_named_at_the_start() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let file = place.path("north/node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("rand-hie", "rand-hei")).unwrap();
    let (_, message) = place.fails(&["node", "run", "north"]);
    assert!(message.contains("node.toml") && message.contains("rand-hei") && message.contains("rand-hie"), "{message}");
}
