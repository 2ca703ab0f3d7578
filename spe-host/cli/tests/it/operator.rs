//! What people are told before something is paid for, made or lost; and what an operator writes down.

use crate::place::{Place, module};

/// What would be a bug: a second `init` that changes what is there, goes into a folder of something else, or says no more than the
/// operating system does.
#[test]
fn what_is_there_is_left_as_it_is_and_named() {
    let place = Place::new("rho=1");
    place.ok(&["keyholder", "init", "holder", "--host", "localhost"]);
    place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
    place.ok(&["node", "init", "north", "--connection", "invitation"]);
    std::fs::write(place.path("a-file"), "").unwrap();
    let says = |args: &[&str], part: &str| {
        let (_, message) = place.fails(args);
        assert!(message.contains(part) && !message.contains("os error 17"), "spe {}: {message:?}", args.join(" "));
    };
    says(&["hub", "init", "hub", "--host", "localhost"], "hub is a hub already");
    says(&["keyholder", "init", "holder", "--host", "localhost"], "holder is a key holder already");
    says(&["node", "init", "north", "--connection", "invitation"], "north is a node already");
    // Zones do not share a folder.
    says(&["keyholder", "init", "hub", "--host", "localhost"], "is no key holder");
    says(&["hub", "init", "holder", "--host", "localhost"], "is no hub");
    says(&["hub", "init", "a-file", "--host", "localhost"], "name another folder");
    says(&["key", "new", "access-body.key"], "never overwritten");
    assert!(!place.path("hub/keys.sqlite").exists());
}

/// What would be a bug: a module that has no chance with the fuel that is asked for, charged without a word.
#[test]
fn nobody_pays_for_a_module_that_starves() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let visits = module("visits-by-coinsurance");
    let ask = ["job", "submit", &visits, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
    let ask = [&ask[..], &["--purpose", "policymaking", "--loss", "rho=0.1", "--fuel", "1"]].concat();
    let (code, message) = place.fails(&ask);
    assert!(code == 3 && message.contains("--anyway") && message.contains("full charge"), "{code}: {message}");
    assert_eq!(
        place.ok(&["job", "list", "--as", "researcher"]),
        serde_json::json!([]),
        "it was submitted all the same"
    );
    let (view, _) = place.view(&[&ask[..], &["--anyway"]].concat());
    assert_eq!(view["answered"], 1, "{view}");
}

/// What would be a bug: an incident that cannot be recorded while the node runs, a report that is not shown as due, or words of an incident
/// in the audit log.
#[test]
fn incidents_are_recorded_while_the_node_runs_and_while_it_does_not() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let incident = |place: &Place, args: &[&str]| place.ok(&[&["node", "incident"], args].concat());
    let opened =
        incident(&place, &["open", "north", "--what", "Jane Doe lost a disk", "--known-at", "2026-01-31T10:00:00Z"]);
    assert_eq!((&opened["number"], &opened["deadlines"][0]["standing"]), (&1.into(), &"overdue".into()), "{opened}");
    assert_eq!(opened["deadlines"][2]["due"], "2026-02-28T10:00:00Z");
    place.start_all(&["north"]);
    let shown = || std::fs::read_to_string(place.path("north/data/log/checkpoint")).unwrap();
    let before = shown();
    let again = incident(&place, &["open", "north", "--what", "a log that two people read"]);
    assert_ne!(before, shown(), "auditors' files lag behind the desk");
    assert_eq!((&again["number"], &again["deadlines"][0]["standing"]), (&2.into(), &"due".into()), "{again}");
    for report in ["early-warning", "detailed-report", "final-report"] {
        let sent = incident(&place, &["update", "north", "2", "--what", "by mail", "--sent", report]);
        assert!(sent["steps"].as_array().unwrap().iter().any(|step| step["step"] == report), "{sent}");
    }
    let (_, error) = place.fails(&["node", "incident", "close", "north", "1", "--what", "done"]);
    assert!(error.contains("early-warning") && error.contains("--no-incident"), "{error}");
    incident(&place, &["close", "north", "2", "--what", "done"]);
    let (_, error) = place.fails(&["node", "incident", "update", "north", "3", "--what", "x"]);
    assert!(error.contains("incident 3 is not known here"), "{error}");
    place.stop("north");
    incident(&place, &["close", "north", "1", "--what", "the disk was found", "--no-incident"]);
    let all = incident(&place, &["list", "north"]);
    assert!(all.as_array().unwrap().iter().all(|one| !one["ended_at"].is_null()), "{all}");
    let log = place.ok(&["audit", "show", "north", "--event", "incident-recorded"]);
    assert_eq!(log.as_array().unwrap().len(), 7, "{log}");
    assert!(!log.to_string().contains("Doe") && !log.to_string().contains("disk"), "{log}");
    assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true);
}
