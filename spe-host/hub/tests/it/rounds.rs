//! Jobs with rounds: from the first to the last.

use std::time::{Duration, Instant};

use spe_kernel::{
    disclosure::Stage,
    federation::{Outcome, open_answer},
    ids::Digest,
    refusal::Refusal,
    rounds::{Merged, NextRound},
};
use spe_wire::{
    Assignment, encode,
    view::{Parameter, Rounds, State},
};
use tokio::time::timeout;

use crate::{
    federation::{assigned, plan_in},
    fit::{Fit, START, level, people},
};

#[tokio::test]
async fn three_nodes_go_through_the_rounds_together() {
    let mut fit = Fit::new(&["north", "south", "west"], 2).await;
    let loss = fit.plan.loss();
    assert_eq!(fit.view().await.rounds, Some(Rounds { done: 0, of: 2 }));
    fit.answer_all(0, START).await;
    for at in 0..3 {
        let Assignment::Round { submission, next, .. } = assigned(&mut fit.workers[at].work).await else {
            panic!("the next round did not come")
        };
        assert_eq!(submission, fit.anna.submission_of(plan_in(2, 0), &[]), "the node must get what anna signed");
        assert_eq!((next.round, next.merged.nodes, people(&next)), (1, 3, 111), "the merge is not the sum");
    }
    let view = fit.view().await;
    assert_eq!((view.state, view.rounds), (State::Partial, Some(Rounds { done: 1, of: 2 })));
    assert_eq!((view.statistics[0].estimates[0].value, view.coverage.as_str()), (111.0, "3 of 3 nodes"));
    assert_eq!(
        (view.loss, view.charge, view.parameters),
        (loss, fit.plan.charge(), None),
        "a state in the middle is none"
    );
    fit.answer_all(1, 111.0).await;
    let last = fit.next(0).await;
    assert_eq!(last.round, 2, "the number of rounds itself asks for the last state");
    for at in 0..3 {
        let done = fit.view().await;
        assert_eq!((done.state, done.parameters), (State::Partial, None), "the job ended before all had finished");
        fit.finish(at, 2, level(&last)).await.unwrap();
    }
    let view = fit.view().await;
    let level = Parameter { name: "level".into(), value: 111.0 };
    assert_eq!((view.state, view.answered, view.parameters), (State::Complete, 3, Some(vec![level])));
    let answers = fit.anna.hub.answers(&fit.job).await.unwrap().collect().await.unwrap();
    for node in &view.nodes {
        let envelope = &answers.iter().rfind(|a| a.node == node.node).unwrap().envelope;
        let expected = Outcome::Answered { loss: fit.plan.charge(), answer: Digest::of(envelope) };
        assert_eq!(node.outcome, expected, "a node's last answer and whole charge are to be shown");
    }
    let line = fit.anna.hub.jobs().await.unwrap().remove(0);
    assert_eq!((line.state, line.answered, line.rounds), (State::Complete, 3, Some(Rounds { done: 2, of: 2 })));
}

#[tokio::test]
async fn anna_can_merge_every_round_again_from_signed_answers() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer_all(0, START).await;
    let first = fit.next(0).await;
    fit.answer_all(1, level(&first)).await;
    let second = fit.next(0).await;
    fit.answer(1, 5, 2, level(&second)).await.unwrap();
    let mut rounds: Vec<Vec<_>> = vec![Vec::new(); 3];
    let mut order = Vec::new();
    for answer in fit.anna.hub.answers(&fit.job).await.unwrap().collect().await.unwrap() {
        let opened =
            open_answer(&answer.envelope, &fit.plan, &answer.node, answer.key).expect("an answer does not verify");
        order.push((opened.round, answer.node));
        rounds[usize::try_from(opened.round).unwrap()].push(opened);
    }
    assert!(order.is_sorted(), "answers come by round and node: {order:?}");
    assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "an answer is missing, or there twice");
    for (round, next) in [(0, first), (1, second)] {
        assert_eq!(next.merged, Merged::of(&fit.plan, &rounds[round]), "the nodes were given another merge");
    }
}

#[tokio::test]
async fn a_module_with_a_state_and_one_round_has_a_last_state_too() {
    let mut fit = Fit::new(&["north"], 1).await;
    fit.answer_all(0, START).await;
    assert_eq!(fit.next(0).await.round, 1);
    fit.finish(0, 1, 1.0).await.unwrap();
    let view = fit.view().await;
    assert_eq!((view.state, view.parameters.map(|p| p[0].value)), (State::Complete, Some(1.0)));
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_round_loses_nothing() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer_all(0, START).await;
    let next = fit.next(0).await;
    fit.answer(0, 1, 1, level(&next)).await.unwrap();
    fit.federation.stop().await;
    fit.federation.start(|_| {}).await;
    fit.comes_again(0).await;
    fit.comes_again(1).await;
    assert_eq!(fit.next(1).await, next, "a node that comes again must get the round under way, as it was");
    let idle = timeout(Duration::from_millis(200), fit.workers[0].work.next()).await;
    assert!(idle.is_err(), "a node that waits for the others was asked again");
    fit.answer(1, 10, 1, level(&next)).await.unwrap();
    for at in 0..2 {
        let next = fit.next(at).await;
        assert_eq!((next.round, people(&next)), (2, 11), "an answer of before the restart was forgotten");
    }
}

#[tokio::test]
async fn the_same_again_changes_nothing_and_something_else_is_refused() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    fit.answer(0, 1, 0, START).await.expect("a replay in the same round is harmless");
    let changed = |r: Result<(), Refusal>| assert!(matches!(r, Err(Refusal::NotAllowed { .. })), "{r:?}");
    changed(fit.answer(0, 2, 0, START).await);
    fit.answer(1, 10, 0, START).await.unwrap();
    assert_eq!(people(&fit.next(0).await), 11, "what came second counted");
    fit.answer(0, 1, 0, START).await.expect("a replay after the round is harmless");
    changed(fit.answer(0, 2, 0, START).await);
    fit.answer(0, 1, 1, 11.0).await.unwrap();
    changed(fit.finish(0, 1, 11.0).await);
    fit.answer(1, 10, 1, 11.0).await.unwrap();
    assert_eq!(fit.next(0).await.round, 2, "who was refused a change is still in the job");
    assert_eq!(fit.next(1).await.round, 1);
    assert_eq!(fit.next(1).await.round, 2);
}

#[tokio::test]
async fn a_node_that_comes_again_is_asked_for_the_round_under_way_only() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer_all(0, START).await;
    fit.comes_again(1).await;
    let next = fit.next(1).await;
    assert_eq!(next.round, 1, "the job was given from the start again");
    fit.comes_again(1).await;
    assert_eq!(fit.next(1).await, next, "a round that was lost with the connection must come again");
}

#[tokio::test]
async fn stages_are_shown_and_later_rounds_do_not_set_them_back() {
    let mut fit = Fit::new(&["north"], 2).await;
    let north = fit.workers[0].node.hub.clone();
    let shown = |view: spe_hub::view::View| view.nodes[0].outcome.clone();
    north.report(&fit.job, encode(&Stage::Running)).await.unwrap();
    assert_eq!(shown(fit.view().await), Outcome::Working { stage: Some(Stage::Running) });
    fit.answer_all(0, START).await;
    fit.next(0).await;
    north.report(&fit.job, encode(&Stage::Admitted)).await.unwrap();
    assert_eq!(shown(fit.view().await), Outcome::Working { stage: Some(Stage::Running) });
}

#[tokio::test]
async fn answers_of_one_job_have_a_limit_together() {
    let mut fit = Fit::new(&["north"], 1).await;
    fit.federation.stop().await;
    let limit = u64::try_from(spe_wire::limits::answer_bytes_max(&plan_in(5, 0))).unwrap() * 5;
    fit.federation.start(|config| config.round_answers_bytes_per_job_max = limit).await;
    fit.anna.hub.submit(fit.anna.submission_of(plan_in(5, 0), &[])).await.expect("five rounds fit");
    let refused = fit.anna.hub.submit(fit.anna.submission_of(plan_in(6, 0), &[])).await.unwrap_err();
    assert!(matches!(&refused, Refusal::TooLarge { size, .. } if *size > limit), "{refused}");
    fit.anna.ask(0).await.expect("a job without rounds is not counted");
}

/// Three nodes that answer at once, each over its own connection. The figure is printed. Whatever waited for the hub's patience would
/// wait for ever: its clock stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_round_takes_milliseconds() {
    const ROUNDS: u32 = 100;
    let Fit { federation: _federation, anna, workers, plan, job } = Fit::new(&["north", "south", "west"], ROUNDS).await;
    let since = Instant::now();
    let working = workers.into_iter().map(|mut worker| {
        let (plan, job) = (plan.clone(), job.clone());
        tokio::spawn(async move {
            let (mut round, mut state) = (0, START);
            while round < ROUNDS {
                let claim = crate::answers::Claim::honest(&worker.node, &plan, 7);
                let released = crate::answers::Claim { round, state: &[state], ..claim }.release();
                worker.node.hub.report(&job, encode(&released)).await.unwrap();
                let Assignment::Round { next, .. } = assigned(&mut worker.work).await else { panic!("no round") };
                (round, state) = (next.round, level(&next));
            }
            let finished = spe_kernel::rounds::Finished { plan: plan.digest(), rounds: round, state: vec![state] };
            worker.node.hub.report(&job, encode(&finished)).await.unwrap();
        })
    });
    for ended in working.collect::<Vec<_>>() {
        ended.await.unwrap();
    }
    let each = since.elapsed() / ROUNDS;
    eprintln!("figures: {each:?} a round, three nodes");
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!((view.state, view.parameters.unwrap()[0].value), (State::Complete, 21.0));
}

/// What a node was given, to the last byte.
#[tokio::test]
async fn rounds_are_merged_exactly() {
    let mut fit = Fit::new(&["north", "south"], 2).await;
    fit.answer(0, 1 << 70, 0, START).await.unwrap();
    fit.answer(1, -(1 << 69), 0, START).await.unwrap();
    let expected = Merged { nodes: 2, sums: vec![spe_kernel::disclosure::Cells(vec![1 << 89])] };
    assert_eq!(fit.next(0).await, NextRound { round: 1, merged: expected }, "sums went through floating point");
}
