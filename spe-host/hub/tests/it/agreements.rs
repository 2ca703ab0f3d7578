//! Participation agreements between the hub and its nodes.

use spe_hub::{Move, agree};
use spe_kernel::{
    agreement::{Act, AgreementBody, Standing},
    document::{Document, open, sign},
    federation::Outcome,
    ids::Digest,
    refusal::Refusal,
};
use spe_wire::{encode, view::View};

use crate::{
    answers::Claim,
    federation::{Federation, Node, job_of, plan, secret},
};

fn refused_by<'a>(view: &'a View, node: &Node) -> &'a Refusal {
    let line = view.nodes.iter().find(|line| line.node == node.name).unwrap();
    let Outcome::Refused { why } = &line.outcome else { panic!("{:?}", line.outcome) };
    why
}

/// What would be a bug: a job that goes to a node which has agreed on nothing, or a result that does not say so.
#[tokio::test]
async fn no_job_goes_to_a_node_before_both_have_signed() {
    let federation = Federation::found().await;
    let (anna, north, guest) =
        (federation.person("anna").await, federation.node("north").await, federation.guest("guest").await);
    let mut work = north.attend().await;
    guest.hub.offer(guest.offer()).await.unwrap();
    let job = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut work).await, job);
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 40).release())).await.unwrap();
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!(view.coverage, "1 of 2 nodes");
    assert!(matches!(refused_by(&view, &guest), Refusal::AgreementNotLive { .. }), "{view:?}");
    let offer = open::<AgreementBody>(&guest.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    guest.hub.agree(vec![guest.states(1, Act::Accept { offer })]).await.unwrap();
    let mut work = guest.attend().await;
    let job = anna.ask(1).await.unwrap();
    assert_eq!(job_of(&mut work).await, job, "both have signed, and no job comes");
}

/// What would be a bug: a party that cannot leave alone and at once; another node that must stop with it.
#[tokio::test]
async fn either_party_ends_it_at_once_and_the_others_go_on() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south, west) =
        (federation.node("north").await, federation.node("south").await, federation.node("west").await);
    let mut at_north = north.attend().await;
    south.hub.offer(south.offer()).await.unwrap();
    west.hub.offer(west.offer()).await.unwrap();
    let waiting = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, waiting);

    let offer = open::<AgreementBody>(&south.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let leaving = south.states(2, Act::Terminate { offer, reason: "we leave".into() });
    south.hub.agree(vec![leaving]).await.unwrap();
    let ended = Move::Terminate("they did not keep to it".into());
    let standing = agree(federation.dir.path(), &west.name, ended).unwrap();
    assert!(matches!(standing, Standing::Terminated { .. }), "{standing:?}");
    let view = anna.hub.view(&waiting).await.unwrap();
    for (node, reason) in [(&south, "we leave"), (&west, "did not keep")] {
        assert!(refused_by(&view, node).to_string().contains(reason), "the job waits for a node that left");
    }
    let job = anna.ask(1).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, job, "the others stopped too");
    let view = anna.hub.view(&job).await.unwrap();
    assert!(matches!(refused_by(&view, &south), Refusal::AgreementNotLive { .. }));
}

/// What would be a bug: a suspension that loses jobs, or does not hold them.
#[tokio::test]
async fn a_suspension_ends_with_the_party_that_made_it() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    north.hub.offer(north.offer()).await.unwrap();
    let job = anna.ask(0).await.unwrap();
    agree(federation.dir.path(), &north.name, Move::Suspend("an audit".into())).unwrap();
    let mut work = north.attend().await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), work.next()).await;
    assert!(early.is_err(), "a job went to a node that is suspended");
    let stated = north.hub.agree(Vec::new()).await.unwrap();
    assert_eq!(stated.len(), 2, "the node is not told");
    agree(federation.dir.path(), &north.name, Move::Resume).unwrap();
    north.hub.agree(Vec::new()).await.unwrap();
    assert_eq!(job_of(&mut work).await, job, "a job was lost with the suspension");
}

/// What would be a bug: a node that states something for another, or with another key than the one that is pinned.
#[tokio::test]
async fn a_node_states_for_itself_alone() {
    let federation = Federation::found().await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let offer = open::<AgreementBody>(&south.hub.agree(Vec::new()).await.unwrap()[0]).unwrap().digest();
    let mischief = south.states(9, Act::Terminate { offer, reason: "mischief".into() });
    assert!(north.hub.agree(vec![mischief]).await.is_err(), "north ended south's agreement");
    let body = AgreementBody {
        format: AgreementBody::FORMAT.into(),
        node: north.name.clone(),
        number: 9,
        signed_at: jiff::Timestamp::UNIX_EPOCH,
        act: Act::Terminate { offer: Digest::of(b"any"), reason: "mischief".into() },
    };
    let forged = north.hub.agree(vec![sign(&body, &secret("mallory"))]).await;
    assert!(matches!(forged, Err(Refusal::UntrustedKey { .. })), "another key counted: {forged:?}");
}
