//! Destruction of keys, with a certificate.

use std::path::Path;

use jiff::Timestamp;
use spe_kernel::{
    audit::Person,
    deletion::{DELETION_FORMAT, DELETION_TEXT_BYTES_MAX, DeletionBody},
    dsse::SecretKey,
    ids::{DatasetName, NodeName},
};
use spe_wire::FileError;

use crate::{
    config::Config,
    store::{Store, StoreError, Which},
};

/// Who orders a destruction, by function, and why: both stand in the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Destroys keys of `dataset` at `node` for ever, in the key holder in `dir`, which may run meanwhile. The signed certificate; the same
/// again when it was done before. The account that did it is written down here ([`Store::acts`]) and is not in the certificate.
///
/// # Security
/// When this returns the key bytes are in no file of the folder: overwritten, the log of the database emptied, the file written anew.
/// Backups are the operator's: a key in one is not destroyed (`docs/keyholder.md`). Watched by `tests/it/destroy.rs`.
///
/// # Errors
/// No such keys; a text that is empty or too long; a store that cannot be written, or is in use so that its file cannot be written anew:
/// then nobody is given the key any more, and asking again finishes it.
pub fn destroy(
    dir: &Path,
    node: &NodeName,
    dataset: &DatasetName,
    which: Which,
    Ordered { by, reason }: Ordered,
    operator: &Person,
) -> Result<Vec<u8>, StoreError> {
    if [&by, &reason].iter().any(|text| text.trim().is_empty() || text.len() > DELETION_TEXT_BYTES_MAX) {
        let why = format!("who orders it and why are texts of 1 to {DELETION_TEXT_BYTES_MAX} bytes");
        return Err(StoreError::Wrong(why));
    }
    let file = Config::read(dir)?.signing_key_file();
    let text = std::fs::read_to_string(&file).map_err(FileError::at(&file))?;
    let key: SecretKey = text.parse().map_err(FileError::at(&file))?;
    let mut store = Store::open(dir)?;
    let certificate = |deleted| {
        let body = DeletionBody {
            format: DELETION_FORMAT.into(),
            node: node.clone(),
            dataset: Some(dataset.clone()),
            permit: None,
            deleted_at: Timestamp::now(),
            by: by.clone(),
            reason: reason.clone(),
            deleted,
        };
        body.sign(&key)
    };
    let envelope = store.destroy(node, dataset, which, operator, certificate)?;
    store.purge()?;
    Ok(envelope)
}
