//! What a dataset is, and how its columns are read from the operator's files (`docs/dataset-format.md`).

use std::{fs, path::Path};

use spe_kernel::{
    dataset::{ColumnSchema, DatasetSchema, TableSchema},
    filter::Filter,
    ids::ColumnName,
};

mod check;
mod raw;

/// A dataset's declaration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    schema: DatasetSchema,
    pub(crate) partitions: usize,
    /// One for each table of the schema.
    pub(crate) tables: Vec<TableSource>,
}

/// How one table is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableSource {
    pub(crate) schema: TableSchema,
    /// Source columns that identify the data subject; never stored.
    pub(crate) key: Vec<String>,
    /// Spellings of a missing value in the key.
    pub(crate) missing: Vec<String>,
    /// Columns by which a subject's rows are ordered.
    pub(crate) order_by: Vec<ColumnName>,
    pub(crate) dropped: Dropped,
    pub(crate) delimiter: u8,
    /// Which rows are ingested.
    pub(crate) rows: Option<Filter>,
    /// One for each column of the schema.
    pub(crate) columns: Vec<ColumnSource>,
}

/// Source columns that never reach the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// These; any other undeclared column refuses the file.
    Named(Vec<String>),
    /// Whatever is not declared.
    Rest,
}

/// How one column is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnSource {
    pub(crate) schema: ColumnSchema,
    /// Its name in the source's header.
    pub(crate) source: String,
    /// Spellings of a missing value.
    pub(crate) missing: Vec<String>,
    pub(crate) outside: Outside,
    /// Spellings of true and false.
    pub(crate) truths: Truths,
}

/// Spellings of a boolean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truths {
    pub(crate) yes: Vec<String>,
    pub(crate) no: Vec<String>,
}

/// What becomes of a value outside the declared bounds or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outside {
    /// The file is refused.
    #[default]
    Refuse,
    /// It becomes the nearest bound.
    Clamp,
    /// It becomes a missing value.
    Missing,
}

/// A declaration that cannot be, and why: file, place and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DeclarationError(pub(crate) String);

impl Declaration {
    /// Reads and checks a declaration in TOML.
    ///
    /// # Errors
    /// Says which field is wrong and what it should be.
    pub fn parse(text: &str) -> Result<Self, DeclarationError> {
        check::declaration(toml::from_str(text).map_err(|e| DeclarationError(e.to_string()))?)
    }

    /// Reads and checks the declaration in `file`.
    ///
    /// # Errors
    /// Names the file, and says which field is wrong and what it should be.
    pub fn read(file: &Path) -> Result<Self, DeclarationError> {
        let named = |why: String| DeclarationError(format!("{}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|e| named(format!("cannot be read: {e}")))?;
        Self::parse(&text).map_err(|e| named(e.0))
    }

    /// The public schema.
    pub const fn schema(&self) -> &DatasetSchema {
        &self.schema
    }
}
