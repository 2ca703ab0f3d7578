//! Snapshots on disk: immutable directories, published by one rename (`docs/dataset-format.md`).
//!
//! ```text
//! <vault>/<dataset>/CURRENT                  name of the current snapshot's directory
//! <vault>/<dataset>/optout.log, optout.head  the register of opt-outs, which every snapshot keeps
//! <vault>/<dataset>/<digest>/snapshot.json   schema, digest, counts
//! <vault>/<dataset>/<digest>/subjects/…      pseudonyms, by partition
//! <vault>/<dataset>/<digest>/tables/<table>/…
//! ```

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spe_kernel::{
    dataset::DatasetSchema,
    ids::{Digest, TableName},
};
use tempfile::TempDir;

use crate::{
    ingest::{Ingest, IngestError, Sorted},
    optout,
};

mod writer;
pub(crate) use writer::{Writer, Written};

/// [`SnapshotFile::format`] of this version.
pub(crate) const FORMAT: &str = "spe.snapshot/2";
/// The future snapshot inside the staging directory.
pub(crate) const SNAPSHOT_DIR: &str = "snapshot";
const STAGING_PREFIX: &str = ".staging-";
const CURRENT: &str = "CURRENT";
const SNAPSHOT_FILE: &str = "snapshot.json";

/// What `snapshot.json` holds. Counts stay inside the vault.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotFile {
    pub(crate) format: String,
    pub(crate) digest: Digest,
    pub(crate) partitions: usize,
    pub(crate) subjects: u64,
    pub(crate) rows: Vec<(TableName, u64)>,
    pub(crate) schema: DatasetSchema,
}

/// The part of `snapshot.json` that tells whether the rest can be read.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// The part of `snapshot.json` that the next ingest reports.
#[derive(Deserialize)]
struct Count {
    subjects: u64,
}

/// A directory for one ingest; removed when dropped, whatever happened.
pub(crate) struct Staging {
    dir: TempDir,
    vault: PathBuf,
    /// Held while the vault is written.
    _lock: File,
}

/// Takes the vault for one ingest, and removes what a killed one left.
pub(crate) fn stage(vault: &Path) -> Result<Staging, IngestError> {
    let lock = File::open(vault).map_err(IngestError::write(vault))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(IngestError::Busy { vault: vault.into() }),
        Err(TryLockError::Error(error)) => return Err(IngestError::write(vault)(error)),
    }
    remove_leftovers(vault).map_err(IngestError::write(vault))?;
    let dir = tempfile::Builder::new().prefix(STAGING_PREFIX).tempdir_in(vault).map_err(IngestError::write(vault))?;
    Ok(Staging { dir, vault: vault.into(), _lock: lock })
}

fn remove_leftovers(vault: &Path) -> io::Result<()> {
    for entry in fs::read_dir(vault)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the staged snapshot the dataset's current one.
    pub(crate) fn publish(self, ingest: &Ingest<'_>, sorted: &Sorted) -> Result<Digest, IngestError> {
        let digest = digest(ingest, sorted);
        let snapshot = self.path().join(SNAPSHOT_DIR);
        let schema = ingest.declaration.schema().clone();
        let name = schema.name.clone();
        let rows = schema.tables.iter().map(|t| t.name.clone()).zip(sorted.rows.iter().copied()).collect();
        let (partitions, subjects) = (ingest.declaration.partitions, sorted.subjects);
        let file = SnapshotFile { format: FORMAT.into(), digest, partitions, subjects, rows, schema };
        write_json(&snapshot.join(SNAPSHOT_FILE), &file).map_err(IngestError::write(&snapshot))?;
        sync_dirs(&snapshot).map_err(IngestError::write(&snapshot))?;
        let home = self.vault.join(name.as_str());
        move_in(&snapshot, &home, &digest).map_err(IngestError::write(&home))?;
        optout::found(&home, &ingest.register()).map_err(IngestError::optouts(&name))?;
        let current = || -> io::Result<()> {
            let previous = fs::read_to_string(home.join(CURRENT)).unwrap_or_default();
            point(&home, &digest)?;
            sync_dir(&self.vault)?;
            remove_outdated(&home, &[digest.hex(), previous])
        };
        current().map_err(|e| IngestError::Publish { dataset: name, why: e.to_string() })?;
        Ok(digest)
    }
}

/// Keyed, over everything that decides what a scan gives.
fn digest(ingest: &Ingest<'_>, sorted: &Sorted) -> Digest {
    let declaration = ingest.declaration;
    let mut hasher = ingest.key.snapshot_hasher(&declaration.schema().name);
    hasher.update(FORMAT.as_bytes());
    // Plain data always serialises.
    hasher.update(&serde_json::to_vec(declaration.schema()).unwrap_or_default());
    for file in sorted.digests.iter().flatten() {
        hasher.update(file.as_bytes());
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes the names in `dir` and below durable; files were synced when they were closed.
fn sync_dirs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(dir)
}

/// Renames `snapshot` to its digest in `home`. If there is one of the same digest, its files are replaced one by one.
fn move_in(snapshot: &Path, home: &Path, digest: &Digest) -> io::Result<()> {
    let target = home.join(digest.hex());
    if target.exists() {
        return replace(snapshot, &target);
    }
    if !home.exists() {
        // Exact counts and records: for the node's user alone, whatever the umask.
        DirBuilder::new().mode(0o700).create(home)?;
    }
    let moved = fs::rename(snapshot, &target).and_then(|()| sync_dir(home));
    if moved.is_err() {
        let _ = fs::remove_dir_all(&target);
        // Fails, as it should, when the dataset has other snapshots.
        let _ = fs::remove_dir(home);
    }
    moved
}

/// Puts every file below `from` in its place below `to`. Files of one digest are equal, so a running job sees no difference; one
/// that was damaged or lost is whole again.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = entry.map(|e| (e.path(), to.join(e.file_name())))?;
        if entry.is_dir() {
            replace(&entry, &target)?;
        } else if !is_held(&target) || fs::read(&entry)? != fs::read(&target)? {
            fs::rename(&entry, &target)?;
        }
    }
    sync_dir(to)
}

/// Running jobs lock this file: as long as it is whole it must stay the same file.
fn is_held(path: &Path) -> bool {
    path.ends_with(SNAPSHOT_FILE) && path.is_file()
}

/// Replaces the pointer in one step.
fn point(home: &Path, digest: &Digest) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(STAGING_PREFIX).tempfile_in(home)?;
    file.write_all(digest.hex().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(home.join(CURRENT))?;
    sync_dir(home)
}

/// Removes all but the current snapshot and the one before. One that an open vault still reads is left for a later ingest.
fn remove_outdated(home: &Path, keep: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() || keep.contains(&name) {
            continue;
        }
        match File::open(entry.path().join(SNAPSHOT_FILE)).map(|held| held.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => {}
            _ => fs::remove_dir_all(entry.path())?,
        }
    }
    Ok(())
}

/// The current snapshot of a dataset, kept from being removed as long as this lives.
pub(crate) struct Current {
    pub(crate) file: SnapshotFile,
    pub(crate) dir: PathBuf,
    /// Locked, shared.
    pub(crate) held: File,
}

/// The current snapshot of the dataset in `home`; `None` when there is none.
pub(crate) fn current(home: &Path) -> io::Result<Option<Current>> {
    let name = match fs::read_to_string(home.join(CURRENT)) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let digest: Digest = name.parse().map_err(|_| invalid(format!("{CURRENT} holds no digest")))?;
    let dir = home.join(digest.hex());
    let held = File::open(dir.join(SNAPSHOT_FILE))?;
    held.lock_shared()?;
    let json = fs::read(dir.join(SNAPSHOT_FILE))?;
    let Format { format } = serde_json::from_slice(&json)?;
    if format != FORMAT {
        return Err(invalid(format!(
            "{SNAPSHOT_FILE} is of format {format:?}, this version reads {FORMAT:?}: ingest the dataset again"
        )));
    }
    let file: SnapshotFile = serde_json::from_slice(&json)?;
    if file.digest != digest {
        return Err(invalid(format!("{SNAPSHOT_FILE} has another digest than its directory")));
    }
    Ok(Some(Current { file, dir, held }))
}

/// Whether there is a dataset in `home`.
pub(crate) fn is_dataset(home: &Path) -> bool {
    home.join(CURRENT).is_file()
}

/// Whether a register of opt-outs was founded in `home`: with the first snapshot of this format.
pub(crate) fn has_register(home: &Path) -> bool {
    let Ok(current) = fs::read_to_string(home.join(CURRENT)) else { return is_dataset(home) };
    let json = fs::read(home.join(current).join(SNAPSHOT_FILE)).unwrap_or_default();
    // One that cannot be read may have been.
    serde_json::from_slice(&json).map_or(true, |Format { format }| format == FORMAT)
}

/// How many data subjects the current snapshot in `home` has, whatever its format.
pub(crate) fn subjects(home: &Path) -> Option<u64> {
    let current = fs::read_to_string(home.join(CURRENT)).ok()?;
    let digest: Digest = current.parse().ok()?;
    let json = fs::read(home.join(digest.hex()).join(SNAPSHOT_FILE)).ok()?;
    serde_json::from_slice(&json).ok().map(|Count { subjects }| subjects)
}
