//! Why the hub does not do what it was asked.

use std::{
    fmt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use spe_kernel::{fault::Fault, ids::Digest, refusal::Refusal};
use spe_wire::FileError;

/// A refusal for the caller, or a fault for the operator.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refusal),
    Failed(Fault),
}

impl Stop {
    /// What the caller is told. A fault goes to the log; the caller gets its id.
    pub(crate) fn tell(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Failed(fault) => {
                let id = next_id();
                tracing::error!(id, "{fault}");
                Refusal::Internal { id }
            }
        }
    }
}

/// For the operator.
impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Failed(fault) => fault.fmt(f),
        }
    }
}

fn next_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Digest::of(format!("{} {count}", Timestamp::now()).as_bytes()).short()
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(Fault::new("using the store", error))
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(Fault::new("reading or writing a stored document", error))
    }
}

/// Why a command in a hub's folder did nothing.
#[derive(Debug)]
pub enum NotDone {
    /// What was asked is refused, as it would be over the network: the refusal decides the exit code.
    Refused(Refusal),
    /// A file cannot be used.
    File(FileError),
}

impl NotDone {
    /// For `map_err`, of work on the file at `path`.
    pub(crate) fn at(path: &Path) -> impl FnOnce(Stop) -> Self {
        move |stop| match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Failed(fault) => Self::File(FileError::at(path)(fault)),
        }
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotDone {}

impl From<FileError> for NotDone {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}
