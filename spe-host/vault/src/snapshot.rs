//! Snapshots on disk: immutable directories, published by one rename (`docs/dataset-format.md`).
//!
//! ```text
//! <vault>/<dataset>/CURRENT                     name of the current snapshot's directory
//! <vault>/<dataset>/optout.log, optout.head     the register of opt-outs, which every snapshot keeps
//! <vault>/<dataset>/<digest>.<n>/snapshot.json  schema, digest, which keys
//! <vault>/<dataset>/<digest>.<n>/subjects/…     pseudonyms, by partition; encrypted
//! <vault>/<dataset>/<digest>.<n>/tables/<table>/…
//! ```

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    dataset::DatasetSchema,
    ids::Digest,
    keys::{DataKey, KeySource, Scheme},
};
use tempfile::TempDir;

use crate::{
    ingest::{IngestError, Session, Sorted},
    layout,
    optout::{self, Turnover},
    seal::Seal,
};

mod content;
mod writer;
pub(crate) use writer::{Writer, Written};

/// [`SnapshotFile::format`] of this version.
pub(crate) const FORMAT: &str = "spe.snapshot/3";
/// Snapshots of that format stand beside no register of opt-outs.
const FORMAT_WITHOUT_REGISTER: &str = "spe.snapshot/1";
/// The future snapshot inside the staging directory.
pub(crate) const SNAPSHOT_DIR: &str = "snapshot";
const STAGING_PREFIX: &str = ".staging-";
const CURRENT: &str = "CURRENT";
const SNAPSHOT_FILE: &str = "snapshot.json";

/// What `snapshot.json` holds, in the clear: nothing about people, and no count.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotFile {
    pub(crate) format: String,
    pub(crate) digest: Digest,
    pub(crate) partitions: usize,
    pub(crate) pseudonyms: KeyName,
    pub(crate) data_key: KeyName,
    /// The generation of the register of opt-outs.
    pub(crate) register: u32,
    pub(crate) schema: DatasetSchema,
}

/// Which key was used; says nothing about it.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyName {
    pub(crate) version: u32,
    pub(crate) check: Digest,
}

impl From<Scheme> for KeyName {
    fn from(Scheme { version, check }: Scheme) -> Self {
        Self { version, check }
    }
}

impl KeyName {
    /// Of a data key in the dataset that the snapshot is of.
    pub(crate) fn of(key: &DataKey, schema: &DatasetSchema) -> Self {
        Self { version: key.version(), check: key.check_value(&schema.name) }
    }
}

/// The part of `snapshot.json` that tells whether the rest can be read.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// The part of `snapshot.json` that says which register of opt-outs is the snapshot's; older formats had but one.
#[derive(Deserialize)]
struct Registered {
    #[serde(default)]
    register: u32,
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
    pub(crate) fn publish(self, session: &Session<'_>, sorted: &Sorted) -> Result<Digest, IngestError> {
        let declaration = session.ingest.declaration;
        let schema = declaration.schema().clone();
        let digest = digest(session, sorted);
        let home = self.vault.join(schema.name.as_str());
        make_home(&home).map_err(IngestError::write(&home))?;
        let name = schema.name.clone();
        // Nobody opts out between the register that is carried over and the moment when it counts.
        let turn = optout::lock(&home).map_err(IngestError::optouts(&name))?;
        let turnover = Turnover::of(&home, session).map_err(IngestError::optouts(&name))?;
        let file = SnapshotFile {
            format: FORMAT.into(),
            digest,
            partitions: declaration.partitions,
            pseudonyms: session.newest.pseudonyms.into(),
            data_key: KeyName::of(&session.newest.data, &schema),
            register: turnover.generation,
            schema,
        };
        let moved = self.move_in(&home, &file).inspect_err(|_| drop(fs::remove_dir(&home)));
        let moved = moved.map_err(IngestError::write(&home))?;
        turnover.write(&home).map_err(IngestError::optouts(&name))?;
        let current = || -> io::Result<()> {
            make_current(&home, &moved)?;
            drop(turn);
            sync_dir(&self.vault)?;
            turnover.finish(&home)
        };
        current().map_err(|e| IngestError::Publish { dataset: name, why: e.to_string() })?;
        Ok(digest)
    }

    /// Renames the staged snapshot to a new name in `home`, durably; the name.
    pub(crate) fn move_in(&self, home: &Path, file: &SnapshotFile) -> io::Result<String> {
        let snapshot = self.path().join(SNAPSHOT_DIR);
        write_json(&snapshot.join(SNAPSHOT_FILE), file)?;
        sync_dirs(&snapshot)?;
        let hex = file.digest.hex();
        let names = (1_u32..).map(|n| format!("{hex}.{n}"));
        let name = names.into_iter().find(|name| !home.join(name).exists());
        let name = name.ok_or_else(|| io::Error::other("there is no name left"))?;
        let target = home.join(&name);
        fs::rename(&snapshot, &target).and_then(|()| sync_dir(home)).inspect_err(|_| {
            let _ = fs::remove_dir_all(&target);
        })?;
        Ok(name)
    }
}

/// Points to the snapshot of that name, and removes all but it and the one before.
pub(crate) fn make_current(home: &Path, name: &str) -> io::Result<()> {
    let previous = fs::read_to_string(home.join(CURRENT)).unwrap_or_default();
    point(home, name)?;
    remove_outdated(home, &[name.to_owned(), previous])
}

/// Exact counts of files and their sizes: for the node's user alone, whatever the umask.
fn make_home(home: &Path) -> io::Result<()> {
    if home.exists() { Ok(()) } else { DirBuilder::new().mode(0o700).create(home) }
}

fn digest(session: &Session<'_>, sorted: &Sorted) -> Digest {
    digest_of(session.ingest.declaration.schema(), &session.newest.data, sorted.digests.iter().flatten())
}

/// Keyed, over everything that decides what a scan gives: the schema, and the records of each file.
pub(crate) fn digest_of<'a>(
    schema: &DatasetSchema,
    key: &DataKey,
    files: impl IntoIterator<Item = &'a blake3::Hash>,
) -> Digest {
    let mut hasher = key.snapshot_hasher(&schema.name);
    hasher.update(FORMAT.as_bytes());
    // Plain data always serialises.
    hasher.update(&serde_json::to_vec(schema).unwrap_or_default());
    for file in files {
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

/// Replaces the pointer in one step.
fn point(home: &Path, name: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(STAGING_PREFIX).tempfile_in(home)?;
    file.write_all(name.as_bytes())?;
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
    if !is_name(&name) {
        return Err(invalid(format!("{CURRENT} holds no digest")));
    }
    let dir = home.join(&name);
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
    if !name.starts_with(&file.digest.hex()) {
        return Err(invalid(format!("{SNAPSHOT_FILE} has another digest than its directory")));
    }
    Ok(Some(Current { file, dir, held }))
}

/// `<digest>.<n>`; older formats had no number.
fn is_name(name: &str) -> bool {
    let (digest, number) = name.split_once('.').unwrap_or((name, "1"));
    digest.len() == 64 && digest.parse::<Digest>().is_ok() && number.parse::<u32>().is_ok()
}

/// Whether there is a dataset in `home`.
pub(crate) fn is_dataset(home: &Path) -> bool {
    home.join(CURRENT).is_file()
}

/// `snapshot.json` of the current snapshot in `home`, if it can be read.
fn current_json(home: &Path) -> Vec<u8> {
    let name = fs::read_to_string(home.join(CURRENT)).unwrap_or_default();
    if is_name(&name) { fs::read(home.join(name).join(SNAPSHOT_FILE)).unwrap_or_default() } else { Vec::new() }
}

/// Whether a register of opt-outs was founded in `home`: with the first snapshot of the second format.
pub(crate) fn has_register(home: &Path) -> bool {
    if !is_dataset(home) {
        return false;
    }
    // One that cannot be read may have been.
    serde_json::from_slice(&current_json(home)).map_or(true, |Format { format }| format != FORMAT_WITHOUT_REGISTER)
}

/// Which generation of the register of opt-outs goes with the current snapshot in `home`.
pub(crate) fn register(home: &Path) -> u32 {
    serde_json::from_slice(&current_json(home)).map_or(1, |Registered { register }| register.max(1))
}

/// How many data subjects the current snapshot in `home` has, if its key can be had: the count stands in sealed files only.
pub(crate) fn subjects(home: &Path, keys: &dyn KeySource) -> Option<u64> {
    let Current { file, dir, .. } = current(home).ok()??;
    let key = keys.data_key(&file.schema.name, file.data_key.version).ok()?;
    let seal = Seal::of(&key, &file.schema.name);
    let rows = |partition| {
        let name = layout::subjects_file(partition);
        let options = ArrowReaderOptions::new().with_file_decryption_properties(seal.reading(&name).ok()?);
        let metadata = ArrowReaderMetadata::load(&File::open(dir.join(name)).ok()?, options).ok()?;
        u64::try_from(metadata.metadata().file_metadata().num_rows()).ok()
    };
    (0..file.partitions).map(rows).sum()
}
