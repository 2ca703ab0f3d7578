//! From a snapshot to chunks of whole data subjects.
//!
//! The list of subjects of a partition drives a merge join: each table's file, projected and filtered by DataFusion, is
//! sorted in the same order, so every subject's rows are next in every stream.
//!
//! # Privacy
//! The population does not depend on the plan: a subject whose rows are all filtered out appears with none, and so
//! contributes what the module gives for nobody's rows. Chunks are fresh copies without pseudonyms (**subject-blind
//! guest**). Watched by `tests/it/scan.rs`.

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    arrow::{array::AsArray, datatypes::SchemaRef},
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    logical_expr::Expr,
    prelude::{SessionConfig, SessionContext},
};
use futures::TryStreamExt;
use spe_kernel::{
    dataset::ColumnType, disclosure::Confidential, fault::Fault, filter::Filter, ids::ColumnName, ids::TableName,
    manifest::Input, plan::Plan, record::Chunk,
};
use url::Url;

use crate::{
    layout::{self, BATCH_ROWS, SUBJECT},
    predicate::{column, expression},
    pseudonym::Pseudonym,
    vault::Dataset,
};

mod cursor;
mod gather;
use cursor::Cursor;

/// In which portions records are read and handed on.
#[derive(Debug, Clone, Copy)]
pub struct ScanSizes {
    /// Rows of a batch in memory.
    pub batch_rows: usize,
    /// Data subjects in a chunk at most.
    pub chunk_subjects: usize,
    /// A chunk is complete when it has so many rows; one data subject is never split.
    pub chunk_rows: usize,
}

impl Default for ScanSizes {
    fn default() -> Self {
        Self { batch_rows: BATCH_ROWS, chunk_subjects: 1_024, chunk_rows: 65_536 }
    }
}

/// What all partitions of a scan have in common.
pub(crate) struct Scan {
    session: SessionContext,
    dir: PathBuf,
    inputs: Vec<TableScan>,
    sizes: ScanSizes,
}

/// What is read of one table.
struct TableScan {
    table: TableName,
    schema: SchemaRef,
    columns: Vec<ColumnName>,
    kinds: Vec<ColumnType>,
    filter: Option<Expr>,
    rows_max: usize,
}

/// The records of one partition of a dataset. Reads nothing before the first [`Self::next`].
pub struct PartitionScan {
    scan: Arc<Scan>,
    partition: usize,
    state: State,
}

enum State {
    Closed,
    Open(Box<Opened>),
    Finished,
}

/// Open files of one partition.
struct Opened {
    subjects: SendableRecordBatchStream,
    /// Subjects of the current batch that are still to come, last first.
    waiting: Vec<Pseudonym>,
    tables: Vec<Cursor>,
}

impl Scan {
    pub(crate) fn new(dataset: &Dataset, plan: &Plan, sizes: ScanSizes) -> Result<Self, Fault> {
        let inputs = plan.inputs().iter().map(|input| TableScan::new(dataset, input)).collect::<Result<_, _>>()?;
        let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(sizes.batch_rows.max(1));
        let options = config.options_mut();
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.schema_force_view_types = false;
        options.execution.collect_statistics = false;
        options.optimizer.repartition_file_scans = false;
        Ok(Self { session: SessionContext::new_with_config(config), dir: dataset.dir.clone(), inputs, sizes })
    }

    async fn open(&self, partition: usize) -> Result<Opened, DataFusionError> {
        let file = layout::subjects_file(&self.dir, partition);
        let subjects = self.stream(file, layout::subjects_schema(), None, vec![column(SUBJECT)]).await?;
        let mut tables = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let file = layout::table_file(&self.dir, &input.table, partition);
            let columns = [SUBJECT].into_iter().chain(input.columns.iter().map(ColumnName::as_str));
            let columns = columns.map(column).collect();
            let rows = self.stream(file, input.schema.clone(), input.filter.clone(), columns).await?;
            tables.push(Cursor::new(rows, &input.kinds, input.rows_max));
        }
        Ok(Opened { subjects, waiting: Vec::new(), tables })
    }

    /// A file's rows in its order: one file, one partition, nothing that could reorder.
    async fn stream(
        &self,
        file: PathBuf,
        schema: SchemaRef,
        filter: Option<Expr>,
        columns: Vec<Expr>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        // DataFusion reads a file that is not there as one without rows: a wrong answer, which nobody would notice.
        std::fs::File::open(&file).map_err(|e| DataFusionError::External(format!("{}: {e}", file.display()).into()))?;
        let unusable = || DataFusionError::Configuration("the vault's directory must be an absolute path".into());
        let url = ListingTableUrl::try_new(Url::from_file_path(file).map_err(|()| unusable())?, None)?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        let rows = self.session.read_table(Arc::new(ListingTable::try_new(config)?))?;
        let rows = filter.into_iter().try_fold(rows, datafusion::prelude::DataFrame::filter)?;
        rows.select(columns)?.execute_stream().await
    }
}

impl TableScan {
    fn new(dataset: &Dataset, input: &Input) -> Result<Self, Fault> {
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
        Ok(Self {
            table: table.name.clone(),
            schema: layout::table_schema(table),
            columns: input.columns.clone(),
            kinds: input.columns.iter().map(kind).collect::<Result<_, _>>()?,
            filter: filter.map(|f| expression(f.predicate())),
            rows_max: usize::try_from(input.max_rows).unwrap_or(usize::MAX),
        })
    }
}

impl PartitionScan {
    pub(crate) const fn new(scan: Arc<Scan>, partition: usize) -> Self {
        Self { scan, partition, state: State::Closed }
    }

    /// The next data subjects; `None` when all were given, or after a fault. Must run inside a tokio runtime.
    ///
    /// Memory is bounded by [`ScanSizes`], the row groups and the plan's `max_rows`, whatever the size of the data.
    pub async fn next(&mut self) -> Option<Result<Confidential<Chunk>, Fault>> {
        let chunk = self.next_chunk().await;
        if !matches!(chunk, Ok(Some(_))) {
            self.state = State::Finished;
        }
        chunk.map(|chunk| chunk.map(Confidential::seal)).transpose()
    }

    async fn next_chunk(&mut self) -> Result<Option<Chunk>, Fault> {
        if matches!(self.state, State::Closed) {
            let opened = self.scan.open(self.partition).await.map_err(Fault::while_("opening a partition"))?;
            self.state = State::Open(Box::new(opened));
        }
        match &mut self.state {
            State::Open(opened) => opened.chunk(self.scan.sizes).await,
            State::Closed | State::Finished => Ok(None),
        }
    }
}

impl Opened {
    async fn chunk(&mut self, sizes: ScanSizes) -> Result<Option<Chunk>, Fault> {
        let mut subjects = 0;
        while subjects < sizes.chunk_subjects.max(1)
            && self.tables.iter().map(Cursor::rows).sum::<usize>() < sizes.chunk_rows.max(1)
            && let Some(subject) = self.subject().await?
        {
            for table in &mut self.tables {
                table.gather(&subject).await?;
            }
            subjects += 1;
        }
        if subjects == 0 {
            return self.check_exhausted().await.map(|()| None);
        }
        let tables = self.tables.iter_mut().map(Cursor::take).collect::<Result<_, _>>()?;
        Ok(Some(Chunk { subjects, tables }))
    }

    async fn subject(&mut self) -> Result<Option<Pseudonym>, Fault> {
        while self.waiting.is_empty() {
            let batch = self.subjects.try_next().await.map_err(Fault::while_("reading subjects"))?;
            let Some(batch) = batch else { return Ok(None) };
            let column = batch.column_by_name(SUBJECT).and_then(|c| c.as_fixed_size_binary_opt());
            let column = column.ok_or_else(|| Fault::new("reading subjects", "the column of pseudonyms is missing"))?;
            self.waiting = column.value_data().as_chunks().0.iter().rev().copied().collect();
        }
        Ok(self.waiting.pop())
    }

    /// Rows left over would belong to nobody: the snapshot is damaged, and its sums must not be used.
    async fn check_exhausted(&mut self) -> Result<(), Fault> {
        for table in &mut self.tables {
            table.check_exhausted().await?;
        }
        Ok(())
    }
}
