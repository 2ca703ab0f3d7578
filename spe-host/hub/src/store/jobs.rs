//! Jobs and the nodes that they ask.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    ids::{DatasetName, Digest, JobId, NodeName, PersonName},
    refusal::Refusal,
};
use spe_wire::{Assignment, Submission, limits::JOBS_LISTED_MAX, view::JobLine};

use super::{first, parsed, rows};
use crate::stop::Stop;

/// A job that was accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) person: &'a PersonName,
    pub(crate) dataset: &'a DatasetName,
    pub(crate) module: Digest,
    pub(crate) submission: &'a Submission,
    pub(crate) nodes: &'a [NodeName],
}

/// A stored job.
pub(crate) struct StoredJob {
    pub(crate) id: JobId,
    pub(crate) submitted_at: Timestamp,
    pub(crate) cancelled: bool,
    pub(crate) envelope: Vec<u8>,
}

/// The job that `person` already submitted with these very bytes.
pub(crate) fn same(db: &Connection, person: &PersonName, content: Digest) -> Result<Option<JobId>, Stop> {
    let sql = "SELECT id FROM job WHERE person = ?1 AND content = ?2";
    first(db, sql, [person.to_string(), content.to_string()], |row| parsed(row, "id"))
}

/// Stores a job under a new id.
pub(crate) fn insert(db: &Connection, job: &Accepted<'_>, content: Digest) -> Result<JobId, Stop> {
    let sql = "INSERT INTO job (id, person, content, dataset, module, submitted_at, envelope, permit)
        VALUES ('job-' || lower(hex(randomblob(8))), ?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let (person, dataset, module) = (job.person.as_str(), job.dataset.as_str(), job.module.to_string());
    let Submission { job: envelope, permit } = job.submission;
    let given = params![person, content.to_string(), dataset, module, Timestamp::now().to_string(), envelope, permit];
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

/// How many jobs of `person` still wait for a node.
pub(crate) fn unfinished(db: &Connection, person: &PersonName) -> Result<u32, Stop> {
    let sql = "SELECT COUNT(DISTINCT job.id) FROM job JOIN asked ON asked.job = job.id
        WHERE person = ?1 AND cancelled = 0 AND outcome IS NULL";
    Ok(db.query_row(sql, [person.as_str()], |row| row.get(0))?)
}

/// A job of `person`; to others it does not exist.
pub(crate) fn of(db: &Connection, person: &PersonName, job: &JobId) -> Result<StoredJob, Stop> {
    let sql = "SELECT id, submitted_at, cancelled, envelope FROM job WHERE id = ?1 AND person = ?2";
    let found = first(db, sql, [job.as_str(), person.as_str()], |row| {
        let (id, submitted_at) = (parsed(row, "id")?, parsed(row, "submitted_at")?);
        Ok(StoredJob { id, submitted_at, cancelled: row.get("cancelled")?, envelope: row.get("envelope")? })
    })?;
    Ok(found.ok_or_else(|| not_found(job.as_str()))?)
}

/// The newest jobs of `person`.
pub(crate) fn list(db: &Connection, person: &PersonName) -> Result<Vec<JobLine>, Stop> {
    let sql = "SELECT id, dataset, submitted_at, cancelled, COUNT(*) AS asked, COUNT(*) FILTER (WHERE outcome = 'answered') AS answered
        FROM job JOIN asked ON asked.job = job.id WHERE person = ?1 GROUP BY id ORDER BY job.rowid DESC LIMIT ?2";
    rows(db, sql, params![person.as_str(), JOBS_LISTED_MAX], |row| {
        let (id, dataset, submitted_at) = (parsed(row, "id")?, parsed(row, "dataset")?, parsed(row, "submitted_at")?);
        let (answered, asked, cancelled) = (row.get("answered")?, row.get("asked")?, row.get("cancelled")?);
        Ok(JobLine { id, dataset, submitted_at, answered, asked, cancelled })
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

/// Cancels a job, and returns the nodes to be told. A second time changes nothing.
pub(crate) fn cancel(db: &Connection, job: &JobId) -> Result<Vec<NodeName>, Stop> {
    let owing = rows(db, "SELECT node FROM asked WHERE job = ?1 AND outcome IS NULL", [job.as_str()], |row| {
        parsed(row, "node")
    })?;
    if owing.is_empty() {
        return Ok(owing);
    }
    if db.execute("UPDATE job SET cancelled = 1 WHERE id = ?1 AND cancelled = 0", [job.as_str()])? == 1 {
        happened(db, job.as_str(), "cancel")?;
    }
    Ok(owing)
}

/// The next event after number `after` that concerns `node`: a job that it owes an outcome, or a job that it need not do.
pub(crate) fn next(db: &Connection, node: &NodeName, after: i64) -> Result<Option<(i64, Assignment)>, Stop> {
    let sql = "SELECT number, what, job.id AS id, envelope, permit
        FROM asked JOIN job ON job.id = asked.job JOIN event ON event.job = job.id
        WHERE node = ?1 AND outcome IS NULL AND number > ?2 AND (what = 'cancel' OR cancelled = 0) ORDER BY number LIMIT 1";
    first(db, sql, params![node.as_str(), after], |row| {
        let (what, job): (String, JobId) = (row.get("what")?, parsed(row, "id")?);
        let assignment = if what == "cancel" {
            Assignment::Cancel { job }
        } else {
            Assignment::Run { job, submission: Submission { job: row.get("envelope")?, permit: row.get("permit")? } }
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
