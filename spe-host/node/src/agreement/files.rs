//! The files of a node's agreement: an envelope each, and who made it until the audit log has told of it.

use std::{
    fs::{self, File},
    path::Path,
};

use spe_kernel::{
    audit::{Person, Who},
    fault::Fault,
    ids::Digest,
};
use spe_wire::write_secret;

const READING: &str = "reading the agreement";
const KEEPING: &str = "keeping the agreement";
/// Held by who changes something: the node that runs, or a command beside it.
const LOCK: &str = "lock";

/// The folder that they are in.
pub(super) struct Files<'a>(&'a Path);

impl<'a> Files<'a> {
    pub(super) const fn new(folder: &'a Path) -> Self {
        Self(folder)
    }

    /// Waits until nobody else changes something, and keeps others waiting until it is dropped.
    pub(super) fn turn(&self) -> Result<File, Fault> {
        fs::create_dir_all(self.0).map_err(Fault::while_(KEEPING))?;
        let lock = File::options().create(true).append(true).open(self.0.join(LOCK)).map_err(Fault::while_(KEEPING))?;
        lock.lock().map_err(Fault::while_(KEEPING))?;
        Ok(lock)
    }

    /// All envelopes, in the order of their digests.
    pub(super) fn envelopes(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let reading = || Fault::while_(READING);
        if !self.0.exists() {
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        for file in fs::read_dir(self.0).map_err(reading())? {
            let path = file.map_err(reading())?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        paths.iter().map(|path| fs::read(path).map_err(reading())).collect()
    }

    /// Keeps a statement of that digest, and first of all who makes it.
    pub(super) fn keep(&self, digest: Digest, envelope: &[u8], who: &Who) -> Result<(), Fault> {
        if let Who::Person(person) = who {
            let person = serde_json::to_vec(person).map_err(Fault::while_(KEEPING))?;
            self.put(&format!("{}.who", digest.hex()), &person)?;
        }
        self.put(&format!("{}.json", digest.hex()), envelope)
    }

    /// A file is whole, or not there; durable when this returns.
    fn put(&self, name: &str, content: &[u8]) -> Result<(), Fault> {
        let part = self.0.join(format!("{name}.part"));
        fs::remove_file(&part).ok();
        write_secret(&part, content).map_err(Fault::while_(KEEPING))?;
        fs::rename(&part, self.0.join(name)).map_err(Fault::while_(KEEPING))?;
        File::open(self.0).and_then(|folder| folder.sync_all()).map_err(Fault::while_(KEEPING))
    }

    /// Who made the statement of that digest: the node by itself, unless a person is written down.
    pub(super) fn who(&self, digest: Digest) -> Result<Who, Fault> {
        let path = self.0.join(format!("{}.who", digest.hex()));
        if !path.exists() {
            return Ok(Who::Node);
        }
        let person: Person =
            serde_json::from_slice(&fs::read(path).map_err(Fault::while_(READING))?).map_err(Fault::while_(READING))?;
        Ok(Who::Person(person))
    }

    /// The audit log has told of all statements: who made them is written there, and what was not finished is no statement.
    pub(super) fn tidy(&self) -> Result<(), Fault> {
        for file in fs::read_dir(self.0).map_err(Fault::while_(READING))? {
            let path = file.map_err(Fault::while_(READING))?.path();
            if path.extension().is_some_and(|ending| ending == "who" || ending == "part") {
                fs::remove_file(path).map_err(Fault::while_(KEEPING))?;
            }
        }
        Ok(())
    }
}
