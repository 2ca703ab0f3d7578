//! What nodes said of jobs. An outcome is written once; the same again changes nothing, another is refused.

use rusqlite::{Connection, params};
use spe_kernel::{
    disclosure::{Stage, arrive},
    dsse::PublicKey,
    fault::Fault,
    federation::open_answer,
    ids::{JobId, NodeName},
    job::Job,
    plan::Plan,
    refusal::Refusal,
};
use spe_wire::{Report, limits::answer_bytes_max};

use super::{first, jobs::not_found, nodes, parsed, rows};
use crate::stop::Stop;

/// One node's line of a job, as stored.
pub(crate) struct Line {
    pub(crate) node: NodeName,
    pub(crate) said: Option<Said>,
    pub(crate) stage: Option<Stage>,
}

/// A stored outcome.
pub(crate) enum Said {
    Answered { key: PublicKey, envelope: Vec<u8> },
    Refused(Refusal),
    Invalid(String),
}

/// All lines of a job, by node.
pub(crate) fn lines(db: &Connection, job: &JobId) -> Result<Vec<Line>, Stop> {
    let sql = "SELECT node, stage, outcome, why, key, body FROM asked WHERE job = ?1 ORDER BY node";
    rows(db, sql, [job.as_str()], |row| {
        let stage: Option<Vec<u8>> = row.get("stage")?;
        let outcome: Option<String> = row.get("outcome")?;
        let said = match outcome.as_deref() {
            None => None,
            Some("answered") => Some(Said::Answered { key: parsed(row, "key")?, envelope: row.get("body")? }),
            Some("refused") => Some(Said::Refused(stored(&row.get::<_, Vec<u8>>("body")?)?)),
            Some(_) => Some(Said::Invalid(row.get("why")?)),
        };
        Ok(Line { node: parsed(row, "node")?, said, stage: stage.map(|json| stored(&json)).transpose()? })
    })
}

fn stored<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Stop> {
    Ok(arrive(json).map_err(Fault::while_("reading a stored report"))?)
}

/// What a report did.
pub(crate) enum Recorded {
    /// It is now on record.
    New,
    /// It was on record already.
    Known,
    /// It is on record as invalid.
    Invalid(Refusal),
}

/// Records what `node` says of `job`.
///
/// Refuses a job that the node was not asked, and an outcome that differs from the one on record.
pub(crate) fn record(db: &Connection, node: &NodeName, job: &JobId, report: Report) -> Result<Recorded, Stop> {
    match report {
        Report::Stage(stage) => record_stage(db, node, job, stage),
        Report::Refused(refusal) => record_refusal(db, node, job, &refusal),
        Report::Released(envelope) => record_answer(db, node, job, &envelope),
    }
}

fn record_stage(db: &Connection, node: &NodeName, job: &JobId, stage: Stage) -> Result<Recorded, Stop> {
    if earlier(db, node, job)?.is_some() {
        return Ok(Recorded::Known);
    }
    let sql = "UPDATE asked SET stage = ?3 WHERE job = ?1 AND node = ?2";
    db.execute(sql, params![job.as_str(), node.as_str(), serde_json::to_vec(&stage)?])?;
    Ok(Recorded::New)
}

fn record_refusal(db: &Connection, node: &NodeName, job: &JobId, refusal: &Refusal) -> Result<Recorded, Stop> {
    let body = serde_json::to_vec(refusal)?;
    match earlier(db, node, job)? {
        None => write(db, node, job, &Outcome { kind: "refused", why: None, key: None, body: &body }),
        Some(outcome) if outcome.body == body => Ok(Recorded::Known),
        Some(_) => Err(already(node, job)),
    }
}

fn record_answer(db: &Connection, node: &NodeName, job: &JobId, envelope: &[u8]) -> Result<Recorded, Stop> {
    let invalid = |why: String| Refusal::Malformed { document: format!("the answer of node {node} to {job}"), why };
    match earlier(db, node, job)? {
        Some(Earlier { body, why: None }) if body == envelope => return Ok(Recorded::Known),
        Some(Earlier { body, why: Some(why) }) if body == envelope => return Ok(Recorded::Invalid(invalid(why))),
        Some(_) => return Err(already(node, job)),
        None => {}
    }
    let key = nodes::key(db, node)?;
    match check(envelope, &plan(db, job)?, node, key) {
        Ok(key) => write(db, node, job, &Outcome { kind: "answered", why: None, key: Some(key), body: envelope }),
        Err(why) => {
            write(db, node, job, &Outcome { kind: "invalid", why: Some(&why), key, body: envelope })?;
            Ok(Recorded::Invalid(invalid(why)))
        }
    }
}

fn check(envelope: &[u8], plan: &Plan, node: &NodeName, key: Option<PublicKey>) -> Result<PublicKey, String> {
    let key = key.ok_or("the node has never offered a key")?;
    let limit = answer_bytes_max(plan);
    if envelope.len() > limit {
        return Err(format!("it has {} bytes; an answer to its plan has at most {limit}", envelope.len()));
    }
    open_answer(envelope, plan, node, key).map(|_| key)
}

fn plan(db: &Connection, job: &JobId) -> Result<Plan, Stop> {
    let envelope: Vec<u8> = db.query_row("SELECT envelope FROM job WHERE id = ?1", [job.as_str()], |row| row.get(0))?;
    Ok(Job::verify(&envelope)?.body().plan.clone())
}

struct Earlier {
    body: Vec<u8>,
    why: Option<String>,
}

/// The outcome on record.
fn earlier(db: &Connection, node: &NodeName, job: &JobId) -> Result<Option<Earlier>, Stop> {
    let sql = "SELECT outcome IS NOT NULL AS final, body, why FROM asked WHERE job = ?1 AND node = ?2";
    let found = first(db, sql, [job.as_str(), node.as_str()], |row| {
        let is_final: bool = row.get("final")?;
        Ok(if is_final { Some(Earlier { body: row.get("body")?, why: row.get("why")? }) } else { None })
    })?;
    Ok(found.ok_or_else(|| not_found(job.as_str()))?)
}

struct Outcome<'a> {
    kind: &'a str,
    why: Option<&'a str>,
    key: Option<PublicKey>,
    body: &'a [u8],
}

fn write(db: &Connection, node: &NodeName, job: &JobId, outcome: &Outcome<'_>) -> Result<Recorded, Stop> {
    let sql = "UPDATE asked SET outcome = ?3, why = ?4, key = ?5, body = ?6 WHERE job = ?1 AND node = ?2";
    let key = outcome.key.map(|key| key.to_string());
    db.execute(sql, params![job.as_str(), node.as_str(), outcome.kind, outcome.why, key, outcome.body])?;
    Ok(Recorded::New)
}

fn already(node: &NodeName, job: &JobId) -> Stop {
    Refusal::NotAllowed { who: format!("node {node}"), what: format!("change its outcome of {job}: it is on record") }
        .into()
}
