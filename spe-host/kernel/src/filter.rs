//! Row filters (stub).

use std::collections::BTreeSet;

use crate::{dataset::TableSchema, ids::ColumnName};

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    columns: BTreeSet<ColumnName>,
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub String);

impl Filter {
    /// Parses `text` over the columns of `table`.
    ///
    /// # Errors
    /// Says where and why.
    pub fn parse(_text: &str, _table: &TableSchema) -> Result<Self, FilterError> {
        Err(FilterError("not yet".into()))
    }

    /// The columns that it names.
    pub const fn columns(&self) -> &BTreeSet<ColumnName> {
        &self.columns
    }
}
