//! Who did what with the key holder's own commands, by the account of its machine.

use std::fmt;

use rusqlite::{Connection, params};
use spe_kernel::{
    audit::Person,
    ids::{DatasetName, NodeName},
};

use super::{Store, StoreError};

/// Version 2. `dataset` is empty where the act is about a node; `what` says which keys.
pub(super) const ACTS: &str = "
CREATE TABLE act (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')), account TEXT NOT NULL,
  did TEXT NOT NULL, node TEXT NOT NULL, dataset TEXT NOT NULL, what TEXT NOT NULL
) STRICT;
CREATE TRIGGER act_is_not_changed BEFORE UPDATE ON act BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER act_is_not_deleted BEFORE DELETE ON act BEGIN SELECT RAISE(ABORT, 'append-only'); END;
";

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// Lets a node in.
    Invited,
    /// Refuses a node from then on.
    Dismissed,
    /// Takes a key over.
    Imported,
    /// Makes a newer key.
    Rotated,
    /// Destroys keys.
    Destroyed,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Invited => "invited",
            Self::Dismissed => "dismissed",
            Self::Imported => "imported",
            Self::Rotated => "rotated",
            Self::Destroyed => "destroyed",
        })
    }
}

/// Something that was done at the key holder's machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Act {
    /// When.
    pub at: String,
    /// Under which account.
    pub account: String,
    /// `invited`, `dismissed`, `imported`, `rotated` or `destroyed`.
    pub did: String,
    /// The node that it is about.
    pub node: String,
    /// The dataset; empty where it is about the node.
    pub dataset: String,
    /// Which keys: their kind and version, or all; empty where it is about the node.
    pub what: String,
}

/// Writes down what `by` does; in the transaction in which it is done.
pub(super) fn note(
    connection: &Connection,
    by: &Person,
    did: Did,
    (node, dataset): (&NodeName, Option<&DatasetName>),
    what: &str,
) -> Result<(), StoreError> {
    let note = "INSERT INTO act (account, did, node, dataset, what) VALUES (?1, ?2, ?3, ?4, ?5)";
    let dataset = dataset.map_or("", DatasetName::as_str);
    connection.execute(note, params![by.name, did.to_string(), node.as_str(), dataset, what])?;
    Ok(())
}

impl Store {
    /// Who did what at this machine, oldest first; what was done before the key holder wrote accounts down is not in it.
    ///
    /// # Errors
    /// The store's own.
    pub fn acts(&self) -> Result<Vec<Act>, StoreError> {
        let mut statement = self.0.prepare("SELECT at, account, did, node, dataset, what FROM act ORDER BY number")?;
        let rows = statement.query_map([], |r| {
            let (at, account, did) = (r.get(0)?, r.get(1)?, r.get(2)?);
            Ok(Act { at, account, did, node: r.get(3)?, dataset: r.get(4)?, what: r.get(5)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
