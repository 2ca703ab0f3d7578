//! Compiled modules on disk, sealed, so that a file that was bent, cut or swapped is compiled again and never run.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use spe_kernel::{fault::Fault, ids::Digest};
use tempfile::NamedTempFile;
use wasmtime::Engine;

use crate::trusted::Artifact;

/// Counts changes of how modules are compiled that the engine's own fingerprint does not show.
const VERSION: u32 = 2;
/// Most bytes that compiled modules may take: the ledger is on the same disk, and modules cost their author nothing.
const BYTES_MAX: u64 = 256 << 20;
const EXTENSION: &str = "cwasm";
/// Bytes of the seal before the artifact.
const SEAL_BYTES: usize = blake3::OUT_LEN;

pub(crate) struct Cache {
    directory: PathBuf,
    key: [u8; 32],
}

/// Feeds what the engine says of itself to a hash of full width.
struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0 // Never asked for: the digest is taken from the field.
    }
}

/// The name under which a module compiled by this engine is filed.
pub(crate) fn name(module: Digest, engine: &Engine) -> Digest {
    let mut fingerprint = Fingerprint(blake3::Hasher::new());
    fingerprint.write(module.as_bytes());
    fingerprint.write(&VERSION.to_le_bytes());
    engine.precompile_compatibility_hash().hash(&mut fingerprint);
    Digest::from_bytes(*fingerprint.0.finalize().as_bytes())
}

impl Cache {
    pub(crate) fn open(directory: &Path, key: [u8; 32]) -> Result<Self, Fault> {
        fs::create_dir_all(directory).map_err(Fault::while_("creating the directory of compiled modules"))?;
        Ok(Self { directory: directory.to_owned(), key })
    }

    /// A new file in the cache's directory, gone when dropped.
    pub(crate) fn scratch(&self) -> Result<NamedTempFile, Fault> {
        NamedTempFile::new_in(&self.directory).map_err(Fault::while_("creating a file for a compiled module"))
    }

    /// What is filed under `name`, if its seal is whole.
    pub(crate) fn get(&self, name: Digest) -> Option<Artifact> {
        let mut bytes = fs::read(self.path(name)).ok()?;
        if bytes.len() < SEAL_BYTES {
            return None;
        }
        let artifact = bytes.split_off(SEAL_BYTES);
        let seal = blake3::Hash::from_slice(&bytes).ok()?;
        // `blake3::Hash` compares in constant time.
        (seal == self.seal(name, &artifact)).then(|| Artifact::vouched(artifact))
    }

    /// Files an artifact under `name`, at once or not at all.
    pub(crate) fn put(&self, name: Digest, artifact: &Artifact) -> Result<(), Fault> {
        let doing = "filing a compiled module";
        let mut file = self.scratch()?;
        file.write_all(self.seal(name, artifact.bytes()).as_bytes()).map_err(Fault::while_(doing))?;
        file.write_all(artifact.bytes()).map_err(Fault::while_(doing))?;
        file.persist(self.path(name)).map_err(Fault::while_(doing))?;
        self.make_room(BYTES_MAX).map_err(Fault::while_(doing))
    }

    /// Removes what is filed under `name`, if anything is.
    pub(crate) fn remove(&self, name: Digest) -> Result<(), Fault> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Fault::new("removing a compiled module", error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the oldest modules until the rest is within `bytes_max`.
    fn make_room(&self, bytes_max: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            // Others are being written.
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Ok(about) = path.metadata()
            {
                files.push((about.modified()?, about.len(), path));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if bytes <= bytes_max {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => bytes -= len,
            }
        }
        Ok(())
    }

    fn path(&self, name: Digest) -> PathBuf {
        self.directory.join(name.hex()).with_extension(EXTENSION)
    }

    /// The seal says who filed it (the key) and as what (the name).
    fn seal(&self, name: Digest, artifact: &[u8]) -> blake3::Hash {
        let mut seal = blake3::Hasher::new_keyed(&self.key);
        seal.update(name.as_bytes());
        seal.update(artifact);
        seal.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_modules_make_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path(), [0; 32]).expect("a cache");
        for number in 0..4_u8 {
            cache.put(Digest::of(&[number]), &Artifact::vouched(vec![number; 100])).expect("room");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        cache.make_room(300).expect("room");
        let there: Vec<_> = (0..4_u8).map(|n| cache.get(Digest::of(&[n])).is_some()).collect();
        assert_eq!(there, [false, false, true, true], "a researcher could fill the disk that holds the ledger");
    }
}
