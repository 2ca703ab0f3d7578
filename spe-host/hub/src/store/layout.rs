//! The tables, and how a store of an earlier version becomes one of this.

use rusqlite::Connection;
use spe_kernel::job::Job;

use super::rows;
use crate::stop::Stop;

/// What [`upgrade`] makes.
pub(crate) const VERSION: i64 = 9;

/// Version 2, from which the others are made.
const TABLES: &str = "
    CREATE TABLE member (
        fingerprint TEXT PRIMARY KEY, role TEXT NOT NULL UNIQUE, listed_at TEXT NOT NULL
    ) STRICT;
    -- catalogue: NULL since the node was dismissed, or the store was upgraded, until it offers again.
    CREATE TABLE node (
        name TEXT PRIMARY KEY, key TEXT NOT NULL, catalogue BLOB
    ) STRICT;
    CREATE TABLE module (
        digest TEXT PRIMARY KEY, bytes INTEGER NOT NULL, put_at INTEGER NOT NULL, wasm BLOB NOT NULL
    ) STRICT;
    -- Whose module it is. Each module has somebody: a person who put it, or asked a job that needs it.
    CREATE TABLE held (
        person TEXT NOT NULL, module TEXT NOT NULL REFERENCES module ON DELETE CASCADE, PRIMARY KEY (person, module)
    ) STRICT;
    CREATE INDEX held_module ON held (module);
    CREATE TABLE job (
        id TEXT PRIMARY KEY, person TEXT NOT NULL, content TEXT NOT NULL, dataset TEXT NOT NULL, module TEXT NOT NULL,
        submitted_at TEXT NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, envelope BLOB NOT NULL, permit BLOB NOT NULL,
        UNIQUE (person, content)
    ) STRICT;
    CREATE INDEX job_module ON job (module);
    -- outcome: answered, refused or invalid, with rounds also finished; NULL while the node owes one.
    -- body: the bytes that the node sent, or the refusal that the hub wrote in its name.
    CREATE TABLE asked (
        job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, node TEXT NOT NULL, stage BLOB, outcome TEXT, why TEXT, key TEXT, body BLOB,
        PRIMARY KEY (job, node)
    ) STRICT;
    CREATE INDEX owed ON asked (node) WHERE outcome IS NULL;
    -- What happened to jobs, in order; a node's stream follows it. what: run, round or cancel.
    CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, what TEXT NOT NULL
    ) STRICT;
    CREATE INDEX event_job ON event (job);
";

/// Version 3: rounds, and purposes beside the jobs.
const ROUNDS: &str = "
    ALTER TABLE job ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
    -- rounds: how many are planned. done: how many are merged, which is the number of the one under way. Both NULL without
    -- rounds.
    ALTER TABLE job ADD COLUMN rounds INTEGER;
    ALTER TABLE job ADD COLUMN done INTEGER;
    -- next: what a node is given with a round.
    ALTER TABLE event ADD COLUMN next BLOB;
    -- What nodes said in each round. what: answered, or finished, which gives way to an outcome once all have said so.
    CREATE TABLE said (
        job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, node TEXT NOT NULL, round INTEGER NOT NULL,
        what TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, round, node)
    ) STRICT;
    -- Catalogues of version 2 lack what datasets must say now. Nodes offer theirs again when they connect.
    UPDATE node SET catalogue = NULL;
";

/// Version 4: roles, invitations by token, and the log of governance.
const GOVERNANCE: &str = "
    -- node: empty where the role is not for nodes.
    CREATE TABLE person_role (
        person TEXT NOT NULL, role TEXT NOT NULL, node TEXT NOT NULL, PRIMARY KEY (person, role, node)
    ) STRICT;
    -- Whoever was a person could do what these two roles may.
    INSERT INTO person_role SELECT substr(role, 8), 'data-user', '' FROM member WHERE role LIKE 'person %';
    INSERT INTO person_role SELECT substr(role, 8), 'applicant', '' FROM member WHERE role LIKE 'person %';
    -- hash: of the token, which is nowhere here. key, certificate: whose key it was used for, and what it got.
    CREATE TABLE invitation (
        hash TEXT PRIMARY KEY, member TEXT NOT NULL, until TEXT NOT NULL, used_at TEXT, key TEXT, certificate TEXT
    ) STRICT;
    -- What happened, in order; nothing is ever changed. what: submitted, part, notice, decision, added,
    -- withdrawn, published, agreement, revoked, recorded, provided or members.
    -- subject: the application, the job that was published, or whose agreement it is. body: the signed document, or JSON.
    CREATE TABLE governance (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL,
        node TEXT NOT NULL, person TEXT NOT NULL, digest TEXT NOT NULL, body BLOB NOT NULL,
        UNIQUE (subject, what, node, digest)
    ) STRICT;
    CREATE TRIGGER governance_is_not_changed BEFORE UPDATE ON governance BEGIN SELECT RAISE(ABORT, 'append-only'); END;
    CREATE TRIGGER governance_is_not_deleted BEFORE DELETE ON governance BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

/// Version 7: who acted at the hub's own machine. account: NULL where a member acted, or the hub by itself.
const ACCOUNTS: &str = "ALTER TABLE governance ADD COLUMN account TEXT;";

/// Brings a store of version `found` (0: an empty file) as far as this program can, and returns the version that it then has.
pub(crate) fn upgrade(db: &Connection, found: i64) -> Result<i64, Stop> {
    let mut version = found;
    if version == 0 {
        db.execute_batch(TABLES)?;
        version = 2;
    }
    if version == 2 {
        db.execute_batch(ROUNDS)?;
        name_purposes(db)?;
        version = 3;
    }
    if version == 3 {
        db.execute_batch(GOVERNANCE)?;
        version = 4;
    }
    if version == 4 {
        db.execute_batch(super::witness::TABLES)?;
        version = 5;
    }
    if version == 5 {
        db.execute_batch(super::witness::BESIDES)?;
        version = 6;
    }
    if version == 6 {
        db.execute_batch(ACCOUNTS)?;
        version = 7;
    }
    if version == 7 {
        db.execute_batch(super::witness::NAMED)?;
        version = 8;
    }
    if version == 8 {
        // Version 9: entries of the log that were provided, or about members. A program of before would take them for damaged ones.
        version = 9;
    }
    if version != found {
        db.pragma_update(None, "user_version", version)?;
    }
    Ok(version)
}

/// Writes each job's purpose beside it. A job that this version cannot read is forgotten: nobody could look at it.
fn name_purposes(db: &Connection) -> Result<(), Stop> {
    let jobs = rows(db, "SELECT id, envelope FROM job", [], |row| {
        let envelope: Vec<u8> = row.get("envelope")?;
        let purpose = Job::verify(&envelope).ok().map(|job| job.body().purpose.to_string());
        Ok((row.get::<_, String>("id")?, purpose))
    })?;
    for (id, purpose) in jobs {
        match purpose {
            Some(purpose) => db.execute("UPDATE job SET purpose = ?2 WHERE id = ?1", [id, purpose])?,
            None => db.execute("DELETE FROM job WHERE id = ?1", [id])?,
        };
    }
    Ok(())
}
