//! A log of governance that cannot be read in full, or is from the future.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use jiff::{Timestamp, ToSpan};
use rusqlite::Connection;
use spe_hub::{Config, Hub, TERMS, agree, agreement, agreements};
use spe_kernel::{
    agreement::{Act, AgreementBody, Move, Standing, Terms},
    document::{open, sign},
    federation::Outcome,
    ids::{ApplicationId, Digest},
    refusal::Refusal,
};
use spe_wire::{
    Assignment, Ruling,
    governance::{ApplicationView, PermitState, Register},
};
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::{
    agreements::{hubs, operator},
    applications::Case,
    federation::{Federation, assigned, job_of},
    papers::{application, body_of, granting, now, permit_for, refusing},
    register::public,
    standing::{revocation, standing},
};

/// Changes what the hub keeps of an entry, as a disk may; gives the entry's number.
fn damage(case: &Case, (what, subject): (&str, &str), change: &str) -> i64 {
    let db = Connection::open(case.federation.dir.path().join("hub.sqlite")).unwrap();
    db.execute_batch("DROP TRIGGER IF EXISTS governance_is_not_changed").unwrap();
    let which = "what = ?1 AND subject LIKE ?2";
    let number = format!("SELECT MAX(number) FROM governance WHERE {which}");
    let number: i64 = db.query_row(&number, [what, subject], |row| row.get(0)).unwrap();
    assert_eq!(db.execute(&format!("UPDATE governance SET {change} WHERE number = ?1"), [number]).unwrap(), 1);
    number
}

/// One byte of the body, which stays JSON: in a list of datasets the first letter of a name.
const A_FLIPPED_BYTE: &str =
    "body = CAST(substr(CAST(body AS TEXT), 1, 2) || 'x' || substr(CAST(body AS TEXT), 4) AS BLOB)";

/// Whole, and of another version.
fn another_version() -> String {
    format!("body = CAST('{{}}' AS BLOB), digest = '{}'", Digest::of(b"{}"))
}

fn about(register: &Register) -> Vec<(String, Vec<i64>)> {
    register.unreadable.iter().map(|lost| (lost.about.clone(), lost.entries.clone())).collect()
}

/// Another application of anna's, and north's decision that gives it a permit.
async fn applied(case: &Case, number: &str, permit: &str) -> (ApplicationId, Ruling, Vec<u8>) {
    let body = application(&case.anna, number);
    let envelope = sign(&body, &case.anna.key);
    let id = case.anna.hub.apply(envelope.clone()).await.unwrap();
    let ruling = granting(&envelope, &["north"], &permit_for(&body, permit, &["north"]), &body_of("north"));
    (id, ruling, envelope)
}

async fn decide(case: &Case, id: &ApplicationId, ruling: &Ruling) -> Result<ApplicationView, Refusal> {
    case.assessors[0].hub.decide(id, ruling.clone()).await
}

async fn granted(case: &Case, number: &str, permit: &str) -> (ApplicationId, Ruling) {
    let (id, ruling, _) = applied(case, number, permit).await;
    decide(case, &id, &ruling).await.unwrap();
    (id, ruling)
}

/// What would be a bug: one byte that a disk has lost, or a document of another version, and nobody can read the register, report on it or
/// apply any more; an application that is shown otherwise than it is, or that is silently gone; a permit's number that is given again, since
/// nobody can read who has it.
#[tokio::test]
async fn an_entry_that_cannot_be_read_takes_its_own_application_and_no_other() {
    for (what, change) in [
        ("decision", A_FLIPPED_BYTE),
        ("part", A_FLIPPED_BYTE),
        ("submitted", A_FLIPPED_BYTE),
        ("decision", "at = 'yesterday'"),
        ("decision", "node = 'no such node!'"),
        ("decision", &another_version()),
    ] {
        let mut case = Case::new().await;
        let (lost, _) = granted(&case, "app-2", "permit-2").await;
        let (third, ruling) = granted(&case, "app-3", "permit-3").await;
        case.federation.stop().await;
        let number = damage(&case, (what, lost.as_str()), change);
        case.federation.start(|_| {}).await;

        let hub = public(&case).await;
        let register = hub.register().await.expect("the register is gone");
        assert_eq!(about(&register), [(lost.to_string(), vec![number])], "{what}: {change}");
        assert_eq!(
            register.entries.len(),
            2,
            "{what}: {change}: another application is gone, or a part of that one is there"
        );
        hub.activity(Default::default()).await.expect("the report is gone");
        let lines = case.anna.hub.applications().await.expect("the list is gone");
        let line = lines.iter().find(|line| line.id == lost).expect("it is silently gone");
        assert_eq!((&line.unreadable, line.number.is_none(), line.parts), (&vec![number], true, 3), "{what}: {change}");
        assert_eq!(lines.len(), 3);
        for hub in [&case.anna.hub, &case.assessors[0].hub] {
            let why = hub.application(&lost).await.expect_err("it is shown otherwise than it is");
            assert!(matches!(why, Refusal::Internal { .. }), "{why}");
        }
        let bob = case.federation.person("bob").await;
        assert!(bob.hub.applications().await.unwrap().is_empty(), "somebody else's is listed");

        // The number of the permit that cannot be read, if it is the decision.
        let (next, other, envelope) = applied(&case, "app-4", "permit-2").await;
        if what == "decision" {
            let why = decide(&case, &next, &other).await.expect_err("a number was given twice").to_string();
            assert!(why.contains(&format!("entry {number} ")) && why.contains("hub.sqlite"), "{why}");
            let refusal = refusing(&envelope, &["north"], &body_of("north"));
            decide(&case, &next, &refusal).await.expect("a refusal needs no number");
        } else {
            let taken = decide(&case, &next, &other).await;
            assert!(matches!(taken, Err(Refusal::PermitNumberTaken { .. })), "{what}: {taken:?}");
            granted(&case, "app-5", "permit-5").await;
        }
        decide(&case, &third, &ruling).await.expect("what was decided before changes nothing");
        let mut north = case.nodes[0].attend().await;
        let told = loop {
            // That of a decision which was damaged elsewhere than in its body may be told, too.
            match assigned(&mut north).await {
                Assignment::Permit { envelope } if Some(&envelope) == ruling.permit.as_ref() => break envelope,
                Assignment::Permit { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(Some(told), ruling.permit, "a node is not told of the others' permits");
    }
}

/// What would be a bug: a permit that was taken back, and is shown as in force since nobody can read that it was; one that is known to be
/// taken back, and is shown otherwise.
#[tokio::test]
async fn a_revocation_that_cannot_be_read_leaves_no_permit_in_force() {
    for change in [A_FLIPPED_BYTE, "what = 'xevoked'", &another_version()] {
        let mut case = Case::new().await;
        let (second, _) = granted(&case, "app-2", "permit-2").await;
        let (third, _) = granted(&case, "app-3", "permit-3").await;
        for permit in ["permit-3", "permit-2"] {
            case.assessors[0].hub.revoke(revocation(permit, now(), &body_of("north"))).await.unwrap();
        }
        case.federation.stop().await;
        let number = damage(&case, ("revoked", "%"), change);
        case.federation.start(|_| {}).await;

        for (id, state, entries) in
            [(&second, PermitState::Unknown, vec![number]), (&third, PermitState::Revoked, vec![])]
        {
            case.id = id.clone();
            let (seen, in_public) = standing(&case, "north").await;
            for shown in [seen.unwrap(), in_public.unwrap()] {
                assert_eq!((shown.state, &shown.unreadable), (state, &entries), "{change}: {id}");
            }
            let lines = case.anna.hub.applications().await.unwrap();
            let line = lines.iter().find(|line| line.id == *id).unwrap();
            assert_eq!((line.granted, line.in_force, &line.unreadable), (1, 0, &entries), "{change}: {id}");
            let view = case.anna.hub.application(id).await.unwrap();
            assert_eq!(view.coverage.contains("standing unknown at north"), state == PermitState::Unknown);
        }
        let register = public(&case).await.register().await.unwrap();
        assert!(register.unreadable.iter().any(|lost| lost.entries == [number]), "nobody is told which it is");
        public(&case).await.activity(Default::default()).await.expect("the report is gone");
    }
}

/// What would be a bug: one statement of one node that cannot be read, and nobody can ask any node, or list how the others stand; a node that
/// may have left and gets jobs; one that hears of no revocation.
#[tokio::test]
async fn an_agreement_that_cannot_be_read_stops_its_own_node_and_no_other() {
    for change in [A_FLIPPED_BYTE, &another_version()] {
        let mut case = Case::new().await;
        let revoked = revocation("permit-1", now(), &body_of("north"));
        case.assessors[0].hub.revoke(revoked.clone()).await.unwrap();
        case.federation.stop().await;
        let number = damage(&case, ("agreement", "agreement north"), change);
        case.federation.start(|_| {}).await;

        let [north, middle, _] = case.nodes.as_slice() else { panic!("three") };
        let job = case.anna.ask(0).await.expect("one node's agreement stops the jobs of all");
        let view = case.anna.hub.view(&job).await.unwrap();
        let says = format!("entry {number} of the hub's log");
        for line in view.nodes {
            match line.outcome {
                Outcome::Refused { why, .. } => {
                    assert_eq!(line.node, north.name, "{why}");
                    assert!(
                        matches!(why, Refusal::AgreementNotLive { .. }) && why.to_string().contains(&says),
                        "{why}"
                    );
                }
                other => assert_ne!(line.node, north.name, "{other:?}"),
            }
        }
        let mut at_middle = middle.attend().await;
        assert!(matches!(assigned(&mut at_middle).await, Assignment::Revoke { .. }));
        assert_eq!(job_of(&mut at_middle).await, job, "another node gets no job");
        north.hub.agree(Vec::new()).await.expect("the node cannot come any more");
        let mut at_north = north.attend().await;
        assert_eq!(assigned(&mut at_north).await, Assignment::Revoke { envelope: revoked });

        let dir = case.federation.dir.path();
        for (node, how) in agreements(dir).expect("the list is gone") {
            match how {
                Err(why) => assert!(node == north.name && why.to_string().contains(&says), "{node}: {why}"),
                Ok(how) => assert!(node != north.name && matches!(how, Standing::Live { .. }), "{node}: {how:?}"),
            }
        }
        let step = Move::Suspend("an audit".into());
        let why = agree(dir, &north.name, step, &operator()).expect_err("stated on what cannot be read").to_string();
        assert!(why.contains(&says), "{why}");
        assert_eq!(about(&public(&case).await.register().await.unwrap()), [("agreement north".into(), vec![number])]);
    }
}

/// Keeps what the operator is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl field::Visit for Heard {
    fn record_debug(&mut self, _: &field::Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What would be a bug: one entry of a clock that was a year ahead, for which permits and agreements are over for good, and nobody is told why;
/// commands in the hub's folder that read another time than the hub.
#[tokio::test]
async fn a_log_from_the_future_is_told_and_kept() {
    let mut federation = Federation::found().await;
    let north = federation.node("north").await;
    let dir = federation.dir.path().to_owned();
    let until = Timestamp::now() + (24 * 30).hours();
    let step = Move::Offer { terms: Terms::of(TERMS.as_bytes()), until: Some(until) };
    agree(&dir, &north.name, step, &operator()).unwrap();
    let stated = north.hub.agree(Vec::new()).await.unwrap();
    let offer = open::<AgreementBody>(hubs(stated, &north).last().unwrap()).unwrap().digest();
    north.hub.agree(vec![north.states(2, Act::Accept { offer })]).await.unwrap();
    federation.stop().await;
    let opened = || {
        let heard = Heard::default();
        tracing::subscriber::with_default(heard.clone(), || drop(Hub::open(Config::read(&dir).unwrap()).unwrap()));
        heard.0.lock().unwrap().clone()
    };
    assert!(!opened().contains("stands still"), "the operator is told though nothing is wrong");
    assert!(matches!(agreements(&dir).unwrap()[0].1, Ok(Standing::Live { .. })));

    let ahead = Timestamp::now() + (24 * 365).hours();
    let db = Connection::open(dir.join("hub.sqlite")).unwrap();
    let sql = "INSERT INTO governance (at, what, subject, node, person, digest, body)
        VALUES (?1, 'withdrawn', 'application-0', '', 'anna', ?2, CAST('' AS BLOB))";
    db.execute(sql, [ahead.to_string(), Digest::of(b"").to_string()]).unwrap();
    let said = opened();
    assert!(said.contains(&ahead.to_string()) && said.contains("put back from a copy"), "nobody is told: {said}");
    assert_eq!(agreements(&dir).unwrap()[0].1, Ok(Standing::Over { until }));
    assert_eq!(agreement(&dir, &north.name).unwrap().at, ahead);
}
