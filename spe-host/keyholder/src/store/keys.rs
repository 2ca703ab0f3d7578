//! Keys in the store, one statement each.

use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    ids::{DatasetName, NodeName},
    keys::{DataKey, PseudonymKey},
};

use super::{Rotated, StoreError, entropy};

pub(super) fn no_key(dataset: &DatasetName) -> StoreError {
    StoreError::Gone(format!("any key of dataset {dataset}"))
}

pub(super) fn known(connection: &Connection, node: &NodeName, dataset: &DatasetName) -> Result<bool, StoreError> {
    let known = "SELECT EXISTS (SELECT 1 FROM dataset WHERE node = ?1 AND dataset = ?2)";
    Ok(connection.query_row(known, params![node.as_str(), dataset.as_str()], |r| r.get(0))?)
}

pub(super) fn found(connection: &Connection, node: &NodeName, dataset: &DatasetName) -> Result<(), StoreError> {
    let found = "INSERT INTO dataset (node, dataset, digest_key) VALUES (?1, ?2, ?3)";
    connection.execute(found, params![node.as_str(), dataset.as_str(), entropy()?])?;
    Ok(())
}

pub(super) fn make(
    connection: &Connection,
    node: &NodeName,
    dataset: &DatasetName,
    (what, version): (Rotated, u32),
    key: [u8; 32],
) -> Result<(), StoreError> {
    const MAKE: &str =
        "INSERT INTO key (node, dataset, kind, version, key, check_value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let check = match what {
        Rotated::Pseudonyms => PseudonymKey::from_bytes(key).check_value(dataset),
        Rotated::DataKey => DataKey::from_bytes(version, key, [0; 32]).check_value(dataset),
    };
    connection.execute(MAKE, params![node.as_str(), dataset.as_str(), what.kind(), version, key, check.as_bytes()])?;
    Ok(())
}

/// The newest version of a kind of key.
pub(super) fn last(
    connection: &Connection,
    node: &NodeName,
    dataset: &DatasetName,
    what: Rotated,
) -> Result<u32, StoreError> {
    let last = "SELECT max(version) FROM key WHERE node = ?1 AND dataset = ?2 AND kind = ?3";
    let last: Option<u32> =
        connection.query_row(last, params![node.as_str(), dataset.as_str(), what.kind()], |r| r.get(0))?;
    last.ok_or_else(|| no_key(dataset))
}

pub(super) fn holders(connection: &Connection, dataset: &DatasetName) -> Result<Vec<NodeName>, StoreError> {
    let mut statement =
        connection.prepare("SELECT node FROM dataset WHERE dataset = ?1 AND digest_key IS NOT NULL ORDER BY node")?;
    let rows = statement.query_map([dataset.as_str()], |r| r.get::<_, String>(0))?;
    let name =
        |row: rusqlite::Result<String>| row?.parse().map_err(|e| StoreError::Database(format!("a node's name: {e}")));
    rows.map(name).collect()
}

/// The bytes of a key.
pub(super) fn bytes(
    connection: &Connection,
    node: &NodeName,
    dataset: &DatasetName,
    (what, version): (Rotated, u32),
) -> Result<[u8; 32], StoreError> {
    const BYTES: &str =
        "SELECT key, destroyed_at FROM key WHERE node = ?1 AND dataset = ?2 AND kind = ?3 AND version = ?4";
    let names = params![node.as_str(), dataset.as_str(), what.kind(), version];
    let mut statement = connection.prepare_cached(BYTES)?;
    let found: Option<(Option<[u8; 32]>, Option<String>)> =
        statement.query_row(names, |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let name = match what {
        Rotated::Pseudonyms => format!("pseudonym key {version} of dataset {dataset}"),
        Rotated::DataKey => format!("data key {version} of dataset {dataset}"),
    };
    match found {
        Some((Some(key), _)) => Ok(key),
        Some((None, at)) => {
            let at = at.unwrap_or_default();
            Err(StoreError::Gone(format!("{name} (destroyed at {at}: what it was for is lost for ever)")))
        }
        None => Err(StoreError::Gone(name)),
    }
}
