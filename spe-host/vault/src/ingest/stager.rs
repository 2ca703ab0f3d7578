//! One parsing thread: rows to pseudonyms and checked values, in one staging file a bucket.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{AsArray, FixedSizeBinaryArray, RecordBatch, UInt32Array},
        compute::{filter_record_batch, take_record_batch},
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
    pseudonym::{Pseudonyms, range_of},
};

/// Rows, and bytes of source, that one thread gathers before it deals them out to buckets.
const GATHERED_ROWS_MAX: usize = 131_072;
const GATHERED_BYTES_MAX: usize = 32 << 20;

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
    rows: BatchBuilder,
    /// Bytes of source behind `rows`.
    bytes: usize,
    buckets: Vec<Bucket>,
    /// Where `rows` come from.
    origin: Option<Arc<Origin>>,
    dir: PathBuf,
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
        let bucket = |number: usize| Bucket { path: dir.join(format!("{number:04}-{thread}.arrow")), file: None };
        Self {
            table,
            pseudonyms,
            readers: table.columns.iter().map(ColumnReader::new).collect(),
            rows: BatchBuilder::new(schema.clone(), table.columns.iter().map(|c| &c.schema.kind)),
            bytes: 0,
            buckets: (0..buckets).map(bucket).collect(),
            origin: None,
            dir: dir.into(),
        }
    }

    /// Stages a block's rows.
    ///
    /// # Errors
    /// The first cell that is not as declared, or a file that cannot be written; with the place where it happened.
    pub(super) fn take(&mut self, origin: &Arc<Origin>, block: &Block) -> Result<(), (Place, IngestError)> {
        let other = self.origin.as_ref().is_some_and(|o| o.number != origin.number);
        if other || self.rows.len() >= GATHERED_ROWS_MAX || self.bytes >= GATHERED_BYTES_MAX {
            self.flush().map_err(|e| (block.place(0), e))?;
        }
        self.origin = Some(origin.clone());
        self.bytes += block.bytes();
        for row in 0..block.rows() {
            self.append(block, row).map_err(|why| {
                let place = block.place(row);
                (place, IngestError::source(&origin.file, place, why))
            })?;
        }
        Ok(())
    }

    fn append(&mut self, block: &Block, row: usize) -> Result<(), SourceError> {
        let keys = self.table.key.len();
        for (slot, name) in self.table.key.iter().enumerate() {
            match block.cell(row, slot) {
                Cell::Text(text) if self.is_key(text.trim_ascii()) => self.pseudonyms.push(text.trim_ascii()),
                Cell::Integer(value) => self.pseudonyms.push(value.to_string().as_bytes()),
                _ => return Err(SourceError::NoKey { column: name.clone() }),
            }
        }
        self.rows.push_subject(&self.pseudonyms.next());
        for (column, reader) in self.readers.iter_mut().enumerate() {
            self.rows.push(column, reader.read(block.cell(row, keys + column))?);
        }
        Ok(())
    }

    fn is_key(&self, text: &[u8]) -> bool {
        !text.is_empty() && self.table.missing.iter().all(|missing| missing.as_bytes() != text)
    }

    /// Deals the gathered rows out to the buckets.
    fn flush(&mut self) -> Result<(), IngestError> {
        self.deal().map_err(IngestError::write(&self.dir))
    }

    fn deal(&mut self) -> Result<(), DataFusionError> {
        let keep = self.origin.as_ref().map_or(&[][..], |o| o.keep.as_slice());
        let rows = keep.iter().try_fold(self.rows.finish()?, |rows, condition| kept(&rows, condition))?;
        self.bytes = 0;
        let dealt = dealt(&rows, self.buckets.len());
        self.buckets.iter_mut().zip(dealt).try_for_each(|(bucket, numbers)| bucket.write(&rows, numbers))
    }

    /// Writes what is left and closes the files.
    pub(super) fn finish(mut self) -> Result<Finished, IngestError> {
        self.flush()?;
        let files = self.buckets.into_iter().map(Bucket::close).collect::<Result<_, _>>()?;
        Ok(Finished { files, altered: self.readers.iter().map(|r| r.altered).collect() })
    }
}

/// Row numbers by bucket.
fn dealt(rows: &RecordBatch, buckets: usize) -> Vec<Vec<u32>> {
    let mut dealt = vec![Vec::new(); buckets];
    let subjects = rows.columns().first().and_then(|c| c.as_fixed_size_binary_opt());
    let (subjects, _) = subjects.map_or(&[][..], FixedSizeBinaryArray::value_data).as_chunks();
    for (subject, row) in subjects.iter().zip(0..) {
        if let Some(bucket) = dealt.get_mut(range_of(subject, buckets)) {
            bucket.push(row);
        }
    }
    dealt
}

/// A range of pseudonyms, and its staging file, which is made when there is something to write.
struct Bucket {
    path: PathBuf,
    file: Option<StreamWriter<BufWriter<File>>>,
}

impl Bucket {
    fn write(&mut self, rows: &RecordBatch, numbers: Vec<u32>) -> Result<(), DataFusionError> {
        if numbers.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                fs::create_dir_all(parent)?;
            }
            let file = BufWriter::with_capacity(1 << 16, File::create(&self.path)?);
            self.file = Some(StreamWriter::try_new(file, &rows.schema())?);
        }
        match &mut self.file {
            Some(file) => Ok(file.write(&take_record_batch(rows, &UInt32Array::from(numbers))?)?),
            None => Ok(()),
        }
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
