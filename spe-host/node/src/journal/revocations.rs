//! The revocations that this node knows. One that is known stays known.

use rusqlite::params;
use spe_kernel::{
    audit::{ActorId, Event, Person, Who},
    fault::Fault,
    ids::Digest,
    revocation::{Revocation, Target},
};

use super::{Records, log};

pub(super) const TABLES: &str = "
CREATE TABLE revocation (
  digest BLOB PRIMARY KEY, envelope BLOB NOT NULL, known_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT, WITHOUT ROWID;
CREATE TRIGGER revocation_stays BEFORE DELETE ON revocation BEGIN SELECT RAISE(ABORT, 'a revocation stays'); END;
CREATE TRIGGER revocation_is_final BEFORE UPDATE ON revocation BEGIN SELECT RAISE(ABORT, 'a revocation is final'); END;
";

const WRITING: &str = "recording a revocation";

impl Records {
    /// Keeps a revocation, and logs it; whether it is new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn revoke(&self, revocation: &Revocation, envelope: &[u8]) -> Result<bool, Fault> {
        const KEEP: &str = "INSERT OR IGNORE INTO revocation (digest, envelope) VALUES (?1, ?2)";
        let document = revocation.digest();
        self.in_one(|db| {
            let values = params![document.as_bytes(), envelope];
            let new = db.execute(KEEP, values).map_err(Fault::while_(WRITING))? == 1;
            if new {
                log::append(db, ActorId::node(), event(db, revocation, document)?)?;
            }
            Ok(new)
        })
    }

    /// All envelopes of revocations that are known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn revocations(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let reading = "reading the revocations";
        let db = self.connection();
        let mut statement =
            db.prepare("SELECT envelope FROM revocation ORDER BY known_at").map_err(Fault::while_(reading))?;
        let rows = statement.query_map([], |r| r.get(0)).map_err(Fault::while_(reading))?;
        rows.map(|row| row.map_err(Fault::while_(reading))).collect()
    }
}

fn event(db: &rusqlite::Connection, revocation: &Revocation, document: Digest) -> Result<Event, Fault> {
    if let Some(line) = revocation.line() {
        return Ok(Event::PermitRevoked { permit: (&line).into(), document });
    }
    let Target::Person(person) = &revocation.body().target else {
        return Err(Fault::new(WRITING, "it takes back neither a permit nor a person"));
    };
    let identity = person.identity.as_ref().map(|who| format!("{} {}", who.issuer, who.subject));
    let who = Who::Person(Person { name: person.name.to_string(), key: None, identity });
    Ok(Event::PersonExcluded { person: log::actor(db, &who)?, until: Some(person.until), document })
}
