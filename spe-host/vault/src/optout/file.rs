//! A register's two files: read, append, found.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use spe_kernel::{
    ids::DatasetName,
    optout::{Addition, Header, History, founding},
};

use super::RegisterError;
use crate::snapshot;

const LOG: &str = "optout.log";
const HEAD: &str = "optout.head";

fn failed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> RegisterError {
    move |why| RegisterError::File { path: path.to_owned(), why: why.to_string() }
}

/// Waits for the turn to write to the register in `home`; the turn ends when the file is dropped.
pub(super) fn lock(home: &Path) -> Result<File, RegisterError> {
    let turn = File::open(home).map_err(failed(home))?;
    turn.lock().map_err(failed(home))?;
    Ok(turn)
}

/// The register in `home`, which must be that of `dataset`.
///
/// # Errors
/// It is missing, damaged, or another dataset's.
pub(crate) fn read(home: &Path, dataset: &DatasetName) -> Result<History, RegisterError> {
    // The head first: the log has all that it acknowledges, and maybe more by the time that it is read.
    let (head, log) = (bytes(home, HEAD)?, bytes(home, LOG)?);
    let at = || home.join(LOG);
    let history = History::read(&log, &head).map_err(|why| RegisterError::Damaged { log: at(), why })?;
    let found = &history.header().dataset;
    if found != dataset {
        return Err(RegisterError::OtherDataset { log: at(), found: found.clone() });
    }
    Ok(history)
}

fn bytes(home: &Path, name: &str) -> Result<Vec<u8>, RegisterError> {
    let path = home.join(name);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RegisterError::Missing { log: home.join(LOG) }),
        read => read.map_err(failed(&path)),
    }
}

/// Makes `addition` durable behind the first `whole_bytes`; what an interrupted append left there is cut off. All or nothing, but for a
/// crash, which may leave lines that the head does not acknowledge.
pub(super) fn append(home: &Path, whole_bytes: usize, addition: &Addition) -> Result<(), RegisterError> {
    let path = home.join(LOG);
    let mut log = OpenOptions::new().write(true).open(&path).map_err(failed(&path))?;
    let end = u64::try_from(whole_bytes).map_err(failed(&path))?;
    let mut write = || -> io::Result<()> {
        log.set_len(end)?;
        log.seek(SeekFrom::Start(end))?;
        log.write_all(&addition.lines)?;
        log.sync_all()?;
        replace(home, HEAD, &addition.head)
    };
    if let Err(why) = write() {
        // The caller is told that nothing was entered, so nothing is left of it.
        let undone = log.set_len(end).and_then(|()| log.sync_all());
        return Err(undone.err().map_or_else(|| failed(&path)(why), failed(&path)));
    }
    File::open(home).and_then(|home| home.sync_all()).map_err(failed(home))
}

/// Puts a durable file in the place of another in one step. Whoever calls this has the turn to write.
fn replace(home: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new: PathBuf = home.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, home.join(name))
}

/// Whether a dataset with `header` can be ingested into `home`: `false` when its register is still to be founded.
///
/// # Errors
/// A register that is lost or damaged; or one with entries that would be about nobody, for the dataset's pseudonyms would be others.
pub(crate) fn fits(home: &Path, header: &Header) -> Result<bool, RegisterError> {
    let register = match read(home, &header.dataset) {
        // There was no register before there was one in every dataset.
        Err(RegisterError::Missing { .. }) if !snapshot::has_register(home) => return Ok(false),
        read => read?,
    };
    let (found, empty) = (register.header(), register.entries().is_empty());
    match (found == header, empty) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) if found.key_columns != header.key_columns => {
            Err(RegisterError::OtherColumns { register: found.key_columns, declared: header.key_columns })
        }
        (false, false) => Err(RegisterError::OtherKey),
    }
}

/// Founds the register of a dataset that has none, or whose register is empty and of another key.
///
/// # Errors
/// As [`fits`]; or the files cannot be written.
pub(crate) fn found(home: &Path, header: &Header) -> Result<(), RegisterError> {
    let _turn = lock(home)?;
    if fits(home, header)? {
        return Ok(());
    }
    let (log, head) = founding(header);
    let write = || -> io::Result<()> {
        replace(home, LOG, &log)?;
        replace(home, HEAD, &head)?;
        File::open(home)?.sync_all()
    };
    write().map_err(failed(home))
}
