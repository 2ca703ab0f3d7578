//! Everything is bounded.

use std::time::Duration;

use spe_kernel::{disclosure::Catalogue, refusal::Refusal};
use spe_wire::{encode, limits::MODULE_BYTES_MAX};

use crate::federation::{Federation, MODULE, job_of};

#[tokio::test]
async fn oversized_messages_are_refused() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let refused = anna.hub.put_module(vec![0; MODULE_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(refused, Refusal::TooLarge { limit, .. } if limit == 16 << 20), "{refused}");
    let refused = anna.hub.put_module(vec![0; 3 * MODULE_BYTES_MAX]).await.unwrap_err();
    assert!(matches!(refused, Refusal::Malformed { .. }), "the transport's own limit: {refused}");
    let mut huge = north.catalogue();
    huge.datasets[0].schema.title = "x".repeat(1 << 20);
    assert!(matches!(north.hub.offer(encode(&huge)).await, Err(Refusal::TooLarge { .. })));
    let mut submission = anna.submission(0, &[]);
    submission.permit = vec![b' '; 5 << 20];
    assert!(matches!(anna.hub.submit(submission).await, Err(Refusal::TooLarge { .. })));
    anna.hub.jobs().await.expect("the connection must survive refusals");
}

#[tokio::test]
async fn modules_make_room_unless_a_job_needs_them() {
    let mut federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    federation.stop().await;
    federation.start(|config| config.module_store_bytes_max = 1_000).await;
    let job = anna.ask(0).await.unwrap();
    anna.hub.put_module(vec![1; 900]).await.unwrap();
    anna.hub.put_module(vec![2; 900]).await.expect("the first 900 bytes are in no job and must make room");
    let refused = anna.hub.put_module(vec![3; 1_000 - MODULE.len() + 1]).await.unwrap_err();
    assert!(matches!(refused, Refusal::TooLarge { limit: 1_000, .. }), "{refused}");
    north
        .hub
        .fetch_module(crate::federation::plan(0).module())
        .await
        .expect("the module of an unfinished job was dropped");
    anna.hub.cancel(&job).await.unwrap();
    anna.hub.put_module(vec![3; 1_000]).await.expect("a cancelled job needs no module");
}

#[tokio::test]
async fn a_person_has_so_many_unfinished_jobs() {
    let mut federation = Federation::found().await;
    let (anna, bob) = (federation.person("anna").await, federation.person("bob").await);
    drop(federation.node("north").await.attend().await);
    federation.stop().await;
    federation.start(|config| config.unfinished_jobs_per_person_max = 2).await;
    let first = anna.ask(0).await.unwrap();
    anna.ask(1).await.unwrap();
    let refused = anna.ask(2).await.unwrap_err();
    assert!(matches!(&refused, Refusal::NotAllowed { what, .. } if what.contains("unfinished")), "{refused}");
    bob.ask(3).await.expect("anna's jobs are not bob's");
    anna.hub.cancel(&first).await.unwrap();
    anna.ask(2).await.unwrap();
}

#[tokio::test]
async fn old_jobs_are_forgotten_once_they_are_finished() {
    let mut federation = Federation::found().await;
    let anna = federation.person("anna").await;
    drop(federation.node("north").await.attend().await);
    federation.stop().await;
    federation.start(|config| config.jobs_kept_per_person_max = 2).await;
    let (old, waiting) = (anna.ask(0).await.unwrap(), anna.ask(1).await.unwrap());
    anna.hub.cancel(&old).await.unwrap();
    let newer = [anna.ask(2).await.unwrap(), anna.ask(3).await.unwrap()];
    let kept: Vec<_> = anna.hub.jobs().await.unwrap().into_iter().map(|line| line.id).collect();
    assert_eq!(
        kept,
        [newer[1].clone(), newer[0].clone(), waiting],
        "an unfinished job was forgotten, or an old one kept"
    );
    assert!(matches!(anna.hub.view(&old).await, Err(Refusal::NotFound { .. })));
}

#[tokio::test]
async fn a_node_that_does_not_read_holds_up_nobody() {
    let mut federation = Federation::found().await;
    let (anna, slow, quick) =
        (federation.person("anna").await, federation.node("slow").await, federation.node("quick").await);
    federation.stop().await;
    federation.start(|config| config.unfinished_jobs_per_person_max = 1_000).await;
    let (_unread, mut work) = (slow.attend().await, quick.attend().await);
    for attempt in 0..60 {
        let job = anna.ask(attempt).await.unwrap();
        assert_eq!(job_of(&mut work).await, job);
    }
}

#[tokio::test]
async fn many_at_once_get_jobs_of_their_own() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    let mut work = north.attend().await;
    anna.hub.put_module(MODULE.to_vec()).await.unwrap();
    let asking = (0..40).map(|attempt| {
        let (hub, submission) = (anna.hub.clone(), anna.submission(attempt, &[]));
        tokio::spawn(async move { hub.submit(submission).await.unwrap() })
    });
    let mut jobs = std::collections::BTreeSet::new();
    for asked in asking.collect::<Vec<_>>() {
        jobs.insert(asked.await.unwrap());
    }
    assert_eq!(jobs.len(), 40, "two submissions share an id");
    for _ in 0..40 {
        assert!(jobs.remove(&job_of(&mut work).await), "a job came twice, or out of nowhere");
    }
    let nothing_more = tokio::time::timeout(Duration::from_millis(200), work.next()).await;
    assert!(nothing_more.is_err(), "more work than was asked for");
}

#[tokio::test]
async fn an_empty_catalogue_is_a_catalogue() {
    let federation = Federation::found().await;
    let north = federation.node("north").await;
    north.hub.offer(encode(&Catalogue { datasets: Vec::new(), ..north.catalogue() })).await.unwrap();
}
