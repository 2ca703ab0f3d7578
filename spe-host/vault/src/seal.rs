//! Data at rest: every file with records is Parquet with modular encryption, AES-256-GCM, the footer too.
//!
//! # Security
//! Claim: without the dataset's data key nothing of a record, a count, a statistic or a dictionary can be read from the vault's files or
//! from what an ingest writes meanwhile, and destroying the key destroys the data on every medium. A file is bound to its dataset and
//! its name, so that none can stand in for another. Parquet's own copies of the key live as long as a file is read or written.
//! Watched by `tests/it/sealed.rs`.

use std::sync::{Arc, PoisonError, RwLock};

use parquet::encryption::{decrypt::FileDecryptionProperties, encrypt::FileEncryptionProperties};
use spe_kernel::{
    ids::DatasetName,
    keys::{DataKey, Zeroizing},
};

/// The key of one dataset's files.
#[derive(Clone)]
pub(crate) struct Seal {
    dataset: DatasetName,
    key: Zeroizing<[u8; 32]>,
}

impl Seal {
    pub(crate) fn of(key: &DataKey, dataset: &DatasetName) -> Self {
        Self { dataset: dataset.clone(), key: key.files(dataset) }
    }

    /// What is authenticated with a file: whose it is, and which.
    fn identity(&self, name: &str) -> Vec<u8> {
        format!("{}/{name}", self.dataset).into_bytes()
    }

    /// For writing the file of that name in its snapshot.
    pub(crate) fn writing(&self, name: &str) -> parquet::errors::Result<Arc<FileEncryptionProperties>> {
        FileEncryptionProperties::builder(self.key.to_vec()).with_aad_prefix(self.identity(name)).build()
    }

    /// For reading it.
    pub(crate) fn reading(&self, name: &str) -> parquet::errors::Result<Arc<FileDecryptionProperties>> {
        FileDecryptionProperties::builder(self.key.to_vec()).with_aad_prefix(self.identity(name)).build()
    }
}

/// A seal that can be taken away while the vault is open.
pub(crate) struct Lock(RwLock<Option<Seal>>);

impl Lock {
    pub(crate) const fn new(seal: Seal) -> Self {
        Self(RwLock::new(Some(seal)))
    }

    /// The seal; `None` when it was taken away.
    pub(crate) fn seal(&self) -> Option<Seal> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the seal away. Whoever reads is done with the file under way at most.
    pub(crate) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
