//! Applications on their way through the nodes' data access bodies, with the calendar in hand.

use jiff::ToSpan;
use rusqlite::Connection;
use spe_hub::roles_of;
use spe_kernel::{
    application::{ApplicationBody, Status},
    document::sign,
    ids::ApplicationId,
    notice::Step,
    permit::{self, PermitBody},
    refusal::Refusal,
};
use spe_wire::governance::{Actor, ApplicationView, PartOutcome, PartView};

use crate::{
    federation::{Federation, Node, Person, founder, secret},
    papers::{application, body_of, granting, notice, now, permit_for, refusing, supplement},
    permits::share,
};

fn part<'a>(view: &'a ApplicationView, node: &str) -> &'a PartView {
    view.parts.iter().find(|part| part.node.as_str() == node).unwrap()
}

/// Three nodes, each with its own data access body, an assessor each, and an application of anna's.
pub(crate) struct Case {
    pub(crate) federation: Federation,
    pub(crate) anna: Person,
    pub(crate) nodes: Vec<Node>,
    pub(crate) assessors: Vec<Person>,
    pub(crate) envelope: Vec<u8>,
    pub(crate) id: ApplicationId,
}

pub(crate) const NODES: [&str; 3] = ["north", "middle", "south"];

impl Case {
    pub(crate) async fn new() -> Self {
        let federation = Federation::found().await;
        let anna = federation.person("anna").await;
        let (mut nodes, mut assessors) = (Vec::new(), Vec::new());
        for name in NODES {
            let node = federation.node(name).await;
            node.hub.offer(node.offer()).await.unwrap();
            nodes.push(node);
            assessors.push(assessor(&federation, name).await);
        }
        let envelope = sign(&application(&anna, "app-1"), &anna.key);
        let id = anna.hub.apply(envelope.clone()).await.unwrap();
        Self { federation, anna, nodes, assessors, envelope, id }
    }

    fn later(&self, span: jiff::Span) {
        let then = now().to_zoned(jiff::tz::TimeZone::UTC) + span;
        (self.federation.set_time)(then.timestamp());
    }

    async fn seen(&self) -> ApplicationView {
        self.anna.hub.application(&self.id).await.unwrap()
    }
}

async fn assessor(federation: &Federation, node: &str) -> Person {
    let name = format!("assessor-{node}");
    let person = federation.person(&name).await;
    let role = format!("assessor@{node}").parse().unwrap();
    roles_of(federation.dir.path(), &name.parse().unwrap(), Some((&[role], &founder()))).unwrap();
    person
}

/// What would be a bug: a part that another node's desk sees or decides; a merged status that hides a refusal.
#[tokio::test]
async fn each_node_decides_its_own_part_and_the_applicant_sees_all() {
    let case = Case::new().await;
    let [north, middle, south] = case.assessors.as_slice() else { panic!("three") };
    let seen = middle.hub.application(&case.id).await.unwrap();
    assert_eq!(seen.parts.iter().map(|part| part.node.as_str()).collect::<Vec<_>>(), ["middle"]);
    assert_eq!(case.seen().await.coverage, "granted at 0 of 3 nodes; open at middle, north, south");

    let permit = permit_for(&application(&case.anna, "app-1"), "permit-n", &["north"]);
    let granted = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    north.hub.decide(&case.id, granted.clone()).await.unwrap();
    middle.hub.decide(&case.id, refusing(&case.envelope, &["middle"], &body_of("middle"))).await.unwrap();
    let asking = Step::InformationNeeded { missing: vec!["which year?".into()] };
    let asked = notice(&case.envelope, &["south"], asking, &body_of("south"));
    south.hub.notify(&case.id, asked).await.unwrap();

    let view = case.seen().await;
    assert_eq!(view.coverage, "granted at 1 of 3 nodes (north); refused at middle; open at south");
    assert_eq!(part(&view, "north").permit.as_ref().map(ToString::to_string), Some("permit-n".into()));
    assert_eq!(part(&view, "north").permit_envelope.as_deref().map(str::as_bytes), granted.permit.as_deref());
    assert_eq!(part(&view, "middle").outcome, Some(PartOutcome::Refused));
    assert!(part(&view, "middle").reasons[0].starts_with("Art. 68(1)(c)"), "a refusal without its reason");
    let waiting = part(&view, "south");
    assert_eq!(waiting.status, Status::AwaitingAdditionalInformation);
    assert_eq!(waiting.due.as_ref().map(|due| due.who), Some(Actor::Applicant));
    assert!(middle.hub.application(&case.id).await.unwrap().parts[0].permit.is_none(), "another node's part is seen");
    let line = &case.anna.hub.applications().await.unwrap()[0];
    assert_eq!((line.granted, line.parts), (1, 3));
    let bob = case.federation.person("bob").await;
    assert!(bob.hub.applications().await.unwrap().is_empty(), "somebody else's application is listed");
    assert!(matches!(bob.hub.application(&case.id).await, Err(Refusal::NotFound { .. })));
    assert!(matches!(bob.hub.withdraw(&case.id).await, Err(Refusal::NotFound { .. })));
}

/// What would be a bug: an act of a key that the node does not trust, of a desk whose part it is not, or on another text.
#[tokio::test]
async fn a_decision_counts_where_its_key_is_trusted_and_nowhere_else() {
    let case = Case::new().await;
    let [north, middle, _] = case.assessors.as_slice() else { panic!("three") };
    let body = application(&case.anna, "app-1");
    let permit = permit_for(&body, "permit-n", &["north"]);
    let refused = |answer: Result<ApplicationView, Refusal>| answer.expect_err("an act counted that must not");

    let west = assessor(&case.federation, "west").await;
    let for_north = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    let unseen = refused(west.hub.decide(&case.id, for_north).await);
    assert!(matches!(unseen, Refusal::NotFound { .. }), "a desk without a part learns of the application: {unseen}");
    let untrusted = granting(&case.envelope, &["north"], &permit, &body_of("middle"));
    assert!(matches!(refused(north.hub.decide(&case.id, untrusted).await), Refusal::UntrustedKey { .. }));
    let not_theirs = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    assert!(matches!(refused(middle.hub.decide(&case.id, not_theirs).await), Refusal::NotAllowed { .. }));
    let everywhere = refusing(&case.envelope, &[], &body_of("north"));
    assert!(matches!(refused(north.hub.decide(&case.id, everywhere).await), Refusal::NotAllowed { .. }));
    let stranger = notice(&case.envelope, &["north"], Step::Complete, &secret("stranger"));
    assert!(matches!(refused(north.hub.notify(&case.id, stranger).await), Refusal::UntrustedKey { .. }));

    let other = sign(&application(&case.anna, "app-2"), &case.anna.key);
    let another = refusing(&other, &["north"], &body_of("north"));
    assert!(matches!(refused(north.hub.decide(&case.id, another).await), Refusal::Malformed { .. }));
    let mut exchanged = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    exchanged.permit = Some(permit_for(&body, "permit-x", &["north"]).sign(&body_of("north")));
    assert!(matches!(refused(north.hub.decide(&case.id, exchanged.clone()).await), Refusal::Malformed { .. }));
    exchanged.permit = None;
    assert!(matches!(refused(north.hub.decide(&case.id, exchanged).await), Refusal::Malformed { .. }));
    assert_eq!(case.seen().await.coverage, "granted at 0 of 3 nodes; open at middle, north, south");
}

/// What would be a bug: an act that counts twice, or a decision that is silently replaced.
#[tokio::test]
async fn what_is_said_again_changes_nothing_and_another_decision_must_amend() {
    let mut case = Case::new().await;
    assert_eq!(
        case.anna.hub.apply(case.envelope.clone()).await,
        Ok(case.id.clone()),
        "a resubmission is another application"
    );
    let changed = ApplicationBody { safeguards: vec!["others".into()], ..application(&case.anna, "app-1") };
    let changed = sign(&changed, &case.anna.key);
    assert!(matches!(case.anna.hub.apply(changed).await, Err(Refusal::NotAllowed { .. })), "a number was used twice");

    let body = application(&case.anna, "app-1");
    let first = permit_for(&body, "permit-1", &["north"]);
    let granted = granting(&case.envelope, &["north"], &first, &body_of("north"));
    let north = &case.assessors[0];
    let view = north.hub.decide(&case.id, granted.clone()).await.unwrap();
    case.later(1.day());
    assert_eq!(
        north.hub.decide(&case.id, granted.clone()).await.unwrap(),
        view,
        "a replayed decision changed something"
    );
    let second = granting(&case.envelope, &["north"], &permit_for(&body, "permit-2", &["north"]), &body_of("north"));
    for other in [second, refusing(&case.envelope, &["north"], &body_of("north"))] {
        let refused =
            north.hub.decide(&case.id, other).await.expect_err("a second decision took the first one's place");
        assert!(refused.to_string().contains("decided already"), "{refused}");
    }
    let amended = PermitBody {
        status: permit::Status::Amended,
        original: first.number.clone(),
        replaces: Some(first.number.clone()),
        ..permit_for(&body, "permit-3", &["north"])
    };
    let amending = granting(&case.envelope, &["north"], &amended, &body_of("north"));
    let view = north.hub.decide(&case.id, amending).await.expect("an amendment is a decision");
    assert_eq!(part(&view, "north").permit.as_ref().map(ToString::to_string), Some("permit-3".into()));
    assert_eq!(
        north.hub.decide(&case.id, granted).await.unwrap(),
        view,
        "the first decision, replayed, undid the amendment"
    );

    case.federation.stop().await;
    case.federation.start(|_| {}).await;
    assert_eq!(case.assessors[0].hub.application(&case.id).await.unwrap(), view, "a restart lost or changed something");
}

/// What would be a bug: a term that never ends, ends early, or needs somebody to notice that it did.
#[tokio::test]
async fn terms_end_by_the_calendar_alone() {
    let case = Case::new().await;
    let [north, middle, _] = case.assessors.as_slice() else { panic!("three") };
    let due = |view: &ApplicationView, node: &str| part(view, node).due.clone().expect("a term runs");
    let first = due(&case.seen().await, "north");
    assert_eq!((first.last_day.to_string(), first.article.as_str()), ("2026-06-02".into(), "Art. 68(4)"));
    case.later(3.months());
    assert!(!due(&case.seen().await, "north").overdue, "the last day counts");
    case.later(3.months().days(1));
    let view = case.seen().await;
    assert!(due(&view, "north").overdue, "a term that is over does not show");
    assert_eq!(case.anna.hub.applications().await.unwrap()[0].overdue, 3);

    let longer = Step::Prolonged { reason: "it is complex".into() };
    let early = notice(&case.envelope, &["north"], longer.clone(), &body_of("north"));
    let why = north.hub.notify(&case.id, early.clone()).await.expect_err("prolonged before it is complete").to_string();
    assert!(
        why.contains("PRE_SCREENING") && why.contains("spe application accept"),
        "it does not say what to do: {why}"
    );
    north.hub.notify(&case.id, notice(&case.envelope, &["north"], Step::Complete, &body_of("north"))).await.unwrap();
    north.hub.notify(&case.id, early).await.unwrap();
    let again = Step::Prolonged { reason: "still".into() };
    let again = notice(&case.envelope, &["north"], again, &body_of("north"));
    assert!(north.hub.notify(&case.id, again).await.is_err(), "a term was prolonged twice");
    let view = case.seen().await;
    assert_eq!(due(&view, "north").last_day.to_string(), "2026-09-02");
    assert!(!due(&view, "north").overdue);

    let asking = Step::InformationNeeded { missing: vec!["which year?".into()] };
    middle.hub.notify(&case.id, notice(&case.envelope, &["middle"], asking, &body_of("middle"))).await.unwrap();
    case.later(3.months().days(1).weeks(4));
    let answer = supplement(&case.envelope, "2020", &case.anna.key);
    assert!(part(&case.seen().await, "middle").outcome.is_none(), "the last day of the four weeks counts");
    case.later(3.months().days(2).weeks(4));
    let view = case.seen().await;
    assert_eq!(part(&view, "middle").outcome, Some(PartOutcome::Lapsed));
    assert!(part(&view, "middle").reasons[0].contains("which year?"), "it does not say what was missing");
    assert!(case.anna.hub.complete(&case.id, answer).await.is_err(), "an answer counted after the four weeks");
    let permit = permit_for(&application(&case.anna, "app-1"), "permit-m", &["middle"]);
    let late = granting(&case.envelope, &["middle"], &permit, &body_of("middle"));
    assert!(middle.hub.decide(&case.id, late).await.is_err(), "a permit was given though Art. 68(4) refuses it");
}

/// What would be a bug: a hub whose clock is set back, and for which a term then began before what it follows, and ends earlier than the law's;
/// or a part that is undecided again and decided twice.
#[tokio::test]
async fn a_clock_that_is_set_back_stands_still() {
    let case = Case::new().await;
    let [north, middle, _] = case.assessors.as_slice() else { panic!("three") };
    let refusal = refusing(&case.envelope, &["north"], &body_of("north"));
    case.later(1.month());
    let decided = north.hub.decide(&case.id, refusal.clone()).await.unwrap();
    let seen = case.seen().await;
    case.later(jiff::Span::new());
    assert_eq!(case.seen().await, seen, "what happened looks otherwise");
    assert_eq!(north.hub.decide(&case.id, refusal).await.unwrap(), decided, "the same decision counted twice");
    let permit = permit_for(&application(&case.anna, "app-1"), "permit-n", &["north"]);
    let other = granting(&case.envelope, &["north"], &permit, &body_of("north"));
    let refused = north.hub.decide(&case.id, other).await.expect_err("decided twice").to_string();
    assert!(refused.contains("decided already"), "{refused}");

    // Both begin when the decision was, which the log had last: by the clock they would end in March and June.
    let last_day = |view: &ApplicationView, node: &str| part(view, node).due.clone().unwrap().last_day.to_string();
    let asking = Step::InformationNeeded { missing: vec!["which year?".into()] };
    let asked = notice(&case.envelope, &["middle"], asking, &body_of("middle"));
    let view = middle.hub.notify(&case.id, asked).await.unwrap();
    assert_eq!(last_day(&view, "middle"), "2026-04-30");
    let next = case.anna.hub.apply(sign(&application(&case.anna, "app-2"), &case.anna.key)).await.unwrap();
    assert_eq!(last_day(&case.anna.hub.application(&next).await.unwrap(), "south"), "2026-07-02");
    case.later(1.month().days(28));
    assert!(part(&case.seen().await, "middle").outcome.is_none(), "the last day counts");
    case.later(1.month().days(29));
    assert_eq!(part(&case.seen().await, "middle").outcome, Some(PartOutcome::Lapsed), "a term that never ends");
    // Nothing was written when it ended, and it has ended all the same.
    case.later(1.month().days(1));
    assert_eq!(
        part(&case.seen().await, "middle").outcome,
        Some(PartOutcome::Lapsed),
        "a term that was over runs again"
    );
    let late = supplement(&case.envelope, "2020", &case.anna.key);
    assert!(case.anna.hub.complete(&case.id, late).await.is_err(), "an answer counted after the four weeks");
}

/// What would be a bug: an answer that does not restart the term, or counts though somebody else signed it.
#[tokio::test]
async fn what_is_missing_can_be_added_in_time() {
    let case = Case::new().await;
    let south = &case.assessors[2];
    let nothing_asked = supplement(&case.envelope, "unasked", &case.anna.key);
    assert!(case.anna.hub.complete(&case.id, nothing_asked).await.is_err(), "nobody waits for an answer");
    let asking = Step::InformationNeeded { missing: vec!["which year?".into()] };
    south.hub.notify(&case.id, notice(&case.envelope, &["south"], asking, &body_of("south"))).await.unwrap();
    case.later(1.week());
    let forged = supplement(&case.envelope, "1999", &secret("mallory"));
    assert!(matches!(case.anna.hub.complete(&case.id, forged).await, Err(Refusal::UntrustedKey { .. })));
    let answer = supplement(&case.envelope, "2020", &case.anna.key);
    let view = case.anna.hub.complete(&case.id, answer.clone()).await.unwrap();
    assert_eq!(part(&view, "south").status, Status::PreScreening);
    assert_eq!(part(&view, "south").due.as_ref().map(|due| due.last_day.to_string()), Some("2026-06-09".into()));
    assert_eq!(
        case.anna.hub.complete(&case.id, answer).await.unwrap(),
        view,
        "the same answer again changed something"
    );
    assert_eq!(
        south.hub.application(&case.id).await.unwrap().additions.len(),
        1,
        "the assessor does not see the answer"
    );
}

/// What would be a bug: an application that is decided after it was taken back, or taken back after it was decided.
#[tokio::test]
async fn an_applicant_takes_back_what_is_not_decided() {
    let case = Case::new().await;
    let refusal = |node: &'static str| refusing(&case.envelope, &[node], &body_of(node));
    case.assessors[0].hub.decide(&case.id, refusal("north")).await.unwrap();
    let view = case.anna.hub.withdraw(&case.id).await.unwrap();
    assert_eq!(part(&view, "north").outcome, Some(PartOutcome::Refused), "a decision was taken back");
    assert_eq!(part(&view, "south").status, Status::Withdrawn);
    assert_eq!(case.anna.hub.withdraw(&case.id).await.unwrap(), view);
    let late = case.assessors[2].hub.decide(&case.id, refusal("south")).await;
    assert!(matches!(late, Err(Refusal::NotAllowed { .. })), "a part was decided that had been taken back");
    assert!(view.withdrawn);
}

/// What would be a bug: an application that is another person's, unsigned, unlawful, or for data that is nowhere.
#[tokio::test]
async fn an_application_that_cannot_be_is_refused_at_once() {
    let case = Case::new().await;
    let bob = case.federation.person("bob").await;
    assert!(matches!(bob.hub.apply(case.envelope.clone()).await, Err(Refusal::NotAllowed { .. })));
    let new = |change: &dyn Fn(&mut ApplicationBody)| {
        let mut body = application(&case.anna, "app-9");
        change(&mut body);
        sign(&body, &case.anna.key)
    };
    let stolen = new(&|_| {});
    assert!(matches!(bob.hub.apply(stolen).await, Err(Refusal::NotAllowed { .. })), "bob applied as anna");
    let policy = new(&|body| body.purpose.article53 = vec!["b".to_owned().try_into().unwrap()]);
    assert!(matches!(case.anna.hub.apply(policy).await, Err(Refusal::Unlawful { .. })), "Art. 53(2)");
    let nowhere = new(&|body| body.data[0].dataset = "nothing".parse().unwrap());
    assert!(matches!(case.anna.hub.apply(nowhere).await, Err(Refusal::DatasetUnknown { .. })));
    let west = new(&|body| body.data[0].nodes = vec!["north".parse().unwrap(), "west".parse().unwrap()]);
    assert!(matches!(case.anna.hub.apply(west).await, Err(Refusal::NotFound { .. })));
    let two = new(&|body| body.data[0].nodes = vec!["north".parse().unwrap(), "south".parse().unwrap()]);
    let id = case.anna.hub.apply(two).await.unwrap();
    assert_eq!(case.anna.hub.application(&id).await.unwrap().parts.len(), 2, "it went where it was not meant for");
    assert!(matches!(case.assessors[1].hub.application(&id).await, Err(Refusal::NotFound { .. })));
}

/// What would be a bug: one decision, notice or application that is for several nodes, and holds at the first of them though it was refused at
/// the second, or could not be written there.
#[tokio::test]
async fn what_is_for_several_nodes_is_done_for_all_of_them_or_for_none() {
    let case = Case::new().await;
    share(&case).await;
    let (north, key) = (&case.assessors[0].hub, body_of("north"));
    north.decide(&case.id, refusing(&case.envelope, &["south"], &key)).await.unwrap();
    let both = ["north", "south"];
    let permit = permit_for(&application(&case.anna, "app-1"), "permit-b", &both);
    let why =
        north.decide(&case.id, granting(&case.envelope, &both, &permit, &key)).await.expect_err("south is decided");
    assert!(why.to_string().contains("the part of node south"), "{why}");
    let complete = notice(&case.envelope, &both, Step::Complete, &key);
    let why = north.notify(&case.id, complete).await.expect_err("south is decided");
    assert!(why.to_string().contains("the part of node south"), "{why}");
    let view = case.seen().await;
    assert_eq!(part(&view, "north").status, Status::PreScreening, "half of it is done: {view:?}");
    let db = Connection::open(case.federation.dir.path().join("hub.sqlite")).unwrap();
    let rows = |which: &str| -> i64 {
        db.query_row(&format!("SELECT COUNT(*) FROM governance WHERE {which}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows("node = 'north' AND what IN ('decision', 'notice')"), 0, "half of it is in the log");

    // The parts of an application are written by name: south's is the last.
    let full = "CREATE TRIGGER full BEFORE INSERT ON governance WHEN NEW.what = 'part' AND NEW.node = 'south'
        BEGIN SELECT RAISE(ABORT, 'no place is left'); END";
    db.execute_batch(full).unwrap();
    let before = rows("1");
    let another = sign(&application(&case.anna, "app-2"), &case.anna.key);
    let why = case.anna.hub.apply(another.clone()).await.expect_err("a part of it could not be written");
    assert!(matches!(why, Refusal::Internal { .. }), "{why}");
    assert_eq!(rows("1"), before, "half of it is in the log");
    db.execute_batch("DROP TRIGGER full").unwrap();
    let id = case.anna.hub.apply(another).await.unwrap();
    assert_eq!(case.anna.hub.application(&id).await.unwrap().parts.len(), 3);
}
