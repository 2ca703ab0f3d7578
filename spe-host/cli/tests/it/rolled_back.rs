//! A node whose witness has seen another log than it has: also while a job is on its way, and more than once.

use std::fs;

use rusqlite::Connection;

use crate::place::{Place, outcome};

fn refusal(place: &Place, loss: &str) -> String {
    outcome(&place.ask(loss, &[]), "north")["why"]["refusal"].as_str().unwrap_or_default().to_owned()
}

fn restart(place: &mut Place) {
    place.start_node("north");
    place.wait_online(1);
}

/// What would be a bug beside it: a ledger of which the node knows that it is not the right one, and a check that says that all is well.
fn acknowledge(place: &Place) {
    let (code, said) = place.fails(&["audit", "verify", "north"]);
    assert!(code == 1 && said.contains("the ledger is not the one that the node had"), "{said}");
    place.ok(&["audit", "acknowledge", "north", "--reason", "the disk was lost"]);
    let verified = place.ok(&["audit", "verify", "north"]);
    assert_eq!(verified["rollbacks"][0]["acknowledged"], "the disk was lost", "{verified}");
}

/// Has the hub, which runs, remember that it has seen so many entries more of every log.
fn has_seen_more(place: &Place, entries: i64) {
    let db = Connection::open(place.path("hub/hub.sqlite")).unwrap();
    assert_eq!(db.execute("UPDATE witness SET size = size + ?1", [entries]).unwrap(), 1);
}

/// What would be a bug: an answer that leaves although the witness, asked for its receipt, says that charges are missing; one that is charged
/// again, or another one, when all is well again.
#[test]
fn an_answer_is_held_back_when_its_witness_has_seen_more() {
    let mut place = Place::at_work(&["north"]);
    has_seen_more(&place, 1_000);
    let view = place.ask("rho=0.1", &[]);
    let job = view["job"].as_str().unwrap().to_owned();
    assert_eq!(outcome(&view, "north")["why"]["refusal"], "rolled-back", "{view}");
    assert_eq!((view["answered"].as_u64(), place.spent("north").as_str()), (Some(0), "rho=0.1"), "{view}");
    assert!(fs::read_to_string(place.path("north.log")).unwrap().contains("held back: the ledger is not the one"));
    let db = Connection::open(place.path("hub/hub.sqlite")).unwrap();
    let receipts: u32 = db.query_row("SELECT COUNT(*) FROM receipt", [], |row| row.get(0)).unwrap();
    let (outcome, body): (String, Vec<u8>) =
        db.query_row("SELECT outcome, body FROM asked WHERE job = ?1", [&job], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let body = String::from_utf8_lossy(&body);
    assert_eq!((receipts, outcome.as_str()), (0, "refused"), "something of the answer is at the hub: {body}");
    assert!(body.contains("rolled-back") && !body.contains("payload"), "the answer is at the hub: {body}");
    drop(db);
    place.stop("north");
    has_seen_more(&place, -1_000);
    acknowledge(&place);
    restart(&mut place);
    assert_eq!(place.ask("rho=0.1", &[])["answered"], 1, "what was held back never leaves");
    assert_eq!(place.spent("north"), "rho=0.1", "it was charged again");
}

/// What would be a bug: an old copy of the folder that is put back after another one was acknowledged, and goes unnoticed because the witness is
/// not heard any more; a node that has to acknowledge the same at each start.
#[test]
fn an_old_copy_after_an_acknowledged_one_stops_the_node_again() {
    let mut place = Place::at_work(&["north"]);
    let file = place.path("north/data/ledger.sqlite");
    let put_back = |place: &Place, copy: &[u8]| {
        fs::write(&file, copy).unwrap();
        fs::remove_file(place.path("north/data/ledger.sqlite-wal")).ok();
        fs::remove_dir_all(place.path("north/data/log")).unwrap();
    };
    let copy = |place: &mut Place, loss: &str| {
        place.stop("north");
        let copy = fs::read(&file).unwrap();
        restart(place);
        assert_eq!(place.ask(loss, &[])["answered"], 1, "{loss}");
        place.stop("north");
        copy
    };
    place.ask("rho=0.1", &[]);
    let first = copy(&mut place, "rho=0.11");
    put_back(&place, &first);
    restart(&mut place);
    assert_eq!(refusal(&place, "rho=0.12"), "rolled-back");
    place.stop("north");
    acknowledge(&place);
    fs::remove_file(place.path("north.log")).unwrap();
    restart(&mut place);
    assert_eq!(place.ask("rho=0.12", &[])["answered"], 1, "acknowledged");
    let log = fs::read_to_string(place.path("north.log")).unwrap();
    assert!(log.contains("a history of it that was acknowledged as lost"), "{log}");
    assert!(!log.contains("answers nothing"), "a node that answers says that it does not: {log}");
    let second = copy(&mut place, "rho=0.13");
    restart(&mut place);
    assert_eq!(place.ask("rho=0.14", &[])["answered"], 1, "what was acknowledged stops the node again");
    place.stop("north");
    put_back(&place, &second);
    for _ in 0..2 {
        restart(&mut place);
        assert_eq!(refusal(&place, "rho=0.15"), "rolled-back", "the second old copy answers");
        place.stop("north");
    }
    acknowledge(&place);
    restart(&mut place);
    assert_eq!(place.ask("rho=0.15", &[])["answered"], 1);
}
