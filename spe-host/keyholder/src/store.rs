//! What a key holder keeps: one SQLite file, for its user alone.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use spe_kernel::{
    audit::Person,
    deletion::{Deleted, DeletedKind},
    ids::{DatasetName, Digest, NodeName},
    keys::{DataKey, Newest, PseudonymKey, Scheme},
};
use spe_wire::FileError;

mod acts;
mod keys;
mod listing;
pub use acts::Act;
use acts::{ACTS, Did, note};
use keys::{bytes, found, holders, known, last, make, no_key};
pub use listing::{Asked, Certificate, DatasetKeys, KeyState};

const FILE: &str = "keys.sqlite";
const VERSION: i64 = 2;
/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Version 1. Keys that are destroyed have no bytes; what tells them from others stays. Requests are counted by the hour.
const SCHEMA: &str = "
CREATE TABLE member (fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32), node TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE dataset (
  node TEXT NOT NULL, dataset TEXT NOT NULL, digest_key BLOB, made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')),
  PRIMARY KEY (node, dataset)
) STRICT;
CREATE TABLE key (
  node TEXT NOT NULL, dataset TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('pseudonyms', 'data')),
  version INTEGER NOT NULL CHECK (version > 0), key BLOB CHECK (length(key) = 32), check_value BLOB NOT NULL,
  made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')), destroyed_at TEXT,
  PRIMARY KEY (node, dataset, kind, version), FOREIGN KEY (node, dataset) REFERENCES dataset,
  CHECK ((key IS NULL) = (destroyed_at IS NOT NULL))
) STRICT;
CREATE TABLE certificate (
  number INTEGER PRIMARY KEY, node TEXT NOT NULL, dataset TEXT NOT NULL, version INTEGER NOT NULL, envelope BLOB NOT NULL,
  purged INTEGER NOT NULL DEFAULT 0, UNIQUE (node, dataset, version)
) STRICT;
CREATE TABLE asked (
  hour TEXT NOT NULL, node TEXT NOT NULL, dataset TEXT NOT NULL, what TEXT NOT NULL, times INTEGER NOT NULL, items INTEGER NOT NULL,
  PRIMARY KEY (hour, node, dataset, what)
) STRICT;
";

/// Why a key holder cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such key, or it was destroyed.
    #[error("{0} is not known here")]
    Gone(String),
    /// What is asked makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// The database.
    #[error("the key holder's store: {0}")]
    Database(String),
    /// The network.
    #[error("{0}")]
    Transport(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Which keys are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of the dataset, of every kind and version: nothing of it can ever be read or linked again.
    All,
    /// One version of the data key, which must not be the newest.
    DataKey(u32),
}

/// Which key is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// What makes pseudonyms.
    Pseudonyms,
    /// What files are sealed with.
    DataKey,
}

impl Rotated {
    const fn kind(self) -> &'static str {
        match self {
            Self::Pseudonyms => "pseudonyms",
            Self::DataKey => "data",
        }
    }
}

/// 32 bytes from the operating system's generator.
pub(crate) fn entropy() -> Result<[u8; 32], StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Database(format!("no entropy from the system: {e}")))?;
    Ok(bytes)
}

/// The open store.
pub struct Store(Connection);

impl Store {
    pub(crate) fn create(dir: &Path) -> Result<(), StoreError> {
        let file = dir.join(FILE);
        // SQLite gives the files beside it the same permissions.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(FileError::at(&file))?;
        let mut connection = Self::connect(&file)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(ACTS)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        Ok(transaction.commit()?)
    }

    /// Makes a store of an earlier version one of this; the version that it then has.
    fn upgrade(&mut self) -> Result<i64, StoreError> {
        let read = |db: &Connection| db.query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0));
        if read(&self.0)? != 1 {
            return Ok(read(&self.0)?);
        }
        let transaction = self.begin()?;
        // Another process may have done it meanwhile.
        if read(&transaction)? == 1 {
            transaction.execute_batch(ACTS)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        let version = read(&transaction)?;
        transaction.commit()?;
        Ok(version)
    }

    /// Opens the store of the key holder in `dir`; several processes may at a time. A destruction that was interrupted is finished.
    ///
    /// # Errors
    /// It is not there, damaged, or of a newer version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        if !file.is_file() {
            return Err(FileError::at(&file)("is not there; `spe keyholder init` makes a key holder").into());
        }
        let mut store = Self(Self::connect(&file)?);
        let version = store.upgrade()?;
        if version != VERSION {
            let why = format!("it has version {version}; this program reads version {VERSION}");
            return Err(FileError::at(&file)(why).into());
        }
        let unfinished = "SELECT EXISTS (SELECT 1 FROM certificate WHERE purged = 0)";
        if store.0.query_row(unfinished, [], |r| r.get(0))? {
            store.purge()?;
        }
        Ok(store)
    }

    fn connect(file: &Path) -> Result<Connection, StoreError> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        Ok(connection)
    }

    fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.0.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    pub(crate) fn admit(&mut self, node: &NodeName, certificate: Digest, by: &Person) -> Result<(), StoreError> {
        const ADMIT: &str = "INSERT OR REPLACE INTO member (fingerprint, node) VALUES (?1, ?2)";
        let transaction = self.begin()?;
        transaction.execute(ADMIT, params![certificate.as_bytes(), node.as_str()])?;
        note(&transaction, by, Did::Invited, (node, None), "")?;
        Ok(transaction.commit()?)
    }

    pub(crate) fn dismiss(&mut self, node: &NodeName, by: &Person) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        if transaction.execute("DELETE FROM member WHERE node = ?1", [node.as_str()])? == 0 {
            return Err(StoreError::Gone(format!("node {node}")));
        }
        note(&transaction, by, Did::Dismissed, (node, None), "")?;
        Ok(transaction.commit()?)
    }

    /// Whose certificate it is.
    pub(crate) fn node(&self, certificate: Digest) -> Result<Option<NodeName>, StoreError> {
        let find = "SELECT node FROM member WHERE fingerprint = ?1";
        let found: Option<String> = self.0.query_row(find, [certificate.as_bytes()], |r| r.get(0)).optional()?;
        found.map(|name| name.parse().map_err(|e| StoreError::Database(format!("a node's name: {e}")))).transpose()
    }

    /// Notes that `node` asked; never for whom.
    pub(crate) fn asked(
        &mut self,
        node: &NodeName,
        dataset: &DatasetName,
        what: &str,
        items: usize,
    ) -> Result<(), StoreError> {
        const ASKED: &str = "INSERT INTO asked (hour, node, dataset, what, times, items)
             VALUES (strftime('%Y-%m-%dT%H:00Z'), ?1, ?2, ?3, 1, ?4)
             ON CONFLICT DO UPDATE SET times = times + 1, items = items + excluded.items";
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        // A line that is lost when the machine dies is worth the milliseconds of every batch.
        self.0.pragma_update(None, "synchronous", "NORMAL")?;
        let noted = self
            .0
            .prepare_cached(ASKED)
            .and_then(|mut s| s.execute(params![node.as_str(), dataset.as_str(), what, items]));
        self.0.pragma_update(None, "synchronous", "FULL")?;
        noted?;
        Ok(())
    }

    /// The newest keys of a dataset, made when it is new.
    pub(crate) fn newest(&mut self, node: &NodeName, dataset: &DatasetName) -> Result<Newest, StoreError> {
        let transaction = self.begin()?;
        if !known(&transaction, node, dataset)? {
            found(&transaction, node, dataset)?;
            make(&transaction, node, dataset, (Rotated::Pseudonyms, 1), entropy()?)?;
            make(&transaction, node, dataset, (Rotated::DataKey, 1), entropy()?)?;
        }
        let newest = last(&transaction, node, dataset, Rotated::DataKey)?;
        transaction.commit()?;
        self.keys(node, dataset, newest)
    }

    /// The data key of a version, with the newest pseudonyms.
    pub(crate) fn keys(&self, node: &NodeName, dataset: &DatasetName, version: u32) -> Result<Newest, StoreError> {
        let names = params![node.as_str(), dataset.as_str()];
        let find = "SELECT digest_key FROM dataset WHERE node = ?1 AND dataset = ?2";
        let digest_key: Option<Option<[u8; 32]>> = self.0.query_row(find, names, |r| r.get(0)).optional()?;
        let digest_key = digest_key.ok_or_else(|| no_key(dataset))?;
        let data = bytes(&self.0, node, dataset, (Rotated::DataKey, version))?;
        let digest_key = digest_key.ok_or_else(|| no_key(dataset))?;
        let newest = last(&self.0, node, dataset, Rotated::Pseudonyms)?;
        let check = self.pseudonym_key(node, dataset, newest)?.check_value(dataset);
        let pseudonyms = Scheme { version: newest, check };
        Ok(Newest { data: DataKey::from_bytes(version, data, digest_key), pseudonyms })
    }

    pub(crate) fn pseudonym_key(
        &self,
        node: &NodeName,
        dataset: &DatasetName,
        version: u32,
    ) -> Result<PseudonymKey, StoreError> {
        bytes(&self.0, node, dataset, (Rotated::Pseudonyms, version)).map(PseudonymKey::from_bytes)
    }

    pub(crate) fn import(
        &mut self,
        node: &NodeName,
        dataset: &DatasetName,
        key: [u8; 32],
        by: &Person,
    ) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        if known(&transaction, node, dataset)? {
            return Err(StoreError::Wrong(format!(
                "dataset {dataset} of {node} has keys already; nothing was imported"
            )));
        }
        found(&transaction, node, dataset)?;
        make(&transaction, node, dataset, (Rotated::Pseudonyms, 1), key)?;
        make(&transaction, node, dataset, (Rotated::DataKey, 1), entropy()?)?;
        note(&transaction, by, Did::Imported, (node, Some(dataset)), "pseudonyms 1")?;
        Ok(transaction.commit()?)
    }

    /// Makes a newer version of a key of `dataset` at every node that has it, or at one, for the operator `by`; what was before stays until it
    /// is destroyed. The new versions.
    ///
    /// # Errors
    /// No node has keys of that dataset.
    pub fn rotate(
        &mut self,
        dataset: &DatasetName,
        only: Option<&NodeName>,
        what: Rotated,
        by: &Person,
    ) -> Result<Vec<(NodeName, u32)>, StoreError> {
        let transaction = self.begin()?;
        let mut made = Vec::new();
        for node in holders(&transaction, dataset)? {
            if only.is_none_or(|only| *only == node) {
                let next = last(&transaction, &node, dataset, what)? + 1;
                make(&transaction, &node, dataset, (what, next), entropy()?)?;
                note(&transaction, by, Did::Rotated, (&node, Some(dataset)), &format!("{} {next}", what.kind()))?;
                made.push((node, next));
            }
        }
        if made.is_empty() {
            let at = only.map(|node| format!(" at node {node}")).unwrap_or_default();
            return Err(StoreError::Gone(format!("any key of dataset {dataset}{at}")));
        }
        transaction.commit()?;
        Ok(made)
    }

    /// Takes the bytes of keys away, keeps their certificate, and writes down who did it, in one step.
    pub(crate) fn destroy(
        &mut self,
        node: &NodeName,
        dataset: &DatasetName,
        which: Which,
        by: &Person,
        certificate: impl FnOnce(Vec<Deleted>) -> Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        const BEFORE: &str = "SELECT envelope FROM certificate WHERE node = ?1 AND dataset = ?2 AND version = ?3";
        const KEYS: &str = "SELECT kind, version, check_value FROM key
             WHERE node = ?1 AND dataset = ?2 AND key IS NOT NULL AND (?3 = 0 OR kind = 'data' AND version = ?3) ORDER BY kind, version";
        const DESTROY: &str = "UPDATE key SET key = NULL, destroyed_at = strftime('%Y-%m-%dT%H:%M:%SZ')
             WHERE node = ?1 AND dataset = ?2 AND key IS NOT NULL AND (?3 = 0 OR kind = 'data' AND version = ?3)";
        const CERTIFY: &str = "INSERT INTO certificate (node, dataset, version, envelope) VALUES (?1, ?2, ?3, ?4)";
        let version = match which {
            Which::All => 0,
            Which::DataKey(version) => version.max(1),
        };
        let transaction = self.begin()?;
        let names = params![node.as_str(), dataset.as_str(), version];
        if let Some(envelope) = transaction.query_row(BEFORE, names, |r| r.get(0)).optional()? {
            return Ok(envelope);
        }
        if version > 0 && last(&transaction, node, dataset, Rotated::DataKey)? == version {
            return Err(StoreError::Wrong(format!(
                "version {version} is the newest data key of {dataset}: rotate it and encrypt the data anew first, or destroy all"
            )));
        }
        let deleted = {
            let mut statement = transaction.prepare(KEYS)?;
            let rows = statement.query_map(names, |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?)))?;
            let deleted = |(kind, version, check): (String, u32, [u8; 32])| {
                let kind = if kind == "data" { DeletedKind::DataKey } else { DeletedKind::PseudonymKey };
                Deleted { kind, version: Some(version), id: Digest::from_bytes(check) }
            };
            rows.map(|row| row.map(deleted)).collect::<Result<Vec<_>, _>>()?
        };
        if deleted.is_empty() {
            return Err(StoreError::Gone(format!("such a key of dataset {dataset} at node {node}")));
        }
        transaction.execute(DESTROY, names)?;
        if version == 0 {
            let forget = "UPDATE dataset SET digest_key = NULL WHERE node = ?1 AND dataset = ?2";
            transaction.execute(forget, params![node.as_str(), dataset.as_str()])?;
        }
        let what = if version == 0 { "all keys".into() } else { format!("data {version}") };
        note(&transaction, by, Did::Destroyed, (node, Some(dataset)), &what)?;
        let envelope = certificate(deleted);
        transaction.execute(CERTIFY, params![node.as_str(), dataset.as_str(), version, envelope])?;
        transaction.commit()?;
        Ok(envelope)
    }

    /// Leaves no byte of what was destroyed in any file: the write-ahead log is emptied into the database, which is written anew.
    pub(crate) fn purge(&mut self) -> Result<(), StoreError> {
        self.empty_log()?;
        self.0.execute_batch("VACUUM")?;
        self.0.execute("UPDATE certificate SET purged = 1 WHERE purged = 0", [])?;
        self.empty_log()
    }

    fn empty_log(&self) -> Result<(), StoreError> {
        let busy: bool = self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        let why = "it is in use, and what was destroyed may still be in its log; try again";
        if busy { Err(StoreError::Database(why.into())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
