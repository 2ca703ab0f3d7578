//! What is owed after a positive decision, with the calendar in hand: the data (Art. 68(7)), or the answer to a data request (Art. 69).

use jiff::ToSpan;
use spe_kernel::{
    application::ApplicationBody,
    disclosure::Catalogue,
    document::sign,
    ids::ApplicationId,
    permit::{Article, PermitBody},
    refusal::Refusal,
};
use spe_wire::{
    Assignment, Submission, encode,
    governance::{Actor, DueView},
};

use crate::{
    answers::Claim,
    applications::Case,
    federation::{MODULE, assigned, job_of, plan},
    papers::{application, body_of, granting, now, permit_for, refusing},
    standing::revocation,
};

/// What is due of that node's part, as anna sees it.
async fn due(case: &Case, id: &ApplicationId, node: &str) -> Option<DueView> {
    let view = case.anna.hub.application(id).await.unwrap();
    view.parts.into_iter().find(|part| part.node.as_str() == node).unwrap().due
}

/// How many parts are overdue in anna's list, and the first last day.
async fn listed(case: &Case, id: &ApplicationId) -> (u32, Option<String>) {
    let lines = case.anna.hub.applications().await.unwrap();
    let line = lines.iter().find(|line| line.id == *id).unwrap();
    (line.overdue, line.due.map(|day| day.to_string()))
}

fn owed(last_day: &str, article: &str, overdue: bool) -> Option<DueView> {
    Some(DueView { last_day: last_day.parse().unwrap(), article: article.into(), who: Actor::AccessBody, overdue })
}

/// What would be a bug: a permit after which nobody has to make the data available, or that goes on to ask for it when the node has permit and
/// data; a term that is met by a node which was told of nothing, or has no such data; data that is owed though it was refused or taken back.
#[tokio::test]
async fn after_a_permit_the_data_is_due_until_the_node_has_both() {
    let mut case = Case::new().await;
    let day = |days: i64| now() + (24 * days).hours();
    (case.federation.set_time)(day(10));
    for (assessor, node) in case.assessors.iter().zip(["north", "middle", "south"]) {
        let permit = permit_for(&application(&case.anna, "app-1"), &format!("permit-{node}"), &[node]);
        let ruling = match node {
            "middle" => refusing(&case.envelope, &[node], &body_of(node)),
            _ => granting(&case.envelope, &[node], &permit, &body_of(node)),
        };
        assessor.hub.decide(&case.id, ruling).await.unwrap();
    }
    let id = case.id.clone();
    assert_eq!(due(&case, &id, "north").await, owed("2026-05-12", "Art. 68(7)", false));
    assert_eq!(due(&case, &id, "middle").await, None, "data is owed though it was refused");
    assert_eq!(listed(&case, &id).await, (0, Some("2026-05-12".into())));
    case.assessors[2].hub.revoke(revocation("permit-south", day(20), &body_of("south"))).await.unwrap();
    (case.federation.set_time)(day(71));
    assert_eq!(due(&case, &id, "north").await, owed("2026-05-12", "Art. 68(7)", false), "the last day counts");
    (case.federation.set_time)(day(72));
    assert_eq!(
        due(&case, &id, "north").await,
        owed("2026-05-12", "Art. 68(7)", true),
        "it is over, and nobody sees it"
    );
    assert_eq!(due(&case, &id, "south").await, None, "data is owed under a permit that was taken back");
    assert_eq!(listed(&case, &id).await, (1, Some("2026-05-12".into())));

    let nothing = Catalogue { datasets: Vec::new(), ..case.nodes[0].catalogue() };
    let mut work = case.nodes[0].hub.attend(encode(&nothing)).await.unwrap();
    assert!(matches!(assigned(&mut work).await, Assignment::Permit { .. }));
    assert!(due(&case, &id, "north").await.is_some(), "met by a node that has no such data");
    drop(work);
    let mut work = case.nodes[0].attend().await;
    assert!(matches!(assigned(&mut work).await, Assignment::Permit { .. }));
    assert_eq!(due(&case, &id, "north").await, None, "the node has permit and data, and it is owed");
    assert_eq!(listed(&case, &id).await, (0, None));
    drop(work);
    // What was there was there in time, whatever becomes of it, also for a hub that starts again.
    case.nodes[0].hub.offer(encode(&nothing)).await.unwrap();
    case.federation.stop().await;
    case.federation.start(|_| {}).await;
    assert_eq!(due(&case, &id, "north").await, None, "it is owed again");
}

/// What would be a bug: a data request that is approved and never due; one whose term a refusal meets, or that an answer does not.
#[tokio::test]
async fn an_approved_request_is_due_until_its_answer_came() {
    let case = Case::new().await;
    let (assessor, north) = (&case.assessors[0].hub, &case.nodes[0]);
    let asked = ApplicationBody {
        article: Article::Request,
        statistics: Some("how many".into()),
        ..application(&case.anna, "app-2")
    };
    let envelope = sign(&asked, &case.anna.key);
    let id = case.anna.hub.apply(envelope.clone()).await.unwrap();
    let permit = PermitBody {
        article: Article::Request,
        plans: vec![plan(0).digest(), plan(1).digest()],
        ..permit_for(&asked, "permit-1", &["north"])
    };
    let ruling = granting(&envelope, &["north"], &permit, &body_of("north"));
    assessor.decide(&id, ruling.clone()).await.unwrap();
    assert_eq!(due(&case, &id, "north").await, owed("2026-06-02", "Art. 69", false));
    assert_eq!(due(&case, &id, "south").await.unwrap().article, "Art. 69", "an undecided part");
    let mut work = north.attend().await;
    case.anna.hub.put_module(MODULE.to_vec()).await.unwrap();
    let ask = async |attempt: u32| {
        let submission = case.anna.submission(attempt, &["north"]);
        let submission = Submission { permit: ruling.permit.clone().unwrap(), ..submission };
        case.anna.hub.submit(submission).await.unwrap()
    };
    let refused = ask(1).await;
    assert_eq!(job_of(&mut work).await, refused);
    north.hub.report(&refused, encode(&Refusal::DeadlineMissed)).await.unwrap();
    (case.federation.set_time)("2026-06-03T00:00:00Z".parse().unwrap());
    assert_eq!(due(&case, &id, "north").await, owed("2026-06-02", "Art. 69", true), "a refusal is no answer");
    let job = ask(0).await;
    assert_eq!(job_of(&mut work).await, job);
    let answer = Claim::honest(north, &plan(0), 42).release();
    for _ in 0..2 {
        north.hub.report(&job, encode(&answer)).await.unwrap();
        assert_eq!(due(&case, &id, "north").await, None, "it is answered, and an answer is owed");
    }
    // The others' parts are undecided, and overdue.
    assert_eq!(listed(&case, &id).await.0, 2);
}
