//! Compiled modules on disk, sealed, so that a file that was bent, cut or swapped is compiled again and never run.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
};

use spe_kernel::{fault::Fault, ids::Digest};
use tempfile::NamedTempFile;
use wasmtime::Engine;

use crate::trusted::Artifact;

/// Counts changes of how modules are compiled that the engine's own fingerprint does not show.
const VERSION: u32 = 1;
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
        Ok(())
    }

    fn path(&self, name: Digest) -> PathBuf {
        self.directory.join(name.hex()).with_extension("cwasm")
    }

    /// The seal says who filed it (the key) and as what (the name).
    fn seal(&self, name: Digest, artifact: &[u8]) -> blake3::Hash {
        let mut seal = blake3::Hasher::new_keyed(&self.key);
        seal.update(name.as_bytes());
        seal.update(artifact);
        seal.finalize()
    }
}
