//! What a node leaves to persons, and what persons take back: rules, verdicts, the output gate, revocations.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{DECLARATION, Place, eventually, example, outcome};

/// A place with a hub, and nodes of those names that run; `prepare` is done to each before it starts.
fn place(nodes: &[&str], prepare: impl Fn(&Place, &str)) -> Place {
    let mut place = Place::new("rho=1");
    for (i, node) in nodes.iter().enumerate() {
        place.node(node, &format!("site = \"{}\"", i + 1), "rho=2");
        prepare(&place, node);
    }
    place.start_hub();
    for node in nodes {
        place.start_node(node);
    }
    place.wait_online(nodes.len());
    place
}

/// Makes `ola` an officer of the node, with both duties.
fn officer(place: &Place, node: &str) {
    let key = match std::fs::read(place.path("ola.key")) {
        Ok(_) => place.ok(&["key", "show", "ola.key"]),
        Err(_) => place.ok(&["key", "new", "ola.key"]),
    };
    let key = key["public_key"].as_str().unwrap();
    let text = format!(
        "[[officers]]\nname = \"ola\"\nkey = \"{key}\"\nduties = [\"approve-runs\", \"check-outputs\"]\n\n[outputs]"
    );
    place.policy(node, "[outputs]", &text);
}

fn rules(place: &Place, node: &str, rules: &str) {
    std::fs::write(place.path(&format!("{node}/rules.cedar")), rules).unwrap();
}

fn detach(place: &Place, loss: &str, more: &[&str]) -> String {
    place.ask(loss, &[&["--detach"], more].concat())["job"].as_str().unwrap().to_owned()
}

fn at(place: &Place, job: &str, node: &str) -> Value {
    outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, node)
}

fn waits(place: &Place, job: &str, stage: &str) -> String {
    eventually(&format!("the job {stage}"), || at(place, job, "north")["stage"] == stage);
    let waiting = place.ok(&["node", "desk", "list", "north"]);
    assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting}");
    let matter = waiting[0]["matter"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    matter.trim_start_matches("blake3:").chars().take(12).collect()
}

fn decide(place: &Place, verdict: &str, matter: &str) {
    let fixed = ["node", "desk", verdict, "north", matter, "--officer", "ola", "--key", "ola.key"];
    place.ok(&[&fixed[..], &["--reason", "as the board decided"]].concat());
}

/// What would be a bug: rules of one node that bind another, or a refusal that does not name the rule.
#[test]
fn two_nodes_with_different_rules_behave_differently_in_one_run() {
    let place = place(&["north", "south"], |place, node| {
        if node == "south" {
            rules(
                place,
                node,
                "permit (principal, action, resource);\n@id(\"no-policymaking\") @reason(\"only research here\")\n\
                 forbid (principal, action, resource) when { context.purpose == \"policymaking\" };",
            );
        }
    });
    let view = place.ask("rho=0.1", &[]);
    assert_eq!((&view["answered"], &view["asked"]), (&1.into(), &2.into()), "{view}");
    let refused = outcome(&view, "south");
    assert_eq!(refused["why"]["refusal"], "policy-forbids");
    assert_eq!(refused["why"]["rule"], "only research here (rule no-policymaking)");
    assert_eq!((place.spent("north"), place.spent("south")), ("rho=0.1".into(), "rho=0".into()));
}

/// What would be a bug: a node that starts with rules that do not apply as they are written.
#[test]
fn a_node_does_not_start_with_rules_that_name_nothing() {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    rules(&place, "north", "permit (principal, action, resource) when { context.hours > 6 };");
    let (_, message) = place.fails(&["node", "run", "north"]);
    assert!(message.contains("rules.cedar") && message.contains("hours"), "{message}");
    let (_, message) = place.fails(&["policy", "check", "north/rules.cedar"]);
    assert!(message.contains("hours"), "{message}");
}

/// What would be a bug: a job that runs before the officer agrees, is charged while it waits, or is forgotten by a restart.
#[test]
fn what_the_rules_leave_to_an_officer_waits_for_one() {
    let mut place = place(&["north"], |place, node| {
        officer(place, node);
        rules(place, node, "permit (principal, action == Action::\"run\", resource);");
    });
    let job = detach(&place, "rho=0.1", &[]);
    waits(&place, &job, "awaits-approval");
    assert_eq!(place.spent("north"), "rho=0", "a job was charged before an officer agreed");
    place.kill("north");
    place.start_node("north");
    place.wait_online(1);
    let matter = waits(&place, &job, "awaits-approval");
    let (code, said) = place.fails(&["job", "result", &job, "--as", "researcher"]);
    assert!(code == 8 && said.contains("no answer yet: north waits for an officer"), "{code}: {said}");
    assert!(!said.contains("cannot be reached"), "a node that is there is said not to be: {said}");
    // Nobody else's word counts.
    place.ok(&["key", "new", "eve.key"]);
    let (code, message) =
        place.fails(&["node", "desk", "approve", "north", &matter, "--officer", "ola", "--key", "eve.key"]);
    assert!(code == 5 && message.contains("officers"), "{code}: {message}");
    assert_eq!(at(&place, &job, "north")["stage"], "awaits-approval");
    decide(&place, "approve", &matter);
    eventually("the job is answered", || at(&place, &job, "north")["outcome"] == "answered");
    // A verdict is final, and about one job only.
    let other = detach(&place, "rho=0.2", &[]);
    let matter = waits(&place, &other, "awaits-approval");
    decide(&place, "refuse", &matter);
    eventually("the other job is refused", || at(&place, &other, "north")["why"]["refusal"] == "officer-refused");
    assert_eq!(at(&place, &other, "north")["why"]["reason"], "as the board decided");
    assert_eq!(place.spent("north"), "rho=0.1");
}

/// What would be a bug: an answer that is to be checked and leaves unchecked, a refused one that leaves, or one that is charged twice.
#[test]
fn an_answer_that_is_to_be_checked_leaves_when_an_officer_agrees() {
    let mut place = place(&["north"], |place, node| {
        officer(place, node);
        place.policy(node, "review = \"automatic\"", "review = \"checked\"");
    });
    let job = detach(&place, "rho=0.1", &[]);
    let matter = waits(&place, &job, "awaits-release");
    assert_eq!(place.spent("north"), "rho=0.1");
    let about = &place.ok(&["node", "desk", "list", "north"])[0]["about"];
    assert!(
        about["statistics"][0]["estimates"][0]["value"].is_number(),
        "an officer must see what is to leave: {about}"
    );
    decide(&place, "approve", &matter);
    eventually("the answer is there", || at(&place, &job, "north")["outcome"] == "answered");
    // Another is refused, and stays refused however often it is asked for.
    let job = detach(&place, "rho=0.2", &[]);
    let matter = waits(&place, &job, "awaits-release");
    decide(&place, "refuse", &matter);
    eventually("the answer is refused", || at(&place, &job, "north")["why"]["refusal"] == "officer-refused");
    assert_eq!(outcome(&place.ask("rho=0.2", &[]), "north")["why"]["refusal"], "officer-refused");
    assert_eq!(place.spent("north"), "rho=0.3");
    let hub = std::fs::read(place.path("hub/hub.sqlite-wal")).unwrap_or_default();
    assert!(!hub.is_empty());
    // The log has the officer's signed word on each, and nothing of rules that would have decided.
    place.stop("north");
    let log = place.ok(&["audit", "show", "north", "--event", "gate-decided"]);
    let of =
        |e: &Value| (e["event"]["released"].as_bool(), e["event"]["of"].as_u64(), e["event"]["document"].is_string());
    let decided: Vec<_> = log.as_array().unwrap().iter().map(of).collect();
    assert_eq!(decided, [(Some(true), Some(1), true), (Some(false), Some(1), true)], "{log}");
}

/// What would be a bug: numbers about few people that leave without anybody looking, where the operator asked for a look.
#[test]
fn small_groups_wait_for_an_officer() {
    let place = place(&["north"], |place, node| {
        officer(place, node);
        place.policy(node, "people_min = 0", "people_min = 100000");
    });
    let job = detach(&place, "rho=0.1", &[]);
    let matter = waits(&place, &job, "awaits-release");
    let about = &place.ok(&["node", "desk", "list", "north"])[0]["about"];
    assert!(about["findings"][0].as_str().unwrap().contains("fewer than 100000 people"), "{about}");
    decide(&place, "approve", &matter);
    eventually("the answer is there", || at(&place, &job, "north")["outcome"] == "answered");
}

/// What would be a bug: a job with rounds that is charged, and then waits for a person in every round.
#[test]
fn rounds_cannot_be_checked_and_are_refused_before_they_are_charged() {
    let place = place(&["north"], |place, node| {
        officer(place, node);
        place.policy(node, "review = \"automatic\"", "review = \"checked\"");
    });
    let view = place.ask_module(&crate::place::module("kmeans"), "rho=0.1", &["--rounds", "2"]);
    assert_eq!(outcome(&view, "north")["why"]["refusal"], "policy-forbids", "{view}");
    assert_eq!(place.spent("north"), "rho=0");
}

/// Signs a revocation of the place's permit, or an exclusion of its person, to hold at once; the data access body's clock is 15 s ahead of
/// everybody else's.
fn revocation(place: &Place, target: &str) {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(15);
    let draft = format!(
        "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{now}\"\neffective_at = \"{now}\"\n\
         reason = \"the conditions were not kept\"\n{target}\n"
    );
    std::fs::write(place.path("revocation.toml"), draft).unwrap();
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", "revocation.json"]);
}

/// A job whose guests loop for hours, under way at the nodes.
fn looping(place: &Place, nodes: &[&str]) -> String {
    let spinner = example("guest-sdk/evil/modules/spinner.wasm").display().to_string();
    let fixed = ["job", "submit", &spinner, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
    let more = ["--purpose", "policymaking", "--loss", "rho=0.1", "--fuel", "100000000000", "--detach"];
    let job = place.ok(&[&fixed[..], &more].concat())["job"].as_str().unwrap().to_owned();
    for node in nodes {
        eventually("it runs", || at(place, &job, node)["stage"] == "running");
    }
    job
}

const NODES: [&str; 3] = ["north", "south", "west"];

/// Three nodes at which a job runs until the data access body takes `target` back, through the hub; each then says `refusal`.
fn stopped_through_the_hub(target: &str, refusal: &str) -> Place {
    let place = place(&NODES, |place, node| {
        place.policy(node, "fuel_per_subject_max = 100_000_000", "fuel_per_subject_max = 100_000_000_000")
    });
    place.ok(&["hub", "invite", "hub", "--person", "vera", "--roles", "assessor@north", "--out", "assessor"]);
    let job = looping(&place, &NODES);
    revocation(&place, target);
    let asked = Instant::now();
    for _ in 0..2 {
        place.ok(&["revocation", "submit", "revocation.json", "--as", "assessor"]);
    }
    for node in NODES {
        eventually("it has stopped", || at(&place, &job, node)["why"]["refusal"] == refusal);
    }
    let took = asked.elapsed();
    eprintln!("every node had stopped {took:?} after the revocation was handed in, as the researcher sees it");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let view = place.ask("rho=0.05", &[]);
    for node in NODES {
        assert_eq!(outcome(&view, node)["why"]["refusal"], refusal);
        assert_eq!(place.spent(node), "rho=0.1", "what was charged stays charged, and nothing new is");
    }
    place
}

/// Stops each node, whose log must have one entry of that event.
fn is_told_once(place: &mut Place, event: &str) {
    for node in NODES {
        place.stop(node);
        let told = place.ok(&["audit", "show", node, "--event", event]);
        assert_eq!(told.as_array().unwrap().len(), 1, "{node} tells of it never, or twice: {told}");
        assert!(told[0]["event"]["document"].is_string(), "{node} does not name the document: {told}");
    }
}

/// What would be a bug: a job that goes on, an answer that is committed, or a new job that is admitted, after the data access body took
/// the permit back, by a clock that is ahead of the nodes'; a node that says another thing than the clause, or tells of it in its log never, or
/// each time that the revocation is handed in.
#[test]
fn a_revoked_permit_stops_what_runs_on_every_node_within_seconds() {
    let mut place = stopped_through_the_hub("[target]\npermit = \"dap-2026-0001\"", "permit-revoked");
    // It stays known: after a crash, and without the hub.
    place.kill("north");
    place.start_node("north");
    place.wait_online(3);
    assert_eq!(outcome(&place.ask("rho=0.06", &[]), "north")["why"]["refusal"], "permit-revoked");
    place.ok(&["node", "desk", "revoke", "north", "revocation.json"]);
    is_told_once(&mut place, "permit-revoked");
}

/// What would be a bug: a person who is excluded, and whose job goes on or whose next one is admitted at a node that heard of it through the hub
/// alone.
#[test]
fn an_excluded_person_is_stopped_on_every_node_within_seconds() {
    let person = "[target.person]\nname = \"ada\"\nuntil = \"2028-01-01T00:00:00Z\"";
    let mut place = stopped_through_the_hub(person, "person-excluded");
    is_told_once(&mut place, "person-excluded");
}

/// What would be a bug: a hub that keeps a revocation back and thereby keeps a person at work, or a stranger's word that stops one.
#[test]
fn a_person_is_excluded_at_the_nodes_own_desk() {
    let mut place = place(&["north"], |place, node| {
        place.policy(node, "fuel_per_subject_max = 100_000_000", "fuel_per_subject_max = 100_000_000_000")
    });
    let job = looping(&place, &["north"]);
    revocation(&place, "[target.person]\nname = \"ada\"\nuntil = \"2028-01-01T00:00:00Z\"");
    place.ok(&["key", "new", "eve.key"]);
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "eve.key", "--out", "forged.json"]);
    let (code, _) = place.fails(&["node", "desk", "revoke", "north", "forged.json"]);
    assert_eq!(code, 9);
    assert_eq!(at(&place, &job, "north")["stage"], "running");
    what_is_to_come_is_told_as_such(&place);
    assert_eq!(at(&place, &job, "north")["stage"], "running", "what is revoked from tomorrow on ended today");
    let told = place.run(&["node", "desk", "revoke", "north", "revocation.json"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("nothing runs under it any more"), "it does not hold by this clock: {told}");
    eventually("it has stopped", || at(&place, &job, "north")["why"]["refusal"] == "person-excluded");
    // Also while the node does not run.
    place.stop("north");
    revocation_again(&place);
    place.ok(&["node", "desk", "revoke", "north", "revoked-permit.json"]);
    place.start_node("north");
    place.wait_online(1);
    assert_eq!(outcome(&place.ask("rho=0.05", &[]), "north")["why"]["refusal"], "permit-revoked");
}

/// Revocations that take effect tomorrow: of the place's permit, and of a number that nobody has; and one that is issued tomorrow.
fn what_is_to_come_is_told_as_such(place: &Place) {
    let now = jiff::Timestamp::now();
    let tomorrow = now + jiff::SignedDuration::from_hours(24);
    let sign = |number: &str, issued_at: jiff::Timestamp| {
        let draft = format!(
            "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{issued_at}\"\n\
             effective_at = \"{tomorrow}\"\nreason = \"the conditions were not kept\"\n[target]\npermit = \"{number}\"\n"
        );
        std::fs::write(place.path(&format!("{number}.toml")), draft).unwrap();
        let (draft, out) = (format!("{number}.toml"), format!("{number}.revocation.json"));
        place.run(&["revocation", "sign", &draft, "--key", "access-body.key", "--out", &out])
    };
    for (number, is_known) in [("dap-2026-0001", true), ("dap-2026-0999", false)] {
        assert!(sign(number, now).status.success());
        let said = place.run(&["node", "desk", "revoke", "north", &format!("{number}.revocation.json")]);
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains(&format!("takes effect at {tomorrow}")) && !said.contains("nothing runs"), "{said}");
        assert_eq!(said.contains("knows no permit of that number"), !is_known, "{said}");
    }
    let listed = place.ok(&["node", "permits", "north"]);
    assert_eq!(
        (listed[0]["standing"].as_str(), &listed[0]["active_until"]),
        (Some("granted until revoked"), &tomorrow.to_string().into()),
        "{listed}"
    );
    let ahead = sign("dap-2026-0002", tomorrow);
    let why = String::from_utf8(ahead.stderr).unwrap();
    assert!(ahead.status.code() == Some(3) && why.contains("in the future"), "{why}");
}

fn revocation_again(place: &Place) {
    std::fs::remove_file(place.path("revocation.json")).unwrap();
    revocation(place, "[target]\npermit = \"dap-2026-0001\"");
    std::fs::rename(place.path("revocation.json"), place.path("revoked-permit.json")).unwrap();
}

/// The samples and golden cases by the command that the documentation names.
#[test]
fn golden_cases_are_tried_by_a_command() {
    let place = Place::new("rho=1");
    let golden = example("policies/golden").display().to_string();
    let tried = place.ok(&["policy", "test", &golden]);
    assert!(
        tried.as_array().unwrap().len() >= 10 && tried.as_array().unwrap().iter().all(|case| case["wrong"].is_null())
    );
    assert!(example(DECLARATION).exists());
}
