//! Sorting one bucket: in memory when it fits, else in runs on disk that are merged.

use std::{fs, path::PathBuf, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, AsArray, DynComparator, FixedSizeBinaryArray, RecordBatch, UInt32Array, make_comparator},
        compute::{SortOptions, concat_batches, take_record_batch},
        datatypes::SchemaRef,
        error::ArrowError,
    },
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan,
        sorts::sort_preserving_merge::SortPreservingMergeExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::sealed::{self, SealedWriter};
use crate::{declaration::TableSource, layout::BATCH_ROWS, seal::Seal};

/// Missing values last.
const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

type Sorted<'a> = &'a mut dyn FnMut(RecordBatch) -> Result<(), DataFusionError>;

/// Sorts rows of one table.
pub(super) struct Sorter {
    schema: SchemaRef,
    /// Columns after the subject, in the order in which they decide.
    columns: Vec<usize>,
    run_bytes: usize,
    spill: PathBuf,
    seal: Seal,
}

impl Sorter {
    /// Sorts by subject, then the declared order, then everything else; `run_bytes` at a time, using directory `spill`.
    pub(super) fn new(
        table: &TableSource,
        schema: SchemaRef,
        run_bytes: usize,
        (spill, seal): (PathBuf, &Seal),
    ) -> Result<Self, DataFusionError> {
        let names = table.schema.columns.iter().map(|c| &c.name);
        let others = names.filter(|name| !table.order_by.contains(name));
        let columns = table.order_by.iter().chain(others).map(|name| schema.index_of(name.as_str()));
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, run_bytes, spill, seal: seal.clone() })
    }

    /// Hands the rows of `files` on, sorted, batch by batch.
    pub(super) fn sort(&self, files: &[PathBuf], sorted: Sorted<'_>) -> Result<(), DataFusionError> {
        let (mut runs, mut batches, mut bytes) = (Vec::new(), Vec::new(), 0);
        for file in files {
            for batch in sealed::read(file, &self.seal)? {
                let batch = batch?;
                bytes += memory_bytes(&batch)?;
                batches.push(batch);
                if bytes >= self.run_bytes {
                    runs.push(self.spill(runs.len(), std::mem::take(&mut batches))?);
                    bytes = 0;
                }
            }
        }
        if runs.is_empty() {
            return self.sort_in_memory(batches, sorted);
        }
        runs.push(self.spill(runs.len(), batches)?);
        self.merge(runs, sorted)?;
        Ok(fs::remove_dir_all(&self.spill)?)
    }

    fn sort_in_memory(&self, batches: Vec<RecordBatch>, sorted: Sorted<'_>) -> Result<(), DataFusionError> {
        let rows = concat_batches(&self.schema, &batches)?;
        drop(batches);
        for order in self.order(&rows)?.chunks(BATCH_ROWS) {
            sorted(take_record_batch(&rows, &UInt32Array::from(order.to_vec()))?)?;
        }
        Ok(())
    }

    /// The row numbers of `rows` in sorted order: by pseudonym, and by columns only where these are equal.
    fn order(&self, rows: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
        let subjects = rows.columns().first().and_then(|c| c.as_fixed_size_binary_opt());
        let (subjects, _) = subjects.map_or(&[][..], FixedSizeBinaryArray::value_data).as_chunks();
        let mut keys: Vec<(u128, u32)> = subjects.iter().map(|s| u128::from_be_bytes(*s)).zip(0..).collect();
        keys.sort_unstable();
        let columns = self.columns.iter().filter_map(|i| rows.columns().get(*i));
        let columns = columns.map(|c| make_comparator(c, c, ASCENDING)).collect::<Result<Vec<DynComparator>, _>>()?;
        let index = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let by_columns = |a: &(u128, u32), b: &(u128, u32)| {
            let orders = columns.iter().map(|compare| compare(index(a.1), index(b.1)));
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        keys.chunk_by_mut(|a, b| a.0 == b.0).for_each(|subject| subject.sort_unstable_by(by_columns));
        Ok(keys.into_iter().map(|(_, row)| row).collect())
    }

    /// Writes `batches` to disk, sorted.
    fn spill(&self, run: usize, batches: Vec<RecordBatch>) -> Result<Vec<PathBuf>, DataFusionError> {
        fs::create_dir_all(&self.spill)?;
        let mut file = SealedWriter::new(self.spill.join(format!("{run}.0")), self.seal.clone());
        self.sort_in_memory(batches, &mut |batch| file.write(&batch))?;
        file.close()
    }

    /// Merges sorted runs; in memory is one batch of each.
    fn merge(&self, runs: Vec<Vec<PathBuf>>, sorted: Sorted<'_>) -> Result<(), DataFusionError> {
        let run = |files| {
            Arc::new(Run { schema: self.schema.clone(), files, seal: self.seal.clone() }) as Arc<dyn PartitionStream>
        };
        let runs = runs.into_iter().map(run).collect();
        let by = |column: &usize| {
            let name = self.schema.field(*column).name();
            PhysicalSortExpr { expr: Arc::new(Column::new(name, *column)), options: ASCENDING }
        };
        let Some(order) = LexOrdering::new([0].iter().chain(&self.columns).map(by)) else { return Ok(()) };
        let runs = StreamingTableExec::try_new(self.schema.clone(), runs, None, [order.clone()], false, None)?;
        let merged =
            SortPreservingMergeExec::new(order, Arc::new(runs)).execute(0, Arc::new(TaskContext::default()))?;
        let merged = merged.map(|batch| sorted(batch?)).try_collect::<()>();
        tokio::runtime::Builder::new_current_thread().build()?.block_on(merged)
    }
}

/// What `batch` takes by itself: batches read from a file share buffers.
fn memory_bytes(batch: &RecordBatch) -> Result<usize, ArrowError> {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum()
}

/// A sorted run on disk.
struct Run {
    schema: SchemaRef,
    files: Vec<PathBuf>,
    seal: Seal,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("files", &self.files).finish_non_exhaustive()
    }
}

impl PartitionStream for Run {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (files, seal) = (self.files.clone(), self.seal.clone());
        let open = move |file: PathBuf| {
            let batches = sealed::read(&file, &seal);
            batches.map(|batches| stream::iter(batches.map(|batch| batch.map_err(DataFusionError::from))))
        };
        let batches = stream::iter(files).map(open).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
