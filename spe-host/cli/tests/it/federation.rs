//! A hub and nodes as processes: everything that can go wrong between them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{DECLARATION, Place, eventually, example, module, outcome};

fn three_nodes(loss_cap: &str) -> Place {
    let place = Place::new(loss_cap);
    place.node("north", "site in (\"1\", \"2\")", "rho=2");
    place.node("middle", "site in (\"3\", \"4\")", "rho=2");
    place.node("south", "site in (\"5\", \"6\")", "rho=2");
    place
}

fn answers(view: &Value) -> Vec<String> {
    let nodes = view["nodes"].as_array().unwrap().iter();
    nodes.filter(|n| n["outcome"] == "answered").map(|n| n["answer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_question_three_nodes_and_every_restart() {
    let mut place = three_nodes("rho=0.5");
    place.start_all(&["north", "middle", "south"]);

    let first = place.ask("rho=0.1", &[]);
    assert_eq!(first["state"], "complete");
    let exact = [3.138925, 2.869134, 2.568398, 2.097067, 2.728205];
    let estimates = first["statistics"][0]["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 6, "five categories and `other`");
    for (estimate, exact) in estimates.iter().zip(exact) {
        let half = (estimate["high"].as_f64().unwrap() - estimate["low"].as_f64().unwrap()) / 2.0;
        let off = (estimate["value"].as_f64().unwrap() - exact).abs();
        assert!(off < 4.0 * half + 0.15, "{estimate} is far from {exact}");
    }

    // The same question again: the same bytes, free; also after every process was killed and came back.
    assert_eq!(place.spent("north"), "rho=0.1");
    assert_eq!(answers(&place.ask("rho=0.1", &[])), answers(&first));
    for name in ["north", "hub", "south", "middle"] {
        place.kill(name);
    }
    place.start_all(&["north", "middle", "south"]);
    let again = place.ok(&["job", "result", first["job"].as_str().unwrap(), "--as", "researcher"]);
    assert_eq!(again["statistics"], first["statistics"], "the hub forgot a result");
    assert_eq!(answers(&place.ask("rho=0.1", &[])), answers(&first), "a node gave another answer to the same question");
    assert_eq!(place.spent("north"), "rho=0.1", "the same question was charged twice");

    // Over the permit's cap: refused by each node, with the clause, before any data is read.
    let refused = place.ask("rho=0.45", &[]);
    let why = outcome(&refused, "south");
    assert_eq!(
        (why["outcome"].as_str(), why["why"]["refusal"].as_str()),
        (Some("refused"), Some("permit-loss-exhausted"))
    );
    assert_eq!(place.spent("south"), "rho=0.1", "a refused question was charged");

    // A hostile module harms nobody and is answered like any other.
    let hostile = example("guest-sdk/evil/modules/hostile.wasm").display().to_string();
    let view = place.ask_module(&hostile, "rho=0.05", &[]);
    assert_eq!(answers(&view).len(), 3);
    place.wait_online(3);
}

#[test]
fn a_node_that_is_away_joins_later_without_new_cost_elsewhere() {
    let mut place = three_nodes("rho=1");
    place.start_all(&["north", "middle", "south"]);
    place.kill("south");
    place.wait_online(2);
    let partial = place.ask("rho=0.1", &[]);
    assert_eq!((partial["answered"].as_u64(), partial["asked"].as_u64()), (Some(2), Some(3)), "{partial}");
    assert_eq!(outcome(&partial, "south")["outcome"], "offline");
    assert!(!partial["statistics"].as_array().unwrap().is_empty(), "two nodes' answers are merged without the third");
    place.start_node("south");
    let job = partial["job"].as_str().unwrap().to_owned();
    let view = || place.ok(&["job", "result", &job, "--as", "researcher"]);
    eventually("the late node has answered", || view()["answered"] == 3);
    assert_eq!(place.spent("north"), "rho=0.1", "the late node cost something elsewhere");
    let width = |v: &Value| v["statistics"][0]["noise_sd"].as_f64().unwrap();
    assert!(width(&view()) > width(&partial), "three nodes' noise is more than two nodes'");
}

/// What would be a bug: a job that is given up, lost or charged twice because a node was away for longer than its hub waits for a sign of life.
/// It waits for a whole minute, doing nothing, beside the other tests: connections that are only seen to be dead after a time-out are the point.
#[test]
fn a_node_that_is_away_for_a_minute_gets_the_job_afterwards() {
    let mut place = three_nodes("rho=1");
    place.start_all(&["north", "middle", "south"]);
    place.kill("south");
    let job = place.ask("rho=0.1", &["--detach"])["job"].as_str().unwrap().to_owned();
    let view = || place.view(&["job", "result", &job, "--as", "researcher"]).0;
    eventually("two nodes have answered", || view()["answered"] == 2);
    std::thread::sleep(Duration::from_secs(61));
    assert_eq!(view()["answered"], 2, "somebody answered for a node that is away");
    place.start_node("south");
    let view = || place.view(&["job", "result", &job, "--as", "researcher"]).0;
    eventually("the late node has answered", || view()["answered"] == 3);
    for node in ["north", "middle", "south"] {
        assert_eq!(place.spent(node), "rho=0.1", "{node} was charged for something else than one answer");
    }
}

#[test]
fn one_nodes_refusal_does_not_kill_the_study() {
    let mut place = three_nodes("rho=1");
    place.policy("middle", "\"policymaking\", ", "");
    place.start_all(&["north", "middle", "south"]);
    let view = place.ask("rho=0.1", &[]);
    assert_eq!(view["answered"], 2);
    let refused = outcome(&view, "middle");
    assert_eq!(refused["why"]["refusal"], "policy-forbids");
    assert!(refused["why"]["rule"].as_str().unwrap().contains("policymaking"), "{refused}");
    // Asking one node only charges that one.
    let one = place.ask("rho=0.2", &["--node", "north"]);
    assert_eq!(one["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(place.spent("north"), "rho=0.3");
    assert_eq!(place.spent("south"), "rho=0.1");
}

#[test]
fn nodes_killed_again_and_again_under_load_never_charge_twice() {
    let mut place = Place::new("rho=1");
    place.node("north", "site in (\"1\", \"2\")", "rho=2");
    place.start_all(&["north"]);
    let mut jobs = Vec::new();
    for round in 0..12_u64 {
        let attempt = round.to_string();
        let job = place.ask("rho=0.001", &["--detach", "--attempt", &attempt]);
        jobs.push(job["job"].as_str().unwrap().to_owned());
        std::thread::sleep(Duration::from_millis(round * 13 % 60));
        place.kill("north");
        place.start_node("north");
    }
    let view = |job: &String| place.view(&["job", "result", job, "--as", "researcher"]).0;
    let mut final_views = Vec::new();
    eventually("every job is final", || {
        final_views = jobs.iter().map(view).collect();
        final_views.iter().all(|v| v["state"] == "complete")
    });
    for view in &final_views {
        let north = outcome(view, "north");
        let interrupted = north["why"]["refusal"] == "interrupted";
        assert!(north["outcome"] == "answered" || interrupted, "{north}");
    }
    place.wait_online(1);
    assert_eq!(place.spent("north"), "rho=0.012", "each of the twelve questions costs exactly once");
}

/// What would be a bug: a hub that burns a charge by a cancellation, which nobody signs; a job that was cancelled before its charge, and is
/// charged.
#[test]
fn a_cancellation_after_the_charge_costs_no_answer() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    // Held for many seconds, which is the time that there is to cancel.
    let submit = |loss: &str| place.ask(loss, &["--fuel", "20000", "--detach"])["job"].as_str().unwrap().to_owned();
    let state = |job: &str| outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, "north");
    let cancel = |job: &str| place.view(&["job", "cancel", job, "--as", "researcher"]).0;
    let charged = submit("rho=0.1");
    eventually("the job is under way", || state(&charged)["stage"] == "running");
    let waiting = submit("rho=0.2");
    assert_eq!(cancel(&waiting)["state"], "cancelled");
    // What would be a bug: a script that cannot tell a certificate that is to come from one that never will.
    for (job, expected, says) in [(&charged, 8, "spe job watch"), (&waiting, 7, "it was cancelled")] {
        let (code, said) = place.fails(&["job", "certificate", job, "--as", "researcher"]);
        assert!(code == expected && said.contains(says), "{code}: {said}");
    }
    assert_eq!(cancel(&charged)["state"], "cancelled");
    let again = place.ask("rho=0.1", &["--fuel", "20000"]);
    assert_eq!(again["answered"], 1, "an answer that was paid for is lost: {again}");
    assert_eq!(state(&charged)["why"]["refusal"], "cancelled");
    let spent = place.spent("north");
    assert_eq!(spent, "rho=0.1", "charged twice, or what was cancelled before its charge was charged");
    // Its node is away.
    place.kill("north");
    let told = place.ok(&["audit", "show", "north", "--event", "job-cancelled"]);
    assert_eq!(
        told.as_array().unwrap().len(),
        1,
        "what was cancelled under way is not told, or what never began is: {told}"
    );
    place.wait_online(0);
    let away = place.ask("rho=0.2", &["--detach"])["job"].as_str().unwrap().to_owned();
    assert_eq!(place.view(&["job", "cancel", &away, "--as", "researcher"]).0["state"], "cancelled");
    place.start_node("north");
    place.wait_online(1);
    // A later job has its answer, so whatever came before it was dealt with.
    assert_eq!(place.ask("rho=0.05", &["--fuel", "10000"])["answered"], 1);
    assert_eq!(place.spent("north"), "rho=0.15", "a job that was cancelled before it started was charged");
}

#[test]
fn a_hub_that_shows_another_number_is_caught() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let view = place.ask("rho=0.1", &[]);
    let job = view["job"].as_str().unwrap();
    // The researcher knew this node by another key before: whoever answers now is somebody else.
    let known = place.path("researcher/known-nodes.toml");
    let stranger = place.ok(&["key", "new", "stranger.key"])["public_key"].as_str().unwrap().to_owned();
    std::fs::write(&known, format!("north = \"{stranger}\"\n")).unwrap();
    let (_, message) = place.fails(&["job", "result", job, "--as", "researcher"]);
    assert!(message.contains("north") && message.contains(&stranger), "{message}");
    std::fs::remove_file(&known).unwrap();
    // A result that is not that of the job which the researcher signed.
    let signed = place.path(&format!("researcher/jobs/{job}.json"));
    let other = place.ask("rho=0.2", &[])["job"].as_str().unwrap().to_owned();
    std::fs::copy(place.path(&format!("researcher/jobs/{other}.json")), signed).unwrap();
    let (_, message) = place.fails(&["job", "result", job, "--as", "researcher"]);
    assert!(message.contains("another plan"), "{message}");
}

#[test]
fn a_permit_that_is_over_or_not_yet_valid_is_refused_at_the_node() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    place.permit("over", &ada, "rho=1", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    place.permit("future", &ada, "rho=1", "2090-01-01T00:00:00Z", "2091-01-01T00:00:00Z");
    place.start_all(&["north"]);
    for (permit, code) in [("over.json", "permit-expired"), ("future.json", "permit-not-yet-valid")] {
        let (view, exit) = place.view(&[
            "job",
            "submit",
            &module("visits-by-coinsurance"),
            "--as",
            "researcher",
            "--permit",
            permit,
            "--dataset",
            "rand-hie",
            "--purpose",
            "policymaking",
            "--loss",
            "rho=0.1",
        ]);
        assert_eq!(outcome(&view, "north")["why"]["refusal"], code);
        assert_eq!(exit, 5, "every node refused");
    }
    assert_eq!(place.spent("north"), "rho=0");
    place.kill("north");
    let entries = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    let clauses: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["event"]["clause"].as_str().unwrap()).collect();
    assert_eq!(clauses, ["permit-expired", "permit-not-yet-valid"], "a refusal that the log does not tell of");
}

#[test]
fn a_hub_that_is_not_there_yet_is_waited_for() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_node("north");
    // Several attempts, each of which fails for the same reason.
    std::thread::sleep(Duration::from_millis(1_500));
    let log = || std::fs::read_to_string(place.path("north.log")).unwrap();
    let told = log().matches("not connected").count();
    assert_eq!(told, 1, "a hub that is not there is told once, not at each attempt");
    place.start_hub();
    let start = Instant::now();
    place.wait_online(1);
    assert!(start.elapsed() < Duration::from_secs(15));
    place.kill("hub");
    let log = || std::fs::read_to_string(place.path("north.log")).unwrap();
    eventually("the node has noticed", || log().matches("not connected").count() > told);
}

/// What would be a bug: an answer that leaves before its deadline, which is known before any record is read, or at another time
/// than a slot.
#[test]
fn at_the_default_pace_an_answer_leaves_at_its_deadline() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let fuel = ["--fuel", "20000"];
    let expected = place.ask("rho=0.1", &[&fuel[..], &["--dry-run"]].concat());
    let seconds = expected["seconds_at_usual_pace"].as_f64().unwrap();
    assert!((0.5..10.0).contains(&seconds), "some thousand people at most, a millisecond each: {expected}");
    let begin = Instant::now();
    let first = place.ask("rho=0.1", &fuel);
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(first["answered"], 1);
    assert!(took >= seconds, "the answer left after {took} s, before its deadline of {seconds} s");
    assert!(took < seconds + 10.0, "the answer took {took} s");
    // The same question again is the same bytes, for which nothing is read: nothing to hide, nothing to wait for.
    let begin = Instant::now();
    assert_eq!(answers(&place.ask("rho=0.1", &fuel)), answers(&first));
    assert!(begin.elapsed().as_secs_f64() < seconds, "a stored answer waits for nothing");
}

/// What would be a bug: an answer, or the word that there is none, that leaves early because its node stops or dies and comes again; an
/// answer that is lost when a node stops, or keeps it from stopping.
#[test]
fn a_node_that_comes_again_lets_nothing_go_before_its_time() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    // Many seconds of fuel, of which next to none is spent.
    let ask = |place: &Place, more: &[&str]| place.ask("rho=0.1", &[&["--fuel", "20000"], more].concat());
    let seconds = ask(&place, &["--dry-run"])["seconds_at_usual_pace"].as_f64().unwrap();
    assert!((4.0..25.0).contains(&seconds), "{seconds}");
    let view = |place: &Place, job: &str| place.view(&["job", "result", job, "--as", "researcher"]).0;
    let begin = Instant::now();
    let job = ask(&place, &["--detach"])["job"].as_str().unwrap().to_owned();
    eventually("the job is under way", || outcome(&view(&place, &job), "north")["stage"] == "running");
    place.stop("north");
    assert_eq!(
        view(&place, &job)["answered"],
        0,
        "the answer left before its deadline, or the node waited for that before it stopped"
    );
    place.start_node("north");
    eventually("the answer has come", || view(&place, &job)["answered"] == 1);
    assert!(begin.elapsed().as_secs_f64() >= seconds, "an answer came {:?} after it was asked", begin.elapsed());

    let begin = Instant::now();
    let job = ask(&place, &["--detach", "--attempt", "1"])["job"].as_str().unwrap().to_owned();
    eventually("the job is under way", || outcome(&view(&place, &job), "north")["stage"] == "running");
    place.kill("north");
    place.start_node("north");
    let refusal = || outcome(&view(&place, &job), "north")["why"]["refusal"].clone();
    eventually("the refusal has come", || refusal() == "interrupted");
    assert!(begin.elapsed().as_secs_f64() >= seconds, "a crash told after {:?} that it was one", begin.elapsed());
    assert_eq!(place.spent("north"), "rho=0.2");
}

/// What would be a bug: a dataset in which a person may be at two nodes, and a ledger that does not bear it.
#[test]
fn an_overlap_of_two_is_charged_twice() {
    let mut place = Place::new("rho=1");
    let declaration = std::fs::read_to_string(example(DECLARATION)).unwrap();
    let twice = declaration.replacen("subjects_max", "overlap = 2\nsubjects_max", 1);
    std::fs::write(place.path("twice.toml"), twice).unwrap();
    place.node_of("north", &place.path("twice.toml"), "site in (\"1\", \"2\")", "rho=2");
    place.node_of("south", &place.path("twice.toml"), "site in (\"2\", \"3\")", "rho=2");
    place.policy("north", "\"rho=0.5\"", "\"rho=5\"");
    place.start_all(&["north", "south"]);
    let expected = place.ask("rho=0.1", &["--dry-run"]);
    assert_eq!(
        (&expected["loss_at_each_node"], &expected["charge_at_each_node"]),
        (&"rho=0.1".into(), &"rho=0.2".into())
    );
    let view = place.ask("rho=0.1", &[]);
    assert_eq!((&view["loss"], &view["charge"]), (&"rho=0.1".into(), &"rho=0.2".into()));
    assert_eq!(place.spent("north"), "rho=0.2", "the ledger must bear the loss at both nodes");
    assert_eq!(place.spent("south"), "rho=0.2");
    let (_, exit) = place.view(&["job", "certificate", view["job"].as_str().unwrap(), "--as", "researcher"]);
    assert_eq!(exit, 0);
    // The permit's cap is about what a person bears: 0.2 + 0.9 is over 1, though 0.1 + 0.45 is not.
    let refused = place.ask("rho=0.45", &[]);
    assert_eq!(outcome(&refused, "north")["why"]["refusal"], "permit-loss-exhausted");
}

#[test]
fn a_full_disk_at_the_ledger_costs_nothing_and_reads_nothing() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    place.ask("rho=0.1", &[]);
    place.kill("north");
    place.wait_online(0);
    place.start_node_on_a_full_disk("north");
    place.wait_online(1);
    let refused = outcome(&place.ask("rho=0.2", &[]), "north");
    assert_eq!(refused["why"]["refusal"], "internal", "answered without a durable charge: {refused}");
    place.kill("north");
    place.wait_online(0);
    place.start_node("north");
    place.wait_online(1);
    assert_eq!(place.spent("north"), "rho=0.1");
    assert_eq!(place.ask("rho=0.2", &[])["answered"], 1, "the node does not recover");
    assert_eq!(place.spent("north"), "rho=0.3");
}
