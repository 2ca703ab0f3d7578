//! Whom and what the tags in the log stand for. These rows can be erased; the log does not change by it.

use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    admission::Admitted,
    audit::{ActorId, Event, JobTag, Person, Salt, Who},
    fault::Fault,
    ids::Digest,
    job::Job,
    permit::PermitId,
    person::{Identity, PersonIdentity},
    refusal::{Refusal, Stop},
};

use super::{READING, Records, WRITING, append, seen};

/// What is known of a signed job.
pub(in crate::journal) struct Known {
    /// Its name in the log.
    pub(in crate::journal) tag: JobTag,
    /// Who signed it.
    pub(in crate::journal) actor: ActorId,
    /// Its module, where it was admitted.
    pub(in crate::journal) module: Option<Digest>,
}

pub(super) fn salt() -> Result<Salt, Fault> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(Fault::while_("asking the operating system for entropy"))?;
    Ok(random.into())
}

/// The name of `who` in the log; a new one at the first time.
pub(in crate::journal) fn actor(db: &Connection, who: &Who) -> Result<ActorId, Fault> {
    let Who::Person(person) = who else { return Ok(ActorId::node()) };
    let json = serde_json::to_string(person).map_err(Fault::while_(WRITING))?;
    let known: Option<String> = db
        .prepare_cached("SELECT id FROM log_person WHERE person = ?1")
        .and_then(|mut s| s.query_row([&json], |r| r.get(0)).optional())
        .map_err(Fault::while_(READING))?;
    if let Some(id) = known {
        return id.parse().map_err(Fault::while_(READING));
    }
    let salt = salt()?;
    let id = ActorId::of(person, &salt);
    let insert = "INSERT INTO log_person (id, salt, person, name) VALUES (?1, ?2, ?3, ?4)";
    db.execute(insert, params![id.as_str(), salt.as_bytes(), json, person.name]).map_err(Fault::while_(WRITING))?;
    Ok(id)
}

/// What is known of the signed job; when it is met for the first time, `who` signed it.
pub(in crate::journal) fn job_of(db: &Connection, job: Digest, who: Option<&Who>) -> Result<Known, Fault> {
    let read =
        |r: &rusqlite::Row<'_>| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, Option<[u8; 32]>>(2)?));
    let known = db
        .prepare_cached("SELECT tag, actor, module FROM log_job WHERE job = ?1")
        .and_then(|mut s| s.query_row([job.as_bytes()], read).optional())
        .map_err(Fault::while_(READING))?;
    if let Some((tag, actor, module)) = known {
        let parsed = |e: String| Fault::new(READING, e);
        let (tag, actor) = (tag.parse().map_err(parsed)?, actor.parse().map_err(parsed)?);
        return Ok(Known { tag, actor, module: module.map(Digest::from_bytes) });
    }
    let (salt, actor) = (salt()?, actor(db, who.unwrap_or(&Who::Node))?);
    let tag = JobTag::of(job, &salt);
    let insert = "INSERT INTO log_job (job, tag, salt, actor) VALUES (?1, ?2, ?3, ?4)";
    db.execute(insert, params![job.as_bytes(), tag.as_str(), salt.as_bytes(), actor.as_str()])
        .map_err(Fault::while_(WRITING))?;
    Ok(Known { tag, actor, module: None })
}

/// Who signed a job, and with which login, if one was checked.
fn signer(job: &Job) -> Who {
    let identity = job.identity().map(Identity::who).map(login);
    Who::Person(Person { name: job.body().person.to_string(), key: Some(job.signer()), identity })
}

/// A login, as [`Person::identity`] has it.
pub(crate) fn login(who: &PersonIdentity) -> String {
    format!("{} {}", who.issuer, who.subject)
}

/// Whether this is the first time for that job; it is not the next time.
fn first_time(db: &Connection, job: Digest, turn: Turn) -> Result<bool, Fault> {
    let column = match turn {
        Turn::Admitted => "admitted",
        Turn::Refused => "refused",
    };
    let sql = format!("UPDATE log_job SET {column} = 1 WHERE job = ?1 AND {column} = 0");
    db.execute(&sql, [job.as_bytes()]).map(|rows| rows == 1).map_err(Fault::while_(WRITING))
}

/// What a job comes to only once in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It was admitted.
    Admitted,
    /// It ended without an answer.
    Refused,
}

/// What there was to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// An entry was added.
    New,
    /// The log says it already.
    Known,
}

impl Records {
    /// Writes down that a job was admitted, the `register` of opt-outs as it was read for it, and the permit when it is seen for the first
    /// time: by the digest of what was signed, for the blanks around that are the hub's.
    ///
    /// # Privacy
    /// The register is told for every job, also where it is as it was: how many entries there are is public. Watched by
    /// `the_size_of_the_log_tells_neither_of_opt_outs_nor_of_strangers` in `spe-host/cli/tests/it/audit.rs`.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log_admitted(&self, admitted: &Admitted, document: Digest, register: Digest) -> Result<Told, Fault> {
        let (job, charge) = (admitted.job(), admitted.charge());
        self.in_one(|db| {
            let Known { tag, actor, .. } = job_of(db, job.digest(), Some(&signer(job)))?;
            // Of a job that an earlier version admitted, too.
            let came_with = "UPDATE log_job SET document = ?2 WHERE job = ?1 AND document IS NULL";
            db.execute(came_with, params![job.digest().as_bytes(), document.as_bytes()])
                .map_err(Fault::while_(WRITING))?;
            if !first_time(db, job.digest(), Turn::Admitted)? {
                return Ok(Told::Known);
            }
            let module = admitted.plan().module();
            let set = "UPDATE log_job SET module = ?2, issuer = ?3 WHERE job = ?1";
            let (digest, issuer) = (job.digest(), charge.permit.issuer.to_string());
            db.execute(set, params![digest.as_bytes(), module.as_bytes(), issuer]).map_err(Fault::while_(WRITING))?;
            see_permit(db, &charge.permit, document)?;
            let dataset = charge.key.dataset.clone();
            append(db, ActorId::node(), Event::OptOutsRead { dataset, register })?;
            let (purpose, answer, permit) = (job.body().purpose, (&charge.key).into(), (&charge.permit).into());
            append(db, actor, Event::JobAdmitted { job: tag, permit, purpose, answer, module })?;
            Ok(Told::New)
        })
    }

    /// Writes down that the job of a person whom the permit names came to nothing, once a job: whoever sends it again adds nothing.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log_stopped(&self, job: &Job, permit: &PermitId, stop: &Stop) -> Result<Told, Fault> {
        self.in_one(|db| {
            let Known { tag, actor, .. } = job_of(db, job.digest(), Some(&signer(job)))?;
            if !first_time(db, job.digest(), Turn::Refused)? {
                return Ok(Told::Known);
            }
            let event = match stop {
                Stop::Refused(Refusal::Cancelled) => Event::JobCancelled { job: tag },
                Stop::Refused(why) => {
                    let (clause, article) = (clause(why), why.clause().map(|clause| clause.to_string()));
                    Event::JobRefused { job: tag, permit: permit.into(), clause, article }
                }
                Stop::Failed(_) => Event::JobFailed { job: tag },
            };
            append(db, actor, event)?;
            Ok(Told::New)
        })
    }

    /// Whom the tags stand for.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn people(&self) -> Result<Vec<(ActorId, Person)>, Fault> {
        Ok(people(&self.connection())?.into_iter().map(|(id, _, person)| (id, person)).collect())
    }
}

/// The rows of `log_person`, with their salts.
pub(super) fn people(db: &Connection) -> Result<Vec<(ActorId, Salt, Person)>, Fault> {
    let mut statement = db.prepare("SELECT id, salt, person FROM log_person").map_err(Fault::while_(READING))?;
    let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, String>(0)?, r.get::<_, [u8; 32]>(1)?, r.get::<_, String>(2)?));
    let rows = statement.query_map([], row).map_err(Fault::while_(READING))?;
    rows.map(|row| {
        let (id, salt, person) = row.map_err(Fault::while_(READING))?;
        let id = id.parse().map_err(|e: String| Fault::new(READING, e))?;
        Ok((id, salt.into(), serde_json::from_str(&person).map_err(Fault::while_(READING))?))
    })
    .collect()
}

/// Tells of a signed permit when it is used for the first time.
fn see_permit(db: &Connection, permit: &PermitId, document: Digest) -> Result<(), Fault> {
    let (what, known) =
        (format!("permit {permit}"), "SELECT EXISTS (SELECT 1 FROM log_seen WHERE what = ?1 AND digest = ?2)");
    let known =
        db.query_row(known, params![what, document.as_bytes()], |r| r.get(0)).map_err(Fault::while_(READING))?;
    if known {
        return Ok(());
    }
    let index = append(db, ActorId::node(), Event::PermitSeen { permit: permit.into(), document })?;
    seen(db, &what, document, index)
}

/// The refusal's name, without what it says: that may be about a person.
fn clause(refusal: &Refusal) -> String {
    let json = serde_json::to_value(refusal).unwrap_or_default();
    json.get("refusal").and_then(|name| name.as_str()).unwrap_or("refused").to_owned()
}
