//! The second half of an ingest: every partition sorted by subject, then declared order, and written as Parquet.
//!
//! Columns that are not in `order_by` come last in the sort, so that the result depends on the records only, not on the
//! order of lines, files or threads (**exact**).

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, FixedSizeBinaryArray, Int32Array, RecordBatch},
        buffer::Buffer,
        datatypes::SchemaRef,
    },
    error::DataFusionError,
};
use spe_kernel::category::{Categories, Category};

use super::{Progress, error::IngestError, runs::Sorter, session::Session, stage::Staged};
use crate::{
    declaration::TableSource,
    layout,
    pseudonym::Pseudonym,
    snapshot::{SNAPSHOT_DIR, Writer, Written},
};

/// Copies of a run in memory at a time: as read, joined, and its keys.
const RUN_COPIES: usize = 3;

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
    session: &Session<'_>,
    staged: &Staged,
    dir: &Path,
    progress: &mut impl FnMut(Progress),
) -> Result<Sorted, IngestError> {
    let ingest = session.ingest;
    let of = ingest.declaration.partitions;
    let (next, (sender, receiver)) = (AtomicUsize::new(0), channel());
    let sort = PartitionSort { session, staged, dir };
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

struct PartitionSort<'a> {
    session: &'a Session<'a>,
    staged: &'a Staged,
    dir: &'a Path,
}

impl PartitionSort<'_> {
    /// Writes one partition: every table's rows, and the subjects of all of them.
    fn run(&self, partition: usize) -> Result<SortedPartition, IngestError> {
        let mut sorted = SortedPartition { subjects: 0, rows: Vec::new(), digests: Vec::new() };
        let mut subjects = Vec::new();
        let snapshot = self.dir.join(SNAPSHOT_DIR);
        for (number, table) in self.session.ingest.declaration.tables.iter().enumerate() {
            let name = layout::table_file(&table.schema.name, partition);
            let written = self.table((number, table), partition, (&snapshot, &name), &mut subjects);
            let written = written.map_err(IngestError::write(&snapshot.join(name)))?;
            sorted.rows.push(written.rows);
            sorted.digests.push(written.digest);
        }
        subjects.sort_unstable_by_key(|(subject, _)| *subject);
        subjects.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.and(next.1);
            }
            same
        });
        sorted.subjects = u64::try_from(subjects.len()).unwrap_or(0);
        let name = layout::subjects_file(partition);
        let written = self.subjects(subjects, (&snapshot, &name)).map_err(IngestError::write(&snapshot.join(name)))?;
        sorted.digests.push(written.digest);
        Ok(sorted)
    }

    /// Writes one table's rows of a partition, bucket by bucket, and adds their subjects.
    fn table(
        &self,
        (number, table): (usize, &TableSource),
        partition: usize,
        file: (&Path, &str),
        subjects: &mut Vec<(Pseudonym, Categories)>,
    ) -> Result<Written, DataFusionError> {
        let schema = layout::table_schema(&table.schema);
        let mut writer = self.writer(file, &schema)?;
        let ingest = self.session.ingest;
        let run_bytes = ingest.memory_bytes / ingest.threads.max(1) / RUN_COPIES;
        let spill = self.dir.join("spill").join(format!("{number}-{partition}"));
        let sorter = Sorter::new(table, schema, run_bytes, (spill, &self.session.seal))?;
        let buckets = self.staged.buckets_per_partition;
        for bucket in partition * buckets..(partition + 1) * buckets {
            let files = self.staged.files.get(&(number, bucket)).map_or(&[][..], Vec::as_slice);
            sorter.sort(files, &mut |batch| {
                add_subjects(&batch, table.schema.category, subjects);
                writer.write(batch)
            })?;
            files.iter().try_for_each(fs::remove_file)?;
        }
        writer.close()
    }

    fn subjects(
        &self,
        subjects: Vec<(Pseudonym, Categories)>,
        file: (&Path, &str),
    ) -> Result<Written, DataFusionError> {
        let schema = layout::subjects_schema(self.session.ingest.declaration.schema());
        let mut writer = self.writer(file, &schema)?;
        let (subjects, categories): (Vec<_>, Vec<_>) = subjects.into_iter().unzip();
        let bits: Int32Array = categories.iter().map(|categories| i32::try_from(categories.bits()).ok()).collect();
        let subjects = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(subjects.into_flattened()), None)?;
        let columns: [ArrayRef; 2] = [Arc::new(subjects), Arc::new(bits)];
        let columns = columns.into_iter().take(schema.fields().len()).collect();
        writer.write(RecordBatch::try_new(schema, columns)?)?;
        writer.close()
    }

    fn writer(&self, file: (&Path, &str), schema: &SchemaRef) -> Result<Writer, DataFusionError> {
        let Session { ingest, newest, seal, .. } = self.session;
        let hasher = newest.data.snapshot_hasher(&ingest.declaration.schema().name);
        Writer::create(file, schema, seal, hasher, ingest.row_group_rows)
    }
}

/// Adds the subjects of sorted rows of a table of that category, each once in a row. A table that declares none is refused by whoever refuses
/// anything, and adds nothing to what must be refused.
fn add_subjects(batch: &RecordBatch, category: Option<Category>, subjects: &mut Vec<(Pseudonym, Categories)>) {
    let own = category.map_or(Categories::NONE, Categories::from);
    let column = batch.column_by_name(layout::SUBJECT).and_then(|c| c.as_fixed_size_binary_opt());
    let (values, _) = column.map_or(&[][..], FixedSizeBinaryArray::value_data).as_chunks::<16>();
    for subject in values {
        if subjects.last() != Some(&(*subject, own)) {
            subjects.push((*subject, own));
        }
    }
}
