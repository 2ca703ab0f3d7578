//! Columns under construction, and blocks of source rows.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, FixedSizeBinaryArray, Float64Builder, Int32Builder, Int64Builder,
        RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
    },
    buffer::Buffer,
    datatypes::SchemaRef,
    error::ArrowError,
};
use spe_kernel::dataset::ColumnType;

use super::{cell::Cell, column::Value, error::Place, parquet::Rows};
use crate::pseudonym::Pseudonym;

/// Consecutive rows of one source, only their slots: what the reading thread hands to the parsing threads.
pub(super) enum Block {
    Text(TextRows),
    Typed(Rows),
}

impl Block {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Text(rows) => rows.places.len(),
            Self::Typed(rows) => rows.len(),
        }
    }

    /// Memory that its values take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(rows) => rows.bytes.len(),
            Self::Typed(rows) => rows.bytes(),
        }
    }

    pub(super) fn cell(&self, row: usize, slot: usize) -> Cell<'_> {
        match self {
            Self::Text(rows) => rows.cell(row, slot),
            Self::Typed(rows) => rows.cell(row, slot),
        }
    }

    pub(super) fn place(&self, row: usize) -> Place {
        match self {
            Self::Text(rows) => rows.places.get(row).map_or(Place::File, |line| Place::Line(*line)),
            Self::Typed(rows) => rows.place(row),
        }
    }
}

/// Cells of text rows, end to end.
pub(super) struct TextRows {
    pub(super) bytes: Vec<u8>,
    /// Where each cell ends, row by row.
    pub(super) ends: Vec<usize>,
    pub(super) slots: usize,
    /// Each row's line.
    pub(super) places: Vec<u64>,
}

impl TextRows {
    fn cell(&self, row: usize, slot: usize) -> Cell<'_> {
        let at = row * self.slots + slot;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let cell = self.ends.get(at).and_then(|end| self.bytes.get(start..*end));
        cell.map_or(Cell::Missing, Cell::Text)
    }
}

/// A batch under construction.
pub(super) struct BatchBuilder {
    schema: SchemaRef,
    subjects: Vec<u8>,
    columns: Vec<Builder>,
}

impl BatchBuilder {
    /// `kinds` are the types of all columns of `schema` after the subject.
    pub(super) fn new<'a>(schema: SchemaRef, kinds: impl Iterator<Item = &'a ColumnType>) -> Self {
        Self { schema, subjects: Vec::new(), columns: kinds.map(Builder::new).collect() }
    }

    pub(super) fn push_subject(&mut self, subject: &Pseudonym) {
        self.subjects.extend_from_slice(subject);
    }

    pub(super) fn push(&mut self, column: usize, value: Value<'_>) {
        if let Some(builder) = self.columns.get_mut(column) {
            builder.push(value);
        }
    }

    /// The batch; the builder is empty again.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let subjects = Buffer::from_vec(std::mem::take(&mut self.subjects));
        let subjects: ArrayRef = Arc::new(FixedSizeBinaryArray::try_new(16, subjects, None)?);
        let columns = self.columns.iter_mut().map(Builder::finish);
        RecordBatch::try_new(self.schema.clone(), [subjects].into_iter().chain(columns).collect())
    }
}

enum Builder {
    Integer(Int64Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Category(Int32Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    fn new(kind: &ColumnType) -> Self {
        match kind {
            ColumnType::Integer { .. } => Self::Integer(Int64Builder::new()),
            ColumnType::Number { .. } => Self::Number(Float64Builder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Category { .. } => Self::Category(Int32Builder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::Text { .. } => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends `value`, which is missing or of this type.
    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Integer(b), Value::Integer(v)) => b.append_value(v),
            (Self::Number(b), Value::Number(v)) => b.append_value(v),
            (Self::Boolean(b), Value::Boolean(v)) => b.append_value(v),
            (Self::Category(b), Value::Category(v)) => b.append_value(v),
            (Self::Date(b), Value::Date(v)) => b.append_value(v),
            (Self::Timestamp(b), Value::Timestamp(v)) => b.append_value(v),
            (Self::Text(b), Value::Text(v)) => b.append_value(v),
            (Self::Integer(b), _) => b.append_null(),
            (Self::Number(b), _) => b.append_null(),
            (Self::Boolean(b), _) => b.append_null(),
            (Self::Category(b), _) => b.append_null(),
            (Self::Date(b), _) => b.append_null(),
            (Self::Timestamp(b), _) => b.append_null(),
            (Self::Text(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Number(b) => Arc::new(b.finish()),
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Category(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
        }
    }
}
