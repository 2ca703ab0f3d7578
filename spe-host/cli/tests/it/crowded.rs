//! Who takes room among the jobs that wait for their turn or for an officer, and for how long.

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
    let what = refused["why"]["what"].as_str().unwrap();
    assert!(what.contains("officer") && what.contains("of this person"), "another limit than the person's: {what}");
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

/// Signs a revocation of `target` that holds at once.
fn revocation(place: &Place, target: &str, out: &str) {
    let now = jiff::Timestamp::now();
    let draft = format!(
        "format = \"spe.revocation/1\"\nissuer = \"Example data access body\"\nissued_at = \"{now}\"\neffective_at = \"{now}\"\n\
         reason = \"the conditions were not kept\"\n{target}\n"
    );
    std::fs::write(place.path("revocation.toml"), draft).unwrap();
    place.ok(&["revocation", "sign", "revocation.toml", "--key", "access-body.key", "--out", out]);
}

/// Asks under the permit in that file.
fn detach_under(place: &Place, permit: &str, attempt: u32, more: &[&str]) -> String {
    std::fs::copy(place.path(permit), place.path("permit.json")).unwrap();
    let attempt = attempt.to_string();
    let view = place.ask("rho=0.1", &[&["--detach", "--attempt", &attempt], more].concat());
    view["job"].as_str().unwrap().to_owned()
}

/// What would be a bug, at the pace that nodes are shipped with: a job under a revoked permit, or of an excluded person, that is told so only
/// when the job before it is over, be it one that waited already or a new one; a job that is told its end before that is due; one under another
/// permit that goes with them; a refusal of which the log does not tell.
#[test]
fn what_is_revoked_is_refused_while_another_job_is_held() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &example(DECLARATION), "site = \"1\"", "rho=2");
    place.ok(&["hub", "invite", "hub", "--person", "vera", "--roles", "assessor@north", "--out", "assessor"]);
    std::fs::copy(place.path("permit.json"), place.path("one.json")).unwrap();
    let other = std::fs::read_to_string(place.path("permit.toml")).unwrap().replace("dap-2026-0001", "dap-2026-0002");
    std::fs::write(place.path("other.toml"), other).unwrap();
    place.ok(&["permit", "sign", "other.toml", "--key", "access-body.key", "--out", "other.json"]);
    place.start_all(&["north"]);
    // For minutes: nothing here is told because its turn has come.
    let held = detach_under(&place, "one.json", 0, &["--fuel", "500000"]);
    eventually("a job is under way", || at(&place, &held)["stage"] == "running");
    let (waiting, staying) = (detach_under(&place, "one.json", 1, &[]), detach_under(&place, "other.json", 2, &[]));
    let is_refused = |job: &str, clause: &str| {
        eventually("it is refused", || at(&place, job)["outcome"] == "refused");
        assert_eq!(at(&place, job)["why"]["refusal"], clause);
        assert_eq!(at(&place, &held)["stage"], "running", "the job that is held told its end, or was waited for");
    };
    revocation(&place, "[target]\npermit = \"dap-2026-0001\"", "permit-revoked.json");
    place.ok(&["node", "desk", "revoke", "north", "permit-revoked.json"]);
    is_refused(&waiting, "permit-revoked");
    let new = detach_under(&place, "one.json", 3, &[]);
    is_refused(&new, "permit-revoked");
    assert_eq!(at(&place, &staying)["outcome"], "working", "the other permit was not revoked");
    revocation(&place, "[target.person]\nname = \"ada\"\nuntil = \"2028-01-01T00:00:00Z\"", "excluded.json");
    place.ok(&["revocation", "submit", "excluded.json", "--as", "assessor"]);
    is_refused(&staying, "person-excluded");
    let last = detach_under(&place, "other.json", 4, &[]);
    is_refused(&last, "person-excluded");
    let seen = place.ok(&["node", "permits", "north"]);
    let numbers: Vec<_> = seen.as_array().unwrap().iter().map(|permit| permit["number"].as_str().unwrap()).collect();
    assert_eq!(
        numbers,
        ["dap-2026-0001", "dap-2026-0002"],
        "of which line a permit is that was only refused is not known"
    );
    place.kill("north");
    let admitted = place.ok(&["audit", "show", "north", "--event", "job-admitted"]);
    assert_eq!(
        admitted.as_array().unwrap().len(),
        1,
        "something besides the job that is held was admitted: {admitted}"
    );
    let told = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    let clauses: Vec<_> = told.as_array().unwrap().iter().map(|e| e["event"]["clause"].as_str().unwrap()).collect();
    assert_eq!(clauses, ["permit-revoked", "permit-revoked", "person-excluded", "person-excluded"], "{told}");
}
