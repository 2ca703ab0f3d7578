//! What the hub has acknowledged survives it.

use spe_kernel::{federation::Outcome, refusal::Refusal};
use spe_wire::{encode, view::State};

use crate::{
    answers::Claim,
    federation::{Federation, job_of, plan},
};

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south, west) =
        (federation.node("north").await, federation.node("south").await, federation.node("west").await);
    drop((north.attend().await, south.attend().await, west.attend().await));
    let job = anna.ask(0).await.unwrap();
    let cancelled = anna.ask(1).await.unwrap();
    anna.hub.cancel(&cancelled).await.unwrap();
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 40).release())).await.unwrap();
    let lie = Claim { scale: 3.0, ..Claim::honest(&west, &plan(0), 1) }.release();
    west.hub.report(&job, encode(&lie)).await.unwrap_err();
    federation.stop().await;
    federation.start(|_| {}).await;
    let view = anna.hub.view(&job).await.expect("the client must reconnect by itself");
    assert_eq!((view.state, view.answered, view.asked), (State::Partial, 1, 3));
    assert!(matches!(view.nodes[2].outcome, Outcome::Invalid { .. }));
    assert_eq!(anna.hub.view(&cancelled).await.unwrap().state, State::Cancelled);
    assert_eq!(anna.hub.browse().await.unwrap().collect().await.unwrap().len(), 3, "catalogues were forgotten");
    assert_eq!(anna.ask(0).await.unwrap(), job, "the job was forgotten");
    let mut work = south.attend().await;
    assert_eq!(job_of(&mut work).await, job, "work was forgotten");
    south.hub.fetch_module(plan(0).module()).await.expect("the module was forgotten");
    south.hub.report(&job, encode(&Claim::honest(&south, &plan(0), 2).release())).await.unwrap();
    assert_eq!(anna.hub.view(&job).await.unwrap().statistics[0].estimates[0].value, 42.0);
    let replaced = Claim::honest(&north, &plan(0), 7).release();
    assert!(
        matches!(north.hub.report(&job, encode(&replaced)).await, Err(Refusal::NotAllowed { .. })),
        "an answer was forgotten"
    );
}

#[tokio::test]
async fn a_stopping_hub_ends_streams_and_nodes_come_again() {
    let mut federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let mut work = north.attend().await;
    let job = anna.ask(0).await.unwrap();
    let mut views = anna.hub.watch(&job).await.unwrap();
    assert_eq!(job_of(&mut work).await, job);
    federation.stop().await;
    assert!(!matches!(work.next().await, Ok(Some(_))), "work after the end");
    while let Ok(Some(_)) = views.next().await {}
    federation.start(|_| {}).await;
    assert_eq!(job_of(&mut north.attend().await).await, job);
}

#[tokio::test]
async fn a_node_that_comes_again_gets_what_it_owes_in_the_same_order() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    let mut jobs = Vec::new();
    for attempt in 0..5 {
        jobs.push(anna.ask(attempt).await.unwrap());
    }
    for taken in 1..5 {
        // As a node whose queue is full: it goes away in the middle, and comes again after it has done the first.
        let mut work = north.attend().await;
        for job in jobs.iter().take(taken) {
            assert_eq!(&job_of(&mut work).await, job, "the order has changed");
        }
        drop(work);
        north.hub.report(&jobs.remove(0), encode(&Refusal::Cancelled)).await.unwrap();
    }
}
