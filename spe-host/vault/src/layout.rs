//! How tables lie on disk: Arrow types, the subject column, file names.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use spe_kernel::{
    dataset::{ColumnType, DatasetSchema, TableSchema},
    ids::TableName,
};

/// The column of pseudonyms, first in every file. Not a [`spe_kernel::ids::ColumnName`], so no column can clash.
pub(crate) const SUBJECT: &str = "@subject";
/// The column of the categories of the tables in which a subject has rows, in lists of subjects; as [`SUBJECT`], no other's name.
pub(crate) const CATEGORIES: &str = "@categories";
/// Rows in a batch in memory.
pub(crate) const BATCH_ROWS: usize = 8_192;

/// The Arrow type of a column: its values as a module sees them, categories as codes.
pub(crate) const fn data_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Integer { .. } => DataType::Int64,
        ColumnType::Number { .. } => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Category { .. } => DataType::Int32,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Text { .. } => DataType::Utf8,
    }
}

fn subject_field() -> Field {
    Field::new(SUBJECT, DataType::FixedSizeBinary(16), false)
}

/// The subjects of a partition: pseudonyms, and where tables differ in their categories, of which each subject has rows
/// ([`Categories::bits`](spe_kernel::category::Categories::bits)); snapshots of before have no such column, which is read as missing values.
pub(crate) fn subjects_schema(dataset: &DatasetSchema) -> SchemaRef {
    let categories = dataset.is_of_several_categories().then(|| Field::new(CATEGORIES, DataType::Int32, true));
    Arc::new(Schema::new([subject_field()].into_iter().chain(categories).collect::<Vec<_>>()))
}

/// The subject column and all columns of `table`, in declared order.
pub(crate) fn table_schema(table: &TableSchema) -> SchemaRef {
    let columns = table.columns.iter().map(|c| Field::new(c.name.as_str(), data_type(&c.kind), true));
    Arc::new(Schema::new([subject_field()].into_iter().chain(columns).collect::<Vec<_>>()))
}

/// The name of a table's file in its snapshot.
pub(crate) fn table_file(table: &TableName, partition: usize) -> String {
    format!("tables/{table}/{partition:04}.parquet")
}

/// The name of a list of subjects in its snapshot.
pub(crate) fn subjects_file(partition: usize) -> String {
    format!("subjects/{partition:04}.parquet")
}
