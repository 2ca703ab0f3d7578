//! From the operator's files to a snapshot: read, check, pseudonymise, drop, partition, sort, publish.
//!
//! Memory does not grow with the data: rows go to staging files by ranges of pseudonyms, and each range is sorted in
//! memory, or in runs that are merged. Everything happens in a staging directory that is removed on any failure and becomes the
//! snapshot by one rename.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use spe_kernel::{
    dataset::DatasetSchema,
    filter::Filter,
    ids::{ColumnName, DatasetName, Digest, TableName},
    keys::KeySource,
};

use crate::{declaration::Declaration, snapshot};

mod batch;
mod cell;
mod column;
mod csv;
mod error;
mod header;
mod parquet;
mod runs;
mod sealed;
mod session;
mod sort;
mod stage;
mod stager;

pub use error::{IngestError, Place, SourceError};
pub(crate) use session::{Session, Versioned};
pub(crate) use sort::Sorted;

/// Memory for sorting when the caller names none.
const MEMORY_BYTES_DEFAULT: usize = 256 << 20;
/// Rows of a Parquet row group: what a scan reads of each column at once.
const ROW_GROUP_ROWS_DEFAULT: usize = 65_536;

/// One file of one table.
#[derive(Debug, Clone)]
pub struct Source {
    /// The declared table.
    pub table: TableName,
    /// A `.csv` or `.parquet` file.
    pub file: PathBuf,
    /// Which of its rows are ingested, in the filter language; all when `None`. Counts on top of the declaration's `rows`.
    pub rows: Option<String>,
}

/// What is ingested, where to, and how.
pub struct Ingest<'a> {
    /// What the dataset is.
    pub declaration: &'a Declaration,
    /// Its files; at least one for each table.
    pub sources: &'a [Source],
    /// Where pseudonyms and data keys come from.
    pub keys: &'a dyn KeySource,
    /// The vault's directory. It must exist.
    pub vault: &'a Path,
    /// Memory for sorting, in bytes; the whole process takes somewhat more.
    pub memory_bytes: usize,
    /// Threads that parse and sort.
    pub threads: usize,
    /// Rows of a Parquet row group.
    pub row_group_rows: usize,
}

/// How far an ingest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many rows of all sources were read.
    Read {
        /// Rows.
        rows: u64,
    },
    /// So many partitions are sorted and written.
    Sorted {
        /// Finished partitions.
        done: usize,
        /// All partitions.
        of: usize,
    },
}

/// What was ingested. For the operator only: counts are not private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The dataset.
    pub dataset: DatasetName,
    /// The snapshot's digest: the same declaration, key and records give the same digest.
    pub snapshot: Digest,
    /// Rows read.
    pub rows_read: u64,
    /// Rows kept by the filters.
    pub rows_kept: u64,
    /// Data subjects.
    pub subjects: u64,
    /// Data subjects of the snapshot that was current before, if there was one.
    pub subjects_before: Option<u64>,
    /// Values that the declaration let be changed.
    pub altered: Vec<Altered>,
}

/// Values of one column outside its bounds, clamped or made missing as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
    /// How many values.
    pub values: u64,
}

impl<'a> Ingest<'a> {
    /// An ingest with the usual sizes, on all processors.
    pub fn new(declaration: &'a Declaration, sources: &'a [Source], keys: &'a dyn KeySource, vault: &'a Path) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(16);
        let (memory_bytes, row_group_rows) = (MEMORY_BYTES_DEFAULT, ROW_GROUP_ROWS_DEFAULT);
        Self { declaration, sources, keys, vault, memory_bytes, threads, row_group_rows }
    }

    /// Ingests, and makes the result the dataset's current snapshot. Blocks; not to be called on an async thread.
    ///
    /// # Privacy
    /// Subject keys and dropped columns are never written to disk: only the pseudonym, which the key holder made, and the declared
    /// columns are, and these encrypted. Messages quote no value, only its shape. Watched by `tests/it/ingest.rs` and `tests/it/sealed.rs`.
    ///
    /// # Errors
    /// The first input that is not as declared, with file, line and column; a key holder that is away; or what could not be written.
    /// Nothing of this ingest is left on disk.
    pub fn run(&self, mut progress: impl FnMut(Progress)) -> Result<Ingested, IngestError> {
        let filters = self.filters()?;
        let staging = snapshot::stage(self.vault)?;
        let DatasetSchema { name, subjects_max: declared, .. } = self.declaration.schema();
        let session = Session::open(self)?;
        let staged = stage::stage(&session, &filters, staging.path(), &mut progress)?;
        let sorted = sort::sort(&session, &staged, staging.path(), &mut progress)?;
        match sorted.subjects {
            0 => return Err(IngestError::Nothing),
            subjects if subjects > u64::from(*declared) => {
                return Err(IngestError::TooMany { subjects, declared: *declared });
            }
            _ => {}
        }
        self.check_rows(&sorted)?;
        let subjects_before = snapshot::subjects(&self.vault.join(name.as_str()), self.keys);
        let digest = staging.publish(&session, &sorted)?;
        Ok(Ingested {
            dataset: name.clone(),
            snapshot: digest,
            rows_read: staged.rows_read,
            rows_kept: sorted.rows.iter().sum(),
            subjects: sorted.subjects,
            subjects_before,
            altered: staged.altered,
        })
    }

    /// Whether no table has more rows than every job's time is computed from.
    fn check_rows(&self, sorted: &Sorted) -> Result<(), IngestError> {
        let schema = self.declaration.schema();
        let most = schema.tables.iter().map(|table| (table.name.clone(), schema.rows_max(table)));
        match most.zip(&sorted.rows).find(|((_, declared), rows)| *rows > declared) {
            Some(((table, declared), rows)) => Err(IngestError::TooManyRows { table, rows: *rows, declared }),
            None => Ok(()),
        }
    }

    /// The sources' own filters, checked before anything is read.
    fn filters(&self) -> Result<Vec<Option<Filter>>, IngestError> {
        let tables = self.declaration.schema().tables.iter().map(|t| &t.name);
        if let Some(table) = tables.into_iter().find(|t| self.sources.iter().all(|s| s.table != **t)) {
            return Err(IngestError::NoSource { table: table.clone() });
        }
        let filter = |source: &Source| {
            let schema = self.declaration.schema().table(&source.table);
            let schema = schema.ok_or_else(|| IngestError::NoTable { table: source.table.clone() })?;
            let parsed = source.rows.as_ref().map(|text| Filter::parse(text, schema)).transpose();
            parsed.map_err(|why| IngestError::Rows { table: source.table.clone(), why })
        };
        self.sources.iter().map(filter).collect()
    }
}
