//! A snapshot sealed anew with the newest data key: the same records, the same digest, other bytes.

use std::{fs::File, path::Path};

use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use spe_kernel::{
    dataset::DatasetSchema,
    fault::Fault,
    ids::DatasetName,
    keys::{DataKey, KeyError, KeySource},
};

use crate::{
    ingest::IngestError,
    layout, optout,
    seal::Seal,
    snapshot::{self, Current, KeyName, SNAPSHOT_DIR, SnapshotFile, Writer, digest_of},
};

const DOING: &str = "encrypting a snapshot anew";
/// As an ingest writes them.
const ROW_GROUP_ROWS: usize = 65_536;

/// Why a snapshot could not be encrypted anew; the old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReencryptError {
    /// No key, old or new.
    #[error("dataset {0}: {1}")]
    Keys(DatasetName, KeyError),
    /// The vault is in use by an ingest, or cannot be written.
    #[error(transparent)]
    Vault(#[from] IngestError),
    /// The snapshot cannot be read, or is not what its digest says.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Seals the current snapshot of `dataset` in `vault` with the newest data key; the versions before and now. The digest stays: answers
/// that were paid for stay valid. A node that runs uses the old files until its next start, and they are removed at the ingest after next.
///
/// # Errors
/// [`ReencryptError`].
pub fn reencrypt(vault: &Path, dataset: &DatasetName, keys: &dyn KeySource) -> Result<(u32, u32), ReencryptError> {
    let key_error = |why| ReencryptError::Keys(dataset.clone(), why);
    let staging = snapshot::stage(vault)?;
    let home = vault.join(dataset.as_str());
    let fault = |why: &dyn std::fmt::Display| Fault::new(DOING, format!("{}: {why}", home.display()));
    let current = snapshot::current(&home).map_err(|e| fault(&e))?;
    let Current { file, dir, held: _held } =
        current.ok_or_else(|| fault(&"no such dataset; `spe data list` shows what there is"))?;
    let before = keys.data_key(dataset, file.data_key.version).map_err(key_error)?;
    let now = keys.newest(dataset).map_err(key_error)?.data;
    if KeyName::of(&before, &file.schema) != file.data_key {
        return Err(fault(&"the key holder has another key than the files were sealed with").into());
    }
    let files = Resealing {
        from: (&dir, Seal::of(&before, dataset)),
        to: (&staging.path().join(SNAPSHOT_DIR), Seal::of(&now, dataset)),
        key: &now,
        schema: &file.schema,
    };
    let mut digests = Vec::new();
    for partition in 0..file.partitions {
        files.partition(partition, &mut digests).map_err(|e| fault(&e))?;
    }
    if digest_of(&file.schema, &now, &digests) != file.digest {
        return Err(fault(&"the records are not those of the snapshot's digest: ingest the dataset again").into());
    }
    let versions = (file.data_key.version, now.version());
    let _turn = optout::lock(&home).map_err(IngestError::optouts(dataset))?;
    let file = SnapshotFile { data_key: KeyName::of(&now, &file.schema), ..file };
    let moved = staging.move_in(&home, &file).map_err(IngestError::write(&home))?;
    snapshot::make_current(&home, &moved).map_err(IngestError::write(&home))?;
    Ok(versions)
}

struct Resealing<'a> {
    from: (&'a Path, Seal),
    to: (&'a Path, Seal),
    key: &'a DataKey,
    schema: &'a DatasetSchema,
}

impl Resealing<'_> {
    /// All files of a partition, in the order in which they count for the digest.
    fn partition(
        &self,
        partition: usize,
        digests: &mut Vec<blake3::Hash>,
    ) -> Result<(), datafusion::error::DataFusionError> {
        let tables = self.schema.tables.iter().map(|table| layout::table_file(&table.name, partition));
        for name in tables.chain([layout::subjects_file(partition)]) {
            let options = ArrowReaderOptions::new().with_file_decryption_properties(self.from.1.reading(&name)?);
            let file = File::open(self.from.0.join(&name))?;
            let rows = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
            let schema = rows.schema().clone();
            let hasher = self.key.snapshot_hasher(&self.schema.name);
            let mut writer = Writer::create((self.to.0, &name), &schema, &self.to.1, hasher, ROW_GROUP_ROWS)?;
            rows.with_batch_size(layout::BATCH_ROWS).build()?.try_for_each(|batch| writer.write(batch?))?;
            digests.push(writer.close()?.digest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
