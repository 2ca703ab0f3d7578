//! What the hub accepts. It refuses nonsense early; whether a job is admitted each node decides alone (**sovereign**).

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    disclosure::Catalogue,
    dsse::PublicKey,
    ids::{DatasetName, Digest, JobId, NodeName, PersonName},
    job::{Job, JobBody},
    permit::PermitBody,
    plan::Plan,
    refusal::Refusal,
    revocation::Revocation,
};
use spe_wire::{PassedOn, Peer, Report, Submission, limits::answer_bytes_max};

use crate::{
    Config, agreements,
    applications::may_be_given,
    roles::{Endpoint, authorise},
    stop::Stop,
    store::{
        governance::{self, Event, What},
        jobs::{self, Accepted},
        modules, nodes, outcomes,
    },
};

/// Bytes of the reason of a revocation, which every node is told: far more than one has, so that none is refused for its words.
const REASON_BYTES_MAX: usize = 64 << 10;

/// Accepts a job and returns the nodes to be told; none if the same bytes were accepted before.
///
/// Refuses what is not signed, another person's job, a module that was not put, a dataset that no asked node offers, and
/// more unfinished jobs, larger modules for them, or more rounds with larger answers, than `config` allows. Nodes without an
/// agreement with the hub of that key refuse at once; where it is suspended, or begins later, the job waits.
pub(crate) fn submit(
    db: &Connection,
    peer: Peer,
    submission: &Submission,
    (config, hub, now): (&Config, PublicKey, Timestamp),
) -> Result<(JobId, Vec<NodeName>), Stop> {
    let person = authorise(db, peer, Endpoint::Submit)?.person()?;
    let job = Job::verify(&submission.job)?;
    let body = job.body();
    person_and_permit(&person, body, &submission.permit)?;
    let content = content(submission);
    if let Some(id) = jobs::same(db, &person, content)? {
        return Ok((id, Vec::new()));
    }
    let unfinished_max = config.unfinished_jobs_per_person_max;
    if jobs::unfinished(db, &person)? >= unfinished_max {
        let what = format!("have more than {unfinished_max} unfinished jobs; cancel one, or wait");
        return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
    }
    modules::hold(db, &person, body.plan.module(), config)?;
    let asked = asked(body, &nodes::all(db)?)?;
    bounded(&body.plan, asked.len(), config.round_answers_bytes_per_job_max)?;
    let accepted = Accepted { body, submission, nodes: &asked };
    let id = jobs::insert(db, &accepted, content)?;
    for node in &asked {
        // It is asked all the same, so that the result says why it has no part of it.
        if let Err(why) = agreements::may_wait(db, node, hub, now)? {
            outcomes::record(db, node, &id, Report::Refused(why))?;
        }
    }
    jobs::forget(db, &person, config.jobs_kept_per_person_max)?;
    Ok((id, asked))
}

/// Notes a revocation that a data access body signed which some node trusts; nodes are told, and each decides what it means.
/// The same again changes nothing.
///
/// Refuses one that nobody here trusts, or whose reason is too long: every node is told it. One of a permit that was not decided here counts: nodes take permits without the hub, too.
pub(crate) fn revoke(db: &Connection, person: PersonName, envelope: Vec<u8>, now: Timestamp) -> Result<PassedOn, Stop> {
    let trusted: Vec<_> = nodes::all(db)?.into_iter().flat_map(|node| node.access_bodies).collect();
    let revocation = Revocation::verify(&envelope, &trusted)?;
    let size = revocation.body().reason.len();
    if size > REASON_BYTES_MAX {
        let [size, limit] = [size, REASON_BYTES_MAX].map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
        return Err(Refusal::TooLarge { what: "the reason of the revocation".into(), size, limit }.into());
    }
    let subject = revocation.digest().to_string();
    governance::append(db, &Event { at: now, what: What::Revoked, subject, node: None, person, body: envelope })?;
    match revocation.line() {
        Some(permit) if !may_be_given(db, &permit)? => Ok(PassedOn::NoSuchPermit),
        Some(_) | None => Ok(PassedOn::Known),
    }
}

fn person_and_permit(person: &PersonName, body: &JobBody, permit: &[u8]) -> Result<(), Refusal> {
    if body.person != *person {
        let what = format!("submit a job of {}", body.person);
        return Err(Refusal::NotAllowed { who: person.to_string(), what });
    }
    let (permit, _) = PermitBody::read(permit)?;
    if body.permit == permit.number {
        return Ok(());
    }
    Err(Refusal::WrongPermit { named: body.permit.to_string(), given: permit.number.to_string() })
}

/// What makes a submission the same: both envelopes. Their lengths are told apart by hashing each first.
fn content(submission: &Submission) -> Digest {
    let parts = [Digest::of(&submission.job), Digest::of(&submission.permit)];
    Digest::of(parts.map(|part| *part.as_bytes()).as_flattened())
}

/// The nodes that the job names, or all that have its dataset.
fn asked(body: &JobBody, known: &[Catalogue]) -> Result<Vec<NodeName>, Refusal> {
    let dataset = body.plan.dataset();
    let having: BTreeSet<_> = known.iter().filter(|node| offers(node, dataset)).map(|node| &node.node).collect();
    if having.is_empty() {
        return Err(Refusal::DatasetUnknown { dataset: dataset.clone() });
    }
    for node in &body.nodes {
        if known.iter().all(|catalogue| catalogue.node != *node) {
            return Err(Refusal::NotFound { what: format!("node {node}") });
        }
        if !having.contains(node) {
            return Err(Refusal::PlanUnfit { why: format!("node {node} does not offer dataset {dataset}") });
        }
    }
    let named: BTreeSet<_> = if body.nodes.is_empty() { having } else { body.nodes.iter().collect() };
    Ok(named.into_iter().cloned().collect())
}

/// A job with rounds has an answer of each node in each, and the hub keeps them all.
fn bounded(plan: &Plan, nodes: usize, limit: u64) -> Result<(), Refusal> {
    let rounds = if plan.state().is_empty() { 0 } else { u64::from(plan.rounds()) };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let size = count(answer_bytes_max(plan)).saturating_mul(count(nodes)).saturating_mul(rounds);
    if size <= limit {
        return Ok(());
    }
    Err(Refusal::TooLarge { what: "the answers of all nodes in all rounds (ask for fewer rounds)".into(), size, limit })
}

fn offers(catalogue: &Catalogue, dataset: &DatasetName) -> bool {
    catalogue.datasets.iter().any(|offer| offer.schema.name == *dataset)
}
