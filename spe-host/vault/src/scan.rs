//! From a snapshot to chunks of whole data subjects.
//!
//! The list of subjects of a partition drives a merge join: each table's file, projected and filtered by DataFusion, is
//! sorted in the same order, so every subject's rows are next in every stream. A block is a range of pseudonyms, so its
//! subjects, too, follow each other.
//!
//! # Privacy
//! Who opted out is passed over with all their rows, before anything is copied: nobody later on the way can see that they were there
//! (`tests/it/optout.rs`). So is who refused other data than the plan reads and has no rows but in that: it depends on one's own rows and
//! choices alone, so that leaving a person out stays leaving a person out (`tests/it/refused_rows.rs`).
//! The population does not depend on the plan: a subject whose rows are all filtered out appears with none, and so
//! contributes what the module gives for nobody's rows. In which block a subject is depends on the pseudonym alone, so that
//! one person more or less changes one block, and a block of nobody appears like any other. Chunks are fresh copies without
//! pseudonyms (**subject-blind guest**). Watched by `tests/it/scan.rs` and `tests/it/blocks.rs`.

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::Int32Type,
    },
    logical_expr::Expr,
    prelude::SessionContext,
};
use futures::TryStreamExt;
use spe_kernel::{
    category::Categories,
    dataset::ColumnType,
    disclosure::Confidential,
    fault::Fault,
    filter::Filter,
    ids::{ColumnName, TableName},
    manifest::Input,
    plan::Plan,
    record::Chunk,
};

use crate::{
    layout::{self, BATCH_ROWS, CATEGORIES, SUBJECT},
    optout::Cohort,
    predicate::{column, expression},
    pseudonym::{Pseudonym, range_of},
    vault::Dataset,
};

mod cursor;
mod exclusion;
mod files;
mod gather;
mod part;
use cursor::Cursor;
use exclusion::Exclusion;
use files::{Reader, Rows};
use part::Units;
pub(crate) use part::{Part, parts};

const DOING: &str = "reading subjects";

/// In which portions records are read and handed on.
#[derive(Debug, Clone, Copy)]
pub struct ScanSizes {
    /// Rows of a batch in memory.
    pub batch_rows: usize,
    /// Data subjects, or blocks, in a chunk at most.
    pub chunk_subjects: usize,
    /// A chunk is complete when it has so many rows; one data subject or block is never split.
    pub chunk_rows: usize,
}

impl Default for ScanSizes {
    fn default() -> Self {
        Self { batch_rows: BATCH_ROWS, chunk_subjects: 1_024, chunk_rows: 65_536 }
    }
}

/// Of which categories each subject of `batch` has rows, where that was read and is known.
fn of_rows(batch: &RecordBatch) -> Vec<Option<Categories>> {
    let bits = batch.column_by_name(CATEGORIES).and_then(|column| column.as_primitive_opt::<Int32Type>());
    let known = |bits: Option<i32>| Categories::from_bits(u32::try_from(bits?).ok()?);
    bits.map_or_else(|| vec![None; batch.num_rows()], |bits| bits.iter().map(known).collect())
}

/// What all parts of a scan have in common.
pub(crate) struct Scan {
    dir: PathBuf,
    subjects: Reader,
    excluded: Arc<[(Pseudonym, Categories)]>,
    tables: Vec<TableScan>,
    sizes: ScanSizes,
}

/// What is read of one table.
struct TableScan {
    table: TableName,
    reader: Reader,
    kinds: Vec<ColumnType>,
    rows_max: usize,
}

/// The records of one part of a dataset: a partition, or some of them when the plan's unit is blocks. Reads nothing before
/// the first [`Self::next`].
pub struct PartitionScan {
    /// `None` when it is finished.
    open: Option<Opened>,
    sizes: ScanSizes,
}

/// Where a part's streams stand.
struct Opened {
    units: Units,
    subjects: Rows,
    /// Subjects of the current batch that are still to come, last first, and of which categories they have rows, if that is known.
    waiting: Vec<(Pseudonym, Option<Categories>)>,
    exclusion: Exclusion,
    tables: Vec<Cursor>,
}

impl Scan {
    pub(crate) fn new(dataset: &Dataset, plan: &Plan, cohort: &Cohort, sizes: ScanSizes) -> Result<Self, Fault> {
        let session = files::session(sizes.batch_rows);
        // Read only where it decides about somebody.
        let decides = cohort.excluded.iter().any(|(_, refused)| *refused != Categories::ALL);
        let of_rows = decides.then_some(CATEGORIES);
        let subjects = Reader {
            session: session.clone(),
            lock: dataset.lock.clone(),
            schema: layout::subjects_schema(&dataset.schema),
            filter: None,
            columns: [SUBJECT].into_iter().chain(of_rows).map(column).collect(),
        };
        let table = |input| TableScan::new(dataset, input, cohort, &session);
        let tables = plan.inputs().iter().map(table).collect::<Result<_, _>>()?;
        Ok(Self { dir: dataset.dir.clone(), subjects, excluded: cohort.excluded.clone(), tables, sizes })
    }

    pub(crate) fn part(&self, part: Part) -> PartitionScan {
        let Part { partitions, units } = part;
        let table = |t: &TableScan| {
            let names = partitions.clone().map(|p| layout::table_file(&t.table, p)).collect();
            Cursor::new(t.reader.rows(&self.dir, names), &t.kinds, t.rows_max)
        };
        let subjects = self.subjects.rows(&self.dir, partitions.clone().map(layout::subjects_file).collect());
        let tables = self.tables.iter().map(table).collect();
        let exclusion = Exclusion::of(self.excluded.clone());
        let open = Opened { units, subjects, waiting: Vec::new(), exclusion, tables };
        PartitionScan { open: Some(open), sizes: self.sizes }
    }
}

impl TableScan {
    fn new(dataset: &Dataset, input: &Input, cohort: &Cohort, session: &SessionContext) -> Result<Self, Fault> {
        let fault = |what: String| Fault::new("scanning", what);
        let table = dataset.schema.table(&input.table);
        let table = table.ok_or_else(|| fault(format!("no table {}", input.table)))?;
        let kind = |name: &ColumnName| {
            let column =
                table.column(name).ok_or_else(|| fault(format!("no column {name} in table {}", table.name)))?;
            Ok(column.kind.clone())
        };
        let filter = input.filter.as_ref().map(|text| Filter::parse(text, table)).transpose();
        let filter = filter.map_err(Fault::while_("reading the plan's filter"))?;
        let asked = filter.map(|f| expression(f.predicate()));
        let window = cohort.windows.of(&input.table).map(expression);
        let columns = [SUBJECT].into_iter().chain(input.columns.iter().map(ColumnName::as_str));
        let reader = Reader {
            session: session.clone(),
            lock: dataset.lock.clone(),
            schema: layout::table_schema(table),
            filter: window.into_iter().chain(asked).reduce(Expr::and),
            columns: columns.map(column).collect(),
        };
        Ok(Self {
            table: table.name.clone(),
            reader,
            kinds: input.columns.iter().map(kind).collect::<Result<_, _>>()?,
            rows_max: usize::try_from(input.max_rows).unwrap_or(usize::MAX),
        })
    }
}

impl PartitionScan {
    /// The next data subjects or blocks; `None` when all were given, or after a fault. Must run inside a tokio runtime.
    ///
    /// Memory is bounded by [`ScanSizes`], the row groups and the plan's `max_rows`, whatever the size of the data.
    pub async fn next(&mut self) -> Option<Result<Confidential<Chunk>, Fault>> {
        let chunk = self.open.as_mut()?.chunk(self.sizes).await;
        if !matches!(chunk, Ok(Some(_))) {
            self.open = None;
        }
        chunk.map(|chunk| chunk.map(Confidential::seal)).transpose()
    }
}

impl Opened {
    async fn chunk(&mut self, sizes: ScanSizes) -> Result<Option<Chunk>, Fault> {
        let mut subjects = 0;
        while subjects < sizes.chunk_subjects.max(1)
            && self.tables.iter().map(Cursor::rows).sum::<usize>() < sizes.chunk_rows.max(1)
            && self.unit().await?
        {
            subjects += 1;
        }
        if subjects == 0 {
            return self.check_exhausted().await.map(|()| None);
        }
        let tables = self.tables.iter_mut().map(Cursor::take).collect::<Result<_, _>>()?;
        Ok(Some(Chunk { subjects, tables }))
    }

    /// Takes all rows of the next data subject or block; `false` when there is none.
    async fn unit(&mut self) -> Result<bool, Fault> {
        match &mut self.units {
            Units::Subjects => {
                let Some(subject) = self.subject().await? else { return Ok(false) };
                self.gather(subject).await?;
            }
            Units::Blocks { next, of } => {
                let (block, of) = (next.next(), *of);
                let Some(block) = block else { return Ok(false) };
                while let Some(subject) = self.subject().await?
                    && range_of(&subject, of) == block
                {
                    self.gather(subject).await?;
                }
            }
        }
        self.tables.iter_mut().for_each(Cursor::close);
        Ok(true)
    }

    /// The first subject of the cohort whose rows were not taken yet. Who comes before and is excluded is passed over.
    async fn subject(&mut self) -> Result<Option<Pseudonym>, Fault> {
        while let Some((subject, rows)) = self.listed().await? {
            if !self.exclusion.holds(&subject, rows) {
                return Ok(Some(subject));
            }
            self.waiting.pop();
            for table in &mut self.tables {
                table.pass(&subject).await?;
            }
        }
        Ok(None)
    }

    /// The first subject of the dataset whose rows were not taken yet.
    async fn listed(&mut self) -> Result<Option<(Pseudonym, Option<Categories>)>, Fault> {
        while self.waiting.is_empty() {
            let batch = self.subjects.try_next().await.map_err(Fault::while_(DOING))?;
            let Some(batch) = batch else { return Ok(None) };
            let column = batch.column_by_name(SUBJECT).and_then(|c| c.as_fixed_size_binary_opt());
            let column = column.ok_or_else(|| Fault::new(DOING, "the column of pseudonyms is missing"))?;
            let (subjects, _) = column.value_data().as_chunks();
            self.exclusion.meet(subjects)?;
            self.waiting = subjects.iter().copied().zip(of_rows(&batch)).collect();
            self.waiting.reverse();
        }
        Ok(self.waiting.last().copied())
    }

    /// Takes the rows of `subject`, the first.
    async fn gather(&mut self, subject: Pseudonym) -> Result<(), Fault> {
        self.waiting.pop();
        for table in &mut self.tables {
            table.gather(&subject).await?;
        }
        Ok(())
    }

    /// A subject left over would be in no block, rows left over would belong to nobody: the snapshot is damaged, and its sums
    /// must not be used.
    async fn check_exhausted(&mut self) -> Result<(), Fault> {
        if self.subject().await?.is_some() {
            return Err(Fault::new(DOING, "subjects are out of order or in the wrong partition"));
        }
        for table in &mut self.tables {
            table.check_exhausted().await?;
        }
        Ok(())
    }
}
