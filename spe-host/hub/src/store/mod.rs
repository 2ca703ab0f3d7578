//! The hub's state in SQLite. What a method of `Service` has acknowledged is on disk: WAL with `synchronous=FULL`.

pub(crate) mod governance;
pub(crate) mod invitations;
pub(crate) mod jobs;
mod layout;
pub(crate) mod members;
pub(crate) mod modules;
pub(crate) mod nodes;
pub(crate) mod outcomes;
pub(crate) mod rounds;
pub(crate) mod witness;

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

use self::layout::VERSION;
use crate::stop::Stop;

/// How long to wait for `invite` or `dismiss` in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the file so that its owner alone may read it; SQLite's other files take after it.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens the store, makes it where there is none, and upgrades one of an earlier version.
pub(crate) fn open(path: &Path) -> Result<Connection, FileError> {
    private(path).map_err(FileError::at(path))?;
    let prepare = || -> Result<(Connection, i64), Stop> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        let making = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = making.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let version = layout::upgrade(&making, version)?;
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
    pub(crate) fn new(db: Connection) -> Self {
        Self(Arc::new(Mutex::new(db)))
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
