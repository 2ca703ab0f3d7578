//! Erasing a person (Art. 17 GDPR), as far as nothing asks that the name be kept.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use spe_kernel::{
    audit::{ActorId, Event, Who},
    dsse::PublicKey,
    fault::Fault,
};

use super::{READING, Records, WRITING, actor, append, people::people};
use crate::journal::{officers, revocations};

/// What was erased of a person, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The tags that nobody can resolve any more.
    pub tags: Vec<ActorId>,
    /// Documents with the name that were erased.
    pub erased: u64,
    /// What still has the name, or leads to it, and why.
    pub stays: Vec<Stays>,
}

/// Something that is kept of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stays {
    /// How many of them.
    pub number: u64,
    /// What.
    pub what: &'static str,
    /// Why, and for how long.
    pub why: String,
}

impl Records {
    /// Erases whom the tags of that name stand for, the jobs that came to nothing, the salts of the others, and exclusions that are over.
    /// Nobody can tell any more, and the log still verifies.
    ///
    /// # Errors
    /// The storage's own.
    pub fn forget(&self, name: &str, key: Option<PublicKey>, by: &Who, now: Timestamp) -> Result<Forgotten, Fault> {
        let forgotten = self.in_one(|db| {
            let excluded = revocations::forget(db, name, now)?;
            let tags: Vec<ActorId> = people(db)?
                .into_iter()
                .filter(|(_, _, person)| person.name == name && (key.is_none() || person.key == key))
                .map(|(id, ..)| id)
                .collect();
            let mut charged = 0;
            for id in &tags {
                charged += erase(db, id)?;
                append(db, actor(db, by)?, Event::PersonForgotten { person: id.clone() })?;
            }
            let jobs = Stays {
                number: charged,
                what: "digests of signed jobs that were charged",
                why: "one signature buys one answer; only who has the signed job can tell whose it is".into(),
            };
            let stays = [jobs].into_iter().chain(excluded.stays).chain(officers::stays(db, name)?);
            Ok(Forgotten { tags, erased: excluded.erased, stays: stays.filter(|s| s.number > 0).collect() })
        })?;
        // What was deleted is overwritten in the file, and must not survive beside it.
        let moved = self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        moved.map_err(Fault::while_("erasing a person"))?;
        Ok(forgotten)
    }
}

/// Erases whom `id` stands for; how many of the person's jobs stay, because they were charged.
fn erase(db: &Connection, id: &ActorId) -> Result<u64, Fault> {
    for sql in [
        "DELETE FROM log_job WHERE actor = ?1 AND job NOT IN (SELECT job FROM charge)",
        "UPDATE log_job SET salt = zeroblob(0) WHERE actor = ?1",
        "DELETE FROM log_person WHERE id = ?1",
    ] {
        db.execute(sql, [id.as_str()]).map_err(Fault::while_(WRITING))?;
    }
    let left = db.query_row("SELECT COUNT(*) FROM log_job WHERE actor = ?1", params![id.as_str()], |r| r.get(0));
    super::number(left.map_err(Fault::while_(READING))?)
}
