//! One parsing thread: rows to pseudonyms and checked values, in one staging file a bucket.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{AsArray, FixedSizeBinaryArray, RecordBatch, UInt32Array},
        compute::{filter_record_batch, take_record_batch},
        datatypes::SchemaRef,
    },
    error::DataFusionError,
    physical_expr::PhysicalExpr,
};
use spe_kernel::keys::Identifiers;

use super::{
    batch::{BatchBuilder, Block},
    cell::Cell,
    column::ColumnReader,
    error::{IngestError, Place, SourceError},
    sealed::SealedWriter,
    session::Session,
};
use crate::{
    declaration::TableSource,
    pseudonym::{Pseudonym, range_of},
    seal::Seal,
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
    session: &'a Session<'a>,
    readers: Vec<ColumnReader<'a>>,
    /// The gathered rows; where a subject belongs stands the place of its identifier, see [`placeholder`].
    rows: BatchBuilder,
    /// In memory only.
    identifiers: Identifiers,
    /// How many rows are gathered.
    gathered: usize,
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
    pub(super) files: Vec<Vec<PathBuf>>,
    /// Altered values by column.
    pub(super) altered: Vec<u64>,
}

impl<'a> Stager<'a> {
    /// Stages into `dir`, in files whose names end with `thread`.
    pub(super) fn new(
        table: &'a TableSource,
        schema: &SchemaRef,
        session: &'a Session<'a>,
        buckets: usize,
        (dir, thread): (&Path, usize),
    ) -> Self {
        let bucket = |number: usize| Bucket::new(dir.join(format!("{number:04}-{thread}.0")), &session.seal);
        Self {
            table,
            session,
            readers: table.columns.iter().map(ColumnReader::new).collect(),
            rows: BatchBuilder::new(schema.clone(), table.columns.iter().map(|c| &c.schema.kind)),
            identifiers: Identifiers::default(),
            gathered: 0,
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
        if other || self.gathered >= GATHERED_ROWS_MAX || self.bytes >= GATHERED_BYTES_MAX {
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
                Cell::Text(text) if self.is_key(text.trim_ascii()) => self.identifiers.push(text.trim_ascii()),
                Cell::Integer(value) => self.identifiers.push(value.to_string().as_bytes()),
                _ => return Err(SourceError::NoKey { column: name.clone() }),
            }
        }
        self.rows.push_subject(&placeholder(self.identifiers.close()));
        self.gathered += 1;
        for (column, reader) in self.readers.iter_mut().enumerate() {
            self.rows.push(column, reader.read(block.cell(row, keys + column))?);
        }
        Ok(())
    }

    fn is_key(&self, text: &[u8]) -> bool {
        !text.is_empty() && self.table.missing.iter().all(|missing| missing.as_bytes() != text)
    }

    /// Gives the gathered rows that are kept their pseudonyms, and deals them out to the buckets.
    ///
    /// # Privacy
    /// The key holder sees the identifiers of those rows and of no others. Watched by
    /// `nobody_who_is_filtered_out_is_asked_for` in `tests/it/ingest.rs`.
    fn flush(&mut self) -> Result<(), IngestError> {
        (self.gathered, self.bytes) = (0, 0);
        let rows = self.kept().map_err(IngestError::write(&self.dir))?;
        let mut asked = Identifiers::default();
        let mut last = None;
        let mut places = Vec::with_capacity(rows.num_rows());
        for place in subjects(&rows).iter().map(place_of) {
            if last != Some(place) {
                asked.push_packed(self.identifiers.get(place).unwrap_or_default());
                last = Some(place);
            }
            places.push(asked.len() - 1);
        }
        self.identifiers.clear();
        let pseudonyms = self.session.pseudonyms(&asked)?;
        let pseudonyms: Vec<Pseudonym> = places.iter().filter_map(|place| pseudonyms.get(*place)).copied().collect();
        self.deal(&rows, pseudonyms).map_err(IngestError::write(&self.dir))
    }

    /// The gathered rows that are ingested.
    fn kept(&mut self) -> Result<RecordBatch, DataFusionError> {
        let keep = self.origin.as_ref().map_or(&[][..], |o| o.keep.as_slice());
        keep.iter().try_fold(self.rows.finish()?, |rows, condition| kept(&rows, condition))
    }

    fn deal(&mut self, rows: &RecordBatch, pseudonyms: Vec<Pseudonym>) -> Result<(), DataFusionError> {
        let known = FixedSizeBinaryArray::try_new(16, pseudonyms.into_flattened().into(), None)?;
        let mut columns = rows.columns().to_vec();
        if let Some(first) = columns.first_mut() {
            *first = Arc::new(known);
        }
        let rows = RecordBatch::try_new(rows.schema(), columns)?;
        let dealt = dealt(&rows, self.buckets.len());
        self.buckets.iter_mut().zip(dealt).try_for_each(|(bucket, numbers)| bucket.write(&rows, numbers))
    }

    /// Writes what is left and closes the files.
    pub(super) fn finish(mut self) -> Result<Finished, IngestError> {
        self.flush()?;
        let files = self.buckets.into_iter().map(|bucket| bucket.file.close()).collect::<Result<_, _>>();
        let files = files.map_err(IngestError::write(&self.dir))?;
        Ok(Finished { files, altered: self.readers.iter().map(|r| r.altered).collect() })
    }
}

/// Stands for the subject whose identifier is at that place, until its pseudonym is known.
fn placeholder(place: usize) -> Pseudonym {
    u128::try_from(place).unwrap_or(u128::MAX).to_le_bytes()
}

fn place_of(placeholder: &Pseudonym) -> usize {
    usize::try_from(u128::from_le_bytes(*placeholder)).unwrap_or(usize::MAX)
}

/// The first column.
fn subjects(rows: &RecordBatch) -> &[Pseudonym] {
    let subjects = rows.columns().first().and_then(|c| c.as_fixed_size_binary_opt());
    subjects.map_or(&[][..], FixedSizeBinaryArray::value_data).as_chunks().0
}

/// Row numbers by bucket.
fn dealt(rows: &RecordBatch, buckets: usize) -> Vec<Vec<u32>> {
    let mut dealt = vec![Vec::new(); buckets];
    for (subject, row) in subjects(rows).iter().zip(0..) {
        if let Some(bucket) = dealt.get_mut(range_of(subject, buckets)) {
            bucket.push(row);
        }
    }
    dealt
}

/// A range of pseudonyms, and its staging files, which are made when there is something to write.
struct Bucket {
    dir: PathBuf,
    file: SealedWriter,
}

impl Bucket {
    fn new(path: PathBuf, seal: &Seal) -> Self {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { dir, file: SealedWriter::new(path, seal.clone()) }
    }

    fn write(&mut self, rows: &RecordBatch, numbers: Vec<u32>) -> Result<(), DataFusionError> {
        if numbers.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        self.file.write(&take_record_batch(rows, &UInt32Array::from(numbers))?)
    }
}

/// The rows for which `condition` is true; neither false nor unknown.
fn kept(batch: &RecordBatch, condition: &Arc<dyn PhysicalExpr>) -> Result<RecordBatch, DataFusionError> {
    let mask = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(filter_record_batch(batch, mask.as_boolean())?)
}
