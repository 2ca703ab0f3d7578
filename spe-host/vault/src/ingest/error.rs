//! Why an ingest failed: for the operator, who has the files. Values are not quoted; logs get copied further than data.

use std::path::{Path, PathBuf};

use spe_kernel::{
    filter::FilterError,
    ids::{DatasetName, TableName},
    keys::KeyError,
};

use crate::optout::RegisterError;

/// An ingest that failed. Nothing of it is left on disk.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A table without a file.
    #[error("table {table} has no source; name at least one file for it")]
    NoSource {
        /// The table.
        table: TableName,
    },
    /// A file for a table that is not declared.
    #[error("a source is for table {table}, which is not declared")]
    NoTable {
        /// The table.
        table: TableName,
    },
    /// The caller's row filter is not one.
    #[error("the row filter for table {table} is wrong: {why}")]
    Rows {
        /// The table.
        table: TableName,
        /// Where and why.
        why: FilterError,
    },
    /// A file that is not as declared.
    #[error("{}: {place}{why}", file.display())]
    Source {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        why: Box<SourceError>,
    },
    /// No row is left.
    #[error("no row is left to ingest: the sources are empty or the row filters keep nothing")]
    Nothing,
    /// More people than the declaration promises to the public.
    #[error(
        "{subjects} data subjects, but \"subjects_max\" declares at most {declared} at any one node: ingest fewer, or declare a \
         larger bound, at all nodes alike; every job's time is computed from it, so leave room rather than declare the number itself"
    )]
    TooMany {
        /// How many the sources have.
        subjects: u64,
        /// How many are declared at most.
        declared: u32,
    },
    /// More rows than the declaration promises to the public.
    #[error(
        "table {table} has {rows} rows, and at any one node it may have {declared} (\"rows_max\", or 100 for each of \"subjects_max\" where \
         none is declared): ingest fewer, or declare a larger bound, at all nodes alike; every job's time is computed from it, so leave \
         room rather than declare the number itself"
    )]
    TooManyRows {
        /// The table.
        table: TableName,
        /// How many rows the sources have.
        rows: u64,
        /// How many there may be.
        declared: u64,
    },
    /// The register of opt-outs is lost or damaged, or would be about nobody.
    #[error("dataset {dataset}: {why}; nothing was published")]
    Optouts {
        /// The dataset.
        dataset: DatasetName,
        /// What is wrong.
        why: RegisterError,
    },
    /// No pseudonyms, or no data key.
    #[error("dataset {dataset}: {why}; nothing was published")]
    Keys {
        /// The dataset.
        dataset: DatasetName,
        /// Why.
        why: KeyError,
    },
    /// Another process ingests into the same vault.
    #[error("another ingest is writing to {}; wait until it has finished", vault.display())]
    Busy {
        /// The vault.
        vault: PathBuf,
    },
    /// The vault cannot be written.
    #[error("cannot write to {}: {why}; nothing was published. Check that the directory exists, may be written and has room", path.display())]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The new snapshot is in place, the pointer to it may not be.
    #[error("dataset {dataset}: the snapshot is written but could not be made current: {why}; ingest again")]
    Publish {
        /// The dataset.
        dataset: DatasetName,
        /// The system's words.
        why: String,
    },
}

/// Where in a source file something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// Line of a CSV file, from 1.
    Line(u64),
    /// Row of a Parquet file, from 1.
    Row(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, "line {line}: "),
            Self::Row(row) => write!(f, "row {row}: "),
        }
    }
}

/// What is wrong with a source file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "fields are named after what they hold, and shown by the message beside them")]
pub enum SourceError {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Neither CSV nor Parquet.
    #[error("is neither .csv nor .parquet")]
    UnknownFormat,
    /// No header.
    #[error("is empty; a header line is needed")]
    Empty,
    /// Two columns with one name.
    #[error("column {column:?} is twice in the header; rename one")]
    DuplicateHeader { column: String },
    /// A declared column is not there.
    #[error("column {column:?} is missing; the file has {}", list(.has))]
    MissingColumn { column: String, has: Vec<String> },
    /// A column that nobody has decided about.
    #[error(
        "column {column:?} is neither declared nor dropped; declare it, add it to \"drop\", or say drop = \"rest\""
    )]
    UndecidedColumn { column: String },
    /// A column of a type that cannot be converted.
    #[error("column {column:?} holds {found}; expected {expected}")]
    ColumnType { column: String, found: String, expected: String },
    /// More or fewer cells than the header has.
    #[error("{found} cells, but the header has {expected}; is a quotation mark or a delimiter missing?")]
    Ragged { found: u64, expected: u64 },
    /// Quotation marks that do not pair.
    #[error(
        "the number of quotation marks is odd: one is never closed; a mark inside a cell must be doubled and the cell quoted"
    )]
    OddQuotes,
    /// UTF-16, found by its byte order mark.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// A subject without key. The key is not shown.
    #[error("column {column:?}: the subject key is missing; every row must belong to a data subject")]
    NoKey { column: String },
    /// A value that is not of its column's type, or outside its bounds.
    #[error("column {column:?}: expected {expected}, found {found}")]
    Cell { column: String, expected: String, found: String },
}

fn list(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(40).map(String::as_str).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

impl IngestError {
    /// For `map_err` where `file` is read.
    pub(crate) fn source(file: &Path, place: Place, why: SourceError) -> Self {
        Self::Source { file: file.to_owned(), place, why: Box::new(why) }
    }

    /// For `map_err` where the register of `dataset` is used.
    pub(crate) fn optouts(dataset: &DatasetName) -> impl FnOnce(RegisterError) -> Self {
        move |why| Self::Optouts { dataset: dataset.clone(), why }
    }

    /// For `map_err` where keys of `dataset` are asked for.
    pub(crate) fn keys(dataset: &DatasetName) -> impl FnOnce(KeyError) -> Self {
        move |why| Self::Keys { dataset: dataset.clone(), why }
    }

    /// For `map_err` where `path` is written.
    pub(crate) fn write<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self {
        move |why| Self::Write { path: path.to_owned(), why: why.to_string() }
    }
}
