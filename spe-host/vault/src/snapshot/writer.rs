//! One Parquet file of a snapshot.

use std::{
    fs::{self, File},
    path::Path,
};

use datafusion::{
    arrow::{array::RecordBatch, compute::BatchCoalescer, datatypes::SchemaRef},
    error::DataFusionError,
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::content;
use crate::{layout::BATCH_ROWS, seal::Seal};

/// A row group of long texts is cut earlier: a scan holds one of each table in memory.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;

/// Writes, hashes and syncs one file. Equal rows give equal digests: batches are cut anew, to one size.
pub(crate) struct Writer {
    arrow: ArrowWriter<File>,
    hasher: blake3::Hasher,
    batches: BatchCoalescer,
    rows: u64,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) digest: blake3::Hash,
}

impl Writer {
    /// The file `name` of the snapshot in `dir`.
    pub(crate) fn create(
        (dir, name): (&Path, &str),
        schema: &SchemaRef,
        seal: &Seal,
        hasher: blake3::Hasher,
        row_group_rows: usize,
    ) -> Result<Self, DataFusionError> {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_max_row_group_row_count(Some(row_group_rows.max(1)))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            .set_created_by("spe".into())
            .with_file_encryption_properties(seal.writing(name)?)
            .build();
        let arrow = ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties))?;
        Ok(Self { arrow, hasher, batches: BatchCoalescer::new(schema.clone(), BATCH_ROWS), rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: RecordBatch) -> Result<(), DataFusionError> {
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(0);
        self.batches.push_batch(batch)?;
        self.write_completed()
    }

    fn write_completed(&mut self) -> Result<(), DataFusionError> {
        while let Some(batch) = self.batches.next_completed_batch() {
            content::hash(&batch, &mut self.hasher)?;
            self.arrow.write(&batch)?;
        }
        Ok(())
    }

    /// Writes what is left; when this returns, the file is durable.
    pub(crate) fn close(mut self) -> Result<Written, DataFusionError> {
        self.batches.finish_buffered_batch()?;
        self.write_completed()?;
        self.arrow.into_inner()?.sync_all()?;
        Ok(Written { rows: self.rows, digest: self.hasher.finalize() })
    }
}
