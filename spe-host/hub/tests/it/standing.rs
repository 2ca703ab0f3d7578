//! How permits stand after they were given, as applicants, data access bodies and the public see it.

use jiff::{Timestamp, ToSpan};
use spe_hub::roles_of;
use spe_kernel::{
    document::{Document, sign},
    dsse::SecretKey,
    permit::{PermitBody, Status},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::{
    encode,
    governance::{Activity, PermitStanding, PermitState},
};

use crate::{
    applications::Case,
    federation::founder,
    papers::{application, body_of, decided_at, granting, now, permit_for, refusing},
    register::public,
};

pub(crate) fn revocation(number: &str, effective_at: Timestamp, key: &SecretKey) -> Vec<u8> {
    let body = RevocationBody {
        format: RevocationBody::FORMAT.into(),
        issuer: "a data access body".into(),
        issued_at: now(),
        effective_at,
        reason: "anna did not publish (Art. 61(4))".into(),
        target: Target::Permit(number.parse().unwrap()),
    };
    sign(&body, key)
}

fn changing(old: &PermitBody, status: Status, permit: PermitBody) -> PermitBody {
    PermitBody { status, original: old.original.clone(), replaces: Some(old.number.clone()), ..permit }
}

fn days(days: i64) -> Timestamp {
    now() + (24 * days).hours()
}

/// How the permit of that node's part stands: as anna sees it, and in the register.
pub(crate) async fn standing(case: &Case, node: &str) -> (Option<PermitStanding>, Option<PermitStanding>) {
    let view = case.anna.hub.application(&case.id).await.unwrap();
    let register = public(case).await.register().await.unwrap();
    let entry = register.entries.iter().find(|entry| entry.application == case.id).unwrap();
    let seen = view.parts.into_iter().find(|part| part.node.as_str() == node).unwrap().standing;
    (seen, entry.parts.iter().find(|part| part.node.as_str() == node).unwrap().standing.clone())
}

async fn state(case: &Case, node: &str) -> (PermitState, Timestamp) {
    let (seen, public) = standing(case, node).await;
    let (seen, public) = (seen.unwrap(), public.unwrap());
    assert_eq!((seen.state, seen.since), (public.state, public.since), "applicant and public see different things");
    (seen.state, seen.since)
}

fn count(report: &Activity, name: &str) -> String {
    report.indicators.iter().find(|one| one.name == name).unwrap().value.clone().unwrap()
}

/// What would be a bug: a permit that is shown as given though it was taken back, changed or is over; words about a person in public; another
/// body's revocation that counts.
#[tokio::test]
async fn what_became_of_a_permit_is_shown_to_those_whom_it_concerns_and_to_the_public() {
    let case = Case::new().await;
    let (key, assessor) = (body_of("north"), &case.assessors[0].hub);
    let body = application(&case.anna, "app-1");
    let first = permit_for(&body, "permit-1", &["north"]);
    assessor.decide(&case.id, granting(&case.envelope, &["north"], &first, &key)).await.unwrap();
    let other = permit_for(&body, "permit-m", &["middle"]);
    let middle = &case.assessors[1].hub;
    middle.decide(&case.id, granting(&case.envelope, &["middle"], &other, &body_of("middle"))).await.unwrap();
    let south = refusing(&case.envelope, &["south"], &body_of("south"));
    case.assessors[2].hub.decide(&case.id, south).await.unwrap();
    assert_eq!(state(&case, "north").await, (PermitState::Granted, now()));
    assert_eq!(standing(&case, "south").await, (None, None), "a permit where there is none");

    (case.federation.set_time)(days(10));
    let second = PermitBody { valid_from: days(20), ..permit_for(&body, "permit-2", &["north"]) };
    let second = changing(&first, Status::Amended, second);
    assessor.decide(&case.id, granting(&case.envelope, &["north"], &second, &key)).await.unwrap();
    assert_eq!(state(&case, "north").await, (PermitState::Amended, days(20)), "it begins later");
    assert_eq!(case.anna.hub.applications().await.unwrap()[0].in_force, 2, "the first permit holds until then");

    // Whichever permit of a line is named, all of it ends; another body's of the same number is another line's.
    case.assessors[1].hub.revoke(revocation("permit-1", days(1), &body_of("middle"))).await.unwrap();
    assert_eq!(state(&case, "north").await.0, PermitState::Amended, "another body took it back");
    assessor.revoke(revocation("permit-1", days(40), &key)).await.unwrap();
    assessor.revoke(revocation("permit-2", days(30), &key)).await.unwrap();
    let (seen, in_public) = standing(&case, "north").await;
    let (seen, in_public) = (seen.unwrap().revocation.unwrap(), in_public.unwrap().revocation.unwrap());
    assert_eq!((seen.effective_at, seen.reason.as_str()), (days(30), "anna did not publish (Art. 61(4))"));
    assert_eq!((in_public.effective_at, in_public.reason.as_str()), (days(30), "Art. 61(4)"));
    assert_eq!(state(&case, "north").await.0, PermitState::Amended, "it is taken back before its time");
    (case.federation.set_time)(days(30));
    assert_eq!(state(&case, "north").await, (PermitState::Revoked, days(30)));
    let view = case.anna.hub.application(&case.id).await.unwrap();
    assert_eq!(view.coverage, "granted at 2 of 3 nodes (middle, north); refused at south; revoked at north");
    let line = &case.anna.hub.applications().await.unwrap()[0];
    assert_eq!((line.granted, line.in_force), (2, 1));

    (case.federation.set_time)(other.valid_until);
    assert_eq!(state(&case, "middle").await, (PermitState::Expired, other.valid_until));
    assert_eq!(state(&case, "north").await, (PermitState::Revoked, days(30)));
    let report = public(&case).await.activity(Default::default()).await.unwrap();
    for (name, expected) in [
        ("parts granted", "2"),
        ("parts whose permit was amended", "1"),
        ("parts whose permit was renewed", "0"),
        ("parts whose permit was revoked", "1"),
        ("parts whose permit expired", "1"),
        ("permits revoked, Art. 63(3)", "1"),
        // The other body's, which gave none of that number.
        ("numbers revoked that no decision here gave to a permit", "1"),
    ] {
        assert_eq!(count(&report, name), expected, "{name}");
    }
    assert_eq!(
        count(&report, "average number of days between application and permit"),
        "0.0",
        "an amendment is no permit"
    );
}

/// What would be a bug: a part whose permit was replaced by one that leaves it out, and that is shown as if it held.
#[tokio::test]
async fn a_permit_that_leaves_a_part_out_replaces_the_one_there() {
    let case = Case::new().await;
    let both = ["assessor@north", "assessor@south"].map(|role| role.parse().unwrap());
    roles_of(case.federation.dir.path(), &"assessor-north".parse().unwrap(), Some((&both, &founder()))).unwrap();
    let mut at_south = case.nodes[2].catalogue();
    at_south.access_bodies = vec![body_of("north").public()];
    case.nodes[2].hub.offer(encode(&at_south)).await.unwrap();
    let (key, assessor) = (body_of("north"), &case.assessors[0].hub);
    let body = application(&case.anna, "app-1");
    let first = permit_for(&body, "permit-1", &["north", "south"]);
    assessor.decide(&case.id, granting(&case.envelope, &["north", "south"], &first, &key)).await.unwrap();
    let second = changing(&first, Status::Amended, permit_for(&body, "permit-2", &["north"]));
    assessor.decide(&case.id, granting(&case.envelope, &["north"], &second, &key)).await.unwrap();
    assert_eq!(state(&case, "north").await.0, PermitState::Amended);
    let (seen, _) = standing(&case, "south").await;
    let seen = seen.unwrap();
    let by = seen.replaced_by.as_ref().map(ToString::to_string);
    assert_eq!((seen.state, by), (PermitState::Replaced, Some("permit-2".into())));
    assert_eq!(case.anna.hub.applications().await.unwrap()[0].in_force, 1);
}

/// What would be a bug: a decision that was made, it says, before there was anything to decide on, or that nobody has made yet.
#[tokio::test]
async fn a_decision_is_made_between_the_application_and_now() {
    let case = Case::new().await;
    let north = &case.assessors[0].hub;
    let at =
        |at: Timestamp| decided_at(&refusing(&case.envelope, &["north"], &body_of("north")), at, &body_of("north"));
    for (wrong, says) in [(now() - 61.minutes(), "came to the hub at"), (now() + 61.minutes(), "in the future")] {
        let why = north.decide(&case.id, at(wrong)).await.expect_err("a decision at an impossible time");
        assert!(matches!(why, Refusal::Malformed { .. }) && why.to_string().contains(says), "{why}");
    }
    // What clocks may differ.
    north.decide(&case.id, at(now() - 59.minutes())).await.expect("a clock that is a little behind");
    let ahead =
        decided_at(&refusing(&case.envelope, &["south"], &body_of("south")), now() + 59.minutes(), &body_of("south"));
    case.assessors[2].hub.decide(&case.id, ahead).await.expect("a clock that is a little ahead");
}

/// What would be a bug: a permit with the date of a template, which covers everybody who has opted out since then.
#[tokio::test]
async fn a_permit_is_not_dated_back() {
    let case = Case::new().await;
    let (north, key, body) = (&case.assessors[0].hub, body_of("north"), application(&case.anna, "app-1"));
    let at = |issued_at: Timestamp| PermitBody { issued_at, ..permit_for(&body, "permit-1", &["north"]) };
    let give = |permit: &PermitBody| north.decide(&case.id, granting(&case.envelope, &["north"], permit, &key));
    let why = give(&at(now() - 61.minutes())).await.expect_err("a permit of before the application");
    assert!(matches!(why, Refusal::Malformed { .. }) && why.to_string().contains("came to the hub at"), "{why}");
    // What clocks may differ.
    let first = at(now() - 59.minutes());
    give(&first).await.expect("a clock that is a little behind");
    let second = changing(&first, Status::Amended, permit_for(&body, "permit-2", &["north"]));
    let back = PermitBody { issued_at: now() - 60.minutes(), ..second.clone() };
    let why = give(&back).await.expect_err("an amendment of before the permit that it amends");
    assert!(why.to_string().contains("permit permit-1, whose place it takes"), "{why}");
    give(&second).await.expect("an amendment of now");
}

/// What would be a bug: a hub that is restarted with a clock that was set back, and for which what it has written down is yet to come.
#[tokio::test]
async fn a_hub_is_never_before_its_last_entry() {
    let mut case = Case::new().await;
    (case.federation.set_time)(days(30));
    let refusal = refusing(&case.envelope, &["north"], &body_of("north"));
    case.assessors[0].hub.decide(&case.id, refusal).await.unwrap();
    case.federation.stop().await;
    case.federation.set_back();
    case.federation.start(|_| {}).await;
    assert_eq!(public(&case).await.register().await.unwrap().at, days(30));
}
