//! How jobs with rounds end, and how nodes end in them: by refusing, by silence, by lies.

use spe_hub::dismiss;
use spe_kernel::{federation::Outcome, refusal::Refusal, rounds::Finished};
use spe_wire::{
    Assignment, encode,
    view::{Rounds, State, View},
};

use crate::{
    answers::Claim,
    federation::{assigned, founder, plan, plan_in, role, soon},
    fit::{Fit, PATIENCE, START, Worker, level, people},
};

fn outcome(view: &View, at: usize) -> &Outcome {
    &view.nodes[at].outcome
}

/// What was found wrong with a node.
fn wrong(view: &View, at: usize) -> &str {
    match outcome(view, at) {
        Outcome::Invalid { why } => why,
        other => panic!("the liar is not named, but {other:?}"),
    }
}

#[tokio::test]
async fn a_node_that_refuses_later_is_out_and_the_others_go_on() {
    let mut fit = Fit::new(&["north", "south", "west"], 2).await;
    fit.answer_all(0, START).await;
    fit.next(0).await;
    fit.answer(0, 1, 1, 111.0).await.unwrap();
    fit.answer(2, 100, 1, 111.0).await.unwrap();
    assert_eq!(fit.view().await.rounds, Some(Rounds { done: 1, of: 2 }), "a node that still works was left behind");
    fit.refuse(1).await;
    let next = fit.next(0).await;
    assert_eq!((next.round, next.merged.nodes, people(&next)), (2, 2, 101), "the refusal did not end the round");
    fit.finish(0, 2, 101.0).await.unwrap();
    fit.finish(2, 2, 101.0).await.unwrap();
    let view = fit.view().await;
    assert_eq!((view.state, view.coverage.as_str()), (State::Complete, "2 of 3 nodes"));
    assert!(matches!(outcome(&view, 1), Outcome::Refused { why: Refusal::PolicyForbids { .. }, .. }));
    let answers = fit.anna.hub.answers(&fit.job).await.unwrap().collect().await.unwrap();
    assert_eq!(answers.len(), 5, "what was merged before the refusal must stay to be checked");
}

#[tokio::test]
async fn an_answer_before_the_refusal_of_the_same_round_is_not_merged() {
    let mut fit = Fit::new(&["north", "south"], 2).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    fit.refuse(0).await;
    fit.answer(1, 10, 0, START).await.unwrap();
    let next = fit.next(1).await;
    assert_eq!((next.merged.nodes, people(&next)), (1, 10), "a node that is out was merged");
    let answers = fit.anna.hub.answers(&fit.job).await.unwrap().collect().await.unwrap();
    assert_eq!(answers.len(), 1, "whoever merges again would come to something else than the nodes were given");
}

#[tokio::test]
async fn without_any_node_left_the_job_is_complete_without_answers() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer_all(0, START).await;
    fit.next(0).await;
    fit.refuse(0).await;
    assert_eq!(fit.view().await.state, State::Partial);
    fit.refuse(1).await;
    let view = fit.view().await;
    assert_eq!((view.state, view.answered, view.parameters.is_some()), (State::Complete, 0, false));
    assert!(view.statistics.is_empty(), "what a round in the middle gave was taken for the result");
    let line = fit.anna.hub.jobs().await.unwrap().remove(0);
    assert_eq!((line.state, line.answered), (State::Complete, 0), "list and view disagree");
}

#[tokio::test]
async fn who_is_silent_is_left_out_and_told_when_late() {
    let mut fit = Fit::new(&["north", "silent", "offline"], 2).await;
    fit.answer_all(0, START).await;
    let mut nexts = Vec::new();
    for at in 0..3 {
        nexts.push(fit.next(at).await);
    }
    fit.pass(PATIENCE * 2).await;
    assert!(
        fit.view().await.nodes.iter().all(|n| matches!(n.outcome, Outcome::Working { .. })),
        "nodes were left out before any had answered"
    );
    let gone = fit.workers.pop().unwrap();
    drop(gone.work);
    fit.answer(0, 1, 1, level(&nexts[0])).await.unwrap();
    fit.pass(PATIENCE).await;
    let next = fit.next(0).await;
    assert_eq!((next.round, next.merged.nodes, people(&next)), (2, 1, 1), "the round did not go on without them");
    let view = fit.view().await;
    for at in 1..3 {
        let Outcome::Refused { why: Refusal::Unavailable { what }, .. } = outcome(&view, at) else {
            panic!("node {at} is not named: {view:?}")
        };
        assert!(what.contains("round 1 within 60 s"), "{what}");
    }
    let told = fit.answer(1, 10, 1, level(&nexts[1])).await.expect_err("a late answer was taken");
    assert!(matches!(&told, Refusal::NotAllowed { what, .. } if what.contains("within 60 s")), "{told}");
    let work = gone.node.attend().await;
    fit.workers.push(Worker { work, ..gone });
    fit.are_idle(&[2]).await;
    fit.finish(0, 2, 1.0).await.unwrap();
    assert_eq!(fit.view().await.state, State::Complete);
}

#[tokio::test]
async fn patience_is_for_each_round_and_outlives_a_restart() {
    let mut fit = Fit::new(&["north", "south"], 3).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    fit.pass(PATIENCE * 2 / 3).await;
    fit.answer(1, 10, 0, START).await.unwrap();
    let next = fit.next(0).await;
    fit.answer(0, 1, 1, level(&next)).await.unwrap();
    fit.pass(PATIENCE * 2 / 3).await;
    assert!(matches!(outcome(&fit.view().await, 1), Outcome::Working { .. }), "the time of the last round was counted");
    fit.federation.stop().await;
    fit.federation.start(|_| {}).await;
    fit.comes_again(0).await;
    // It looks who is waited for when it serves already, so that some time may pass before.
    let waiting = async {
        while !matches!(outcome(&fit.view().await, 1), Outcome::Refused { .. }) {
            fit.pass(PATIENCE).await;
        }
    };
    soon(waiting).await;
    let next = fit.next(0).await;
    assert_eq!((next.round, next.merged.nodes), (2, 1), "after a restart a silent node is waited for without end");
}

#[tokio::test]
async fn time_runs_from_the_first_word_of_who_is_still_there() {
    let mut fit = Fit::new(&["a", "b", "c"], 2).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    fit.refuse(0).await;
    fit.pass(PATIENCE * 2).await;
    let working = |view: &View, at| matches!(outcome(view, at), Outcome::Working { .. });
    let view = fit.view().await;
    assert!(working(&view, 1) && working(&view, 2), "who left hurries the others");
    fit.answer(1, 10, 0, START).await.unwrap();
    fit.pass(PATIENCE * 2 / 3).await;
    assert!(working(&fit.view().await, 2), "the time of who left was counted");
    fit.answer(1, 10, 0, START).await.expect("a replay is harmless");
    fit.pass(PATIENCE / 3).await;
    let next = fit.next(1).await;
    assert_eq!((next.merged.nodes, people(&next)), (1, 10), "a replay gained time");
}

#[tokio::test]
async fn a_second_word_does_not_begin_the_time_anew() {
    let mut fit = Fit::new(&["a", "b", "c"], 2).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    fit.pass(PATIENCE * 2 / 3).await;
    fit.answer(1, 10, 0, START).await.unwrap();
    fit.pass(PATIENCE / 3).await;
    let next = fit.next(0).await;
    assert_eq!((next.merged.nodes, people(&next)), (2, 11), "each answer gains the silent time");
}

#[tokio::test]
async fn a_dismissed_node_is_waited_for_no_longer_than_a_silent_one() {
    let mut fit = Fit::new(&["north", "south"], 2).await;
    fit.answer(0, 1, 0, START).await.unwrap();
    dismiss(fit.federation.dir.path(), &role("node south"), &founder()).unwrap();
    fit.pass(PATIENCE).await;
    assert_eq!(fit.next(0).await.merged.nodes, 1);
    assert!(matches!(outcome(&fit.view().await, 1), Outcome::Refused { why: Refusal::NotAllowed { .. }, .. }));
}

#[tokio::test]
async fn who_comes_to_another_end_than_most_is_named() {
    let mut fit = Fit::new(&["a", "b", "c"], 1).await;
    fit.answer_all(0, START).await;
    fit.next(0).await;
    fit.finish(0, 1, 112.0).await.expect("who is right cannot be known yet");
    fit.finish(1, 1, 111.0).await.unwrap();
    fit.finish(2, 1, 111.0).await.unwrap();
    let view = fit.view().await;
    assert_eq!((view.state, view.parameters.as_ref().map(|p| p[0].value)), (State::Complete, Some(111.0)));
    assert!(wrong(&view, 0).contains("last state"), "{}", wrong(&view, 0));
    assert!(matches!(outcome(&view, 1), Outcome::Answered { .. }));
    let again = fit.finish(0, 1, 112.0).await;
    assert!(matches!(again, Err(Refusal::Malformed { .. })), "the liar was not told: {again:?}");
    fit.finish(1, 1, 111.0).await.expect("a replay is harmless");
    let other = fit.finish(1, 1, 113.0).await;
    assert!(matches!(other, Err(Refusal::NotAllowed { .. })), "the result was changed: {other:?}");
}

#[tokio::test]
async fn of_two_ends_that_as_many_come_to_the_first_nodes_counts() {
    let fit = Fit::new(&["a", "b"], 1).await;
    fit.answer_all(0, START).await;
    fit.finish(1, 1, 2.0).await.unwrap();
    fit.finish(0, 1, 1.0).await.unwrap();
    let view = fit.view().await;
    assert_eq!(view.parameters.as_ref().map(|p| p[0].value), Some(1.0), "the end depends on who was faster");
    assert!(wrong(&view, 1).contains("last state"));
}

#[tokio::test]
async fn states_that_differ_in_the_last_bit_differ() {
    let fit = Fit::new(&["a", "b"], 1).await;
    fit.answer_all(0, START).await;
    fit.finish(0, 1, 0.0).await.unwrap();
    fit.finish(1, 1, -0.0).await.unwrap();
    assert!(wrong(&fit.view().await, 1).contains("last state"));
}

#[tokio::test]
async fn a_module_may_stop_before_the_last_round() {
    let mut fit = Fit::new(&["north", "south"], 5).await;
    fit.answer_all(0, START).await;
    let next = fit.next(0).await;
    fit.finish(0, 1, START).await.unwrap();
    fit.finish(1, 1, START).await.unwrap();
    assert_eq!(next.round, 1);
    let view = fit.view().await;
    assert_eq!((view.state, view.rounds), (State::Complete, Some(Rounds { done: 1, of: 5 })));
    assert_eq!((view.answered, view.parameters.map(|p| p[0].value)), (2, Some(START)));
    assert_eq!(view.statistics[0].estimates[0].value, 11.0, "the last round that was run is the one to show");
}

#[tokio::test]
async fn who_stops_alone_or_goes_on_alone_is_out() {
    let mut fit = Fit::new(&["a", "b", "c"], 5).await;
    fit.answer_all(0, START).await;
    fit.next(1).await;
    fit.finish(0, 1, 111.0).await.unwrap();
    fit.answer(1, 10, 1, 111.0).await.unwrap();
    fit.answer(2, 100, 1, 111.0).await.unwrap();
    let next = fit.next(1).await;
    assert_eq!((next.round, next.merged.nodes), (2, 2), "one node stopped the others");
    assert!(wrong(&fit.view().await, 0).contains("stopped after 1 rounds"));
    fit.finish(1, 2, 110.0).await.unwrap();
    fit.answer(2, 100, 2, 110.0).await.unwrap();
    let view = fit.view().await;
    assert!(wrong(&view, 2).contains("the others stopped"), "{view:?}");
    assert_eq!((view.state, view.parameters.map(|p| p[0].value)), (State::Complete, Some(110.0)));
}

#[tokio::test]
async fn a_round_on_another_state_is_not_merged() {
    let mut fit = Fit::new(&["a", "b", "c"], 3).await;
    fit.answer_all(0, START).await;
    fit.next(1).await;
    fit.answer(0, 1, 1, 7.0).await.unwrap();
    fit.answer(1, 10, 1, 111.0).await.unwrap();
    fit.answer(2, 100, 1, 111.0).await.unwrap();
    let next = fit.next(1).await;
    assert_eq!((next.merged.nodes, people(&next)), (2, 110), "sums of different questions were added up");
    let view = fit.view().await;
    assert!(wrong(&view, 0).contains("--attempt"), "{}", wrong(&view, 0));
}

#[tokio::test]
async fn a_round_that_is_not_the_one_under_way_is_a_lie() {
    for round in [1, 2, 3, 700] {
        let mut fit = Fit::new(&["bad", "good"], 3).await;
        let lie = fit.answer(0, 1, round, START).await.expect_err("a round that nobody asked for was taken");
        assert!(matches!(lie, Refusal::Malformed { .. }), "{lie}");
        fit.answer(1, 10, 0, START).await.unwrap();
        let next = fit.next(1).await;
        assert_eq!((next.round, next.merged.nodes, people(&next)), (1, 1, 10), "round {round} was merged");
        assert!(wrong(&fit.view().await, 0).contains(&format!("round {round}")));
        assert_eq!(fit.answer(0, 1, round, START).await, Err(lie), "the same lie again must get the same answer");
        let honest = fit.answer(0, 1, 0, START).await;
        assert!(matches!(honest, Err(Refusal::NotAllowed { .. })), "who lied came back: {honest:?}");
    }
}

#[tokio::test]
async fn answers_that_are_none_end_the_job_for_their_node_only() {
    let mut fit = Fit::new(&["bad", "good"], 3).await;
    fit.answer_all(0, START).await;
    fit.next(1).await;
    let long = Claim { cells: 5_000, ..fit.claim(0, 1, 1, &[11.0]) }.release();
    fit.workers[0].node.hub.report(&fit.job, encode(&long)).await.expect_err("an oversized answer was taken");
    fit.answer(1, 10, 1, 11.0).await.unwrap();
    assert_eq!(people(&fit.next(1).await), 10);
    let view = fit.view().await;
    assert!(wrong(&view, 0).contains("at most"), "{}", wrong(&view, 0));
    assert_eq!(view.coverage, "1 of 2 nodes");
}

#[tokio::test]
async fn last_states_that_are_none_end_the_job_for_their_node_only() {
    let honest = || Finished { plan: plan_in(2, 0).digest(), rounds: 1, state: vec![1.0] };
    let lies = [
        (Finished { plan: plan(0).digest(), ..honest() }, "another plan"),
        (Finished { state: vec![1.0, 2.0], ..honest() }, "1 finite numbers"),
        (Finished { state: Vec::new(), ..honest() }, "1 finite numbers"),
        (Finished { rounds: 0, ..honest() }, "no round"),
        (Finished { rounds: 2, ..honest() }, "round 2"),
        (Finished { rounds: u32::MAX, ..honest() }, "round 4294967295"),
    ];
    for (lie, why) in lies {
        let mut fit = Fit::new(&["bad", "good"], 2).await;
        fit.answer_all(0, START).await;
        fit.next(1).await;
        let refused = fit.workers[0].node.hub.report(&fit.job, encode(&lie)).await;
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{lie:?} was taken");
        fit.answer(1, 10, 1, 11.0).await.unwrap();
        assert_eq!(fit.next(1).await.merged.nodes, 1);
        assert!(wrong(&fit.view().await, 0).contains(why), "{}", wrong(&fit.view().await, 0));
    }
}

#[tokio::test]
async fn a_job_without_rounds_has_no_last_state() {
    let fit = Fit::new(&["north"], 1).await;
    let job = fit.anna.ask(0).await.unwrap();
    let finished = Finished { plan: plan(0).digest(), rounds: 1, state: Vec::new() };
    let north = &fit.workers[0].node;
    let refused = north.hub.report(&job, encode(&finished)).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed { .. })), "{refused:?}");
    north
        .hub
        .report(&job, encode(&Claim::honest(north, &plan(0), 1).release()))
        .await
        .expect("its answer still counts");
    let unasked = fit.workers[0].node.hub.report(&"job-0".parse().unwrap(), encode(&finished)).await;
    assert!(matches!(unasked, Err(Refusal::NotFound { .. })), "{unasked:?}");
}

#[tokio::test]
async fn a_job_is_cancelled_between_rounds() {
    let mut fit = Fit::new(&["north", "south", "west"], 3).await;
    fit.answer_all(0, START).await;
    for at in 0..3 {
        fit.next(at).await;
    }
    fit.answer(0, 1, 1, 111.0).await.unwrap();
    let view = fit.anna.hub.cancel(&fit.job).await.unwrap();
    assert_eq!((view.state, view.rounds), (State::Cancelled, Some(Rounds { done: 1, of: 3 })));
    assert_eq!(view.statistics[0].estimates[0].value, 111.0, "what was paid for and merged must not be lost");
    for worker in &mut fit.workers {
        assert_eq!(assigned(&mut worker.work).await, Assignment::Cancel { job: fit.job.clone() });
    }
    fit.answer(2, 100, 1, 111.0).await.expect("an answer that was under way is paid for");
    fit.workers[1].node.hub.report(&fit.job, encode(&Refusal::Cancelled)).await.unwrap();
    fit.workers[0].node.hub.report(&fit.job, encode(&Refusal::Cancelled)).await.unwrap();
    for at in 0..3 {
        fit.comes_again(at).await;
    }
    // A cancelled job that goes on, or is cancelled again and again, would come first.
    fit.are_idle(&[0, 1, 2]).await;
    let view = fit.view().await;
    assert_eq!(
        (view.state, view.rounds),
        (State::Cancelled, Some(Rounds { done: 1, of: 3 })),
        "a cancelled job went on"
    );
    assert_eq!((view.coverage.as_str(), view.parameters.is_none()), ("3 of 3 nodes", true));
    let answers = fit.anna.hub.answers(&fit.job).await.unwrap().collect().await.unwrap();
    assert_eq!(answers.len(), 5, "a paid answer was lost");
    let lines = fit.anna.hub.jobs().await.unwrap();
    assert_eq!(lines.iter().find(|line| line.id == fit.job).unwrap().state, State::Cancelled);
}

#[tokio::test]
async fn whoever_watches_sees_every_end() {
    let fit = Fit::new(&["north"], 1).await;
    let mut views = fit.anna.hub.watch(&fit.job).await.unwrap();
    fit.answer_all(0, START).await;
    fit.finish(0, 1, 1.0).await.unwrap();
    let mut last = None;
    while let Some(view) = soon(views.next()).await.unwrap() {
        last = Some(view);
    }
    assert_eq!(last.map(|view| (view.state, view.parameters.is_some())), Some((State::Complete, true)));
}
