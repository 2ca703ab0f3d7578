//! What an ingest writes meanwhile: batches in sealed files, so that a disk that is taken away in the middle tells nothing either.
//!
//! Parquet is only the container: its encryption is the one in this house. A batch is one value of one column, as Arrow writes it.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, BinaryArray, RecordBatch},
        datatypes::{DataType, Field, Schema, SchemaRef},
        error::ArrowError,
        ipc::{reader::StreamReader, writer::StreamWriter},
    },
    error::DataFusionError,
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    file::properties::{EnabledStatistics, WriterProperties},
};

use crate::seal::Seal;

/// The name that the files are bound to.
const NAME: &str = "staging";
/// Batches in one file: what is known of each stays in memory until the file is closed.
const BATCHES_MAX: usize = 64;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("batch", DataType::Binary, false)]))
}

/// Writes batches, to as many files as it takes.
pub(super) struct SealedWriter {
    /// The first file; others have a number behind its name.
    path: PathBuf,
    seal: Seal,
    open: Option<(ArrowWriter<BufWriter<File>>, usize)>,
    files: Vec<PathBuf>,
}

impl SealedWriter {
    pub(super) const fn new(path: PathBuf, seal: Seal) -> Self {
        Self { path, seal, open: None, files: Vec::new() }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        let mut ipc = StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), &batch.schema())?;
        ipc.write(batch)?;
        let value = BinaryArray::from_vec(vec![ipc.into_inner()?.as_slice()]);
        let row = RecordBatch::try_new(schema(), vec![Arc::new(value)])?;
        let (mut file, batches) = match self.open.take() {
            Some(open) => open,
            None => (self.next()?, 0),
        };
        file.write(&row)?;
        file.flush()?;
        if batches + 1 < BATCHES_MAX {
            self.open = Some((file, batches + 1));
        } else {
            file.close()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<ArrowWriter<BufWriter<File>>, DataFusionError> {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .with_file_encryption_properties(self.seal.writing(NAME)?)
            .build();
        let path = self.path.with_extension(self.files.len().to_string());
        let file = BufWriter::new(File::create(&path)?);
        self.files.push(path);
        Ok(ArrowWriter::try_new(file, schema(), Some(properties))?)
    }

    /// The files; none when nothing was written.
    pub(super) fn close(self) -> Result<Vec<PathBuf>, DataFusionError> {
        if let Some((file, _)) = self.open {
            file.close()?;
        }
        Ok(self.files)
    }
}

/// The batches of `path`, one after the other.
pub(super) fn read(
    path: &Path,
    seal: &Seal,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + use<>, DataFusionError> {
    let options = ArrowReaderOptions::new().with_file_decryption_properties(seal.reading(NAME)?);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path)?, options)?;
    let values = builder.with_batch_size(1).build()?;
    let batch = |row: Result<RecordBatch, ArrowError>| {
        let row = row?;
        let bytes = row.columns().first().and_then(|c| c.as_binary_opt::<i32>());
        let bytes = bytes.filter(|b| !b.is_empty()).map(|b| b.value(0)).unwrap_or_default();
        StreamReader::try_new(bytes, None)?.next().unwrap_or_else(|| Err(ArrowError::IpcError("no batch".into())))
    };
    Ok(values.map(batch))
}
