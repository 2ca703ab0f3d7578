//! Modules by digest, within a limit in all and a limit a person.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    ids::{Digest, NodeName, PersonName},
    refusal::Refusal,
};

use crate::{Config, stop::Stop};

const NEEDED: &str = "SELECT 1 FROM job JOIN asked ON asked.job = job.id
    WHERE job.module = module.digest AND job.cancelled = 0 AND asked.outcome IS NULL";
/// What the smallest module counts for: many of them have their price as well.
const COUNTED_BYTES_MIN: u64 = 4 << 10;

/// Stores a module for `person`. The oldest modules that no unfinished job needs make room: the person's own within the
/// person's limit, anybody's within the store's.
pub(crate) fn put(db: &Connection, person: &PersonName, wasm: &[u8], config: &Config) -> Result<Digest, Stop> {
    let (digest, put_at) = (Digest::of(wasm), Timestamp::now().as_microsecond());
    let bytes = u64::try_from(wasm.len()).unwrap_or(u64::MAX).max(COUNTED_BYTES_MIN);
    make_own_room(db, person, digest, bytes, config.module_bytes_per_person_max)?;
    if db.execute("UPDATE module SET put_at = ?2 WHERE digest = ?1", params![digest.to_string(), put_at])? == 0 {
        make_room(db, bytes, config.module_store_bytes_max)?;
        let counted = i64::try_from(bytes).unwrap_or(i64::MAX);
        db.execute("INSERT INTO module VALUES (?1, ?2, ?3, ?4)", params![digest.to_string(), counted, put_at, wasm])?;
    }
    own(db, person, digest)?;
    Ok(digest)
}

/// Makes a stored module one of `person`'s, whose job needs it: what pins a module is counted where it is caused, whoever
/// put it.
pub(crate) fn hold(db: &Connection, person: &PersonName, digest: Digest, config: &Config) -> Result<(), Stop> {
    let sql = "SELECT bytes FROM module WHERE digest = ?1";
    let bytes: Option<i64> = db.query_row(sql, [digest.to_string()], |row| row.get(0)).optional()?;
    let bytes = bytes.ok_or_else(|| missing(digest))?.unsigned_abs();
    make_own_room(db, person, digest, bytes, config.module_bytes_per_person_max)?;
    own(db, person, digest)
}

fn own(db: &Connection, person: &PersonName, digest: Digest) -> Result<(), Stop> {
    let sql = "INSERT OR IGNORE INTO held (person, module) VALUES (?1, ?2)";
    db.execute(sql, [person.to_string(), digest.to_string()])?;
    Ok(())
}

fn make_room(db: &Connection, bytes: u64, limit: u64) -> Result<(), Stop> {
    let oldest = format!("SELECT digest FROM module WHERE NOT EXISTS ({NEEDED}) ORDER BY put_at LIMIT 1");
    loop {
        let stored: i64 = db.query_row("SELECT COALESCE(SUM(bytes), 0) FROM module", [], |row| row.get(0))?;
        let size = stored.unsigned_abs().saturating_add(bytes);
        if size <= limit {
            return Ok(());
        }
        let spare: Option<String> = db.query_row(&oldest, [], |row| row.get(0)).optional()?;
        let what = || "the hub's store of modules, with this one,".into();
        let spare = spare.ok_or_else(|| Refusal::TooLarge { what: what(), size, limit })?;
        db.execute("DELETE FROM module WHERE digest = ?1", [spare])?;
    }
}

/// Makes room for one more of the person's modules, unless it is one already. The oldest that no unfinished job of the
/// person needs are let go; those that are then nobody's are deleted.
fn make_own_room(db: &Connection, person: &PersonName, digest: Digest, bytes: u64, limit: u64) -> Result<(), Stop> {
    let others = "SELECT COALESCE(SUM(bytes), 0) FROM held JOIN module ON digest = module
        WHERE person = ?1 AND digest <> ?2";
    let oldest = format!(
        "SELECT digest FROM held JOIN module ON digest = module
        WHERE held.person = ?1 AND digest <> ?2 AND NOT EXISTS ({NEEDED} AND job.person = ?1) ORDER BY put_at LIMIT 1"
    );
    let given = [person.to_string(), digest.to_string()];
    loop {
        let held: i64 = db.query_row(others, given.each_ref(), |row| row.get(0))?;
        let size = held.unsigned_abs().saturating_add(bytes);
        if size <= limit {
            return Ok(());
        }
        let spare: Option<String> = db.query_row(&oldest, given.each_ref(), |row| row.get(0)).optional()?;
        let what = || format!("what unfinished jobs of {person} need at the hub, with this module,");
        let spare = spare.ok_or_else(|| Refusal::TooLarge { what: what(), size, limit })?;
        db.execute("DELETE FROM held WHERE person = ?1 AND module = ?2", [person.as_str(), &spare])?;
        let nobodys = "DELETE FROM module WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM held WHERE module = ?1)";
        db.execute(nobodys, [spare])?;
    }
}

/// A module of a job that `node` was asked to run.
pub(crate) fn fetch(db: &Connection, node: &NodeName, digest: Digest) -> Result<Vec<u8>, Stop> {
    let sql = "SELECT wasm FROM module WHERE digest = ?1
        AND EXISTS (SELECT 1 FROM job JOIN asked ON asked.job = job.id WHERE job.module = ?1 AND asked.node = ?2)";
    let wasm = db.query_row(sql, [digest.to_string(), node.to_string()], |row| row.get(0)).optional()?;
    Ok(wasm.ok_or_else(|| missing(digest))?)
}

fn missing(digest: Digest) -> Refusal {
    Refusal::NotFound { what: format!("module {digest}") }
}
