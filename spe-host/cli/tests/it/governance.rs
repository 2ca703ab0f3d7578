//! The way from an invitation and an application to a published result, as its people type it.

use std::os::unix::fs::PermissionsExt;

use crate::place::{Place, example, outcome};
use serde_json::Value;

/// What would be a bug: a federation that must stop for a new member; a private key that travels; a token that is good twice.
#[test]
fn a_fourth_node_joins_by_token_while_the_others_work() {
    let mut place = Place::new("rho=1");
    for (node, site) in [("north", "1"), ("middle", "2"), ("south", "3")] {
        place.node(node, &format!("site = \"{site}\""), "rho=2");
    }
    place.start_hub();
    for node in ["north", "middle", "south"] {
        place.start_node(node);
    }
    place.wait_online(3);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 3);

    let invited = place.ok(&["hub", "invite", "hub", "--node", "west", "--token"]);
    let line = invited["invitation"].as_str().unwrap();
    let (head, tail) = line.split_at(line.find('/').unwrap() + 1);
    let other = if tail.starts_with('0') { "1" } else { "0" };
    let false_hub = format!("{head}{other}{}", &tail[1..]);
    let (code, message) = place.fails(&["node", "join", &false_hub, "--dir", "fooled"]);
    assert!(code == 5 && message.contains("fingerprint"), "{code}: {message}");
    let (code, message) = place.fails(&["node", "join", &line[..line.len() / 2], "--dir", "half"]);
    assert!(code == 1 && message.contains("whole line"), "{code}: {message}");

    place.ok(&["node", "join", line, "--dir", "west-invitation"]);
    let key = place.path("west-invitation/key.pem");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "others can read the key");
    let (code, message) = place.fails(&["node", "join", line, "--dir", "thief"]);
    assert!(code == 5 && message.contains("was used at"), "{code}: {message}");

    place.node("west", "site = \"4\"", "rho=2");
    place.start_node("west");
    place.wait_online(4);
    let view = place.ask("rho=0.1", &["--attempt", "1"]);
    assert_eq!((&view["asked"], &view["answered"]), (&4.into(), &4.into()), "the fourth node is not asked: {view}");
}

/// A template with the lines changed that must be.
fn fill(place: &Place, template: &str, out: &str, change: impl FnOnce(&mut toml::Table)) {
    let text = std::fs::read_to_string(example(template)).unwrap();
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    change(&mut table);
    std::fs::write(place.path(out), toml::to_string(&table).unwrap()).unwrap();
}

/// The digest of what was signed.
fn digest(place: &Place, show: [&str; 3]) -> String {
    place.ok(&show)["digest"].as_str().unwrap().to_owned()
}

fn nodes(names: &[&str]) -> toml::Value {
    names.iter().map(|name| toml::Value::from(*name)).collect::<Vec<_>>().into()
}

/// An access body's decision on the part of `node`; positive with the permit of that file.
fn decide(place: &Place, id: &str, (node, key): (&str, &str), permit: Option<&str>) -> Value {
    let kind = if permit.is_some() { "positive" } else { "negative" };
    let draft = format!("{node}-decision.toml");
    fill(place, &format!("policies/decisions/{kind}.toml"), &draft, |decision| {
        decision["application"] = "app-7".into();
        decision["application_digest"] = digest(place, ["application", "show", "application.json"]).into();
        decision["part"][0].as_table_mut().unwrap().insert("nodes".into(), nodes(&[node]));
        if let Some(permit) = permit {
            decision["outcome"]["positive"]["permit"] = digest(place, ["permit", "check", permit]).into();
        }
    });
    let signed = format!("{node}-decision.json");
    place.ok(&["decision", "sign", &draft, "--key", key, "--out", &signed]);
    let person = format!("assessor-{node}");
    let fixed = ["application", "decide", id, &signed, "--as", &person];
    let permit: Vec<&str> = permit.map_or_else(Vec::new, |file| vec!["--permit", file]);
    place.ok(&[&fixed[..], &permit].concat())
}

/// What would be a bug: a node that answers though its access body refused; a result that hides it; a register without the refusal,
/// or with a name that is none of the public's business.
#[test]
fn one_of_three_access_bodies_refuses_and_the_job_runs_at_the_others() {
    let mut place = Place::new("rho=1");
    let ours = place.access_body.clone();
    let other = place.ok(&["key", "new", "other-body.key"])["public_key"].as_str().unwrap().to_owned();
    for (node, site) in [("north", "1"), ("middle", "2"), ("south", "3")] {
        place.node(node, &format!("site = \"{site}\""), "rho=2");
        let role = format!("assessor@{node}");
        let (person, dir) = (format!("kim-{node}"), format!("assessor-{node}"));
        place.ok(&["hub", "invite", "hub", "--person", &person, "--roles", &role, "--out", &dir]);
    }
    // The node in the middle is under another data access body.
    place.policy("middle", &ours, &other);
    place.start_hub();
    for node in ["north", "middle", "south"] {
        place.start_node(node);
    }
    place.wait_online(3);

    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    fill(&place, "policies/applications/template.toml", "application.toml", |application| {
        application["number"] = "app-7".into();
        application["persons"][0]["key"] = ada.clone().into();
    });
    place.ok(&[
        "application",
        "sign",
        "application.toml",
        "--key",
        "researcher/signing.key",
        "--out",
        "application.json",
    ]);
    let submitted = place.ok(&["application", "submit", "application.json", "--as", "researcher"]);
    let id = submitted["id"].as_str().unwrap().to_owned();
    assert_eq!(submitted["parts"].as_array().unwrap().len(), 3, "it was not routed to every node: {submitted}");
    assert_eq!(place.ok(&["application", "submit", "application.json", "--as", "researcher"])["id"], id.as_str());
    let seen = place.ok(&["application", "status", &id, "--as", "assessor-north"]);
    assert_eq!(seen["parts"].as_array().unwrap().len(), 1, "an assessor sees another node's part");
    let (code, _) = place.fails(&["application", "withdraw", &id, "--as", "assessor-north"]);
    assert_eq!(code, 5, "an assessor took an application back");

    // A permit for two of the nodes; the third's access body refuses.
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    let mut permit: toml::Table = toml::from_str(&text).unwrap();
    (permit["number"], permit["original"]) = ("dap-7".into(), "dap-7".into());
    permit["application"] = "app-7".into();
    permit["data"][0].as_table_mut().unwrap().insert("nodes".into(), nodes(&["north", "south"]));
    std::fs::write(place.path("two.toml"), toml::to_string(&permit).unwrap()).unwrap();
    place.ok(&["permit", "sign", "two.toml", "--key", "access-body.key", "--out", "two.json"]);
    decide(&place, &id, ("north", "access-body.key"), Some("two.json"));

    // Nothing acknowledged is lost, nothing half done, when the hub dies in between.
    place.kill("hub");
    place.start_hub();
    decide(&place, &id, ("south", "access-body.key"), Some("two.json"));
    decide(&place, &id, ("middle", "other-body.key"), None);
    let status = place.ok(&["application", "status", &id, "--as", "researcher", "--permit-out", "granted.json"]);
    assert_eq!(status["coverage"], "granted at 2 of 3 nodes (north, south); refused at middle");
    assert_eq!(std::fs::read(place.path("granted.json")).unwrap(), std::fs::read(place.path("two.json")).unwrap());

    place.wait_online(3);
    std::fs::copy(place.path("granted.json"), place.path("permit.json")).unwrap();
    let view = place.ask("rho=0.1", &[]);
    assert_eq!((&view["asked"], &view["answered"]), (&3.into(), &2.into()), "{view}");
    assert_eq!(outcome(&view, "middle")["outcome"], "refused", "a node answered under another access body's permit");
    assert_eq!(view["coverage"], "2 of 3 nodes");
    let job = view["job"].as_str().unwrap();
    place.ok(&["job", "publish", job, "--as", "researcher"]);

    // Everybody may read what came of it, without a certificate.
    let print = place.ok(&["hub", "fingerprint", "hub"]);
    let public = ["--hub", print["hub"].as_str().unwrap(), "--ca", print["ca"].as_str().unwrap()];
    let register = place.ok(&[&["register", "list"][..], &public].concat());
    let entry = &register["entries"][0];
    assert_eq!(entry["results"][0]["job"], job);
    let refused = entry["parts"].as_array().unwrap().iter().find(|part| part["node"] == "middle").unwrap();
    assert!(refused["reasons"][0].as_str().unwrap().starts_with("Art. 66(3)"), "{refused}");
    for hidden in ["ada", "kim-north", "head of the permits unit"] {
        assert!(!register.to_string().contains(&format!("\"{hidden}\"")), "{hidden} is in the public register");
    }
    place.ok(&[&["register", "export", "public"][..], &public].concat());
    let csv = std::fs::read_to_string(place.path("public/applications.csv")).unwrap();
    assert!(csv.lines().count() == 4 && csv.contains("dap-7"), "{csv}");
    assert!(std::fs::read_to_string(place.path("public/results.csv")).unwrap().contains(job));
    let report = place.ok(&[&["report", "activity", "--csv", "activity.csv"][..], &public].concat());
    let granted = report["indicators"].as_array().unwrap().iter().find(|one| one["name"] == "parts granted").unwrap();
    assert_eq!(granted["value"], "2");
    assert!(std::fs::read_to_string(place.path("activity.csv")).unwrap().contains("not recorded"));
}

/// What would be a bug: a node that goes on after its operator has ended the participation, or others that stop with it.
#[test]
fn a_node_that_leaves_refuses_at_once_and_the_others_go_on() {
    let mut place = Place::new("rho=1");
    for (node, site) in [("north", "1"), ("middle", "2"), ("south", "3")] {
        place.node(node, &format!("site = \"{site}\""), "rho=2");
    }
    place.start_hub();
    for node in ["north", "middle", "south"] {
        place.start_node(node);
    }
    place.wait_online(3);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 3, "who runs a node with an invitation has agreed");

    // North's operator suspends while the hub cannot be told: the node refuses what the hub still sends it.
    let text = std::fs::read_to_string(place.path("north/node.toml")).unwrap();
    let mut config: toml::Table = toml::from_str(&text).unwrap();
    let connection = config["connection_file"].as_str().unwrap().to_owned();
    let mut away: toml::Table = toml::from_str(&std::fs::read_to_string(&connection).unwrap()).unwrap();
    away["hub"] = "127.0.0.1:1".into();
    let offline = std::path::Path::new(&connection).with_file_name("offline.toml");
    std::fs::write(&offline, toml::to_string(&away).unwrap()).unwrap();
    config["connection_file"] = offline.display().to_string().into();
    for field in ["data_dir", "signing_key_file"] {
        config[field] = place.path("north").join(config[field].as_str().unwrap()).display().to_string().into();
    }
    std::fs::create_dir(place.path("desk")).unwrap();
    std::fs::write(place.path("desk/node.toml"), toml::to_string(&config).unwrap()).unwrap();
    let told = place.ok(&["node", "agreement", "suspend", "desk", "--reason", "repairs"]);
    assert_eq!(told["hub_told"], false);
    let view = place.ask("rho=0.1", &["--attempt", "1"]);
    assert_eq!(view["answered"], 2, "a node that is suspended answered, or the others did not");
    let why = outcome(&view, "north")["why"].clone();
    assert!(why["refusal"] == "agreement-not-live" && why["why"].as_str().unwrap().contains("repairs"), "{why}");
    place.ok(&["node", "agreement", "resume", "north"]);
    assert_eq!(place.ask("rho=0.1", &["--attempt", "2"])["answered"], 3, "it was resumed");

    place.ok(&["node", "agreement", "terminate", "middle", "--reason", "we leave"]);
    let view = place.ask("rho=0.1", &["--attempt", "3"]);
    assert_eq!(view["answered"], 2);
    assert_eq!(outcome(&view, "middle")["why"]["refusal"], "agreement-not-live");
    place.ok(&["hub", "agreement", "terminate", "hub", "south", "--reason", "rules were not kept"]);
    let view = place.ask("rho=0.1", &["--attempt", "4"]);
    assert_eq!((&view["answered"], &outcome(&view, "south")["outcome"]), (&1.into(), &"refused".into()));
    let listed = place.ok(&["hub", "agreement", "list", "hub"]);
    let of =
        |node: &str| listed.as_array().unwrap().iter().find(|one| one["node"] == node).unwrap()["agreement"].clone();
    assert!(of("north")["live"].is_object() && of("middle")["terminated"].is_object(), "{listed}");
}
