//! One parsing thread: rows to pseudonyms and checked values, in one staging file a bucket.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        compute::filter_record_batch,
        datatypes::SchemaRef,
        error::ArrowError,
        ipc::writer::StreamWriter,
    },
    error::DataFusionError,
    physical_expr::PhysicalExpr,
};

use super::{
    batch::{BatchBuilder, Block},
    cell::Cell,
    column::ColumnReader,
    error::{IngestError, Place, SourceError},
};
use crate::{
    declaration::TableSource,
    layout::BATCH_ROWS,
    pseudonym::{Pseudonyms, partition_of},
};

/// Rows under construction in all buckets of one thread, roughly.
const ROWS_MAX: usize = 262_144;

/// Where a block comes from.
pub(super) struct Origin {
    /// Which source, in the caller's order.
    pub(super) number: usize,
    pub(super) file: PathBuf,
    /// Only rows are kept for which all of these are true.
    pub(super) keep: Vec<Arc<dyn PhysicalExpr>>,
}

/// A parsing thread's state.
pub(super) struct Stager<'a> {
    table: &'a TableSource,
    pseudonyms: Pseudonyms,
    readers: Vec<ColumnReader<'a>>,
    buckets: Vec<Bucket>,
    batch_rows: usize,
    origin: Option<Arc<Origin>>,
}

/// What a parsing thread leaves.
pub(super) struct Finished {
    /// Staging files by bucket.
    pub(super) files: Vec<Option<PathBuf>>,
    /// Altered values by column.
    pub(super) altered: Vec<u64>,
}

impl<'a> Stager<'a> {
    /// Stages into `dir`, in files whose names end with `thread`.
    pub(super) fn new(
        table: &'a TableSource,
        schema: &SchemaRef,
        pseudonyms: Pseudonyms,
        buckets: usize,
        (dir, thread): (&Path, usize),
    ) -> Self {
        let bucket = |number: usize| {
            let kinds = table.columns.iter().map(|c| &c.schema.kind);
            let rows = BatchBuilder::new(schema.clone(), kinds);
            Bucket { rows, path: dir.join(format!("{number:04}-{thread}.arrow")), file: None }
        };
        Self {
            table,
            pseudonyms,
            readers: table.columns.iter().map(|c| ColumnReader::new(c)).collect(),
            buckets: (0..buckets).map(bucket).collect(),
            batch_rows: (ROWS_MAX / buckets.max(1)).clamp(512, BATCH_ROWS),
            origin: None,
        }
    }

    /// Stages a block's rows.
    ///
    /// # Errors
    /// The first cell that is not as declared, or a file that cannot be written; with the place where it happened.
    pub(super) fn take(&mut self, origin: &Arc<Origin>, block: &Block) -> Result<(), (Place, IngestError)> {
        if self.origin.as_ref().is_some_and(|o| o.number != origin.number) {
            self.flush_all().map_err(|e| (block.place(0), e))?;
        }
        self.origin = Some(origin.clone());
        if let Err((row, why)) = self.append(block) {
            let place = block.place(row);
            return Err((place, IngestError::source(&origin.file, place, why)));
        }
        let mut full = self.buckets.iter_mut().filter(|bucket| bucket.rows.rows() >= self.batch_rows);
        full.try_for_each(|bucket| bucket.flush(&origin.keep)).map_err(|e| (block.place(0), e))
    }

    /// Appends rows to their buckets, column by column: that is kinder to caches than row by row.
    ///
    /// # Errors
    /// The first row that is not as declared, and why. The buckets are then not to be used any more.
    fn append(&mut self, block: &Block) -> Result<(), (usize, SourceError)> {
        let mut homes = Vec::with_capacity(block.rows());
        let mut first_error = Ok(());
        for row in 0..block.rows() {
            match self.subject(block, row) {
                Ok(home) => homes.push(home),
                Err(why) => {
                    first_error = Err((row, why));
                    break;
                }
            }
        }
        let keys = self.table.key.len();
        for (column, reader) in self.readers.iter_mut().enumerate() {
            for (row, home) in homes.iter().enumerate() {
                match (reader.read(block.cell(row, keys + column)), self.buckets.get_mut(*home)) {
                    (Ok(value), Some(bucket)) => bucket.rows.push(column, value),
                    (Ok(_), None) => {}
                    (Err(why), _) => {
                        first_error = Err((row, why));
                        homes.truncate(row);
                        break;
                    }
                }
            }
        }
        first_error
    }

    /// Appends a row's pseudonym to its bucket, and says which.
    fn subject(&mut self, block: &Block, row: usize) -> Result<usize, SourceError> {
        for (slot, name) in self.table.key.iter().enumerate() {
            match block.cell(row, slot) {
                Cell::Text(text) if !text.trim_ascii().is_empty() => self.pseudonyms.push(text.trim_ascii()),
                Cell::Integer(value) => self.pseudonyms.push(value.to_string().as_bytes()),
                _ => return Err(SourceError::NoKey { column: name.clone() }),
            }
        }
        let subject = self.pseudonyms.next();
        let home = partition_of(&subject, self.buckets.len());
        if let Some(bucket) = self.buckets.get_mut(home) {
            bucket.rows.push_subject(&subject);
        }
        Ok(home)
    }

    fn flush_all(&mut self) -> Result<(), IngestError> {
        let keep = self.origin.as_ref().map_or(&[][..], |o| o.keep.as_slice());
        self.buckets.iter_mut().try_for_each(|bucket| bucket.flush(keep))
    }

    /// Writes what is left and closes the files.
    pub(super) fn finish(mut self) -> Result<Finished, IngestError> {
        self.flush_all()?;
        let files = self.buckets.into_iter().map(Bucket::close).collect::<Result<_, _>>()?;
        Ok(Finished { files, altered: self.readers.iter().map(|r| r.altered).collect() })
    }
}

/// One bucket's rows on their way to a staging file, which is made when there is something to write.
struct Bucket {
    rows: BatchBuilder,
    path: PathBuf,
    file: Option<StreamWriter<BufWriter<File>>>,
}

impl Bucket {
    fn flush(&mut self, keep: &[Arc<dyn PhysicalExpr>]) -> Result<(), IngestError> {
        if self.rows.rows() == 0 {
            return Ok(());
        }
        let path = self.path.clone();
        self.write(keep).map_err(IngestError::write(&path))
    }

    fn write(&mut self, keep: &[Arc<dyn PhysicalExpr>]) -> Result<(), DataFusionError> {
        let mut batch = self.rows.finish()?;
        for condition in keep {
            batch = kept(&batch, condition)?;
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                fs::create_dir_all(parent)?;
            }
            let file = BufWriter::with_capacity(1 << 16, File::create(&self.path)?);
            self.file = Some(StreamWriter::try_new(file, &batch.schema())?);
        }
        if let Some(file) = &mut self.file {
            file.write(&batch)?;
        }
        Ok(())
    }

    /// The file's path, if there is one.
    fn close(self) -> Result<Option<PathBuf>, IngestError> {
        let Some(mut file) = self.file else { return Ok(None) };
        let finish = |file: &mut StreamWriter<BufWriter<File>>| -> Result<(), ArrowError> {
            file.finish()?;
            file.flush()
        };
        finish(&mut file).map_err(IngestError::write(&self.path))?;
        Ok(Some(self.path))
    }
}

/// The rows for which `condition` is true; neither false nor unknown.
fn kept(batch: &RecordBatch, condition: &Arc<dyn PhysicalExpr>) -> Result<RecordBatch, DataFusionError> {
    let mask = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(filter_record_batch(batch, mask.as_boolean())?)
}
