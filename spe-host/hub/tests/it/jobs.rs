//! The life of a job: asked, worked on, answered, merged, cancelled.

use spe_kernel::{
    disclosure::Stage,
    federation::{Outcome, open_answer},
    job::Purpose,
    refusal::Refusal,
};
use spe_wire::{Assignment, encode, view::State};

use crate::{
    answers::Claim,
    federation::{Federation, MODULE, Person, assigned, job_of, plan, schema, soon},
};

fn outcome<'a>(view: &'a spe_hub::view::View, node: &str) -> &'a Outcome {
    &view.nodes.iter().find(|line| line.node.as_str() == node).expect("the node is not in the view").outcome
}

#[tokio::test]
async fn two_nodes_answer_and_the_third_is_named_offline() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south, west) =
        (federation.node("north").await, federation.node("south").await, federation.node("west").await);
    let (mut at_north, mut at_south) = (north.attend().await, south.attend().await);
    drop(west.attend().await);
    let job = anna.ask(0).await.unwrap();
    let Assignment::Run { submission, .. } = assigned(&mut at_north).await else { panic!("no work came") };
    assert_eq!(submission, anna.submission(0, &[]), "the node must get the very bytes that anna signed");
    assert_eq!(job_of(&mut at_south).await, job);
    assert_eq!(north.hub.fetch_module(plan(0).module()).await.unwrap(), MODULE);
    north.hub.report(&job, encode(&Stage::Running)).await.unwrap();
    let view = anna.until(&job, |v| outcome(v, "west") == &Outcome::Offline).await;
    assert_eq!(
        (view.state, outcome(&view, "north")),
        (State::Waiting, &Outcome::Working { stage: Some(Stage::Running) })
    );
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 40).release())).await.unwrap();
    south.hub.report(&job, encode(&Claim::honest(&south, &plan(0), 2).release())).await.unwrap();
    let view = anna.until(&job, |v| v.answered == 2).await;
    assert_eq!((view.state, view.coverage.as_str()), (State::Partial, "2 of 3 nodes"));
    assert_eq!(view.statistics[0].estimates[0].value, 42.0, "the merge must be the sum of the valid answers");
    assert!(view.statistics[0].estimates[0].low < 42.0 && view.statistics[0].estimates[0].high > 42.0);
    assert!(matches!(outcome(&view, "north"), Outcome::Answered { loss, .. } if *loss == plan(0).loss()));
}

#[tokio::test]
async fn a_late_node_completes_the_job_and_anna_checks_the_signatures() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let mut at_north = north.attend().await;
    drop(south.attend().await);
    let job = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, job);
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 1).release())).await.unwrap();
    let mut late = south.attend().await;
    assert_eq!(job_of(&mut late).await, job, "a node that comes late must get what it missed");
    south.hub.report(&job, encode(&Claim::honest(&south, &plan(0), 2).release())).await.unwrap();
    let view = anna.until(&job, |v| v.state.is_final()).await;
    assert_eq!((view.state, view.answered), (State::Complete, 2));
    let answers = anna.hub.answers(&job).await.unwrap().collect().await.unwrap();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        open_answer(&answer.envelope, &plan(0), &answer.node, answer.key).expect("a merged answer does not verify");
    }
    let mut again = north.attend().await;
    let next = anna.ask(1).await.unwrap();
    assert_eq!(job_of(&mut again).await, next, "an answered job must not come again");
}

#[tokio::test]
async fn a_watch_ends_when_every_node_is_done() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    let job = anna.ask(0).await.unwrap();
    let mut views = anna.hub.watch(&job).await.unwrap();
    assert_eq!(soon(views.next()).await.unwrap().unwrap().asked, 1);
    let refusal = Refusal::PolicyForbids { rule: "not on Sundays".into() };
    north.hub.report(&job, encode(&refusal)).await.unwrap();
    let mut last = None;
    while let Some(view) = soon(views.next()).await.unwrap() {
        last = Some(view);
    }
    let last = last.unwrap();
    assert_eq!((last.state, last.answered), (State::Complete, 0));
    assert_eq!(outcome(&last, "north"), &Outcome::Refused { why: refusal, stage: None });
    assert!(last.statistics.is_empty(), "a statistic without an answer");
}

/// What would be a bug: a researcher who is told that nothing was charged, of a node that charged and was started again before it refused.
#[tokio::test]
async fn a_refusal_says_how_far_the_job_had_come() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    for (attempt, said, come) in [
        (0, vec![], None),
        (1, vec![Stage::Admitted], Some(Stage::Admitted)),
        (2, vec![Stage::Admitted, Stage::Running, Stage::Admitted], Some(Stage::Running)),
        (3, vec![Stage::Running, Stage::AwaitsRelease], Some(Stage::AwaitsRelease)),
    ] {
        let job = anna.ask(attempt).await.unwrap();
        for stage in said {
            north.hub.report(&job, encode(&stage)).await.unwrap();
        }
        north.hub.report(&job, encode(&Refusal::JobSpent)).await.unwrap();
        let view = anna.hub.view(&job).await.unwrap();
        assert_eq!(outcome(&view, "north"), &Outcome::Refused { why: Refusal::JobSpent, stage: come });
    }
}

#[tokio::test]
async fn a_cancelled_job_is_called_back_and_a_paid_answer_still_counts() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    let mut at_north = north.attend().await;
    drop(south.attend().await);
    let job = anna.ask(0).await.unwrap();
    assert_eq!(job_of(&mut at_north).await, job);
    let view = anna.hub.cancel(&job).await.unwrap();
    assert_eq!(view.state, State::Cancelled);
    assert_eq!(outcome(&view, "south"), &Outcome::Refused { why: Refusal::Cancelled, stage: None });
    assert_eq!(assigned(&mut at_north).await, Assignment::Cancel { job: job.clone() });
    assert_eq!(anna.hub.cancel(&job).await.unwrap(), view, "cancelling twice must change nothing");
    north.hub.report(&job, encode(&Claim::honest(&north, &plan(0), 5).release())).await.unwrap();
    let view = anna.hub.view(&job).await.unwrap();
    assert_eq!((view.state, view.answered), (State::Cancelled, 1), "the charge was made: its answer must not be lost");
    let mut late = south.attend().await;
    assert_eq!(
        assigned(&mut late).await,
        Assignment::Cancel { job: job.clone() },
        "a late node must not run a cancelled job"
    );
    south.hub.report(&job, encode(&Refusal::Cancelled)).await.unwrap();
    let lines = anna.hub.jobs().await.unwrap();
    assert_eq!((lines[0].state, lines[0].answered, lines[0].asked), (State::Cancelled, 1, 2));
    assert_eq!((&lines[0].id, lines[0].purpose, lines[0].rounds), (&job, Purpose::PublicHealth, None));
}

#[tokio::test]
async fn the_list_says_how_far_jobs_are_and_what_is_complete_is_not_cancelled() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let (north, south) = (federation.node("north").await, federation.node("south").await);
    drop((north.attend().await, south.attend().await));
    let job = anna.ask(0).await.unwrap();
    for (node, before, after) in [(&north, State::Waiting, State::Partial), (&south, State::Partial, State::Complete)] {
        assert_eq!(anna.hub.jobs().await.unwrap()[0].state, before);
        node.hub.report(&job, encode(&Claim::honest(node, &plan(0), 5).release())).await.unwrap();
        let (line, view) = (anna.hub.jobs().await.unwrap().remove(0), anna.hub.view(&job).await.unwrap());
        assert_eq!((line.state, view.state), (after, after), "list and view disagree");
        assert_eq!(line.answered, view.answered, "list and view disagree");
    }
    let refused =
        anna.hub.cancel(&job).await.expect_err("a complete job was cancelled, or nobody was told that it was not");
    assert!(matches!(&refused, Refusal::NotAllowed { what, .. } if what.contains("complete")), "{refused}");
    assert_eq!(anna.hub.view(&job).await.unwrap().state, State::Complete);
}

#[tokio::test]
async fn another_persons_job_does_not_exist() {
    let federation = Federation::found().await;
    let (anna, bob) = (federation.person("anna").await, federation.person("bob").await);
    let north = federation.node("north").await;
    drop(north.attend().await);
    let job = anna.ask(0).await.unwrap();
    let unknown = "job-0".parse().unwrap();
    let missing = |id: &spe_kernel::ids::JobId| Refusal::NotFound { what: format!("job {id}") };
    for id in [&job, &unknown] {
        assert_eq!(bob.hub.view(id).await.unwrap_err(), missing(id), "bob can tell anna's job from one that never was");
        assert_eq!(bob.hub.cancel(id).await.unwrap_err(), missing(id));
        assert_eq!(bob.hub.watch(id).await.err(), Some(missing(id)));
        assert_eq!(bob.hub.answers(id).await.err(), Some(missing(id)));
    }
    assert!(bob.hub.jobs().await.unwrap().is_empty());
    assert_eq!(anna.hub.view(&job).await.unwrap().state, State::Waiting, "bob changed anna's job");
    let stolen = Person { name: "anna".into(), hub: bob.hub.clone(), key: bob.key };
    assert!(matches!(stolen.ask(1).await, Err(Refusal::NotAllowed { .. })), "bob asked in anna's name");
}

#[tokio::test]
async fn nonsense_is_refused_before_any_node_hears_of_it() {
    let federation = Federation::found().await;
    let anna = federation.person("anna").await;
    let no_dataset = anna.ask(0).await.unwrap_err();
    assert_eq!(no_dataset, Refusal::DatasetUnknown { dataset: schema().name });
    let north = federation.node("north").await;
    let mut at_north = north.attend().await;
    let no_node = anna.hub.submit(anna.submission(0, &["nowhere"])).await.unwrap_err();
    assert_eq!(no_node, Refusal::NotFound { what: "node nowhere".into() });
    let mut bent = anna.submission(0, &[]);
    bent.job[30] ^= 1;
    assert!(anna.hub.submit(bent).await.is_err(), "a job whose signature fails was accepted");
    let swapped = spe_wire::Submission { permit: anna.submission(0, &[]).job, ..anna.submission(0, &[]) };
    assert!(matches!(anna.hub.submit(swapped).await, Err(Refusal::Malformed { .. })));
    let first = anna.hub.submit(anna.submission(0, &["north", "north"])).await.unwrap();
    assert_eq!(anna.hub.view(&first).await.unwrap().asked, 1, "a node named twice is asked once");
    assert_eq!(
        anna.hub.submit(anna.submission(0, &["north", "north"])).await.unwrap(),
        first,
        "a resent submission is the same job"
    );
    assert_eq!(job_of(&mut at_north).await, first);
}

#[tokio::test]
async fn a_module_must_be_there_first() {
    let federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    let refused = anna.hub.submit(anna.submission(0, &[])).await.unwrap_err();
    assert!(matches!(&refused, Refusal::NotFound { what } if what.contains("module")), "{refused}");
    assert!(north.hub.fetch_module(plan(0).module()).await.is_err());
    anna.hub.put_module(MODULE.to_vec()).await.unwrap();
    assert!(north.hub.fetch_module(plan(0).module()).await.is_err(), "a node got a module of no job of its own");
    let south = federation.node("south").await;
    drop(south.attend().await);
    anna.hub.submit(anna.submission(0, &["north"])).await.unwrap();
    north.hub.fetch_module(plan(0).module()).await.unwrap();
    assert!(south.hub.fetch_module(plan(0).module()).await.is_err(), "a node got the module of another node's job");
}
