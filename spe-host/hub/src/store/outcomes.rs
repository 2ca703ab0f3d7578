//! What nodes said of jobs. An outcome is written once; the same again changes nothing, another is refused.

use rusqlite::{Connection, params};
use spe_kernel::{
    disclosure::{Answer, Stage, arrive},
    dsse::PublicKey,
    fault::Fault,
    federation::open_answer,
    ids::{JobId, NodeName},
    job::Job,
    plan::Plan,
    refusal::Refusal,
    rounds::Finished,
};
use spe_wire::{Report, SignedAnswer, limits::answer_bytes_max};

use super::{first, jobs::not_found, nodes, parsed, rounds, rounds::Turn, rows, witness};
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
    Finished(Finished),
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
            Some("finished") => Some(Said::Finished(stored(&row.get::<_, Vec<u8>>("body")?)?)),
            Some("refused") => Some(Said::Refused(stored(&row.get::<_, Vec<u8>>("body")?)?)),
            Some(_) => Some(Said::Invalid(row.get("why")?)),
        };
        Ok(Line { node: parsed(row, "node")?, said, stage: stage.map(|json| stored(&json)).transpose()? })
    })
}

/// The valid answers to a job without rounds, by node.
pub(crate) fn answers(db: &Connection, job: &JobId) -> Result<Vec<SignedAnswer>, Stop> {
    let said = lines(db, job)?.into_iter().filter_map(|line| match line.said {
        Some(Said::Answered { key, envelope }) => Some(SignedAnswer { node: line.node, key, envelope, receipt: None }),
        _ => None,
    });
    Ok(said.collect())
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

/// Records what `node` says of `job`, and says what follows.
///
/// Refuses a job that the node was not asked, and an outcome that differs from the one on record.
pub(crate) fn record(db: &Connection, node: &NodeName, job: &JobId, report: Report) -> Result<(Recorded, Turn), Stop> {
    match report {
        Report::Stage(stage) => Ok((record_stage(db, node, job, stage)?, Turn::Rest)),
        Report::Refused(refusal) => {
            let recorded = record_refusal(db, node, job, &refusal)?;
            let turn = if matches!(recorded, Recorded::New) { rounds::settle(db, job)? } else { Turn::Rest };
            Ok((recorded, turn))
        }
        Report::Released(envelope) => match rounds::record_answer(db, node, job, &envelope)? {
            Some(recorded) => Ok(recorded),
            None => Ok((record_answer(db, node, job, &envelope)?, Turn::Rest)),
        },
        Report::Finished(finished) => rounds::record_finished(db, node, job, &finished),
        Report::Receipt(receipt) => Ok((witness::keep_receipt(db, node, job, &receipt)?, Turn::Rest)),
    }
}

/// What is on record already costs no write. In later rounds nodes only repeat themselves, and so does one that was restarted: what is
/// charged stays so.
fn record_stage(db: &Connection, node: &NodeName, job: &JobId, stage: Stage) -> Result<Recorded, Stop> {
    let known = "SELECT stage FROM asked WHERE job = ?1 AND node = ?2";
    let known: Option<Option<Vec<u8>>> = first(db, known, [job.as_str(), node.as_str()], |row| Ok(row.get("stage")?))?;
    let known: Option<Stage> = known.flatten().map(|json| stored(&json)).transpose()?;
    if earlier(db, node, job)?.is_some() || (known.is_some_and(Stage::is_charged) && !stage.is_charged()) {
        return Ok(Recorded::Known);
    }
    let sql = "UPDATE asked SET stage = ?3 WHERE job = ?1 AND node = ?2 AND stage IS NOT ?3
        AND NOT EXISTS (SELECT 1 FROM job WHERE id = ?1 AND done > 0)";
    match db.execute(sql, params![job.as_str(), node.as_str(), serde_json::to_vec(&stage)?])? {
        0 => Ok(Recorded::Known),
        _ => Ok(Recorded::New),
    }
}

fn record_refusal(db: &Connection, node: &NodeName, job: &JobId, refusal: &Refusal) -> Result<Recorded, Stop> {
    match earlier(db, node, job)? {
        None => refuse(db, node, job, refusal),
        Some(earlier) => earlier.again(node, job, &serde_json::to_vec(refusal)?),
    }
}

/// Ends the job for a node with a refusal: its own, or one that the hub writes in its name.
pub(crate) fn refuse(db: &Connection, node: &NodeName, job: &JobId, refusal: &Refusal) -> Result<Recorded, Stop> {
    let body = serde_json::to_vec(refusal)?;
    write(db, node, job, &Outcome { kind: "refused", why: None, key: None, body: &body })
}

fn record_answer(db: &Connection, node: &NodeName, job: &JobId, envelope: &[u8]) -> Result<Recorded, Stop> {
    if let Some(earlier) = earlier(db, node, job)? {
        return earlier.again(node, job, envelope);
    }
    let key = nodes::key(db, node)?;
    match check(envelope, &plan(db, job)?, node, key) {
        Ok((_, key)) => write(db, node, job, &Outcome { kind: "answered", why: None, key: Some(key), body: envelope }),
        Err(why) => invalidate(db, node, job, why, envelope),
    }
}

/// Ends the job for a node that sent something which does not count, and says so.
pub(crate) fn invalidate(
    db: &Connection,
    node: &NodeName,
    job: &JobId,
    why: String,
    body: &[u8],
) -> Result<Recorded, Stop> {
    let key = nodes::key(db, node)?;
    write(db, node, job, &Outcome { kind: "invalid", why: Some(&why), key, body })?;
    Ok(Recorded::Invalid(invalid(node, job, why)))
}

fn invalid(node: &NodeName, job: &JobId, why: String) -> Refusal {
    Refusal::Malformed { document: format!("the answer of node {node} to {job}"), why }
}

/// Opens an answer, if it is one to the plan.
pub(crate) fn check(
    envelope: &[u8],
    plan: &Plan,
    node: &NodeName,
    key: Option<PublicKey>,
) -> Result<(Answer, PublicKey), String> {
    let key = key.ok_or("the node has never offered a key")?;
    let limit = answer_bytes_max(plan);
    if envelope.len() > limit {
        return Err(format!("it has {} bytes; an answer to its plan has at most {limit}", envelope.len()));
    }
    Ok((open_answer(envelope, plan, node, key)?, key))
}

fn plan(db: &Connection, job: &JobId) -> Result<Plan, Stop> {
    let envelope: Vec<u8> = db.query_row("SELECT envelope FROM job WHERE id = ?1", [job.as_str()], |row| row.get(0))?;
    Ok(Job::verify(&envelope)?.body().plan.clone())
}

/// The outcome on record.
pub(crate) struct Earlier {
    kind: String,
    why: Option<String>,
    body: Vec<u8>,
}

impl Earlier {
    /// What the same bytes again come to. Others are refused, with what is on record: a node that was left out learns of it.
    pub(crate) fn again(self, node: &NodeName, job: &JobId, body: &[u8]) -> Result<Recorded, Stop> {
        if self.body == body {
            return Ok(self.why.map_or(Recorded::Known, |why| Recorded::Invalid(invalid(node, job, why))));
        }
        let why = match self.kind.as_str() {
            "refused" => stored::<Refusal>(&self.body)?.to_string(),
            _ => self.why.unwrap_or(self.kind),
        };
        Err(already(node, format!("change its outcome of {job}, which is on record ({why})")))
    }
}

/// What is on record of `node`; refuses a job that it was not asked.
pub(crate) fn earlier(db: &Connection, node: &NodeName, job: &JobId) -> Result<Option<Earlier>, Stop> {
    let sql = "SELECT outcome, body, why FROM asked WHERE job = ?1 AND node = ?2";
    let found = first(db, sql, [job.as_str(), node.as_str()], |row| {
        let Some(kind) = row.get("outcome")? else { return Ok(None) };
        Ok(Some(Earlier { kind, body: row.get("body")?, why: row.get("why")? }))
    })?;
    Ok(found.ok_or_else(|| not_found(job.as_str()))?)
}

pub(crate) struct Outcome<'a> {
    pub(crate) kind: &'a str,
    pub(crate) why: Option<&'a str>,
    pub(crate) key: Option<PublicKey>,
    pub(crate) body: &'a [u8],
}

pub(crate) fn write(db: &Connection, node: &NodeName, job: &JobId, outcome: &Outcome<'_>) -> Result<Recorded, Stop> {
    let sql = "UPDATE asked SET outcome = ?3, why = ?4, key = ?5, body = ?6 WHERE job = ?1 AND node = ?2";
    let key = outcome.key.map(|key| key.to_string());
    db.execute(sql, params![job.as_str(), node.as_str(), outcome.kind, outcome.why, key, outcome.body])?;
    Ok(Recorded::New)
}

pub(crate) fn already(node: &NodeName, what: String) -> Stop {
    Refusal::NotAllowed { who: format!("node {node}"), what }.into()
}
