//! What the key holder's operator is shown: never a key.

use spe_kernel::ids::Digest;

use super::{Store, StoreError};

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyState {
    /// `pseudonyms` or `data`.
    pub kind: String,
    /// Its version.
    pub version: u32,
    /// Its check value, which stands in certificates.
    pub id: Digest,
    /// When it was made.
    pub made_at: String,
    /// When it was destroyed, if it was.
    pub destroyed_at: Option<String>,
}

/// The keys of one dataset at one node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DatasetKeys {
    /// The node.
    pub node: String,
    /// The dataset.
    pub dataset: String,
    /// Whether the node may ask.
    pub invited: bool,
    /// Its keys.
    pub keys: Vec<KeyState>,
}

/// Requests of one hour.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// The hour.
    pub hour: String,
    /// Who asked.
    pub node: String,
    /// About which dataset.
    pub dataset: String,
    /// For `keys` or `pseudonyms`.
    pub what: String,
    /// How many requests.
    pub times: i64,
    /// How many keys or pseudonyms.
    pub items: i64,
}

/// A deletion certificate as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The node.
    pub node: String,
    /// The dataset.
    pub dataset: String,
    /// The signed envelope.
    pub envelope: Vec<u8>,
}

impl Store {
    /// All keys, by node and dataset.
    ///
    /// # Errors
    /// The store's own.
    pub fn list(&self) -> Result<Vec<DatasetKeys>, StoreError> {
        const KEYS: &str =
            "SELECT node, dataset, node IN (SELECT node FROM member), kind, version, check_value, made_at, destroyed_at
             FROM key ORDER BY node, dataset, kind DESC, version";
        let mut statement = self.0.prepare(KEYS)?;
        let rows = statement.query_map([], |r| {
            let id = Digest::from_bytes(r.get(5)?);
            let (kind, version, made_at, destroyed_at) = (r.get(3)?, r.get(4)?, r.get(6)?, r.get(7)?);
            let key = KeyState { kind, version, id, made_at, destroyed_at };
            Ok(DatasetKeys { node: r.get(0)?, dataset: r.get(1)?, invited: r.get(2)?, keys: vec![key] })
        })?;
        let mut all: Vec<DatasetKeys> = Vec::new();
        for row in rows {
            let row = row?;
            match all.last_mut() {
                Some(last) if last.node == row.node && last.dataset == row.dataset => last.keys.extend(row.keys),
                _ => all.push(row),
            }
        }
        Ok(all)
    }

    /// Who asked what and when: of the newest hours, the newest first.
    ///
    /// # Errors
    /// The store's own.
    pub fn requests(&self, most: u32) -> Result<Vec<Asked>, StoreError> {
        const ALL: &str = "SELECT hour, node, dataset, what, times, items FROM asked ORDER BY hour DESC, node, dataset, what LIMIT ?1";
        let mut statement = self.0.prepare(ALL)?;
        let rows = statement.query_map([most], |r| {
            let (hour, node, dataset, what) = (r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?);
            Ok(Asked { hour, node, dataset, what, times: r.get(4)?, items: r.get(5)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All deletion certificates, in the order in which they were made.
    ///
    /// # Errors
    /// The store's own.
    pub fn certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        let mut statement = self.0.prepare("SELECT node, dataset, envelope FROM certificate ORDER BY number")?;
        let rows = statement
            .query_map([], |r| Ok(Certificate { node: r.get(0)?, dataset: r.get(1)?, envelope: r.get(2)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
