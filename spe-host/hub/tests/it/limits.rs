//! Everything is bounded.

use std::time::Duration;

use spe_kernel::{disclosure::Catalogue, ids::Digest, refusal::Refusal};
use spe_wire::{encode, limits::MODULE_BYTES_MAX};

use crate::federation::{Federation, MODULE, job_of};

/// What a small module counts for.
const COUNTED: usize = 4_096;

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
    federation.start(|config| config.module_store_bytes_max = 40_000).await;
    let job = anna.ask(0).await.unwrap();
    anna.hub.put_module(vec![1; 35_000]).await.unwrap();
    anna.hub.put_module(vec![2; 35_000]).await.expect("the first 35,000 bytes are in no job and must make room");
    let refused = anna.hub.put_module(vec![3; 40_000 - COUNTED + 1]).await.unwrap_err();
    assert!(matches!(refused, Refusal::TooLarge { limit: 40_000, .. }), "{refused}");
    north
        .hub
        .fetch_module(crate::federation::plan(0).module())
        .await
        .expect("the module of an unfinished job was dropped");
    anna.hub.cancel(&job).await.unwrap();
    anna.hub.put_module(vec![3; 40_000]).await.expect("a cancelled job needs no module");
}

#[tokio::test]
async fn small_modules_have_their_price_too() {
    let mut federation = Federation::found().await;
    let anna = federation.person("anna").await;
    drop(federation.node("north").await.attend().await);
    federation.stop().await;
    federation.start(|config| config.module_bytes_per_person_max = 2 * u64::try_from(COUNTED).unwrap()).await;
    for module in [[1], [2], [3]] {
        anna.hub.put_module(module.to_vec()).await.unwrap();
    }
    assert!(matches!(anna.ask_with(&[1]).await, Err(Refusal::NotFound { .. })), "three rows for two");
    anna.ask_with(&[2]).await.expect("the second is within the limit");
}

#[tokio::test]
async fn one_person_does_not_fill_the_store_of_modules() {
    let mut federation = Federation::found().await;
    let (anna, bob) = (federation.person("anna").await, federation.person("bob").await);
    let north = federation.node("north").await;
    drop(north.attend().await);
    federation.stop().await;
    federation.start(|config| config.module_bytes_per_person_max = 20_000).await;
    let module = |n: u8| vec![n; 8_000];
    let mut jobs = Vec::new();
    for n in [1, 2] {
        anna.hub.put_module(module(n)).await.unwrap();
        jobs.push(anna.ask_with(&module(n)).await.unwrap());
    }
    let full = |r: Refusal| assert!(matches!(r, Refusal::TooLarge { limit: 20_000, size: 24_000, .. }), "{r}");
    full(anna.hub.put_module(module(3)).await.expect_err("anna's jobs pin more than anna may have"));
    bob.hub.put_module(module(1)).await.expect("anna's modules are not bob's");
    bob.hub.put_module(module(3)).await.unwrap();
    full(anna.ask_with(&module(3)).await.expect_err("anna's jobs pin what bob put"));
    bob.hub.put_module(module(4)).await.expect("the oldest is in no job of bob's and must make room");
    bob.ask_with(&module(3)).await.expect("another than the oldest was dropped");
    bob.hub.put_module(module(5)).await.unwrap();
    assert!(matches!(bob.ask_with(&module(4)).await, Err(Refusal::NotFound { .. })), "nobody's module was kept");
    for job in &jobs {
        north.hub.fetch_module(Digest::of(&module(1))).await.expect("bob let go of a module that anna's job needs");
        anna.hub.cancel(job).await.unwrap();
    }
    for n in [3, 6, 7] {
        anna.hub.put_module(module(n)).await.expect("cancelled jobs need no modules");
    }
    north.hub.fetch_module(Digest::of(&module(3))).await.expect("anna let go of a module that bob's job needs");
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
