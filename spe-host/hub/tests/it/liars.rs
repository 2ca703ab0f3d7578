//! Nodes that lie are left out and named; what the others said is merged all the same.

use spe_kernel::{disclosure::Released, federation::Outcome, ids::JobId, refusal::Refusal};
use spe_wire::{encode, view::State};

use crate::{
    answers::Claim,
    federation::{Federation, Node, Person, plan, secret},
};

struct Scene {
    _federation: Federation,
    anna: Person,
    good: Node,
    bad: Node,
    job: JobId,
}

async fn scene() -> Scene {
    let federation = Federation::found().await;
    let (anna, good, bad) =
        (federation.person("anna").await, federation.node("good").await, federation.node("bad").await);
    drop((good.attend().await, bad.attend().await));
    let job = anna.ask(0).await.unwrap();
    good.hub.report(&job, encode(&Claim::honest(&good, &plan(0), 42).release())).await.unwrap();
    Scene { _federation: federation, anna, good, bad, job }
}

/// The bad node sends `lie`; the good node's answer must stand alone, and the view must say why.
async fn caught(scene: &Scene, lie: &Released, why: &str) {
    let refused = scene.bad.hub.report(&scene.job, encode(lie)).await.expect_err("the lie was welcome");
    assert!(matches!(refused, Refusal::Malformed { .. }), "{refused}");
    let again = scene.bad.hub.report(&scene.job, encode(lie)).await;
    assert_eq!(again, Err(refused), "the same lie again must get the same answer");
    let view = scene.anna.hub.view(&scene.job).await.unwrap();
    assert_eq!((view.state, view.coverage.as_str()), (State::Complete, "1 of 2 nodes"));
    assert_eq!(view.statistics[0].estimates[0].value, 42.0, "the lie changed the statistic");
    let Outcome::Invalid { why: told } = &view.nodes[0].outcome else {
        panic!("the liar is not named: {:?}", view.nodes)
    };
    assert!(view.nodes[0].node == scene.bad.name && told.contains(why), "{told:?} does not say {why:?}");
    assert_eq!(scene.anna.hub.answers(&scene.job).await.unwrap().collect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_to_another_plan() {
    let scene = scene().await;
    caught(&scene, &Claim::honest(&scene.bad, &plan(1), 1).release(), "another plan").await;
}

#[tokio::test]
async fn an_answer_with_another_signature() {
    let scene = scene().await;
    let signer = &secret("another key");
    caught(&scene, &Claim { signer, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "signed by").await;
}

#[tokio::test]
async fn the_answer_of_another_node() {
    let scene = scene().await;
    caught(&scene, &Claim::honest(&scene.good, &plan(0), 42).release(), "signed by").await;
}

#[tokio::test]
async fn an_answer_in_the_name_of_another_node() {
    let scene = scene().await;
    let node = &scene.good.name;
    caught(&scene, &Claim { node, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "of node good").await;
}

#[tokio::test]
async fn a_scale_that_is_no_number() {
    let scene = scene().await;
    caught(&scene, &Claim { scale: f64::NAN, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "malformed").await;
}

#[tokio::test]
async fn more_noise_than_was_paid_for() {
    let scene = scene().await;
    caught(&scene, &Claim { scale: 2.0, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "noise").await;
}

#[tokio::test]
async fn another_shape() {
    let scene = scene().await;
    caught(&scene, &Claim { cells: 2, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "shape").await;
}

#[tokio::test]
async fn an_answer_far_too_long_for_its_plan() {
    let scene = scene().await;
    caught(&scene, &Claim { cells: 5_000, ..Claim::honest(&scene.bad, &plan(0), 1) }.release(), "at most").await;
}

#[tokio::test]
async fn a_sum_beyond_belief() {
    let scene = scene().await;
    caught(&scene, &Claim::honest(&scene.bad, &plan(0), 1 << 100).release(), "shape or noise").await;
}

#[tokio::test]
async fn an_outcome_is_final() {
    let scene = scene().await;
    let (job, node) = (&scene.job, &scene.good);
    let same = Claim::honest(node, &plan(0), 42).release();
    node.hub.report(job, encode(&same)).await.expect("a replayed report is harmless");
    let other = Claim::honest(node, &plan(0), 43).release();
    assert!(
        matches!(node.hub.report(job, encode(&other)).await, Err(Refusal::NotAllowed { .. })),
        "an answer was replaced"
    );
    assert!(matches!(node.hub.report(job, encode(&Refusal::Cancelled)).await, Err(Refusal::NotAllowed { .. })));
    node.hub.report(job, encode(&spe_kernel::disclosure::Stage::Running)).await.expect("a late stage is harmless");
    let view = scene.anna.hub.view(job).await.unwrap();
    assert_eq!(view.statistics[0].estimates[0].value, 42.0);
    assert!(matches!(view.nodes[1].outcome, Outcome::Answered { .. }), "a late stage hid an answer");
}

#[tokio::test]
async fn a_refusal_is_final_too() {
    let scene = scene().await;
    let refusal = Refusal::PolicyForbids { rule: "x".into() };
    scene.bad.hub.report(&scene.job, encode(&refusal)).await.unwrap();
    scene.bad.hub.report(&scene.job, encode(&refusal)).await.expect("a replayed refusal is harmless");
    let answer = Claim::honest(&scene.bad, &plan(0), 1).release();
    assert!(matches!(scene.bad.hub.report(&scene.job, encode(&answer)).await, Err(Refusal::NotAllowed { .. })));
}

#[tokio::test]
async fn a_job_of_others() {
    let scene = scene().await;
    let only_good = scene.anna.hub.submit(scene.anna.submission(1, &["good"])).await.unwrap();
    let answer = Claim::honest(&scene.bad, &plan(1), 1).release();
    let refused = scene.bad.hub.report(&only_good, encode(&answer)).await;
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "a node answered what it was not asked: {refused:?}");
    assert_eq!(scene.anna.hub.view(&only_good).await.unwrap().asked, 1);
}
