//! One parsing thread: rows to pseudonyms and checked values, in one staging file a partition.

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

/// Rows under construction in all partitions of one thread, roughly.
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
    partitions: Vec<Partition>,
    batch_rows: usize,
    origin: Option<Arc<Origin>>,
}

/// What a parsing thread leaves.
pub(super) struct Finished {
    /// Staging files by partition.
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
        partitions: usize,
        (dir, thread): (&Path, usize),
    ) -> Self {
        let partition = |number: usize| {
            let kinds = table.columns.iter().map(|c| &c.schema.kind);
            let rows = BatchBuilder::new(schema.clone(), kinds);
            Partition { rows, path: dir.join(format!("{number:04}-{thread}.arrow")), file: None }
        };
        Self {
            table,
            pseudonyms,
            readers: table.columns.iter().map(|c| ColumnReader::new(c)).collect(),
            partitions: (0..partitions).map(partition).collect(),
            batch_rows: (ROWS_MAX / partitions.max(1)).clamp(512, BATCH_ROWS),
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
        for row in 0..block.rows() {
            let place = block.place(row);
            let partition = self.row(block, row);
            let partition = partition.map_err(|why| (place, IngestError::source(&origin.file, place, why)))?;
            if let Some(partition) = self.partitions.get_mut(partition)
                && partition.rows.rows() >= self.batch_rows
            {
                partition.flush(&origin.keep).map_err(|e| (place, e))?;
            }
        }
        Ok(())
    }

    /// Appends one row to its partition, and says which.
    fn row(&mut self, block: &Block, row: usize) -> Result<usize, SourceError> {
        let keys = self.table.key.len();
        for (slot, name) in self.table.key.iter().enumerate() {
            match block.cell(row, slot) {
                Cell::Text(text) if !text.trim_ascii().is_empty() => self.pseudonyms.push(text.trim_ascii()),
                Cell::Integer(value) => self.pseudonyms.push(value.to_string().as_bytes()),
                _ => return Err(SourceError::NoKey { column: name.clone() }),
            }
        }
        let subject = self.pseudonyms.next();
        let number = partition_of(&subject, self.partitions.len());
        let Some(partition) = self.partitions.get_mut(number) else { return Ok(number) };
        partition.rows.push_subject(&subject);
        for (column, reader) in self.readers.iter_mut().enumerate() {
            partition.rows.push(column, reader.read(block.cell(row, keys + column))?);
        }
        Ok(number)
    }

    fn flush_all(&mut self) -> Result<(), IngestError> {
        let keep = self.origin.as_ref().map_or(&[][..], |o| o.keep.as_slice());
        self.partitions.iter_mut().try_for_each(|p| p.flush(keep))
    }

    /// Writes what is left and closes the files.
    pub(super) fn finish(mut self) -> Result<Finished, IngestError> {
        self.flush_all()?;
        let files = self.partitions.into_iter().map(Partition::close).collect::<Result<_, _>>()?;
        Ok(Finished { files, altered: self.readers.iter().map(|r| r.altered).collect() })
    }
}

/// One partition's rows on their way to a staging file, which is made when there is something to write.
struct Partition {
    rows: BatchBuilder,
    path: PathBuf,
    file: Option<StreamWriter<BufWriter<File>>>,
}

impl Partition {
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
