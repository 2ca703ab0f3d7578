//! One byte that is not as it was signed, at whoever relays it: refused by whoever gets it, and logged there.

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::place::{Place, eventually, module, outcome};

/// Changes one byte of what the hub, which is down, has for `key`, as a query by that key finds and an update replaces it.
fn flip(place: &Place, (find, replace): (&str, &str), key: &str, at: impl Fn(&[u8]) -> usize) {
    let db = Connection::open(place.path("hub/hub.sqlite")).unwrap();
    let mut bytes: Vec<u8> = db.query_row(find, [key], |row| row.get(0)).unwrap();
    let at = at(&bytes);
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(db.execute(replace, params![key, bytes]).unwrap(), 1);
}

/// Somewhere in what an envelope's signature is over.
fn in_the_payload(envelope: &[u8]) -> usize {
    let field = b"\"payload\":\"";
    envelope.windows(field.len()).position(|window| window == field).unwrap() + field.len() + 200
}

const MODULE: (&str, &str) = (
    "SELECT wasm FROM module WHERE digest = (SELECT module FROM job WHERE id = ?1)",
    "UPDATE module SET wasm = ?2 WHERE digest = (SELECT module FROM job WHERE id = ?1)",
);
const PERMIT: (&str, &str) = ("SELECT permit FROM job WHERE id = ?1", "UPDATE job SET permit = ?2 WHERE id = ?1");
const JOB: (&str, &str) = ("SELECT envelope FROM job WHERE id = ?1", "UPDATE job SET envelope = ?2 WHERE id = ?1");
const ANSWER: (&str, &str) = (
    "SELECT body FROM asked WHERE job = ?1 AND outcome = 'answered'",
    "UPDATE asked SET body = ?2 WHERE job = ?1 AND outcome = 'answered'",
);

/// What would be a bug: a byte that the hub changed in a module, a permit, a job or an answer, and that somebody goes on with; one that the
/// node refuses and of which its log never tells; a log that whoever changes bytes can fill.
#[test]
fn a_byte_that_the_hub_changed_is_refused_and_logged() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let job = |view: Value| view["job"].as_str().unwrap().to_owned();
    let answered = job(place.ask("rho=0.1", &[]));
    place.stop("north");
    let wasm = job(place.ask_module(&module("visits-distribution"), "rho=0.1", &["--detach"]));
    let [permit, envelope] = ["rho=0.12", "rho=0.13"].map(|loss| job(place.ask(loss, &["--detach"])));
    place.stop("hub");
    flip(&place, MODULE, &wasm, |bytes| bytes.len() / 2);
    flip(&place, PERMIT, &permit, in_the_payload);
    flip(&place, JOB, &envelope, in_the_payload);
    flip(&place, ANSWER, &answered, in_the_payload);
    place.start_all(&["north"]);

    let at = |job: &str| outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, "north");
    eventually("the module is refused", || at(&wasm)["outcome"] == "refused");
    assert_eq!(at(&wasm)["why"]["refusal"], "malformed", "{}", at(&wasm));
    eventually("the permit is refused", || at(&permit)["outcome"] == "refused");
    assert_eq!(at(&permit)["why"]["refusal"], "bad-signature", "{}", at(&permit));
    let told = |what: &str| std::fs::read_to_string(place.path("north.log")).unwrap().contains(what);
    eventually("the job is refused", || told("the signature on the job does not verify"));
    let (_, why) = place.fails(&["job", "result", &answered, "--as", "researcher"]);
    assert!(why.contains("bad answer of node north"), "a changed answer is shown: {why}");
    assert_eq!(place.spent("north"), "rho=0.1", "something that was changed was charged");

    // A signed job of a known person is named; what nobody signed is counted, and told once an hour.
    place.stop("north");
    let refused = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    let clauses: Vec<_> = refused.as_array().unwrap().iter().map(|entry| &entry["event"]["clause"]).collect();
    assert_eq!(clauses, ["malformed"], "the changed module is not in the log: {refused}");
    let ledger = Connection::open(place.path("north/data/ledger.sqlite")).unwrap();
    let counted: u32 = ledger.query_row("SELECT documents FROM log_damaged", [], |row| row.get(0)).unwrap();
    assert_eq!(counted, 2, "the permit and the job");
    let told = |place: &Place| place.ok(&["audit", "show", "north", "--event", "damaged-refused"]);
    assert_eq!(told(&place), serde_json::json!([]), "each has an entry of its own");
    ledger.execute("UPDATE log_damaged SET since_ms = since_ms - 3600000", []).unwrap();
    drop(ledger);
    place.start_node("north");
    eventually("it is told", || told(&place) != serde_json::json!([]));
    place.stop("north");
    let told = told(&place);
    assert_eq!((told.as_array().unwrap().len(), &told[0]["event"]["documents"]), (1, &2.into()), "{told}");
    assert_eq!(place.ok(&["audit", "verify", "north"])["holds"], true);
}
