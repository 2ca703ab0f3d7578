//! The participation agreement as its operators keep it: two signatures under every change, here and there, whoever dies in between.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use spe_kernel::{
    agreement::AgreementBody,
    document::{Opened, open},
    dsse::SecretKey,
};
use spe_node::{
    config::NodeConfig,
    journal::{LogFiles, entries_in},
};

use crate::place::{Place, eventually, outcome};

/// How often somebody is killed while a change is told and countersigned.
const KILLS: u32 = 10;

/// Statements by digest, their signatures verified.
type Statements = BTreeMap<String, Opened<AgreementBody>>;

fn verified(envelopes: impl IntoIterator<Item = Vec<u8>>) -> Statements {
    let opened = envelopes.into_iter().map(|envelope| open::<AgreementBody>(&envelope).expect("a signed statement"));
    opened.map(|statement| (statement.digest().to_string(), statement)).collect()
}

fn at_node(place: &Place, node: &str) -> Statements {
    let folder = fs::read_dir(place.path(&format!("{node}/data/agreement"))).unwrap().flatten().map(|file| file.path());
    let files = folder.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    verified(files.map(|path| fs::read(path).unwrap()))
}

fn at_hub(place: &Place, node: &str) -> Statements {
    let db = rusqlite::Connection::open(place.path("hub/hub.sqlite")).unwrap();
    let mut query = db.prepare("SELECT body FROM governance WHERE subject = ?1 ORDER BY number").unwrap();
    let bodies = query.query_map([format!("agreement {node}")], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    verified(bodies.map(Result::unwrap))
}

/// What the node's audit log tells of its agreement, in the files that auditors read.
fn told(place: &Place, node: &str) -> Vec<Value> {
    let config = NodeConfig::read(&place.path(node)).unwrap();
    let key: SecretKey = fs::read_to_string(&config.signing_key_file).unwrap().parse().unwrap();
    let (files, mut entries) = (LogFiles::new(&config.log_dir(), &config.name), None);
    // The node may be at writing them.
    eventually("the log's files are whole", || {
        entries = entries_in(&files, key.public()).ok();
        entries.is_some()
    });
    let events =
        entries.unwrap().into_iter().map(|(_, body)| serde_json::from_slice::<Value>(&body).unwrap()["event"].clone());
    events.filter(|event| event["kind"] == "agreement-changed").collect()
}

fn changes(shown: &Value) -> Vec<Value> {
    shown["changes"].as_array().unwrap().clone()
}

/// Waits until the node's changes are those `acts`, each with both parties' signatures under it: in the node's folder, in its audit log and
/// at the hub.
fn signed_twice(place: &Place, node: &str, acts: &[&str]) {
    let show = ["hub", "agreement", "show", "hub", node];
    let whole = |shown: &Value| changes(shown).iter().all(|change| change["second"].is_object());
    eventually(&format!("{acts:?} are countersigned and logged"), || {
        whole(&place.ok(&show))
            && at_node(place, node).len() == 2 * acts.len()
            && told(place, node).len() >= 2 * acts.len()
    });
    let shown = place.ok(&show);
    let seen: Vec<_> = changes(&shown).iter().map(|change| change["act"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, acts, "{shown}");
    assert_eq!(place.ok(&["node", "agreement", "show", node])["agreement"], shown["agreement"], "the parties differ");
    let kept = at_node(place, node);
    assert_eq!(kept.keys().collect::<Vec<_>>(), at_hub(place, node).keys().collect::<Vec<_>>(), "not both have all");
    let told = told(place, node);
    assert_eq!(told.len(), kept.len(), "an entry is there twice: {told:?}");
    for event in &told {
        let named = |of: &Value| kept.get(of["document"].as_str().unwrap()).expect("a statement that is kept").clone();
        let (statement, first) = (named(event), event["seconds"].as_object().map(|_| named(&event["seconds"])));
        assert_eq!(event["signer"], statement.signer().to_string(), "another signer than the signature's");
        assert_eq!(event["stated"], statement.body().act.name());
        if let Some(first) = first {
            assert_eq!(event["seconds"]["signer"], first.signer().to_string());
            assert_ne!(first.signer(), statement.signer(), "both signatures are of one party");
            assert_eq!(statement.body().act.seconds(), Some(first.digest()));
        }
    }
}

fn text(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    assert!(output.status.success(), "spe {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What would be a bug: a change that only one party has signed in the end, of which the log does not tell or tells twice, that waits for
/// the other's signature, or of which nobody knows who made it.
#[test]
fn every_change_of_an_agreement_is_signed_by_both_and_logged_by_both() {
    let mut place = Place::at_work(&["north"]);
    let mut acts = vec!["offer"];
    signed_twice(&place, "north", &acts);
    for (act, args) in [
        ("suspend", &["hub", "agreement", "suspend", "hub", "north", "--reason", "an audit"][..]),
        ("resume", &["hub", "agreement", "resume", "hub", "north"]),
        ("suspend", &["node", "agreement", "suspend", "north", "--reason", "repairs"]),
        ("resume", &["node", "agreement", "resume", "north"]),
    ] {
        place.ok(args);
        acts.push(act);
        signed_twice(&place, "north", &acts);
    }

    // Other terms, which the operator accepts if they are the text that was read.
    fs::write(place.path("terms.md"), "Other terms.\n").unwrap();
    fs::write(place.path("forged.md"), "Some terms.\n").unwrap();
    place.ok(&["hub", "agreement", "offer", "hub", "north", "--terms", "terms.md", "--until", "2036-01-01T00:00:00Z"]);
    // At once: what is accepted is what the hub offers now, also if the node has not heard of it yet.
    let (code, said) = place.fails(&["node", "agreement", "accept", "north", "--terms", "forged.md"]);
    assert!(code == 3 && said.contains("not the text") && said.contains("sha256:"), "{code}: {said}");
    let shown = text(&place, &["hub", "agreement", "show", "hub", "north"]);
    assert!(shown.contains("not yet accepted by node north"), "{shown}");
    place.ok(&["node", "agreement", "accept", "north", "--terms", "terms.md"]);
    acts.push("offer");
    signed_twice(&place, "north", &acts);
    for show in [&["node", "agreement", "show", "north"][..], &["hub", "agreement", "show", "hub", "north"]] {
        place.ok(&[show, &["--terms", "terms.md"]].concat());
        assert_eq!(place.fails(&[show, &["--terms", "forged.md"]].concat()).0, 3, "{show:?}: of another text");
    }
    for without_effect in [
        &["node", "agreement", "accept", "north"][..],
        &["node", "agreement", "resume", "north"],
        &["hub", "agreement", "resume", "hub", "north"],
    ] {
        let (code, said) = place.fails(without_effect);
        assert!(code == 7 && said.contains("nothing was stated"), "{without_effect:?}: {code}: {said}");
    }
    signed_twice(&place, "north", &acts);
    let odrl = place.ok(&["node", "agreement", "show", "north", "--odrl"]);
    assert_eq!(
        odrl,
        place.ok(&["hub", "agreement", "show", "hub", "north", "--odrl"]),
        "the parties agreed on two things"
    );
    assert_eq!((&odrl["@type"], &odrl["spe:standing"]), (&"Agreement".into(), &"live".into()), "{odrl}");

    // Neither waits for the other: the hub is away, and the node has left; it signs when the node can tell it.
    place.kill("hub");
    let left = place.ok(&["node", "agreement", "terminate", "north", "--reason", "we leave"]);
    assert_eq!((&left["hub_told"], left["agreement"]["terminated"].is_object()), (&false.into(), true), "{left}");
    assert!(text(&place, &["node", "agreement", "show", "north"]).contains("not yet countersigned by the hub"));
    eventually("the log tells of it while the hub is away", || told(&place, "north").len() == 2 * acts.len() + 1);
    place.start_hub();
    acts.push("terminate");
    signed_twice(&place, "north", &acts);

    let shown = text(&place, &["hub", "agreement", "show", "hub", "north"]);
    assert!(
        shown.contains("countersigned by node north at") && shown.contains("countersigned by the hub at"),
        "{shown}"
    );
    place.stop("north");
    let logged = place.ok(&["audit", "show", "north", "--event", "agreement-changed"]);
    for entry in logged.as_array().unwrap() {
        let by_hand = entry["event"]["seconds"]["document"] == odrl["spe:signature"][0]["spe:document"]
            || ["suspend", "resume", "terminate"].iter().any(|act| entry["event"]["stated"] == *act)
                && entry["event"]["signer"]
                    == odrl["assignee"]["uid"].as_str().unwrap().trim_start_matches("urn:spe:key:");
        let person = entry["person"].as_str().unwrap_or_default();
        assert_eq!(person.starts_with("account "), by_hand, "who did it is not known, or made up: {entry}");
    }
    for change in changes(&place.ok(&["hub", "agreement", "show", "hub", "north"])) {
        let by_hand = change["by"] == "the hub" && change["document"] != at_first(&place);
        assert_eq!(change["account"].as_str().is_some_and(|who| who.starts_with("account ")), by_hand, "{change}");
    }
    assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true);
}

/// The offer that the hub makes by itself.
fn at_first(place: &Place) -> Value {
    changes(&place.ok(&["hub", "agreement", "show", "hub", "north"]))[0]["document"].clone()
}

/// The hub states something while the node is away; the node comes, and one of both dies after a fraction of the time that the whole took
/// before. Where in the exchange that is, depends on the machine: the test between any two writes is
/// `a_crash_between_any_two_writes_leaves_nothing_half_done` in `spe-host/node/src/agreement/tests.rs`; this one has real processes.
///
/// What would be a bug: a change that is half-done afterwards, that is countersigned or logged twice, or about which the parties disagree.
#[test]
fn processes_that_die_around_an_exchange_leave_the_agreement_whole() {
    let mut place = Place::at_work(&["north"]);
    let mut acts = vec!["offer"];
    let mut state = |place: &Place| {
        let suspends = acts.len() % 2 == 1;
        let how: &[&str] = if suspends { &["suspend", "--reason", "an audit"] } else { &["resume"] };
        place.ok(&[&["hub", "agreement", how[0], "hub", "north"], &how[1..]].concat());
        acts.push(how[0]);
        acts.clone()
    };
    place.kill("north");
    state(&place);
    let begin = Instant::now();
    place.start_node("north");
    eventually("it is countersigned", || at_hub(&place, "north").len() == 4);
    let whole = begin.elapsed() + Duration::from_millis(100);
    for turn in 1..=KILLS {
        place.kill("north");
        let acts = state(&place);
        place.start_node("north");
        std::thread::sleep(whole * turn / KILLS);
        let dies = if turn % 2 == 0 { "north" } else { "hub" };
        place.kill(dies);
        place.start(dies, if dies == "hub" { &["hub", "run", "hub"] } else { &["node", "run", "north"] });
        signed_twice(&place, "north", &acts);
    }
    place.stop("north");
    assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true, "the log does not hold");
}

/// What would be a bug: a node that goes on after its operator has ended the participation, or others that stop with it.
#[test]
fn a_node_that_leaves_refuses_at_once_and_the_others_go_on() {
    let place = Place::at_work(&["north", "middle", "south"]);
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
    assert!(why["refusal"] == "agreement-not-live" && why["why"].as_str().unwrap().contains("suspended"), "{why}");
    assert!(!view.to_string().contains("repairs"), "researchers read the parties' own words: {view}");
    place.ok(&["node", "agreement", "resume", "north"]);
    assert_eq!(place.ask("rho=0.1", &["--attempt", "2"])["answered"], 3, "it was resumed");
    // A job that is asked while the hub has suspended it waits; and the node knows at once that the hub has resumed it.
    place.ok(&["hub", "agreement", "suspend", "hub", "north", "--reason", "an audit"]);
    let waits = place.ask("rho=0.1", &["--attempt", "5", "--detach"])["job"].as_str().unwrap().to_owned();
    eventually("the others have answered", || {
        place.view(&["job", "result", &waits, "--as", "researcher"]).0["answered"] == 2
    });
    eventually("the node has heard of it", || {
        place.ok(&["node", "agreement", "show", "north"])["agreement"]["suspended"].is_object()
    });
    place.ok(&["hub", "agreement", "resume", "hub", "north"]);
    let next = place.ask("rho=0.1", &["--attempt", "6"]);
    assert_eq!(next["answered"], 3, "the node refuses what the hub sends since it has resumed it: {next}");
    eventually("the other is answered", || {
        place.view(&["job", "result", &waits, "--as", "researcher"]).0["answered"] == 3
    });

    place.ok(&["node", "agreement", "terminate", "middle", "--reason", "we leave"]);
    let view = place.ask("rho=0.1", &["--attempt", "3"]);
    assert_eq!(view["answered"], 2, "the others stopped with it, or it did not stop: {view}");
    for node in ["north", "south"] {
        assert_eq!(outcome(&view, node)["outcome"], "answered", "{node} stopped with another: {view}");
    }
    assert_eq!(outcome(&view, "middle")["why"]["refusal"], "agreement-not-live");
    signed_twice(&place, "middle", &["offer", "terminate"]);
    place.ok(&["hub", "agreement", "terminate", "hub", "south", "--reason", "rules were not kept"]);
    let view = place.ask("rho=0.1", &["--attempt", "4"]);
    assert_eq!((&view["answered"], &outcome(&view, "south")["outcome"]), (&1.into(), &"refused".into()));
    signed_twice(&place, "south", &["offer", "terminate"]);
    signed_twice(&place, "north", &["offer", "suspend", "resume", "suspend", "resume"]);
    let listed = place.ok(&["hub", "agreement", "list", "hub"]);
    let of =
        |node: &str| listed.as_array().unwrap().iter().find(|one| one["node"] == node).unwrap()["agreement"].clone();
    assert!(of("north")["live"].is_object() && of("middle")["terminated"].is_object(), "{listed}");
}
