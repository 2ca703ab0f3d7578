//! The ledger's and audit log's storage: one SQLite file, WAL, `synchronous=FULL`. An event is durable when its call returns.

mod endings;
mod exact;
mod incidents;
mod layout;
mod ledger;
mod log;
mod misses;
mod officers;
mod permits;
mod revocations;
mod rollback;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use spe_kernel::fault::Fault;

pub use endings::Ending;
pub(crate) use endings::Over;
pub(crate) use exact::{BoughtTable, Earlier};
pub(crate) use log::login;
pub use log::{
    Checked, Counted, Forgotten, LINES, LogFiles, Release, Stays, Told, Witnessed, check_files, entries_in, root_in,
};
pub use misses::Miss;
pub use officers::Pending;
pub use permits::{PermitReport, SeenPermit};
pub(crate) use revocations::Mark;
pub use rollback::{Rollback, ShownBy};

/// Version of the program, as the log has it.
pub const SOFTWARE: &str = concat!("spe ", env!("CARGO_PKG_VERSION"));

/// A node's records: charges, answers and releases.
#[derive(Clone)]
pub struct Records {
    connection: Arc<Mutex<Connection>>,
}

impl Records {
    /// Opens or creates the file. One process holds it at a time.
    ///
    /// # Errors
    /// The file cannot be written, is damaged, or belongs to a running node.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        private(path)?;
        let mut connection = Connection::open(path).map_err(Fault::while_("opening the ledger"))?;
        let set = |name: &str, value: &str| connection.pragma_update(None, name, value).map_err(|e| in_use(path, &e));
        set("locking_mode", "EXCLUSIVE")?;
        set("journal_mode", "WAL")?;
        set("synchronous", "FULL")?;
        // What is erased must not stay readable in the file.
        set("secure_delete", "ON")?;
        let found = layout::lay_out(&mut connection).map_err(|e| in_use(path, &e))?;
        if found > layout::newest() {
            let why =
                format!("{} has version {found}; this program reads version {}", path.display(), layout::newest());
            return Err(Fault::new("setting up the ledger", why));
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Every statement is one transaction, so a panic elsewhere leaves nothing half-done behind.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a copy of the whole file that may be kept elsewhere.
    ///
    /// # Errors
    /// The copy exists or cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<(), Fault> {
        let path = path.to_string_lossy();
        self.connection().execute("VACUUM INTO ?1", [path]).map(drop).map_err(Fault::while_("copying the ledger"))
    }
}

/// Makes the file so that its owner alone may read it; SQLite's other files take after it.
fn private(path: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Fault::new("making the ledger", format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn in_use(path: &Path, error: &rusqlite::Error) -> Fault {
    let setting_up = "setting up the ledger";
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Fault::new(setting_up, format!("{} is in use by another node that runs; stop it first", path.display()))
        }
        _ => Fault::new(setting_up, format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
