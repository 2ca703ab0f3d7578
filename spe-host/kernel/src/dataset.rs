//! The public description of a dataset: what every node that holds a part of it declares alike.

use serde::{Deserialize, Serialize};

use crate::{
    category::{Categories, Category},
    ids::{ColumnName, DatasetName, Digest, TableName},
    units::Loss,
};

/// Categories of one column or output at most.
pub const CATEGORIES_MAX: usize = 10_000;
/// Rows of a table that are expected of each data subject on average, where no `rows_max` is declared.
pub const ROWS_PER_SUBJECT_DEFAULT: u64 = 100;
/// Rows that a table may have however few its data subjects are, where no `rows_max` is declared.
pub const ROWS_MAX_LEAST: u64 = 100_000;

/// A dataset's public schema. Nodes of a federation that share a dataset agree on every field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSchema {
    /// The dataset's name.
    pub name: DatasetName,
    /// One line for people.
    pub title: String,
    /// At how many nodes one person may be (m); 1 = nobody is at two (**disjoint**).
    #[serde(default = "one")]
    pub overlap: u32,
    /// At most so many data subjects are at any one node: public, and decided before the data is looked at. The time that a job
    /// takes is a function of it (`pace`).
    pub subjects_max: u32,
    /// The tables, each with the same data subjects as unit.
    pub tables: Vec<TableSchema>,
}

const fn one() -> u32 {
    1
}

/// A table: any number of rows for each data subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSchema {
    /// The table's name.
    pub name: TableName,
    /// At most so many rows are in it at any one node: public, and decided before the data is looked at, like
    /// [`DatasetSchema::subjects_max`]. See [`DatasetSchema::rows_max`] for what none means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_max: Option<u64>,
    /// What kind of health data it is: what choices of data subjects by category are about. None = it may be any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The column that says when a row is from: a date, a timestamp, or an integer that is a year. Permits may cut by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<ColumnName>,
    /// Columns that modules may read; identifiers are not among them.
    pub columns: Vec<ColumnSchema>,
}

/// A column and its public bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSchema {
    /// The column's name.
    pub name: ColumnName,
    /// What its values are.
    #[serde(flatten)]
    pub kind: ColumnType,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The type of a column's values, with bounds that ingest enforces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ColumnType {
    /// Whole numbers in `[min, max]`.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Finite numbers in `[min, max]`.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// True or false.
    Boolean,
    /// One of a public list, in this order; modules see the index.
    Category {
        /// The list.
        values: Vec<String>,
    },
    /// A calendar day.
    Date,
    /// An instant, microseconds UTC.
    Timestamp,
    /// UTF-8 text.
    Text {
        /// Longest value in bytes.
        max_bytes: u32,
    },
}

impl ColumnType {
    /// The type's name as written in declarations.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::Category { .. } => "category",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Text { .. } => "text",
        }
    }
}

impl DatasetSchema {
    /// The table of that name.
    pub fn table(&self, name: &TableName) -> Option<&TableSchema> {
        self.tables.iter().find(|t| &t.name == name)
    }

    /// Of which categories the data of `tables` is: of any, where a table does not say, or none is named.
    ///
    /// # Privacy
    /// Who has opted out of one category is passed over by whatever may be of it.
    pub fn categories<'a>(&self, tables: impl Iterator<Item = &'a TableName>) -> Categories {
        let category =
            |name| self.table(name).and_then(|table| table.category).map_or(Categories::ALL, Categories::from);
        tables.map(category).reduce(Categories::and).unwrap_or(Categories::ALL)
    }

    /// Whether its tables differ in their categories, so that somebody can refuse some of them and not the others.
    pub fn is_of_several_categories(&self) -> bool {
        let mut categories = self.tables.iter().map(|table| table.category);
        let first = categories.next();
        categories.any(|category| Some(category) != first)
    }

    /// Rows of `table` at any one node, at most: what is declared, or [`ROWS_PER_SUBJECT_DEFAULT`] for each data subject, and
    /// [`ROWS_MAX_LEAST`] where that is less. Public either way; the time that reading takes is a function of it (`pace`).
    pub fn rows_max(&self, table: &TableSchema) -> u64 {
        let usual = u64::from(self.subjects_max) * ROWS_PER_SUBJECT_DEFAULT;
        table.rows_max.unwrap_or(usual.max(ROWS_MAX_LEAST))
    }
}

impl TableSchema {
    /// The column of that name.
    pub fn column(&self, name: &ColumnName) -> Option<&ColumnSchema> {
        self.columns.iter().find(|c| &c.name == name)
    }
}

/// One node's part of a dataset, as it stands in the node's catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The public schema.
    pub schema: DatasetSchema,
    /// Digest of the ingested snapshot; keyed, so that it says nothing about the data.
    pub snapshot: Digest,
    /// All loss this node will ever allow on the dataset.
    pub budget: Loss,
    /// Loss spent so far. A function of requests only, never of records.
    pub spent: Loss,
}
