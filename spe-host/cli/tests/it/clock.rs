//! A node whose clock is behind its own audit log: it was set back, or was ahead before.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use spe_kernel::{
    refusal::{Refusal, Stop},
    revocation::{ExcludedPerson, Target},
};
use spe_node::{run::Given, site::Site};

use crate::{
    place::{Place, eventually},
    question::{Doomed, PERMIT, escorted, once, open, place},
    standing::{permit, refusal, revocation_from, standings},
};

/// A permit that ends in 30 days.
const SHORT: (&str, &str) = ("dap-2026-3000", "dap-2026-3000.json");

const fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// The log's last entry but one is of that time: the last entry is not always the latest.
fn was_at(place: &Place, time: Timestamp) {
    let db = Connection::open(place.path("north/data/ledger.sqlite")).unwrap();
    db.execute_batch("DROP TRIGGER log_is_final").unwrap();
    let sql = "UPDATE log SET at_ms = ?1 WHERE idx = (SELECT MAX(idx) - 1 FROM log)";
    assert_eq!(db.execute(sql, [time.as_millisecond()]).unwrap(), 1);
}

/// The question of that number; until when the node would have waited.
fn ask(site: &Site, place: &Path, attempt: u32, under: (&str, &str)) -> (Result<Given, Stop>, Vec<Timestamp>) {
    let mut escort = Doomed::new(once(attempt), None);
    let given = escorted(site, &once(attempt).submitted_under(under, site, place, None), &mut escort);
    (given, escort.held)
}

/// What would be a bug: a permit that had ended, and is in force again since the clock was set back; an operator who is not told why it is
/// over; and the other way round, jobs that are too old for a node whose clock was once ahead, answers that wait until then, or a person who
/// was excluded until a day that only the log has seen.
#[test]
fn a_clock_that_is_set_back_brings_no_permit_back() {
    let mut place = place();
    let (dir, now) = (&place.dir.path().to_owned(), Timestamp::now());
    let ends = (now + days(30)).to_string();
    permit(&place, SHORT.0, &[(PERMIT.0, SHORT.0), ("2036-01-01T00:00:00Z", &ends)]);
    let site = open(dir);
    assert!(matches!(ask(&site, dir, 0, SHORT).0, Ok(Given::Answer(_))), "it is in force before");
    drop(site);
    assert_eq!(standings(&place)[SHORT.0], "granted");

    let ahead = now + days(60);
    was_at(&place, ahead);
    assert_eq!(standings(&place)[SHORT.0], "expired");
    let site = open(dir);
    assert_eq!(site.now().as_millisecond(), ahead.as_millisecond());
    for attempt in [0, 1] {
        let told = refusal(ask(&site, dir, attempt, SHORT).0);
        assert!(matches!(told, Refusal::PermitExpired { .. }), "it is in force again: {told:?}");
    }
    let (given, held) = ask(&site, dir, 2, PERMIT);
    assert!(matches!(given, Ok(Given::Answer(_))), "a permit that ends later: {:?}", given.err());
    assert!(!held.is_empty() && held.iter().all(|time| *time < now + days(1)), "it waits for the clock: {held:?}");

    let target = Target::Person(ExcludedPerson { name: "ada".parse().unwrap(), identity: None, until: now + days(30) });
    site.revoke(&revocation_from(&place, target, Timestamp::now())).unwrap();
    for (attempt, what) in [(2, "one that was answered before"), (3, "another")] {
        let told = refusal(ask(&site, dir, attempt, PERMIT).0);
        assert!(
            matches!(told, Refusal::PersonExcluded { .. }),
            "{what}: an exclusion is over by the log alone: {told:?}"
        );
    }
    drop(site);
    place.start_node("north");
    let said = || std::fs::read_to_string(place.path("north.log")).unwrap();
    eventually("the operator is told", || said().contains("stands still"));
    assert!(said().contains("docs/audit-log.md"), "{}", said());
}
