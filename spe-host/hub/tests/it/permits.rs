//! Permits as the hub takes and passes them on: not wider than their decisions, each number once, and to the nodes that they concern.

use spe_hub::roles_of;
use spe_kernel::{
    disclosure::Catalogue,
    document::{Document, sign},
    dsse::SecretKey,
    ids::Digest,
    permit::{PermitBody, Status},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::{Assignment, Incoming, PassedOn, Ruling, encode, governance::ApplicationView};

use crate::{
    applications::Case,
    federation::{Person, assigned, founder},
    papers::{application, body_of, granting, now, permit_for, refusing},
};

fn refused(answer: Result<ApplicationView, Refusal>) -> Refusal {
    answer.expect_err("a permit was given that must not be")
}

/// A permit for those nodes, in the place of `old`.
fn amending(old: &PermitBody, number: &str, nodes: &[&str], anna: &Person) -> PermitBody {
    PermitBody {
        status: Status::Amended,
        original: old.original.clone(),
        replaces: Some(old.number.clone()),
        ..permit_for(&application(anna, "app-1"), number, nodes)
    }
}

fn revocation(number: &str, key: &SecretKey) -> Vec<u8> {
    let body = RevocationBody {
        format: RevocationBody::FORMAT.into(),
        issuer: "a data access body".into(),
        issued_at: now(),
        effective_at: now(),
        reason: "a test".into(),
        target: Target::Permit(number.parse().unwrap()),
    };
    sign(&body, key)
}

fn permit_of(ruling: &Ruling) -> Assignment {
    Assignment::Permit { envelope: ruling.permit.clone().unwrap() }
}

/// What would be a bug: a node that answers under another part's permit, though its own part was refused or nobody decided it.
#[tokio::test]
async fn a_permit_is_not_wider_than_its_decision() {
    let case = Case::new().await;
    let [north, middle, _] = case.assessors.as_slice() else { panic!("three") };
    let body = application(&case.anna, "app-1");
    middle.hub.decide(&case.id, refusing(&case.envelope, &["middle"], &body_of("middle"))).await.unwrap();
    let open = granting(&case.envelope, &["north"], &permit_for(&body, "permit-1", &[]), &body_of("north"));
    let why = refused(north.hub.decide(&case.id, open).await).to_string();
    assert!(why.contains("nodes = [\"north\"]") && why.contains("Art. 68(5)"), "it does not say what to write: {why}");
    let wide = permit_for(&body, "permit-1", &["north", "middle"]);
    let why = refused(north.hub.decide(&case.id, granting(&case.envelope, &["north"], &wide, &body_of("north"))).await)
        .to_string();
    assert!(why.contains("names node middle for dataset census"), "it does not say which: {why}");
    assert_eq!(
        case.anna.hub.application(&case.id).await.unwrap().coverage,
        "granted at 0 of 3 nodes; refused at middle; open at north, south"
    );
    let own = granting(&case.envelope, &["north"], &permit_for(&body, "permit-1", &["north"]), &body_of("north"));
    north.hub.decide(&case.id, own).await.expect("a permit for the node that was decided");
}

/// What would be a bug: two documents that jobs, charges and revocations cannot tell apart; an amendment in a line that nodes do not take it
/// for, or that they refuse.
#[tokio::test]
async fn a_number_is_one_permit_s_and_a_line_goes_on() {
    let case = Case::new().await;
    let (north, key) = (&case.assessors[0], body_of("north"));
    let first = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    north.hub.decide(&case.id, granting(&case.envelope, &["north"], &first, &key)).await.unwrap();

    let second = application(&case.anna, "app-2");
    let envelope = sign(&second, &case.anna.key);
    let id = case.anna.hub.apply(envelope.clone()).await.unwrap();
    let reused = granting(&envelope, &["north"], &permit_for(&second, "permit-1", &["north"]), &key);
    let why = refused(north.hub.decide(&id, reused).await);
    assert_eq!(why, Refusal::PermitNumberTaken { number: "permit-1".parse().unwrap() });
    let middle = &case.assessors[1];
    let of_another =
        granting(&envelope, &["middle"], &permit_for(&second, "permit-1", &["middle"]), &body_of("middle"));
    middle.hub.decide(&id, of_another).await.expect("another body counts for itself");
    let fresh = granting(&envelope, &["north"], &permit_for(&second, "permit-2", &["north"]), &key);
    north.hub.decide(&id, fresh).await.expect("a number of its own");

    let next = amending(&first, "permit-3", &["north"], &case.anna);
    let decide = |permit: PermitBody| north.hub.decide(&case.id, granting(&case.envelope, &["north"], &permit, &key));
    let taken = PermitBody { number: "permit-2".parse().unwrap(), ..next.clone() };
    assert!(matches!(refused(decide(taken).await), Refusal::PermitNumberTaken { .. }));
    let elsewhere = PermitBody { original: "permit-2".parse().unwrap(), ..next.clone() };
    assert!(
        matches!(refused(decide(elsewhere).await), Refusal::NotAllowed { .. }),
        "nodes would count its losses anew"
    );
    let longer = PermitBody { valid_until: "2028-01-01T00:00:00Z".parse().unwrap(), ..next.clone() };
    assert!(matches!(refused(decide(longer).await), Refusal::Unlawful { .. }), "no node would take it, Art. 68(12)");
    decide(next).await.expect("an amendment");
}

/// North's data access body is south's, too; what south offers then.
pub(crate) async fn share(case: &Case) -> Catalogue {
    let both = ["assessor@north", "assessor@south"].map(|role| role.parse().unwrap());
    roles_of(case.federation.dir.path(), &"assessor-north".parse().unwrap(), Some((&both, &founder()))).unwrap();
    let at_south = Catalogue { access_bodies: vec![body_of("north").public()], ..case.nodes[2].catalogue() };
    case.nodes[2].hub.offer(encode(&at_south)).await.unwrap();
    at_south
}

/// What would be a bug: a node that goes on under a permit that was replaced since nobody told it; or one that is told of what does not
/// concern it.
#[tokio::test]
async fn nodes_are_told_of_the_permits_that_concern_them() {
    let mut case = Case::new().await;
    let key = body_of("north");
    let at_south = share(&case).await;
    let mut north = case.nodes[0].attend().await;

    let first = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north", "south"]);
    let granted = granting(&case.envelope, &["north", "south"], &first, &key);
    let assessor = &case.assessors[0].hub;
    assessor.decide(&case.id, granted.clone()).await.unwrap();
    assert_eq!(assigned(&mut north).await, permit_of(&granted), "the node is not told at once");
    let second = amending(&first, "permit-2", &["north"], &case.anna);
    let amended = granting(&case.envelope, &["north"], &second, &key);
    assessor.decide(&case.id, amended.clone()).await.unwrap();
    loop {
        // The same may arrive again.
        match assigned(&mut north).await {
            told if told == permit_of(&amended) => break,
            told => assert_eq!(told, permit_of(&granted)),
        }
    }
    assessor.revoke(revocation("permit-9", &key)).await.unwrap();

    case.federation.stop().await;
    case.federation.start(|_| {}).await;
    let told = |mut work: Incoming<Assignment>| async move {
        let mut told = Vec::new();
        loop {
            match assigned(&mut work).await {
                Assignment::Revoke { .. } => return told,
                one if told.last() == Some(&one) => {}
                one => told.push(one),
            }
        }
    };
    let all = vec![permit_of(&granted), permit_of(&amended)];
    assert_eq!(told(case.nodes[0].attend().await).await, all, "a node that was away is not told");
    let left_out = told(case.nodes[2].hub.attend(encode(&at_south)).await.unwrap()).await;
    assert_eq!(left_out, all, "the first permit still works at a node that the second leaves out");
    assert_eq!(told(case.nodes[1].attend().await).await, Vec::new(), "a node is told of another body's permits");
}

/// What would be a bug: a revocation of a permit that a node was never told of, as it was not given for it, and that so does not end there the
/// line that the node has come into since.
#[tokio::test]
async fn a_node_that_joins_a_line_later_is_told_all_of_it() {
    let case = Case::new().await;
    let (key, assessor) = (body_of("north"), &case.assessors[0].hub);
    let at_south = share(&case).await;
    let mut south = case.nodes[2].hub.attend(encode(&at_south)).await.unwrap();
    let first = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    let second = amending(&first, "permit-2", &["north"], &case.anna);
    let at_north = [&first, &second].map(|permit| granting(&case.envelope, &["north"], permit, &key));
    for ruling in &at_north {
        assessor.decide(&case.id, ruling.clone()).await.unwrap();
    }
    let of_another = revocation("permit-9", &key);
    assessor.revoke(of_another.clone()).await.unwrap();
    assert_eq!(assigned(&mut south).await, Assignment::Revoke { envelope: of_another }, "what is not its business");
    let third = amending(&second, "permit-3", &["south"], &case.anna);
    let third = granting(&case.envelope, &["south"], &third, &key);
    assessor.decide(&case.id, third.clone()).await.unwrap();
    for ruling in at_north.iter().chain([&third]) {
        assert_eq!(assigned(&mut south).await, permit_of(ruling));
    }
}

/// What would be a bug: one entry that cannot be read, and no node with a part in the application gets work any more.
#[tokio::test]
async fn a_decision_that_does_not_open_is_passed_over() {
    let mut case = Case::new().await;
    let (key, assessor) = (body_of("north"), &case.assessors[0].hub);
    let permit = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    let granted = granting(&case.envelope, &["north"], &permit, &key);
    assessor.decide(&case.id, granted.clone()).await.unwrap();
    case.federation.stop().await;
    let db = rusqlite::Connection::open(case.federation.dir.path().join("hub.sqlite")).unwrap();
    for body in ["{}", "{\"decision\": \"\", \"permit\": \"{}\"}"] {
        let sql = "INSERT INTO governance (at, what, subject, node, person, digest, body)
            VALUES (?1, 'decision', ?2, 'north', 'assessor-north', ?4, CAST(?3 AS BLOB))";
        // One that was written so, and one that a disk has changed.
        for digest in [Digest::of(body.as_bytes()), Digest::of(&[body.as_bytes(), b" "].concat())] {
            db.execute(sql, [&now().to_string(), case.id.as_str(), body, &digest.to_string()]).unwrap();
        }
    }
    case.federation.start(|_| {}).await;
    let revoked = revocation("permit-1", &key);
    case.assessors[0].hub.revoke(revoked.clone()).await.unwrap();
    let mut north = case.nodes[0].attend().await;
    assert_eq!(assigned(&mut north).await, permit_of(&granted));
    assert_eq!(assigned(&mut north).await, Assignment::Revoke { envelope: revoked });
}

/// What would be a bug: a wrong number that nobody notices; one that is kept back, since nodes take permits that the hub never saw.
#[tokio::test]
async fn a_revocation_says_whether_the_hub_knows_the_permit() {
    let case = Case::new().await;
    let (key, assessor) = (body_of("north"), &case.assessors[0].hub);
    let first = permit_for(&application(&case.anna, "app-1"), "permit-1", &["north"]);
    let second = amending(&first, "permit-2", &["north"], &case.anna);
    for permit in [&first, &second] {
        assessor.decide(&case.id, granting(&case.envelope, &["north"], permit, &key)).await.unwrap();
    }
    let said = async |number: &str, key: &SecretKey| assessor.revoke(revocation(number, key)).await.unwrap();
    assert_eq!(said("permit-11", &key).await, PassedOn::NoSuchPermit);
    assert_eq!(said("permit-1", &body_of("middle")).await, PassedOn::NoSuchPermit, "another body's number");
    assert_eq!((said("permit-1", &key).await, said("permit-2", &key).await), (PassedOn::Known, PassedOn::Known));
    let mut middle = case.nodes[1].attend().await;
    let told = assigned(&mut middle).await;
    assert_eq!(told, Assignment::Revoke { envelope: revocation("permit-11", &key) }, "it is not passed on");
}
