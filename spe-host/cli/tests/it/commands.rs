//! Commands that must fail, and how: what was wrong, where, and what to do.

use std::net::TcpListener;

use crate::place::{DECLARATION, Place, example, module, outcome};

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
    place.start_all(&["north"]);
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

#[test]
fn the_price_is_shown_before_anything_is_asked() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let preview = place.ask("rho=0.1", &["--dry-run"]);
    assert_eq!(
        (&preview["loss_at_each_node"], &preview["charge_at_each_node"]),
        (&"rho=0.1".into(), &"rho=0.1".into())
    );
    assert!(preview["outputs"][0]["half_width_95"].as_f64().unwrap() > 1.0);
    assert!(preview["epsilon"][0]["epsilon"].as_f64() < preview["epsilon"][1]["epsilon"].as_f64(), "{preview}");
    assert!(preview["seconds_at_usual_pace"].as_f64().unwrap() > 1.0);
    let module = module("visits-by-coinsurance");
    let fixed = ["job", "submit", &module, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
    let ask = [&fixed[..], &["--purpose", "policymaking", "--dry-run"]].concat();
    let text = place.run(&[&ask[..], &["--loss", "rho=0.1", "--suppress-below", "7"]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [
        "discrete Gaussian, because the dataset is accounted in rho; discrete Laplace at the same ε",
        "ε = ",
        "below 7",
    ] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    let (refused, exit) = place.view(&[&ask[..], &["--loss", "rho=1.5"]].concat());
    assert_eq!((refused["refusals"][0]["why"]["refusal"].as_str(), exit), (Some("permit-loss-exhausted"), 6));
    assert_eq!(place.spent("north"), "rho=0");
    assert_eq!(place.ok(&["job", "list", "--as", "researcher"]).as_array().unwrap().len(), 0);
}

#[test]
fn a_list_of_jobs_says_what_was_asked_and_how_it_stands() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.policy("north", "suppress_below_min = 0", "suppress_below_min = 5");
    place.start_all(&["north"]);
    let refused = place.ask("rho=0.1", &[]);
    let why = outcome(&refused, "north");
    assert!(why["why"]["rule"].as_str().unwrap().contains("--suppress-below 5"), "{why}");
    let (code, said) = place.fails(&["job", "certificate", refused["job"].as_str().unwrap(), "--as", "researcher"]);
    assert!(code == 5 && said.contains("nothing to certify"), "{code}: {said}");
    let view = place.ask("rho=0.1", &["--suppress-below", "5"]);
    let list = place.ok(&["job", "list", "--as", "researcher"]);
    let line = &list[0];
    for (field, expected) in [("id", &view["job"]), ("plan", &view["plan"]), ("module", &view["module"])] {
        assert_eq!(&line[field], expected, "{list}");
    }
    assert_eq!(line["state"], "complete");
    // A finished job cannot be cancelled, and that is said.
    let (code, message) = place.fails(&["job", "cancel", view["job"].as_str().unwrap(), "--as", "researcher"]);
    assert!(code == 5 && message.contains("complete"), "{code} {message}");

    // What left the node, as its operator sees it.
    let (_, message) = place.fails(&["node", "releases", "north"]);
    assert!(message.contains("in use"), "{message}");
    place.kill("north");
    let releases = place.ok(&["node", "releases", "north"]);
    let releases = releases.as_array().unwrap();
    assert_eq!(releases.len(), 1, "one answer left; the refusal is none");
    assert_eq!(releases[0]["answer"], outcome(&view, "north")["answer"]);
    assert_eq!(releases[0]["plan"], view["plan"]);
    let at = releases[0]["index"].as_u64().unwrap();
    let told = place.ok(&["audit", "show", "north", "--event", "released"]);
    assert_eq!(
        (told.as_array().unwrap().len(), told[0]["index"].as_u64()),
        (1, Some(at)),
        "the log tells it elsewhere"
    );
}

#[test]
fn a_module_is_rehearsed_on_made_up_people() {
    let place = Place::new("rho=1");
    let declaration = example(DECLARATION).display().to_string();
    let rehearse = |wasm: &str, more: &[&str]| {
        place.ok(&[&["module", "check", wasm, "--schema", &declaration], more].concat())["rehearsal"].clone()
    };
    let good = rehearse(&module("visits-by-coinsurance"), &[]);
    assert_eq!((good["failed"].as_u64(), good["out_of_fuel"].as_u64()), (Some(0), Some(0)), "{good}");
    let fuel = good["fuel_used_max"].as_u64().unwrap();
    assert!((20..20_000).contains(&fuel), "{good}");
    assert!(good["outputs"][0]["nothing"].as_u64().unwrap() >= 1, "somebody has no row, and says nothing");
    // What it says a module needs is what it needs.
    let enough = rehearse(&module("visits-by-coinsurance"), &["--fuel", &fuel.to_string()]);
    assert_eq!(enough["out_of_fuel"], 0, "{enough}");
    let little = rehearse(&module("visits-by-coinsurance"), &["--fuel", &(fuel - 1).to_string()]);
    assert!(little["out_of_fuel"].as_u64().unwrap() > 0, "{little}");
    // Modules that trap or do not end.
    let evil = |name: &str| example(&format!("guest-sdk/evil/modules/{name}.wasm")).display().to_string();
    assert!(rehearse(&evil("trapper"), &[])["failed"].as_u64().unwrap() > 0);
    assert!(rehearse(&evil("spinner"), &[])["failed"].as_u64().unwrap() > 0);
    // Rounds, blocks and keys rehearse like the rest.
    for name in ["regression", "visits-slope", "first-year-visits"] {
        assert!(rehearse(&module(name), &[])["fuel_used_max"].as_u64().unwrap() > 0, "{name}");
    }
    let without = place.ok(&["module", "check", &module("kmeans")]);
    assert!(without["rehearsal"].is_null() && without["manifest"]["rounds"]["max"].as_u64().unwrap() > 1);
}

#[test]
fn a_ledger_is_advised_before_a_dataset_is_registered() {
    let place = Place::new("rho=1");
    let advise = |questions: &str| {
        place.ok(&["budget", "advise", "--epsilon", "1", "--delta", "0.000001", "--questions", questions])
    };
    assert_eq!((&advise("2")["cheaper"], &advise("200")["cheaper"]), (&"epsilon".into(), &"rho".into()));
    let budget = advise("200")["budget_in_rho"].as_str().unwrap().to_owned();
    place.node("north", "site = \"1\"", &budget);
    let (code, _) = place.fails(&["budget"]);
    assert_ne!(code, 0, "without a folder nobody can be asked");
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
