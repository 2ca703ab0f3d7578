//! Jobs and the nodes that they ask.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    disclosure::arrive,
    fault::Fault,
    ids::{Digest, JobId, NodeName, PersonName},
    job::JobBody,
    refusal::Refusal,
    rounds::NextRound,
};
use spe_wire::{
    Assignment, Submission,
    limits::JOBS_LISTED_MAX,
    view::{JobLine, Rounds},
};

use super::{first, parsed, rows};
use crate::{stop::Stop, view};

/// A job that was accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) body: &'a JobBody,
    pub(crate) submission: &'a Submission,
    pub(crate) nodes: &'a [NodeName],
}

/// A stored job.
pub(crate) struct StoredJob {
    pub(crate) id: JobId,
    pub(crate) submitted_at: Timestamp,
    pub(crate) cancelled: bool,
    /// Rounds that are merged; none if the module is run once.
    pub(crate) done: Option<u32>,
    pub(crate) envelope: Vec<u8>,
}

/// The job that `person` already submitted with these very bytes.
pub(crate) fn same(db: &Connection, person: &PersonName, content: Digest) -> Result<Option<JobId>, Stop> {
    let sql = "SELECT id FROM job WHERE person = ?1 AND content = ?2";
    first(db, sql, [person.to_string(), content.to_string()], |row| parsed(row, "id"))
}

/// Stores a job under a new id.
pub(crate) fn insert(db: &Connection, job: &Accepted<'_>, content: Digest) -> Result<JobId, Stop> {
    let sql =
        "INSERT INTO job (id, person, content, dataset, module, purpose, submitted_at, envelope, permit, rounds, done)
        VALUES ('job-' || lower(hex(randomblob(8))), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id";
    let (person, purpose, plan) = (job.body.person.as_str(), job.body.purpose.to_string(), &job.body.plan);
    let (dataset, module, content) = (plan.dataset().as_str(), plan.module().to_string(), content.to_string());
    let rounds = (!plan.state().is_empty()).then_some(plan.rounds());
    let (now, Submission { job: envelope, permit }) = (Timestamp::now().to_string(), job.submission);
    let done = rounds.map(|_| 0);
    let given = params![person, content, dataset, module, purpose, now, envelope, permit, rounds, done];
    let id: String = db.query_row(sql, given, |row| row.get(0))?;
    for node in job.nodes {
        db.execute("INSERT INTO asked (job, node) VALUES (?1, ?2)", [&id, node.as_str()])?;
    }
    happened(db, &id, "run")?;
    first(db, "SELECT id FROM job WHERE id = ?1", [&id], |row| parsed(row, "id"))?.ok_or_else(|| not_found(&id).into())
}

fn happened(db: &Connection, job: &str, what: &str) -> Result<(), Stop> {
    db.execute("INSERT INTO event (job, what) VALUES (?1, ?2)", [job, what])?;
    Ok(())
}

/// The permit that a job is asked under, as it was signed.
pub(crate) fn permit(db: &Connection, job: &JobId) -> Result<Vec<u8>, Stop> {
    let sql = "SELECT permit FROM job WHERE id = ?1";
    let found = first(db, sql, [job.as_str()], |row| Ok(row.get("permit")?))?;
    Ok(found.ok_or_else(|| not_found(job.as_str()))?)
}

/// How many jobs of `person` still wait for a node.
pub(crate) fn unfinished(db: &Connection, person: &PersonName) -> Result<u32, Stop> {
    let sql = "SELECT COUNT(DISTINCT job.id) FROM job JOIN asked ON asked.job = job.id
        WHERE person = ?1 AND cancelled = 0 AND outcome IS NULL";
    Ok(db.query_row(sql, [person.as_str()], |row| row.get(0))?)
}

/// A job of `person`; to others it does not exist.
pub(crate) fn of(db: &Connection, person: &PersonName, job: &JobId) -> Result<StoredJob, Stop> {
    let sql = "SELECT id, submitted_at, cancelled, done, envelope FROM job WHERE id = ?1 AND person = ?2";
    let found = first(db, sql, [job.as_str(), person.as_str()], |row| {
        let (id, submitted_at) = (parsed(row, "id")?, parsed(row, "submitted_at")?);
        let (cancelled, done) = (row.get("cancelled")?, row.get("done")?);
        Ok(StoredJob { id, submitted_at, cancelled, done, envelope: row.get("envelope")? })
    })?;
    Ok(found.ok_or_else(|| not_found(job.as_str()))?)
}

/// The newest jobs of `person`.
pub(crate) fn list(db: &Connection, person: &PersonName) -> Result<Vec<JobLine>, Stop> {
    let sql = "SELECT id, dataset, purpose, submitted_at, cancelled, rounds, done, COUNT(*) AS asked,
            COUNT(*) FILTER (WHERE outcome IS NULL) AS owing,
            COUNT(*) FILTER (WHERE outcome IN ('answered', 'finished')) AS ended,
            (SELECT COUNT(*) FROM said WHERE said.job = job.id AND said.round = job.done - 1) AS merged
        FROM job JOIN asked ON asked.job = job.id WHERE person = ?1 GROUP BY id ORDER BY job.rowid DESC LIMIT ?2";
    rows(db, sql, params![person.as_str(), JOBS_LISTED_MAX], |row| {
        let (rounds, cancelled): (Option<u32>, bool) = (row.get("rounds")?, row.get("cancelled")?);
        let (owing, ended): (u32, u32) = (row.get("owing")?, row.get("ended")?);
        let going = cancelled || owing > 0;
        let rounds = rounds.map(|of| Ok::<_, Stop>(Rounds { done: row.get("done")?, of })).transpose()?;
        let answered = if rounds.is_some() && (going || ended > 0) { row.get("merged")? } else { ended };
        Ok(JobLine {
            id: parsed(row, "id")?,
            dataset: parsed(row, "dataset")?,
            purpose: parsed(row, "purpose")?,
            submitted_at: parsed(row, "submitted_at")?,
            state: view::state(cancelled, owing, answered),
            answered,
            asked: row.get("asked")?,
            rounds,
        })
    })
}

/// Forgets the oldest finished jobs of `person` beyond `kept_max` jobs in all. Nodes keep their answers: the same question,
/// asked again, is free.
pub(crate) fn forget(db: &Connection, person: &PersonName, kept_max: u32) -> Result<(), Stop> {
    let sql = "DELETE FROM job WHERE person = ?1
        AND rowid <= (SELECT rowid FROM job WHERE person = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
        AND (cancelled = 1 OR NOT EXISTS (SELECT 1 FROM asked WHERE asked.job = job.id AND outcome IS NULL))";
    db.execute(sql, params![person.as_str(), kept_max])?;
    Ok(())
}

/// Cancels a job of `person`, and returns the nodes to be told. A second time changes nothing.
///
/// Refuses a job that is complete.
pub(crate) fn cancel(db: &Connection, person: &PersonName, job: &JobId) -> Result<Vec<NodeName>, Stop> {
    let cancelled = of(db, person, job)?.cancelled;
    let owing = rows(db, "SELECT node FROM asked WHERE job = ?1 AND outcome IS NULL", [job.as_str()], |row| {
        parsed(row, "node")
    })?;
    if !cancelled && owing.is_empty() {
        let what = format!("cancel {job}: it is complete");
        return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
    }
    if db.execute("UPDATE job SET cancelled = 1 WHERE id = ?1 AND cancelled = 0", [job.as_str()])? == 1 {
        happened(db, job.as_str(), "cancel")?;
    }
    Ok(owing)
}

/// Notes that another round of `job` has begun: what nodes were asked before, they need not do any more.
pub(crate) fn next_round(db: &Connection, job: &JobId, next: &NextRound) -> Result<(), Stop> {
    db.execute("UPDATE job SET done = ?2 WHERE id = ?1", params![job.as_str(), next.round])?;
    db.execute("DELETE FROM event WHERE job = ?1", [job.as_str()])?;
    let sql = "INSERT INTO event (job, what, next) VALUES (?1, 'round', ?2)";
    db.execute(sql, params![job.as_str(), serde_json::to_vec(next)?])?;
    Ok(())
}

/// The next event after number `after` that concerns `node`: a job or a round that it owes an answer, or a job that it need not
/// do. A node that waits for others to end the round owes nothing.
pub(crate) fn next(db: &Connection, node: &NodeName, after: i64) -> Result<Option<(i64, Assignment)>, Stop> {
    let sql = "SELECT number, what, job.id AS id, envelope, permit, next
        FROM asked JOIN job ON job.id = asked.job JOIN event ON event.job = job.id
        WHERE node = ?1 AND outcome IS NULL AND number > ?2 AND (what = 'cancel' OR (cancelled = 0 AND NOT EXISTS (
            SELECT 1 FROM said WHERE said.job = job.id AND said.round = job.done AND said.node = ?1
        ))) ORDER BY number LIMIT 1";
    first(db, sql, params![node.as_str(), after], |row| {
        let (what, job): (String, JobId) = (row.get("what")?, parsed(row, "id")?);
        let submission = || Ok::<_, Stop>(Submission { job: row.get("envelope")?, permit: row.get("permit")? });
        let assignment = match what.as_str() {
            "cancel" => Assignment::Cancel { job },
            "round" => {
                let next = arrive(&row.get::<_, Vec<u8>>("next")?).map_err(Fault::while_("reading a stored round"))?;
                Assignment::Round { job, submission: submission()?, next }
            }
            _ => Assignment::Run { job, submission: submission()? },
        };
        Ok((row.get("number")?, assignment))
    })
}

/// Refuses in the name of a node that will not come back.
pub(crate) fn give_up(db: &Connection, node: &NodeName, why: &Refusal) -> Result<(), Stop> {
    let sql = "UPDATE asked SET outcome = 'refused', body = ?2 WHERE node = ?1 AND outcome IS NULL";
    db.execute(sql, params![node.as_str(), serde_json::to_vec(why)?])?;
    Ok(())
}

pub(crate) fn not_found(job: &str) -> Refusal {
    Refusal::NotFound { what: format!("job {job}") }
}
