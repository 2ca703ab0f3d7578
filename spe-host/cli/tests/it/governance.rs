//! The way from an invitation and an application to a published result, as its people type it.

use std::os::unix::fs::PermissionsExt;

use crate::place::{Place, eventually, example, outcome};
use serde_json::Value;

/// What would be a bug: a federation that must stop for a new member; a private key that travels; a token that is good twice.
#[test]
fn a_fourth_node_joins_by_token_while_the_others_work() {
    let mut place = Place::at_work(&["north", "middle", "south"]);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 3);

    let invited = place.ok(&["hub", "invite", "hub", "--node", "west", "--token"]);
    let line = invited["invitation"].as_str().unwrap();
    let (head, tail) = line.split_at(line.find('/').unwrap() + 1);
    let other = if tail.starts_with('0') { "1" } else { "0" };
    let false_hub = format!("{head}{other}{}", &tail[1..]);
    let (code, message) = place.fails(&["node", "join", &false_hub, "--dir", "fooled"]);
    assert!(code == 9 && message.contains("fingerprint"), "{code}: {message}");
    let (code, message) = place.fails(&["node", "join", &line[..line.len() / 2], "--dir", "half"]);
    assert!(code == 3 && message.contains("whole line"), "{code}: {message}");

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

/// Ada's application for all nodes is at the hub, and this is its id there.
fn applied(place: &Place) -> String {
    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    fill(place, "policies/applications/template.toml", "application.toml", |application| {
        application["number"] = "app-7".into();
        application["persons"][0]["key"] = ada.into();
    });
    let sign =
        ["application", "sign", "application.toml", "--key", "researcher/signing.key", "--out", "application.json"];
    place.ok(&sign);
    let submitted = place.ok(&["application", "submit", "application.json", "--as", "researcher"]);
    submitted["id"].as_str().unwrap().to_owned()
}

/// The place's permit for the application, of that number and for those nodes.
fn permit(place: &Place, number: &str, at: &[&str], change: impl FnOnce(&mut toml::Table)) -> String {
    let mut permit: toml::Table = toml::from_str(&std::fs::read_to_string(place.path("permit.toml")).unwrap()).unwrap();
    (permit["number"], permit["original"], permit["application"]) = (number.into(), number.into(), "app-7".into());
    permit["issued_at"] = jiff::Timestamp::now().to_string().into();
    permit["data"][0].as_table_mut().unwrap().insert("nodes".into(), nodes(at));
    change(&mut permit);
    let (draft, signed) = (format!("{number}.toml"), format!("{number}.json"));
    std::fs::write(place.path(&draft), toml::to_string(&permit).unwrap()).unwrap();
    place.ok(&["permit", "sign", &draft, "--key", "access-body.key", "--out", &signed]);
    signed
}

/// What would be a bug: a draft with the date of a sample, which is signed as it is and covers everybody who has opted out since then; one of long
/// ago that is signed without a word.
#[test]
fn drafts_are_dated_today() {
    let place = Place::new("rho=1");
    let began = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
    let sign = |kind: &str, draft: &str, out: &str| {
        let signed = place.run(&[kind, "sign", draft, "--key", "access-body.key", "--out", out]);
        let said = String::from_utf8(signed.stderr).unwrap();
        assert!(signed.status.success(), "{draft}: {said}");
        said
    };
    let drafts = [
        (&["permit", "draft"][..], "issued_at"),
        (&["decision", "draft"], "decided_at"),
        (&["decision", "draft", "--negative"], "decided_at"),
        (&["revocation", "draft"], "issued_at"),
        (&["revocation", "draft", "--person"], "issued_at"),
        (&["application", "draft"], "submitted_at"),
    ];
    for (number, (command, dated)) in drafts.into_iter().enumerate() {
        let text = place.ok(command)["template"].as_str().unwrap().to_owned();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let at: jiff::Timestamp = table[dated].as_str().unwrap().parse().unwrap();
        assert!(at >= began && text.contains('#'), "{command:?} has an old date, or lost its comments: {text}");
        let draft = format!("{number}.toml");
        std::fs::write(place.path(&draft), text).unwrap();
        // An application is signed by one of its persons.
        if command[0] != "application" {
            let said = sign(command[0], &draft, &format!("{number}.json"));
            assert!(!said.contains("WARNING"), "{command:?}: {said}");
        }
    }
    let said = sign("permit", "permit.toml", "again.json");
    assert!(said.contains("WARNING: its issued_at is 2026-01-01T00:00:00Z"), "{said}");
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    std::fs::write(place.path("over.toml"), text.replace("2036-01-01", "2026-02-01")).unwrap();
    assert!(sign("permit", "over.toml", "over.json").contains("WARNING: its valid_until is"));
}

/// An access body's decision on the parts of `decided`, in that file; positive with the permit of that file.
fn decision(place: &Place, file: &str, (decided, key): (&[&str], &str), permit: Option<&str>) {
    let kind = if permit.is_some() { "positive" } else { "negative" };
    let draft = format!("{file}.toml");
    fill(place, &format!("policies/decisions/{kind}.toml"), &draft, |decision| {
        decision["application"] = "app-7".into();
        decision["decided_at"] = jiff::Timestamp::now().to_string().into();
        decision["application_digest"] = digest(place, ["application", "show", "application.json"]).into();
        decision["part"][0].as_table_mut().unwrap().insert("nodes".into(), nodes(decided));
        if let Some(permit) = permit {
            decision["outcome"]["positive"]["permit"] = digest(place, ["permit", "check", permit]).into();
        }
    });
    place.ok(&["decision", "sign", &draft, "--key", key, "--out", file]);
}

/// Hands a decision in, as that person.
fn decide<'a>(id: &'a str, file: &'a str, permit: Option<&'a str>, person: &'a str) -> Vec<&'a str> {
    let permit: Vec<&str> = permit.map_or_else(Vec::new, |file| vec!["--permit", file]);
    [&["application", "decide", id, file, "--as", person][..], &permit].concat()
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
    }
    for (person, roles) in [("outer", "assessor@north,assessor@south"), ("inner", "assessor@middle")] {
        place.ok(&["hub", "invite", "hub", "--person", person, "--roles", roles, "--out", person]);
    }
    // The node in the middle is under another data access body.
    place.policy("middle", &ours, &other);
    place.start_all(&["north", "middle", "south"]);

    let id = applied(&place);
    let submitted = place.ok(&["application", "submit", "application.json", "--as", "researcher"]);
    assert_eq!((&submitted["id"], &submitted["number"]), (&id.as_str().into(), &"app-7".into()));
    assert_eq!(submitted["parts"].as_array().unwrap().len(), 3, "it was not routed to every node: {submitted}");
    let seen = place.ok(&["application", "status", &id, "--as", "inner"]);
    assert_eq!(seen["parts"].as_array().unwrap().len(), 1, "an assessor sees another node's part");
    let (code, _) = place.fails(&["application", "withdraw", &id, "--as", "inner"]);
    assert_eq!(code, 5, "an assessor took an application back");

    // A permit for two of the nodes; the third's access body refuses.
    let two = permit(&place, "dap-7", &["north", "south"], |_| {});
    let says = |args: &[&str]| String::from_utf8(place.run(args).stdout).unwrap();
    let shown = says(&["permit", "show", &two]);
    assert!(shown.contains("Example ministry of health (public body)"), "an applicant is not as written: {shown}");
    assert!(shown.contains("app-7 (the applicant's number)"), "{shown}");
    for args in [&["application", "list", "--as", "researcher"][..], &["application", "status", &id, "--as", "inner"]] {
        let shown = says(args);
        assert!(
            shown.contains(&id) && shown.contains("app-7"),
            "one of the application's two numbers is missing: {shown}"
        );
    }
    decision(&place, "one.json", (&["north"], "access-body.key"), Some(&two));
    let (code, message) = place.fails(&decide(&id, "one.json", Some(&two), "outer"));
    assert!(code == 3 && message.contains("names node south"), "south is undecided: {code}: {message}");
    decision(&place, "both.json", (&["north", "south"], "access-body.key"), Some(&two));
    place.ok(&decide(&id, "both.json", Some(&two), "outer"));

    // Nothing acknowledged is lost, nothing half done, when the hub dies in between.
    place.kill("hub");
    place.start_hub();
    place.wait_online(3);
    decision(&place, "no.json", (&["middle"], "other-body.key"), None);
    place.ok(&decide(&id, "no.json", None, "inner"));
    let status = place.ok(&["application", "status", &id, "--as", "researcher", "--permit-out", "granted.json"]);
    assert_eq!(status["coverage"], "granted at 2 of 3 nodes (north, south); refused at middle");
    assert_eq!(std::fs::read(place.path("granted.json")).unwrap(), std::fs::read(place.path(&two)).unwrap());

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
    for hidden in ["ada", "outer", "head of the permits unit"] {
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

/// What would be a bug: a permit that goes on working at a node which has seen no job under the one that took its place.
#[test]
fn an_amended_permit_reaches_nodes_that_were_away() {
    let mut place = Place::new("rho=1");
    for (node, site) in [("north", "1"), ("south", "2")] {
        place.node(node, &format!("site = \"{site}\""), "rho=2");
    }
    let roles = "assessor@north,assessor@south";
    place.ok(&["hub", "invite", "hub", "--person", "kim", "--roles", roles, "--out", "assessor"]);
    place.start_all(&["north", "south"]);
    let id = applied(&place);
    let give = |place: &Place, number: &str, at: &[&str], change: &dyn Fn(&mut toml::Table)| {
        let (signed, file) = (permit(place, number, at, change), format!("{number}.decision.json"));
        decision(place, &file, (at, "access-body.key"), Some(&signed));
        place.ok(&decide(&id, &file, Some(&signed), "assessor"));
        std::fs::copy(place.path(&signed), place.path("permit.json")).unwrap();
    };
    let why = |view: &Value, node: &str| outcome(view, node)["why"]["refusal"].clone();
    give(&place, "dap-7", &["north", "south"], &|_| {});
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 2);

    place.stop("south");
    give(&place, "dap-8", &["north"], &|permit| {
        (permit["original"], permit["status"]) = ("dap-7".into(), "amended".into());
        permit.insert("replaces".into(), "dap-7".into());
    });
    std::fs::copy(place.path("dap-7.json"), place.path("permit.json")).unwrap();
    let job = place.ask("rho=0.2", &["--detach"])["job"].as_str().unwrap().to_owned();
    place.start_node("south");
    place.wait_online(2);
    let mut view = Value::Null;
    eventually("both have refused", || {
        view = place.view(&["job", "result", &job, "--as", "researcher"]).0;
        ["north", "south"].iter().all(|node| outcome(&view, node)["outcome"] == "refused")
    });
    for node in ["north", "south"] {
        assert_eq!(why(&view, node), "permit-replaced", "{node} goes on under a permit that was replaced: {view}");
    }
    std::fs::copy(place.path("dap-8.json"), place.path("permit.json")).unwrap();
    let view = place.ask("rho=0.1", &["--attempt", "1"]);
    assert_eq!(
        (outcome(&view, "north")["outcome"].clone(), why(&view, "south")),
        ("answered".into(), "node-not-in-permit".into())
    );
    let running = place.ok(&["node", "permits", "south"]);
    place.stop("south");
    let seen = place.ok(&["node", "permits", "south"]);
    assert_eq!(running, seen, "a node that runs tells other permits than one that is stopped");
    let mut standing: Vec<_> = seen.as_array().unwrap().iter().map(|one| one["standing"].as_str().unwrap()).collect();
    standing.sort_unstable();
    assert_eq!(standing, ["amended", "replaced by dap-8"]);
    what_was_revoked_is_shown(&place, &id);
}

/// What would be a bug: an applicant and a public that are shown a permit as given, which was taken back.
fn what_was_revoked_is_shown(place: &Place, id: &str) {
    let status = place.ok(&["application", "status", id, "--as", "researcher"]);
    let of = |view: &Value, node: &str| {
        let parts = view["parts"].as_array().unwrap();
        parts.iter().find(|part| part["node"] == node).unwrap()["standing"].clone()
    };
    assert_eq!(of(&status, "north")["state"], "AMENDED", "{status}");
    assert_eq!(
        (&of(&status, "south")["state"], &of(&status, "south")["replaced_by"]),
        (&"REPLACED".into(), &"dap-8".into())
    );
    fill(place, "policies/revocations/permit.toml", "revocation.toml", |revocation| {
        revocation["target"]["permit"] = "dap-7".into();
    });
    let sign = ["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", "revocation.json"];
    place.ok(&sign);
    place.ok(&["revocation", "submit", "revocation.json", "--as", "assessor"]);
    let status = place.ok(&["application", "status", id, "--as", "researcher"]);
    let north = of(&status, "north");
    assert_eq!((&north["state"], &north["since"]), (&"REVOKED".into(), &"2026-06-01T10:00:00Z".into()), "{status}");
    assert!(status["coverage"].as_str().unwrap().ends_with("revoked at north, south"), "{status}");
    let shown = String::from_utf8(place.run(&["application", "status", id, "--as", "researcher"]).stdout).unwrap();
    assert!(shown.contains("REVOKED since 2026-06-01T10:00:00Z: Results were not made public"), "{shown}");
    let print = place.ok(&["hub", "fingerprint", "hub"]);
    let public = ["--hub", print["hub"].as_str().unwrap(), "--ca", print["ca"].as_str().unwrap()];
    let shown = String::from_utf8(place.run(&[&["register", "list"][..], &public].concat()).stdout).unwrap();
    assert!(shown.contains("REVOKED since 2026-06-01T10:00:00Z: Art. 61(4)"), "{shown}");
    assert!(!shown.contains("reminders"), "words about persons may be public: {shown}");
    place.ok(&[&["register", "export", "public"][..], &public].concat());
    let csv = std::fs::read_to_string(place.path("public/applications.csv")).unwrap();
    assert!(csv.contains("\"REVOKED\",\"2026-06-01T10:00:00Z\""), "{csv}");
}

/// What would be a bug: the same mistake, and another exit code in another command.
#[test]
fn what_is_refused_has_its_exit_code_in_every_command() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let future = "2999-01-01T00:00:00Z";
    for dated in [
        &["hub", "record", "hub", "--point", "i", "--of", "accuracy", "--at", future][..],
        &["node", "incident", "open", "north", "--what", "a disk is missing", "--known-at", future],
    ] {
        let (code, message) = place.fails(dated);
        assert!(code == 3 && message.contains("future"), "{dated:?}: {code}: {message}");
    }
    let (code, message) = place.fails(&["hub", "agreement", "suspend", "hub", "north", "--reason", "repairs"]);
    assert!(code == 7 && message.contains("nothing was agreed on"), "{code}: {message}");
    let (code, message) = place.fails(&["hub", "agreement", "terminate", "hub", "nowhere", "--reason", "repairs"]);
    assert!(code == 4 && message.contains("nowhere"), "{code}: {message}");
}

/// What would be a bug: somebody made an assessor, a permit taken back, or a node let in to keys, and no account beside it.
#[test]
fn what_is_typed_at_a_machine_has_its_account() {
    let place = Place::new("rho=1");
    place.ok(&["hub", "invite", "hub", "--person", "kim", "--roles", "assessor@north", "--token"]);
    place.ok(&["hub", "roles", "hub", "kim", "--roles", "auditor"]);
    place.ok(&["hub", "roles", "hub", "kim"]);
    place.ok(&["hub", "dismiss", "hub", "--person", "kim"]);
    let acts = place.ok(&["hub", "log", "hub"]);
    let did: Vec<_> = acts.as_array().unwrap().iter().map(|act| act["did"].as_str().unwrap()).collect();
    let expected = [
        "person ada invited with a folder: applicant, data-user",
        "person kim invited with a token: assessor@north",
        "person kim given roles: auditor",
        "person kim dismissed",
    ];
    assert_eq!(did, expected);
    let account = acts[0]["account"].as_str().unwrap();
    assert!(account.starts_with("account ") && acts.as_array().unwrap().iter().all(|act| act["account"] == account));
    let shown = String::from_utf8(place.run(&["hub", "log", "hub"]).stdout).unwrap();
    assert!(shown.contains(account) && shown.contains("assessor@north"), "{shown}");

    place.ok(&["keyholder", "init", "keys", "--host", "localhost"]);
    place.ok(&["keyholder", "invite", "keys", "--node", "north", "--out", "other-keys"]);
    let acts = place.ok(&["keyholder", "log", "keys", "--operators"]);
    assert_eq!((&acts[0]["did"], &acts[0]["account"]), (&"invited".into(), &account.into()), "{acts}");
    assert_eq!(place.ok(&["keyholder", "log", "keys"]), serde_json::json!([]), "nobody asked for anything");

    place.node("north", "site = \"1\"", "rho=2");
    fill(&place, "policies/revocations/permit.toml", "revocation.toml", |_| {});
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", "revocation.json"]);
    place.ok(&["node", "desk", "revoke", "north", "revocation.json"]);
    let log = place.ok(&["audit", "show", "north", "--event", "permit-revoked"]);
    assert_eq!(log[0]["person"], account, "{log}");
}
