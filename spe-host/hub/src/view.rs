//! What persons see of a job.

use spe_kernel::{
    disclosure::Answer,
    dsse::PublicKey,
    federation::{NodeReport, Outcome, merge, open_answer},
    ids::{Digest, NodeName},
    job::Job,
    plan::Plan,
    refusal::Refusal,
    rounds::state_digest,
};
use spe_wire::SignedAnswer;
pub use spe_wire::view::{JobLine, Parameter, Rounds, State, View};

use crate::{
    stop::Stop,
    store::{
        jobs::StoredJob,
        outcomes::{Line, Said},
    },
};

/// The view of a job: valid answers merged, every node named with what became of it. `merged` are the answers of the latest
/// round that is done, if the job has rounds.
pub(crate) fn view(
    job: StoredJob,
    lines: Vec<Line>,
    merged: Vec<SignedAnswer>,
    is_here: impl Fn(&NodeName) -> bool,
) -> Result<View, Stop> {
    let verified = Job::verify(&job.envelope)?;
    let body = verified.body();
    let plan = &body.plan;
    let (asked, owing) = (count(lines.len()), lines.iter().filter(|line| line.said.is_none()).count());
    let parameters = parameters(plan, &lines);
    let mut answers = Vec::new();
    // A job that all nodes have left came to nothing: what a round in the middle gave is no result.
    if job.cancelled || owing > 0 || parameters.is_some() {
        answers.extend(merged.iter().filter_map(|m| open_answer(&m.envelope, plan, &m.node, m.key).ok()));
    }
    let mut nodes = Vec::new();
    for line in lines {
        let (outcome, answer) = outcome(&line, plan, job.cancelled, &merged, is_here(&line.node));
        nodes.push(NodeReport { node: line.node, outcome });
        answers.extend(answer);
    }
    let answered = count(answers.len());
    Ok(View {
        job: job.id,
        plan: plan.digest(),
        module: plan.module(),
        dataset: plan.dataset().clone(),
        person: body.person.clone(),
        purpose: body.purpose,
        permit: body.permit.clone(),
        submitted_at: job.submitted_at,
        state: state(job.cancelled, count(owing), answered),
        answered,
        asked,
        coverage: format!("{answered} of {asked} nodes"),
        rounds: job.done.map(|done| Rounds { done, of: plan.rounds() }),
        loss: plan.loss(),
        overlap: plan.overlap(),
        charge: plan.charge(),
        nodes,
        statistics: merge(plan, &answers),
        parameters,
    })
}

/// How far a job is of which so many nodes owe an outcome, and so many answers are merged.
pub(crate) const fn state(cancelled: bool, owing: u32, answered: u32) -> State {
    match (cancelled, owing, answered) {
        (true, ..) => State::Cancelled,
        (_, 0, _) => State::Complete,
        (.., 0) => State::Waiting,
        _ => State::Partial,
    }
}

/// The last state, if every node is done and those that finished agree on it to the last bit.
fn parameters(plan: &Plan, lines: &[Line]) -> Option<Vec<Parameter>> {
    if lines.iter().any(|line| line.said.is_none()) {
        return None;
    }
    let mut last = lines.iter().filter_map(|line| match &line.said {
        Some(Said::Finished(finished)) => Some(&finished.state),
        _ => None,
    });
    let state = last.next()?;
    if last.any(|other| state_digest(other) != state_digest(state)) {
        return None;
    }
    let named = plan.state().iter().zip(state);
    Some(named.map(|(name, value)| Parameter { name: name.clone(), value: *value }).collect())
}

fn outcome(
    line: &Line,
    plan: &Plan,
    cancelled: bool,
    merged: &[SignedAnswer],
    is_here: bool,
) -> (Outcome, Option<Answer>) {
    match &line.said {
        Some(Said::Answered { key, envelope }) => open(envelope, plan, &line.node, *key),
        Some(Said::Finished(_)) => (finished(line, plan, merged), None),
        Some(Said::Refused(why)) => (Outcome::Refused { why: why.clone(), stage: line.stage }, None),
        Some(Said::Invalid(why)) => (Outcome::Invalid { why: why.clone() }, None),
        None if cancelled => (Outcome::Refused { why: Refusal::Cancelled, stage: line.stage }, None),
        None if is_here => (Outcome::Working { stage: line.stage }, None),
        None => (Outcome::Offline, None),
    }
}

/// Of a node that took part in every round: the charge of all of them, and its answer in the last.
fn finished(line: &Line, plan: &Plan, merged: &[SignedAnswer]) -> Outcome {
    match merged.iter().find(|answer| answer.node == line.node) {
        Some(last) => Outcome::Answered { loss: plan.charge(), answer: Digest::of(&last.envelope) },
        None => Outcome::Invalid { why: "it finished without an answer to the last round".into() },
    }
}

/// Checked once more, so that a view never rests on what a file says.
fn open(envelope: &[u8], plan: &Plan, node: &NodeName, key: PublicKey) -> (Outcome, Option<Answer>) {
    match open_answer(envelope, plan, node, key) {
        Ok(answer) => (Outcome::Answered { loss: answer.loss, answer: Digest::of(envelope) }, Some(answer)),
        Err(why) => (Outcome::Invalid { why }, None),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
