//! The second half of an ingest: every partition sorted by subject, then declared order, and written as Parquet.
//!
//! Columns that are not in `order_by` come last in the sort, so that the result depends on the records only, not on the
//! order of lines, files or threads (**exact**).

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
};

use datafusion::{
    arrow::{
        array::{AsArray, FixedSizeBinaryArray, RecordBatch},
        buffer::Buffer,
        datatypes::SchemaRef,
        ipc::reader::StreamReader,
    },
    catalog::streaming::StreamingTable,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
    logical_expr::SortExpr,
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
    prelude::{SessionConfig, SessionContext},
};
use futures::{StreamExt, TryStreamExt, stream};
use spe_kernel::ids::ColumnName;

use super::{Ingest, Progress, error::IngestError, stage::Staged};
use crate::{
    declaration::TableSource,
    layout::{self, BATCH_ROWS},
    predicate::column,
    pseudonym::Pseudonym,
    snapshot::{SNAPSHOT_DIR, Writer, Written},
};

/// What was written.
pub(crate) struct Sorted {
    /// Data subjects.
    pub(crate) subjects: u64,
    /// Rows of each table.
    pub(crate) rows: Vec<u64>,
    /// Digest of every file: by partition, tables first, subjects last.
    pub(crate) digests: Vec<Vec<blake3::Hash>>,
}

/// What one partition became.
struct SortedPartition {
    subjects: u64,
    rows: Vec<u64>,
    digests: Vec<blake3::Hash>,
}

/// Sorts all partitions into `dir`, some at a time.
pub(super) fn sort(
    ingest: &Ingest<'_>,
    staged: &Staged,
    dir: &Path,
    progress: &mut impl FnMut(Progress),
) -> Result<Sorted, IngestError> {
    let of = ingest.declaration.partitions;
    let session = session(ingest, dir).map_err(IngestError::write(dir))?;
    let (next, (sender, receiver)) = (AtomicUsize::new(0), channel());
    let sort = PartitionSort { ingest, staged, session, snapshot: dir.join(SNAPSHOT_DIR) };
    let mut partitions: Vec<Option<SortedPartition>> = (0..of).map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..ingest.threads.clamp(1, of) {
            let (sort, next, sender) = (&sort, &next, sender.clone());
            scope.spawn(move || {
                let partitions =
                    std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|p| *p < of);
                // Nobody listens any more once one has failed.
                partitions.map(|p| (p, sort.run(p))).try_for_each(|result| sender.send(result))
            });
        }
        drop(sender);
        for (done, (partition, result)) in receiver.into_iter().enumerate() {
            if let Some(slot) = partitions.get_mut(partition) {
                *slot = Some(result?);
            }
            progress(Progress::Sorted { done: done + 1, of });
        }
        Ok(())
    })?;
    let mut sorted = Sorted { subjects: 0, rows: vec![0; ingest.declaration.tables.len()], digests: Vec::new() };
    for partition in partitions.into_iter().flatten() {
        sorted.subjects += partition.subjects;
        sorted.rows.iter_mut().zip(&partition.rows).for_each(|(sum, rows)| *sum += rows);
        sorted.digests.push(partition.digests);
    }
    Ok(sorted)
}

fn session(ingest: &Ingest<'_>, dir: &Path) -> Result<SessionContext, DataFusionError> {
    let spill = dir.join("spill");
    fs::create_dir_all(&spill)?;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(ingest.memory_bytes)))
        .with_temp_file_path(spill)
        .with_max_temp_directory_size(u64::MAX);
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
    // A share of the pool for merging what was spilled.
    config.options_mut().execution.sort_spill_reservation_bytes = ingest.memory_bytes / ingest.threads.max(1) / 16;
    Ok(SessionContext::new_with_config_rt(config, runtime.build_arc()?))
}

struct PartitionSort<'a> {
    ingest: &'a Ingest<'a>,
    staged: &'a Staged,
    session: SessionContext,
    snapshot: PathBuf,
}

impl PartitionSort<'_> {
    /// Writes one partition: every table's rows, and the subjects of all of them.
    fn run(&self, partition: usize) -> Result<SortedPartition, IngestError> {
        let mut sorted = SortedPartition { subjects: 0, rows: Vec::new(), digests: Vec::new() };
        let mut subjects = Vec::new();
        for (number, table) in self.ingest.declaration.tables.iter().enumerate() {
            let files = self.staged.files.get(&(number, partition)).map_or(&[][..], Vec::as_slice);
            let path = layout::table_file(&self.snapshot, &table.schema.name, partition);
            let writer = self.table(table, files, &path, &mut subjects).map_err(IngestError::write(&path))?;
            sorted.rows.push(writer.rows);
            sorted.digests.push(writer.digest);
            for file in files {
                fs::remove_file(file).map_err(IngestError::write(file))?;
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        sorted.subjects = u64::try_from(subjects.len()).unwrap_or(0);
        let path = layout::subjects_file(&self.snapshot, partition);
        let written = self.subjects(subjects, &path).map_err(IngestError::write(&path))?;
        sorted.digests.push(written.digest);
        Ok(sorted)
    }

    /// Writes one table's rows of a partition in order, and adds their subjects.
    fn table(
        &self,
        table: &TableSource,
        files: &[PathBuf],
        path: &Path,
        subjects: &mut Vec<Pseudonym>,
    ) -> Result<Written, DataFusionError> {
        let schema = layout::table_schema(&table.schema);
        let mut writer = self.writer(path, &schema)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let rows = StagedRows { schema: schema.clone(), files: files.to_vec() };
            let rows = self.session.read_table(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(rows)])?))?;
            let mut sorted = rows.sort(order(table))?.execute_stream().await?;
            while let Some(batch) = sorted.try_next().await? {
                add_subjects(&batch, subjects);
                writer.write(batch)?;
            }
            Ok::<_, DataFusionError>(())
        })?;
        Ok(writer.close()?)
    }

    fn subjects(&self, subjects: Vec<Pseudonym>, path: &Path) -> Result<Written, DataFusionError> {
        let schema = layout::subjects_schema();
        let mut writer = self.writer(path, &schema)?;
        let column = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(subjects.into_flattened()), None)?;
        writer.write(RecordBatch::try_new(schema, vec![Arc::new(column)])?)?;
        Ok(writer.close()?)
    }

    fn writer(&self, path: &Path, schema: &SchemaRef) -> Result<Writer, DataFusionError> {
        let hasher = self.ingest.key.snapshot_hasher(&self.ingest.declaration.schema().name);
        Ok(Writer::create(path, schema, hasher, self.ingest.row_group_rows)?)
    }
}

/// Subject, declared order, then everything else; missing values last.
fn order(table: &TableSource) -> Vec<SortExpr> {
    let declared = table.order_by.iter();
    let others = table.schema.columns.iter().map(|c| &c.name).filter(|name| !table.order_by.contains(name));
    let names = [layout::SUBJECT].into_iter().chain(declared.chain(others).map(ColumnName::as_str));
    names.map(|name| column(name).sort(true, false)).collect()
}

/// Adds the subjects of sorted rows, each once in a row.
fn add_subjects(batch: &RecordBatch, subjects: &mut Vec<Pseudonym>) {
    let column = batch.column_by_name(layout::SUBJECT).and_then(|c| c.as_fixed_size_binary_opt());
    let (values, _) = column.map_or(&[][..], FixedSizeBinaryArray::value_data).as_chunks::<16>();
    for subject in values {
        if subjects.last() != Some(subject) {
            subjects.push(*subject);
        }
    }
}

/// The rows of staging files, one file after the other.
#[derive(Debug)]
struct StagedRows {
    schema: SchemaRef,
    files: Vec<PathBuf>,
}

impl PartitionStream for StagedRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let open = |path: PathBuf| {
            let file = BufReader::with_capacity(1 << 16, File::open(path)?);
            Ok::<_, DataFusionError>(StreamReader::try_new(file, None)?.map(|batch| Ok(batch?)))
        };
        let batches = stream::iter(self.files.clone()).map(open).map_ok(stream::iter).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
