//! The officers' desk: how persons of the node speak with the node while it runs.
//!
//! A Unix socket in the node's data folder, which only its owner may open; one line of JSON each way. Who decides proves it by a
//! signature ([`spe_kernel::officer::Verdict`], a revocation of a data access body), not by reaching the socket.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use spe_kernel::{
    audit::{Person, Who},
    fault::Fault,
    incident::{Incident, Taken},
    officer::Matter,
    refusal::Refusal,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream as Caller},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    journal::{Ending, Pending, PermitReport},
    site::Site,
    tables::EarlierTables,
};

const SOCKET: &str = "desk.sock";
/// Longest line, in bytes: an envelope in JSON.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// Callers at the same time, and how long one may take.
const CALLERS_MAX: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);
/// What the name of a socket may take; a folder further down is reached by its descriptor.
const NAME_BYTES_MAX: usize = 100;

/// What an officer asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// What waits for an officer.
    Waiting,
    /// The exact tables that were bought of the dataset of something that waits.
    EarlierTables {
        /// What waits.
        matter: Matter,
    },
    /// Records an officer's verdict.
    Decide {
        /// DSSE envelope of a [`spe_kernel::officer::VerdictBody`].
        verdict: String,
    },
    /// The permits that ended here, with the certificates that what they brought is gone.
    Endings,
    /// The permits that jobs came under, or of which the hub told.
    Permits,
    /// Ends permits, or excludes a person.
    Revoke {
        /// Who hands it in; none by a program of before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Person>,
        /// DSSE envelope of a revocation.
        revocation: String,
    },
    /// The incidents that were recorded.
    Incidents,
    /// Opens an incident, or records what was done about one.
    Incident {
        /// Who does it.
        who: Person,
        /// Which; none opens one.
        number: Option<u32>,
        /// What is done.
        taken: Taken,
    },
}

/// What the node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Told {
    /// What waits.
    Waiting(Vec<Pending>),
    /// The exact tables.
    EarlierTables(EarlierTables),
    /// The permits that ended.
    Endings(Vec<Ending>),
    /// The permits, and how each stands.
    Permits(Vec<PermitReport>),
    /// The verdict about this is durable.
    Decided(Matter),
    /// The revocation is durable, and what it concerns has stopped.
    Revoked,
    /// The incidents.
    Incidents(Vec<Incident>),
    /// The incident, as it is now.
    Incident(Incident),
    /// Not done, and why.
    Refused(Refusal),
    /// Not done; the node's log has the details.
    Failed(String),
}

/// Does what is asked at a node that runs, or whose folder is open.
pub fn act(site: &Site, ask: Ask) -> Told {
    let is_logged = matches!(ask, Ask::Decide { .. } | Ask::Revoke { .. } | Ask::Incident { .. });
    let done = match ask {
        Ask::Waiting => site.waiting().map(Told::Waiting),
        Ask::EarlierTables { matter } => site.earlier_tables(matter).map(Told::EarlierTables),
        Ask::Endings => site.records().endings().map(Told::Endings).map_err(Into::into),
        Ask::Permits => site.permits().map(Told::Permits).map_err(Into::into),
        Ask::Decide { verdict } => site.decide(verdict.as_bytes()).map(Told::Decided),
        Ask::Incidents => site.records().incidents().map(Told::Incidents).map_err(Into::into),
        Ask::Incident { who, number, taken } => {
            site.records().record_incident(&Who::Person(who), number, taken).map(Told::Incident)
        }
        Ask::Revoke { who, revocation } => {
            site.revoke_by(revocation.as_bytes(), &who.map_or(Who::Node, Who::Person)).map(|()| Told::Revoked)
        }
    };
    if is_logged {
        site.publish(false);
    }
    done.unwrap_or_else(|stop| match stop {
        spe_kernel::refusal::Stop::Refused(refusal) => Told::Refused(refusal),
        spe_kernel::refusal::Stop::Failed(fault) => {
            tracing::error!("at the desk: {fault}");
            Told::Failed(fault.to_string())
        }
    })
}

/// Serves the desk of `site` until dropped.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(site: Arc<Site>, data: PathBuf) -> Result<(), Fault> {
    let opening = "opening the desk";
    let place = Place::of(&data).map_err(Fault::while_(opening))?;
    // The node holds its ledger alone, so that a socket that is there belongs to a node that is gone.
    fs::remove_file(place.socket()).ok();
    let listener = UnixListener::bind(place.socket()).map_err(Fault::while_(opening))?;
    fs::set_permissions(place.socket(), Permissions::from_mode(0o600)).map_err(Fault::while_(opening))?;
    let seats = Arc::new(Semaphore::new(CALLERS_MAX));
    loop {
        let (Ok((caller, _)), Ok(seat)) = (listener.accept().await, Arc::clone(&seats).acquire_owned().await) else {
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            if let Ok(Err(why)) = timeout(PATIENCE, attend(&site, caller)).await {
                tracing::warn!("a caller at the desk: {why}");
            }
            drop(seat);
        });
    }
}

async fn attend(site: &Arc<Site>, mut caller: Caller) -> io::Result<()> {
    let (read, mut write) = caller.split();
    let mut line = String::new();
    if BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await? == 0 {
        // Who only looks whether a node runs asks nothing.
        return Ok(());
    }
    let ask: Ask = serde_json::from_str(&line).map_err(io::Error::other)?;
    let site = Arc::clone(site);
    // It writes to the disk and waits for it.
    let told = tokio::task::spawn_blocking(move || act(&site, ask)).await.map_err(io::Error::other)?;
    let mut answer = serde_json::to_vec(&told)?;
    answer.push(b'\n');
    write.write_all(&answer).await
}

/// Whether a node runs on the folder `data`.
///
/// # Errors
/// A folder that cannot be read.
pub fn is_open(data: &Path) -> Result<bool, Fault> {
    let place = Place::of(data).map_err(Fault::while_("asking whether a node runs"))?;
    Ok(UnixStream::connect(place.socket()).is_ok())
}

/// Asks the node that runs on the folder `data`; nothing where none does.
///
/// # Errors
/// A node that does not answer.
pub fn ask(data: &Path, ask: &Ask) -> Result<Option<Told>, Fault> {
    let asking = "asking the running node";
    let place = Place::of(data).map_err(Fault::while_(asking))?;
    let Ok(mut desk) = UnixStream::connect(place.socket()) else { return Ok(None) };
    let mut line = serde_json::to_vec(ask).map_err(Fault::while_(asking))?;
    line.push(b'\n');
    desk.set_read_timeout(Some(PATIENCE)).map_err(Fault::while_(asking))?;
    desk.write_all(&line).map_err(Fault::while_(asking))?;
    let told = io::read_to_string(&desk).map_err(Fault::while_(asking))?;
    serde_json::from_str(&told).map(Some).map_err(Fault::while_(asking))
}

/// Where the socket is, under a name that is short enough for one.
struct Place {
    folder: PathBuf,
    /// Holds the descriptor in `folder`.
    _open: Option<File>,
}

impl Place {
    fn of(data: &Path) -> io::Result<Self> {
        if data.as_os_str().as_bytes().len() + SOCKET.len() < NAME_BYTES_MAX {
            return Ok(Self { folder: data.to_owned(), _open: None });
        }
        let open = File::open(data)?;
        Ok(Self { folder: format!("/proc/self/fd/{}", open.as_raw_fd()).into(), _open: Some(open) })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }
}
