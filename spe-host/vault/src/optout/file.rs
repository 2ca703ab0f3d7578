//! A register's two files: read, append, write anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use spe_kernel::{
    ids::{DatasetName, Digest},
    optout::{Addition, History},
};

use super::RegisterError;
use crate::snapshot;

/// The names of log and head of a generation, from 1.
fn names(generation: u32) -> [String; 2] {
    match generation {
        0 | 1 => ["optout.log".into(), "optout.head".into()],
        later => [format!("optout.{later}.log"), format!("optout.{later}.head")],
    }
}

pub(super) fn failed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> RegisterError {
    move |why| RegisterError::File { path: path.to_owned(), why: why.to_string() }
}

/// Waits for the turn to write to the register in `home`; the turn ends when the file is dropped.
pub(crate) fn lock(home: &Path) -> Result<File, RegisterError> {
    let turn = File::open(home).map_err(failed(home))?;
    turn.lock().map_err(failed(home))?;
    Ok(turn)
}

/// The register in `home`, which must be that of `dataset`, and its generation.
///
/// # Errors
/// It is missing, damaged, or another dataset's.
pub(crate) fn read(home: &Path, dataset: &DatasetName) -> Result<(History, u32), RegisterError> {
    let generation = snapshot::register(home);
    match read_generation(home, dataset, generation) {
        Ok(history) => Ok((history, generation)),
        // A new one became current meanwhile.
        Err(_) if snapshot::register(home) != generation => read(home, dataset),
        Err(error) => Err(error),
    }
}

/// Digest of the head of the register in `home`.
pub(super) fn head(home: &Path) -> Result<Digest, RegisterError> {
    let [log, head] = names(snapshot::register(home));
    let path = home.join(head);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RegisterError::Missing { log: home.join(log) }),
        read => read.map(|bytes| Digest::of(&bytes)).map_err(failed(&path)),
    }
}

fn read_generation(home: &Path, dataset: &DatasetName, generation: u32) -> Result<History, RegisterError> {
    let [log_name, head_name] = names(generation);
    let at = || home.join(&log_name);
    let bytes = |name: &str| {
        let path = home.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RegisterError::Missing { log: at() }),
            read => read.map_err(failed(&path)),
        }
    };
    // The head first: the log has all that it acknowledges, and maybe more by the time that it is read.
    let (head, log) = (bytes(&head_name)?, bytes(&log_name)?);
    let history = History::read(&log, &head).map_err(|why| RegisterError::Damaged { log: at(), why })?;
    let found = &history.header().dataset;
    if found != dataset {
        return Err(RegisterError::OtherDataset { log: at(), found: found.clone() });
    }
    Ok(history)
}

/// Makes `addition` durable behind the first `whole_bytes`; what an interrupted append left there is cut off. All or nothing, but for a
/// crash, which may leave lines that the head does not acknowledge.
pub(super) fn append(
    home: &Path,
    generation: u32,
    whole_bytes: usize,
    addition: &Addition,
) -> Result<(), RegisterError> {
    let [log, head] = names(generation);
    let path = home.join(log);
    let mut log = OpenOptions::new().write(true).open(&path).map_err(failed(&path))?;
    let end = u64::try_from(whole_bytes).map_err(failed(&path))?;
    let mut write = || -> io::Result<()> {
        log.set_len(end)?;
        log.seek(SeekFrom::Start(end))?;
        log.write_all(&addition.lines)?;
        log.sync_all()?;
        replace(home, &head, &addition.head)
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

/// Writes both files of a generation that is not current yet.
pub(super) fn write(home: &Path, generation: u32, (log, head): &(Vec<u8>, Vec<u8>)) -> io::Result<()> {
    let [log_name, head_name] = names(generation);
    replace(home, &log_name, log)?;
    replace(home, &head_name, head)?;
    File::open(home)?.sync_all()
}

/// Removes the files of all generations but the current one.
pub(super) fn remove_others(home: &Path, generation: u32) -> io::Result<()> {
    let current = names(generation);
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("optout.") && !current.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
