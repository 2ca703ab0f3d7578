//! More answers wait for officers than a node keeps in memory.

use serde_json::Value;

use crate::place::{DECLARATION, Place, eventually, example, outcome};

/// Bytes of each job, of which a node keeps 32 MiB for its officers, and half of it for one person: four have room.
const JOB_BYTES: usize = 4_100_000;
const ROOM: u32 = 4;

fn at(place: &Place, job: &str) -> Value {
    outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, "north")
}

fn detach(place: &Place, attempt: u32) -> String {
    let view = place.ask("rho=0.1", &["--detach", "--attempt", &attempt.to_string()]);
    view["job"].as_str().unwrap().to_owned()
}

/// What would be a bug: a job that finds no room among those that wait for an officer, and is never told of; one that was paid for and is lost by
/// it, or charged again.
#[test]
fn what_finds_no_room_to_wait_for_an_officer_is_told_so_and_keeps_its_answer() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let ola = place.ok(&["key", "new", "ola.key"])["public_key"].to_string();
    let officer = format!("[[officers]]\nname = \"ola\"\nkey = {ola}\nduties = [\"check-outputs\"]\n\n[outputs]");
    place.policy("north", "[outputs]", &officer);
    place.policy("north", "review = \"automatic\"", "review = \"checked\"");
    // Spaces after an envelope change nothing of it but its length.
    let mut permit = std::fs::read(place.path("permit.json")).unwrap();
    permit.resize(JOB_BYTES, b' ');
    std::fs::write(place.path("permit.json"), permit).unwrap();
    place.start_all(&["north"]);
    let waiting: Vec<_> = (0..ROOM).map(|attempt| detach(&place, attempt)).collect();
    for job in &waiting {
        eventually("it waits", || at(&place, job)["stage"] == "awaits-release");
    }
    let late = detach(&place, ROOM);
    eventually("it is told", || at(&place, &late)["outcome"] == "refused");
    let refused = at(&place, &late);
    assert_eq!(refused["why"]["refusal"], "unavailable", "{refused}");
    assert!(refused["why"]["what"].as_str().unwrap().contains("officer"), "{refused}");
    assert_eq!(place.spent("north"), "rho=0.5", "it was paid for, once");
    assert!(waiting.iter().all(|job| at(&place, job)["stage"] == "awaits-release"), "others lost their room");
    // The officers decide about all of them, and it is asked for again.
    let matters = place.ok(&["node", "desk", "list", "north"]);
    assert_eq!(matters.as_array().unwrap().len(), 5, "what finds no room is not shown to officers");
    for matter in matters.as_array().unwrap() {
        let matter = matter["matter"]["release"].as_str().unwrap();
        let approve = ["node", "desk", "approve", "north", matter, "--officer", "ola", "--key", "ola.key"];
        place.ok(&[&approve[..], &["--reason", "as the board decided"]].concat());
    }
    let again = detach(&place, ROOM);
    eventually("it is answered", || at(&place, &again)["outcome"] == "answered");
    assert_eq!(place.spent("north"), "rho=0.5", "it was charged again");
}

/// What would be a bug: somebody with a permit that they signed themselves, whose jobs fill the room of those that wait, or are not even counted.
#[test]
fn who_has_no_permit_takes_no_room() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=2");
    place.ok(&["key", "new", "stranger.key"]);
    place.ok(&["permit", "sign", "permit.toml", "--key", "stranger.key", "--out", "strange.json"]);
    let permit = std::fs::read(place.path("permit.json")).unwrap();
    place.start_all(&["north"]);
    // Held for many seconds: whatever waits for its turn waits longer than this.
    let held = place.ask("rho=0.1", &["--fuel", "20000", "--detach"])["job"].as_str().unwrap().to_owned();
    eventually("a job is under way", || at(&place, &held)["stage"] == "running");
    std::fs::copy(place.path("strange.json"), place.path("permit.json")).unwrap();
    let strange = detach(&place, 0);
    eventually("it is refused", || at(&place, &strange)["outcome"] == "refused");
    assert_eq!(at(&place, &held)["stage"], "running", "it waited for its turn among those who have a permit");
    assert_eq!(at(&place, &strange)["why"]["refusal"], "untrusted-key");
    std::fs::write(place.path("permit.json"), permit).unwrap();
    eventually("the other is answered", || at(&place, &held)["outcome"] == "answered");
    place.kill("north");
    let told = place.ok(&["audit", "show", "north", "--event", "strangers-refused"]);
    let ledger = rusqlite::Connection::open(place.path("north/data/ledger.sqlite")).unwrap();
    let untold: i64 =
        ledger.query_row("SELECT COALESCE(SUM(jobs), 0) FROM log_stranger", [], |row| row.get(0)).unwrap();
    assert!(!told.as_array().unwrap().is_empty() || untold == 1, "a refusal that nothing tells of");
}
