//! What persons see of a job.

use spe_kernel::{
    disclosure::Answer,
    dsse::PublicKey,
    federation::{NodeReport, Outcome, merge, open_answer},
    ids::{Digest, NodeName},
    job::Job,
    plan::Plan,
    refusal::Refusal,
};
pub use spe_wire::view::{JobLine, State, View};

use crate::{
    stop::Stop,
    store::{
        jobs::StoredJob,
        outcomes::{Line, Said},
    },
};

/// The view of a job: valid answers merged, every node named with what became of it.
pub(crate) fn view(job: StoredJob, lines: Vec<Line>, is_here: impl Fn(&NodeName) -> bool) -> Result<View, Stop> {
    let verified = Job::verify(&job.envelope)?;
    let body = verified.body();
    let (asked, owing) = (lines.len(), lines.iter().any(|line| line.said.is_none()));
    let (mut nodes, mut answers) = (Vec::new(), Vec::new());
    for line in lines {
        let (outcome, answer) = outcome(&line, &body.plan, job.cancelled, is_here(&line.node));
        nodes.push(NodeReport { node: line.node, outcome });
        answers.extend(answer);
    }
    let state = match (job.cancelled, owing, answers.is_empty()) {
        (true, ..) => State::Cancelled,
        (_, false, _) => State::Complete,
        (_, true, true) => State::Waiting,
        (_, true, false) => State::Partial,
    };
    Ok(View {
        job: job.id,
        plan: body.plan.digest(),
        module: body.plan.module(),
        dataset: body.plan.dataset().clone(),
        person: body.person.clone(),
        purpose: body.purpose,
        permit: body.permit.clone(),
        submitted_at: job.submitted_at,
        state,
        answered: count(answers.len()),
        asked: count(asked),
        coverage: format!("{} of {asked} nodes", answers.len()),
        loss: body.plan.loss(),
        overlap: body.plan.overlap(),
        nodes,
        statistics: merge(&body.plan, &answers),
    })
}

fn outcome(line: &Line, plan: &Plan, cancelled: bool, is_here: bool) -> (Outcome, Option<Answer>) {
    match &line.said {
        Some(Said::Answered { key, envelope }) => open(envelope, plan, &line.node, *key),
        Some(Said::Refused(why)) => (Outcome::Refused { why: why.clone() }, None),
        Some(Said::Invalid(why)) => (Outcome::Invalid { why: why.clone() }, None),
        None if cancelled => (Outcome::Refused { why: Refusal::Cancelled }, None),
        None if is_here => (Outcome::Working { stage: line.stage }, None),
        None => (Outcome::Offline, None),
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
