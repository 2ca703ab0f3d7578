//! The log as files that auditors' tools read (c2sp.org/tlog-tiles), derived from the rows: written after they are durable, and again
//! at the start where something is missing or behind.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::params;
use spe_kernel::{
    dsse::{PublicKey, SecretKey},
    fault::Fault,
    ids::NodeName,
    receipt::log_key,
    tlog::{self, Checkpoint, NoteKey, SignedCheckpoint, Tile, TreeHash},
};

use super::{READING, Records, root, size, stored};
use crate::journal::ShownBy;

const FILES: &str = "writing the files of the audit log";

/// Where the files of a node's log are.
pub struct LogFiles {
    folder: PathBuf,
    node: NodeName,
    /// One writes at a time.
    turn: Mutex<()>,
}

impl LogFiles {
    /// Those of `node` in `folder`.
    pub fn new(folder: &Path, node: &NodeName) -> Self {
        Self { folder: folder.into(), node: node.clone(), turn: Mutex::new(()) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node.
    pub const fn node(&self) -> &NodeName {
        &self.node
    }

    /// The key with which the log's checkpoints are signed.
    ///
    /// # Errors
    /// A name that no log can have.
    pub fn key(&self, key: PublicKey) -> Result<NoteKey, Fault> {
        log_key(&self.node, key).map_err(Fault::while_(FILES))
    }

    /// Removes the checkpoint: what is published next is made anew from the log as it is.
    pub(in crate::journal) fn forget_checkpoint(&self) -> Result<(), Fault> {
        match fs::remove_file(self.folder.join("checkpoint")) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Fault::new(FILES, why)),
            _ => Ok(()),
        }
    }

    /// The checkpoint that is there, if it is one of this log.
    fn checkpoint(&self, key: &NoteKey) -> Option<SignedCheckpoint> {
        let note = fs::read_to_string(self.folder.join("checkpoint")).ok()?;
        SignedCheckpoint::open(&note, key).ok()
    }

    /// Copies what its checkpoint needs, and nothing that an earlier one has left beside it.
    ///
    /// # Errors
    /// No checkpoint that `key` signed; a file that is missing, or cannot be written.
    pub fn copy(&self, key: PublicKey, to: &Path) -> Result<(), Fault> {
        const COPYING: &str = "copying the files of the audit log";
        let none = || Fault::new(COPYING, format!("{} has no checkpoint that {key} signed", self.folder.display()));
        let signed = self.checkpoint(&self.key(key)?).ok_or_else(none)?;
        let tiles = tlog::tiles(0, signed.checkpoint().size).into_iter().map(|tile| tile.to_string());
        for name in tiles {
            let (from, target) = (self.folder.join(&name), to.join(&name));
            let made = target.parent().map_or(Ok(()), fs::create_dir_all);
            let copied = made.and_then(|()| fs::copy(&from, &target).map(drop));
            copied.map_err(|why| Fault::new(COPYING, format!("{}: {why}; try it again", from.display())))?;
        }
        replace(&to.join("checkpoint"), signed.note().as_bytes())
    }

    /// Whether every file of a log of that size is there in its length.
    fn is_whole(&self, size: u64) -> bool {
        let length = |tile: &Tile| fs::metadata(self.folder.join(tile.to_string())).map(|m| m.len());
        let whole = |tile: &Tile| match tile.level {
            Some(_) => length(tile).is_ok_and(|bytes| bytes == tile.width * 32),
            None => length(tile).is_ok_and(|bytes| bytes >= tile.width * 2),
        };
        tlog::tiles(0, size).iter().all(whole)
    }
}

impl Records {
    /// Signs size and root of the log as it is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checkpoint(&self, files: &LogFiles, key: &SecretKey) -> Result<SignedCheckpoint, Fault> {
        let origin = files.key(key.public())?.name().to_owned();
        let (size, root) = {
            let db = self.connection();
            let size = size(&db)?;
            (size, root(&db, size)?)
        };
        Checkpoint { origin, size, root }.sign(key).map_err(Fault::while_(FILES))
    }

    /// Writes what the files lack: tiles and entries first, each durable before it has its name, the checkpoint last. `whole` has
    /// every file looked after, as at the start; otherwise the checkpoint that is there tells what is.
    ///
    /// # Errors
    /// The files cannot be written: the log itself is durable without them. Or they have a checkpoint that this node signed and that these
    /// rows do not continue: an old ledger was put back, which is noted, and the files stay as they are.
    pub fn publish(&self, files: &LogFiles, key: &SecretKey, whole: bool) -> Result<SignedCheckpoint, Fault> {
        let _turn = files.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = self.checkpoint(files, key)?;
        let (new, found) = (signed.checkpoint().size, files.checkpoint(&files.key(key.public())?));
        let found = found.map(|c| c.tree());
        if let Some(found) = found {
            self.continues(found, new)?;
        }
        let old = found.map(|(size, _)| size).filter(|size| !whole || files.is_whole(*size));
        if old == Some(new) {
            return Ok(signed);
        }
        let old = old.unwrap_or(0);
        for tile in tlog::tiles(old, new) {
            replace(&files.folder.join(tile.to_string()), &self.tile(&tile)?)?;
        }
        replace(&files.folder.join("checkpoint"), signed.note().as_bytes())?;
        // What neither this checkpoint nor the one before needs: a reader may still hold that.
        let kept: Vec<_> = tlog::tiles(0, old).into_iter().chain(tlog::tiles(0, new)).collect();
        for tile in tlog::tiles(old, new) {
            tidy(&files.folder, &tile, &kept);
        }
        Ok(signed)
    }

    /// Nothing, if the log of `size` entries continues the tree that the node's own checkpoint has.
    fn continues(&self, (shown, known): (u64, TreeHash), size: u64) -> Result<(), Fault> {
        if shown <= size && root(&self.connection(), shown)? == known {
            return Ok(());
        }
        let why = format!("its own checkpoint is of {shown} entries, and its ledger has {size}, or others");
        self.found_rolled_back(ShownBy::Files, &why)?;
        Err(Fault::new(
            FILES,
            format!("an old ledger was put back: {why}; \"Restoring\" in docs/operations.md says what to do"),
        ))
    }

    /// What a file holds.
    fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Fault> {
        const HASHES: &str = "SELECT hash FROM log_hash WHERE level = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx";
        const BODIES: &str = "SELECT body FROM log WHERE ?1 = 0 AND idx >= ?2 AND idx < ?3 ORDER BY idx";
        let range = params![tile.tree_level(), stored(tile.start())?, stored(tile.start() + tile.width)?];
        let db = self.connection();
        let sql = if tile.level.is_some() { HASHES } else { BODIES };
        let mut statement = db.prepare_cached(sql).map_err(Fault::while_(READING))?;
        let rows = statement.query_map(range, |r| r.get::<_, Option<Vec<u8>>>(0)).map_err(Fault::while_(READING))?;
        let parts: Vec<_> = rows.collect::<Result<_, _>>().map_err(Fault::while_(READING))?;
        if u64::try_from(parts.len()) != Ok(tile.width) {
            return Err(Fault::new(READING, format!("rows of {tile} are missing: run `spe audit verify`")));
        }
        if tile.level.is_some() {
            return Ok(parts.into_iter().flatten().flatten().collect());
        }
        let entries = parts.iter().map(|body| body.as_deref().unwrap_or_default());
        tlog::bundle(entries).map_err(Fault::while_(FILES))
    }
}

/// Writes a file, so that under its name there is either what was before or all of what is new.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|e| Fault::new(FILES, format!("{}: {e}", path.display())))
}

/// Removes earlier partial files of the same tile. Should it fail, they are in nobody's way.
fn tidy(folder: &Path, tile: &Tile, kept: &[Tile]) {
    let partial = folder.join(Tile { width: 1, ..*tile }.to_string());
    let Some(widths) = partial.parent().and_then(|p| fs::read_dir(p).ok()) else { return };
    let same = |k: &&Tile| (k.level, k.number) == (tile.level, tile.number) && !tile.is_full();
    let kept = |name: &str| kept.iter().filter(same).any(|k| k.width.to_string() == name);
    for file in widths.flatten() {
        if !file.file_name().to_str().is_some_and(kept) {
            fs::remove_file(file.path()).ok();
        }
    }
    if let Some(folder) = partial.parent() {
        // Gone once the tile is full.
        fs::remove_dir(folder).ok();
    }
}
