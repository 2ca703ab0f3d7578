//! Modules by digest, within a limit in all.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    ids::{Digest, NodeName},
    refusal::Refusal,
};

use crate::stop::Stop;

const NEEDED: &str = "SELECT 1 FROM job JOIN asked ON asked.job = job.id
    WHERE job.module = module.digest AND job.cancelled = 0 AND asked.outcome IS NULL";

/// Stores a module. The oldest modules that no unfinished job needs make room.
pub(crate) fn put(db: &Connection, wasm: &[u8], store_bytes_max: u64) -> Result<Digest, Stop> {
    let (digest, put_at) = (Digest::of(wasm), Timestamp::now().as_microsecond());
    if db.execute("UPDATE module SET put_at = ?2 WHERE digest = ?1", params![digest.to_string(), put_at])? == 1 {
        return Ok(digest);
    }
    let bytes = i64::try_from(wasm.len()).unwrap_or(i64::MAX);
    make_room(db, bytes.unsigned_abs(), store_bytes_max)?;
    db.execute("INSERT INTO module VALUES (?1, ?2, ?3, ?4)", params![digest.to_string(), bytes, put_at, wasm])?;
    Ok(digest)
}

fn make_room(db: &Connection, bytes: u64, store_bytes_max: u64) -> Result<(), Stop> {
    let oldest = format!("SELECT digest FROM module WHERE NOT EXISTS ({NEEDED}) ORDER BY put_at LIMIT 1");
    loop {
        let held: i64 = db.query_row("SELECT COALESCE(SUM(bytes), 0) FROM module", [], |row| row.get(0))?;
        let size = u64::try_from(held).unwrap_or(0).saturating_add(bytes);
        if size <= store_bytes_max {
            return Ok(());
        }
        let spare: Option<String> = db.query_row(&oldest, [], |row| row.get(0)).optional()?;
        let what = || "the hub's store of modules, with this one,".into();
        let spare = spare.ok_or_else(|| Refusal::TooLarge { what: what(), size, limit: store_bytes_max })?;
        db.execute("DELETE FROM module WHERE digest = ?1", [spare])?;
    }
}

/// Whether the module is here.
pub(crate) fn check(db: &Connection, digest: Digest) -> Result<(), Stop> {
    let found = db.query_row("SELECT 1 FROM module WHERE digest = ?1", [digest.to_string()], |_| Ok(())).optional()?;
    Ok(found.ok_or_else(|| missing(digest))?)
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
