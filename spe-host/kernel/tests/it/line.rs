//! How a line of permits stands: the one that was granted, and all that amend or renew it.

use jiff::Timestamp;
use spe_kernel::{
    ids::Digest,
    permit::{Line, Permit, PermitBody, Standing, Status, Version},
    refusal::Refusal,
};

use crate::fixture::{body_key, permit};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn version(number: &str, status: Status, replaces: Option<&str>, (from, until): (&str, &str)) -> Version {
    Version {
        digest: Digest::of(number.as_bytes()),
        number: number.parse().unwrap(),
        status,
        replaces: replaces.map(|n| n.parse().unwrap()),
        issued_at: at(from),
        valid_from: at(from),
        valid_until: at(until),
    }
}

const FIRST: (&str, &str) = ("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z");
const SECOND: (&str, &str) = ("2030-06-01T00:00:00Z", "2031-01-01T00:00:00Z");
const THIRD: (&str, &str) = ("2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z");

/// What would be a bug: two permits of a line in force at once, or a permit that is in force after it was replaced, revoked or over.
#[test]
fn of_a_line_one_permit_is_in_force() {
    let mut line = Line::default();
    let all = [
        version("p-1", Status::Granted, None, FIRST),
        version("p-2", Status::Amended, Some("p-1"), SECOND),
        version("p-3", Status::Renewed, Some("p-2"), THIRD),
    ];
    let standing = |line: &Line, now: &str| all.clone().map(|v| line.standing(v.digest, at(now)));
    let in_force = |line: &Line, now: &str| {
        let stands = |s: &Option<Standing>| matches!(s, Some(Standing::InForce(_)));
        standing(line, now).iter().filter(|s| stands(s)).count()
    };
    line.add(all[0].clone()).unwrap();
    assert_eq!(
        line.standing(all[0].digest, at("2030-07-01T00:00:00Z")),
        Some(Standing::InForce(Status::Granted)),
        "what was not seen does not count"
    );
    line.add(all[1].clone()).unwrap();
    line.add(all[2].clone()).unwrap();
    for (now, count) in [
        ("2029-12-31T00:00:00Z", 0),
        ("2030-05-31T00:00:00Z", 1),
        ("2030-06-01T00:00:00Z", 1),
        ("2031-06-01T00:00:00Z", 1),
        ("2032-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(in_force(&line, now), count, "at {now}");
    }
    let [first, second, third] = standing(&line, "2031-06-01T00:00:00Z");
    assert_eq!(first, Some(Standing::Replaced { by: "p-2".parse().unwrap(), since: at(SECOND.0) }));
    assert_eq!(second, Some(Standing::Replaced { by: "p-3".parse().unwrap(), since: at(THIRD.0) }));
    assert_eq!(third, Some(Standing::InForce(Status::Renewed)));
    let revoked = Line::new(all.to_vec(), Some(at("2031-02-01T00:00:00Z")));
    assert_eq!(in_force(&revoked, "2031-01-31T00:00:00Z"), 1);
    assert_eq!(in_force(&revoked, "2031-02-01T00:00:00Z"), 0);
    let refused = standing(&revoked, "2031-02-01T00:00:00Z")[2].clone().unwrap().in_force(&all[2].number);
    assert!(matches!(refused, Err(Refusal::PermitRevoked { .. })));
    assert_eq!(line.standing(Digest::of(b"stranger"), at(FIRST.0)), None);
}

/// What would be a bug: a permit that is shown as in force before it was issued, or after another had taken its place, whatever ended later.
#[test]
fn a_permit_was_in_force_from_its_issue_to_the_first_of_its_ends() {
    let late = "2030-02-01T00:00:00Z";
    let first = Version { issued_at: at(late), ..version("p-1", Status::Granted, None, FIRST) };
    let second = version("p-2", Status::Amended, Some("p-1"), SECOND);
    let ends = |revoked_at: Option<&str>| {
        let line = Line::new(vec![first.clone(), second.clone()], revoked_at.map(at));
        [&first, &second].map(|version| line.in_force(version.digest).unwrap())
    };
    assert_eq!(ends(None), [(at(late), at(SECOND.0)), (at(SECOND.0), at(SECOND.1))]);
    let (early, after) = ("2030-03-01T00:00:00Z", "2030-09-01T00:00:00Z");
    assert_eq!(ends(Some(after)), [(at(late), at(SECOND.0)), (at(SECOND.0), at(after))]);
    assert_eq!(ends(Some(early)), [(at(late), at(early)), (at(SECOND.0), at(SECOND.0))], "the second never was");
    assert_eq!(Line::default().in_force(first.digest), None);
}

/// A node that never saw the amendment in between refuses the first all the same.
#[test]
fn a_permit_is_replaced_by_any_later_one_of_its_line() {
    let (first, third) = (
        version("p-1", Status::Granted, None, FIRST),
        version("p-3", Status::Renewed, Some("p-2"), ("2030-08-01T00:00:00Z", "2031-08-01T00:00:00Z")),
    );
    let line = Line::new(vec![first.clone(), third], None);
    let standing = line.standing(first.digest, at("2030-09-01T00:00:00Z"));
    assert!(matches!(standing, Some(Standing::Replaced { .. })), "{standing:?}");
}

#[test]
fn a_line_is_renewed_once_and_no_amendment_prolongs_it() {
    let unlawful = |line: &mut Line, version| assert!(matches!(line.add(version), Err(Refusal::Unlawful { .. })));
    let mut line = Line::new(vec![version("p-1", Status::Granted, None, FIRST)], None);
    unlawful(&mut line, version("p-2", Status::Amended, Some("p-1"), THIRD));
    line.add(version("p-2", Status::Renewed, Some("p-1"), THIRD)).unwrap();
    let again = ("2032-01-01T00:00:00Z", "2033-01-01T00:00:00Z");
    unlawful(&mut line, version("p-3", Status::Renewed, Some("p-2"), again));
    line.add(version("p-3", Status::Amended, Some("p-2"), THIRD)).unwrap();
    unlawful(&mut line, version("p-4", Status::Renewed, Some("p-3"), again));
    assert_eq!(line.versions().len(), 3);
    line.add(version("p-3", Status::Amended, Some("p-2"), THIRD)).unwrap();
    assert_eq!(line.versions().len(), 3, "the same permit is one, however often it is seen");
}

/// What would be a bug: an amendment that counts before it is issued or valid, or that never counts, for it was issued in the same instant; the
/// first of a line that takes the place of what amends it.
#[test]
fn an_amendment_counts_when_it_is_issued_and_valid() {
    let first = version("p-1", Status::Granted, None, FIRST);
    let amended = |issued_at: &str, valid_from: &str| Version {
        issued_at: at(issued_at),
        valid_from: at(valid_from),
        ..version("p-2", Status::Amended, Some("p-1"), SECOND)
    };
    let (early, late) = ("2030-03-01T00:00:00Z", "2030-06-01T00:00:00Z");
    for (issued_at, valid_from) in [(early, late), (late, early), (FIRST.0, late)] {
        let line = Line::new(vec![first.clone(), amended(issued_at, valid_from)], None);
        let standing = |now: &str| line.standing(first.digest, at(now));
        let says = format!("issued at {issued_at}, valid from {valid_from}");
        assert_eq!(standing("2030-05-31T00:00:00Z"), Some(Standing::InForce(Status::Granted)), "{says}");
        assert_eq!(standing(late), Some(Standing::Replaced { by: "p-2".parse().unwrap(), since: at(late) }), "{says}");
    }
    let late_first = Version { issued_at: at(late), ..first };
    let amended = amended(early, early);
    let line = Line::new(vec![late_first.clone(), amended.clone()], None);
    let standing = |version: &Version| line.standing(version.digest, at("2030-07-01T00:00:00Z"));
    assert_eq!(standing(&amended), Some(Standing::InForce(Status::Amended)));
    assert!(matches!(standing(&late_first), Some(Standing::Replaced { .. })), "two of a line are in force");
}

/// An amendment that had a cap of its own would double what people may lose.
#[test]
fn an_amended_permit_is_charged_to_the_line() {
    let now = at("2030-06-01T00:00:00Z");
    let verify = |body: PermitBody| Permit::verify(&body.sign(&body_key()), &[body_key().public()], now).unwrap();
    let first = verify(permit());
    let amended = verify(PermitBody {
        number: "p-2".parse().unwrap(),
        replaces: Some("p-1".parse().unwrap()),
        status: Status::Amended,
        ..permit()
    });
    assert_eq!(first.id(), amended.id());
    assert_ne!(first.digest(), amended.digest());
}
