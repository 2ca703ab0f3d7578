//! The hub's state in SQLite. What a method of `Service` has acknowledged is on disk: WAL with `synchronous=FULL`.

pub(crate) mod jobs;
pub(crate) mod members;
pub(crate) mod modules;
pub(crate) mod nodes;
pub(crate) mod outcomes;

use std::{
    fmt::Display,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use spe_kernel::fault::Fault;
use spe_wire::FileError;

use crate::stop::Stop;

const VERSION: i64 = 2;
/// How long to wait for `invite` or `dismiss` in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE member (
        fingerprint TEXT PRIMARY KEY, role TEXT NOT NULL UNIQUE, listed_at TEXT NOT NULL
    ) STRICT;
    -- catalogue: NULL since the node was dismissed.
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
    -- outcome: answered, refused or invalid; NULL while the node owes one. body: the bytes that the node sent.
    CREATE TABLE asked (
        job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, node TEXT NOT NULL, stage BLOB, outcome TEXT, why TEXT, key TEXT, body BLOB,
        PRIMARY KEY (job, node)
    ) STRICT;
    CREATE INDEX owed ON asked (node) WHERE outcome IS NULL;
    -- What happened to jobs, in order; a node's stream follows it.
    CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, what TEXT NOT NULL
    ) STRICT;
    CREATE INDEX event_job ON event (job);
    PRAGMA user_version = 2;
";

/// Opens the store, and makes it where there is none.
pub(crate) fn open(path: &Path) -> Result<Connection, FileError> {
    let prepare = || -> rusqlite::Result<(Connection, i64)> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        let making = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut version = making.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            making.execute_batch(TABLES)?;
            version = VERSION;
        }
        making.commit()?;
        Ok((db, version))
    };
    match prepare().map_err(FileError::at(path))? {
        (db, VERSION) => Ok(db),
        (_, other) => Err(FileError::at(path)(format!("it has version {other}; this program reads version {VERSION}"))),
    }
}

/// The store, shared. Work on it leaves the asynchronous threads alone.
#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<Connection>>);

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self(Arc::new(Mutex::new(open(path)?))))
    }

    /// Reads one consistent state.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Stop>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Stop> + Send + 'static,
    {
        self.run(TransactionBehavior::Deferred, work).await
    }

    /// Changes the state; durable when this returns, unchanged if it fails.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Stop>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Stop> + Send + 'static,
    {
        self.run(TransactionBehavior::Immediate, work).await
    }

    async fn run<T, F>(&self, behavior: TransactionBehavior, work: F) -> Result<T, Stop>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Stop> + Send + 'static,
    {
        let db = Arc::clone(&self.0);
        let working = tokio::task::spawn_blocking(move || {
            // A transaction of a thread that panicked was rolled back: the connection is as good as before.
            let mut db = db.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = db.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        working.await.map_err(Fault::while_("working on the store"))?
    }
}

/// A column that holds the text of a name, digest, key or time.
pub(crate) fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<T, Stop> {
    let text: String = row.get(column)?;
    text.parse().map_err(|e: T::Err| Fault::new("reading a stored name", e).into())
}

/// All rows of a query, each read by `read`.
pub(crate) fn rows<T>(
    db: &Connection,
    sql: &str,
    given: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, Stop>,
) -> Result<Vec<T>, Stop> {
    let mut query = db.prepare_cached(sql)?;
    let mut found = query.query(given)?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// The first row of a query.
pub(crate) fn first<T>(
    db: &Connection,
    sql: &str,
    given: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, Stop>,
) -> Result<Option<T>, Stop> {
    let mut query = db.prepare_cached(sql)?;
    let mut found = query.query(given)?;
    found.next()?.map(read).transpose()
}
