//! The revocations that this node knows. One that is known stays known, and with it by what the excluded person was known here.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    audit::{Event, Person, Who},
    document::Document,
    dsse::{self, PublicKey},
    fault::Fault,
    ids::Digest,
    permit::PermitId,
    revocation::{Revocation, RevocationBody, Target},
};

use super::{Records, log};

pub(super) const TABLES: &str = "
CREATE TABLE revocation (
  digest BLOB PRIMARY KEY, envelope BLOB NOT NULL, known_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT, WITHOUT ROWID;
CREATE TRIGGER revocation_stays BEFORE DELETE ON revocation BEGIN SELECT RAISE(ABORT, 'a revocation stays'); END;
CREATE TRIGGER revocation_is_final BEFORE UPDATE ON revocation BEGIN SELECT RAISE(ABORT, 'a revocation is final'); END;
";

/// Keys and logins of excluded persons, by the digest of what excludes them; and an envelope can be emptied, once its exclusion is over.
/// `issuer`: the access body under whose permit a job was admitted.
pub(super) const MARKS: &str = "
CREATE TABLE excluded (document BLOB NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (document, mark)) STRICT, WITHOUT ROWID;
DROP TRIGGER revocation_is_final;
CREATE TRIGGER revocation_is_final BEFORE UPDATE ON revocation
  WHEN NEW.digest <> OLD.digest OR NEW.known_at <> OLD.known_at OR length(NEW.envelope) > 0
  BEGIN SELECT RAISE(ABORT, 'a revocation is final'); END;
ALTER TABLE log_job ADD COLUMN issuer TEXT;
UPDATE log_job SET issuer = (SELECT substr(permit, instr(permit, ' ') + 1) FROM charge WHERE charge.job = log_job.job);
CREATE INDEX log_job_actor ON log_job (actor);
";

const WRITING: &str = "recording a revocation";
const READING: &str = "reading the revocations";

/// A key or a login of an excluded person, and the digest of what excludes that person.
pub(crate) type Mark = (Digest, String);

impl Records {
    /// Keeps a revocation, and logs it as an act of `who`; whether it is new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn revoke(&self, revocation: &Revocation, envelope: &[u8], who: &Who) -> Result<bool, Fault> {
        const KEEP: &str = "INSERT OR IGNORE INTO revocation (digest, envelope) VALUES (?1, ?2)";
        let document = revocation.digest();
        self.in_one(|db| {
            let values = params![document.as_bytes(), envelope];
            let new = db.execute(KEEP, values).map_err(Fault::while_(WRITING))? == 1;
            if new {
                log::append(db, log::actor(db, who)?, event(db, revocation, document)?)?;
            }
            Ok(new)
        })
    }

    /// All envelopes of revocations that are known; one that was erased is empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn revocations(&self) -> Result<Vec<Vec<u8>>, Fault> {
        envelopes(&self.connection())
    }

    /// The keys and logins with which persons whom `revocations` exclude had jobs admitted here, under permits of the body that excludes them.
    ///
    /// # Security
    /// A person who is excluded by name comes back under no other name with the same key or the same login. What is found is kept
    /// beside the revocation, and stays when the person is forgotten. Watched by `an_excluded_person_does_not_come_back_under_another_name`
    /// beside this.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn excluded(&self, revocations: &[Revocation]) -> Result<BTreeSet<Mark>, Fault> {
        self.in_one(|db| {
            for revocation in revocations {
                if let Target::Person(person) = &revocation.body().target {
                    learn(db, revocation.digest(), person.name.as_str(), revocation.issuer())?;
                }
            }
            let mut statement = db.prepare("SELECT document, mark FROM excluded").map_err(Fault::while_(READING))?;
            let row = |r: &rusqlite::Row<'_>| Ok((Digest::from_bytes(r.get(0)?), r.get(1)?));
            let rows = statement.query_map([], row).map_err(Fault::while_(READING))?;
            rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))
        })
    }
}

impl Records {
    /// The line of the permit of that number and issuer, if a job has named it here or the hub has told of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn line_of(&self, permit: &PermitId) -> Result<Option<PermitId>, Fault> {
        let db = self.connection();
        let mut statement =
            db.prepare_cached("SELECT line FROM permit WHERE number = ?1").map_err(Fault::while_(READING))?;
        let rows = statement.query_map([permit.number.as_str()], |r| r.get(0)).map_err(Fault::while_(READING))?;
        let lines: Vec<String> = rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))?;
        let lines: Vec<PermitId> = lines
            .iter()
            .map(|line| line.parse())
            .collect::<Result<_, _>>()
            .map_err(|why: &str| Fault::new(READING, why))?;
        Ok(lines.into_iter().find(|line| line.issuer == permit.issuer))
    }
}

fn envelopes(db: &Connection) -> Result<Vec<Vec<u8>>, Fault> {
    let mut statement =
        db.prepare("SELECT envelope FROM revocation ORDER BY known_at").map_err(Fault::while_(READING))?;
    let rows = statement.query_map([], |r| r.get(0)).map_err(Fault::while_(READING))?;
    rows.map(|row| row.map_err(Fault::while_(READING))).collect()
}

/// Keeps by what else the person of that name is known.
fn learn(db: &Connection, document: Digest, name: &str, issuer: PublicKey) -> Result<(), Fault> {
    for field in ["$.key", "$.identity"] {
        let learn = "INSERT OR IGNORE INTO excluded (document, mark)
            SELECT ?1, json_extract(person, ?2) FROM log_person JOIN log_job ON log_job.actor = log_person.id
            WHERE name = ?3 AND issuer = ?4 AND json_extract(person, ?2) IS NOT NULL";
        let values = params![document.as_bytes(), field, name, issuer.to_string()];
        db.execute(learn, values).map_err(Fault::while_(WRITING))?;
    }
    Ok(())
}

/// What became of a person's exclusions.
pub(super) struct Forgotten {
    pub(super) erased: u64,
    pub(super) stays: Vec<log::Stays>,
}

/// Erases the exclusions of the person of that name that are over, and learns for the others, while it can be, by what the person was known.
pub(super) fn forget(db: &Connection, name: &str, now: Timestamp) -> Result<Forgotten, Fault> {
    let mut done = Forgotten { erased: 0, stays: Vec::new() };
    for envelope in envelopes(db)? {
        let Some((document, issuer, person)) = exclusion(&envelope) else { continue };
        if person.name.as_str() != name {
            continue;
        }
        if person.until > now {
            learn(db, document, name, issuer)?;
            done.stays.push(log::Stays {
                number: 1,
                what: "signed exclusion that names the person, with the keys and logins that the person had used here",
                why: format!(
                    "it keeps the person out until {} (Art. 63(3)); erased by the same command afterwards",
                    person.until
                ),
            });
            continue;
        }
        for sql in
            ["UPDATE revocation SET envelope = x'' WHERE digest = ?1", "DELETE FROM excluded WHERE document = ?1"]
        {
            db.execute(sql, [document.as_bytes()]).map_err(Fault::while_("erasing an exclusion"))?;
        }
        done.erased += 1;
    }
    Ok(done)
}

/// The person whom a kept envelope excludes, by whom, and the envelope's digest. Whether its signer is still trusted does not matter.
fn exclusion(envelope: &[u8]) -> Option<(Digest, PublicKey, spe_kernel::revocation::ExcludedPerson)> {
    let opened = dsse::verify(envelope, RevocationBody::TYPE, RevocationBody::NAME).ok()?;
    let body: RevocationBody = serde_json::from_slice(&opened.payload).ok()?;
    let Target::Person(person) = body.target else { return None };
    Some((Digest::of(&opened.payload), opened.signer, person))
}

fn event(db: &Connection, revocation: &Revocation, document: Digest) -> Result<Event, Fault> {
    if let Some(line) = revocation.line() {
        return Ok(Event::PermitRevoked { permit: (&line).into(), document });
    }
    let Target::Person(person) = &revocation.body().target else {
        return Err(Fault::new(WRITING, "it takes back neither a permit nor a person"));
    };
    let identity = person.identity.as_ref().map(log::login);
    let who = Who::Person(Person { name: person.name.to_string(), key: None, identity });
    Ok(Event::PersonExcluded { person: log::actor(db, &who)?, until: Some(person.until), document })
}

#[cfg(test)]
mod tests;
