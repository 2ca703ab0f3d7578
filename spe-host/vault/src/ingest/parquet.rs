//! Reading Parquet: only the slots' columns, as a few plain types.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

use super::{
    batch::Block,
    cell::Cell,
    error::{IngestError, Place, SourceError},
    header,
};
use crate::{declaration::TableSource, layout::BATCH_ROWS};

/// An open Parquet file.
pub(super) struct ParquetFile {
    file: PathBuf,
    reader: ParquetRecordBatchReader,
    /// Each slot's name, place in a batch, and whether it is part of the subject key.
    slots: Vec<(String, usize, bool)>,
    rows: u64,
}

impl ParquetFile {
    pub(super) fn open(file: &Path, table: &TableSource) -> Result<Self, IngestError> {
        let fail = |why| IngestError::source(file, Place::File, why);
        let unreadable = |e: String| fail(SourceError::Unreadable(e));
        let bytes = File::open(file).map_err(|e| unreadable(e.to_string()))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| unreadable(e.to_string()))?;
        let header: Vec<_> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
        let slots = header::slots(table, &header).map_err(fail)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), slots.iter().copied());
        let projected: Vec<_> = (0..header.len()).filter(|i| slots.contains(i)).collect();
        let place = |(slot, index): (usize, &usize)| {
            let name = header.get(*index).cloned().unwrap_or_default();
            (name, projected.iter().position(|p| p == index).unwrap_or(0), slot < table.key.len())
        };
        let slots = slots.iter().enumerate().map(place).collect();
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
        let reader = reader.map_err(|e| unreadable(e.to_string()))?;
        Ok(Self { file: file.into(), reader, slots, rows: 0 })
    }

    /// The next rows; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Block>, IngestError> {
        let first = self.rows;
        let fail = |why| IngestError::source(&self.file, Place::Row(first + 1), why);
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|e| fail(SourceError::Unreadable(e.to_string())))?;
        let slot = |(name, place, key): &(String, usize, bool)| column(name, batch.column(*place), *key);
        let columns = self.slots.iter().map(slot).collect::<Result<_, _>>().map_err(fail)?;
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(0);
        let (rows, bytes) = (batch.num_rows(), batch.get_array_memory_size());
        Ok(Some(Block::Typed(Rows { columns, first, rows, bytes })))
    }
}

/// Rows of typed columns, one a slot.
pub(super) struct Rows {
    columns: Vec<Column>,
    /// Number of rows before these.
    first: u64,
    rows: usize,
    bytes: usize,
}

enum Column {
    Missing,
    Integer(Int64Array),
    Number(Float64Array),
    Boolean(BooleanArray),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Text(StringArray),
}

impl Rows {
    pub(super) const fn len(&self) -> usize {
        self.rows
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn place(&self, row: usize) -> Place {
        Place::Row(self.first + u64::try_from(row).unwrap_or(0) + 1)
    }

    pub(super) fn cell(&self, row: usize, slot: usize) -> Cell<'_> {
        fn value<'a, T>(
            array: &'a impl Array,
            row: usize,
            cell: impl FnOnce(T) -> Cell<'a>,
            get: impl FnOnce() -> T,
        ) -> Cell<'a> {
            if array.is_null(row) { Cell::Missing } else { cell(get()) }
        }
        match self.columns.get(slot) {
            None | Some(Column::Missing) => Cell::Missing,
            Some(Column::Integer(a)) => value(a, row, Cell::Integer, || a.value(row)),
            Some(Column::Number(a)) => value(a, row, Cell::Number, || a.value(row)),
            Some(Column::Boolean(a)) => value(a, row, Cell::Boolean, || a.value(row)),
            Some(Column::Date(a)) => value(a, row, Cell::Date, || a.value(row)),
            Some(Column::Timestamp(a)) => value(a, row, Cell::Timestamp, || a.value(row)),
            Some(Column::Text(a)) => value(a, row, Cell::Text, || a.value(row).as_bytes()),
        }
    }
}

/// The plain form of a column. A key must be exact, so it cannot be a number with a fraction.
fn column(name: &str, array: &ArrayRef, key: bool) -> Result<Column, SourceError> {
    let plain = plain_type(array.data_type());
    let plain = plain.filter(|t| !key || matches!(t, DataType::Int64 | DataType::Utf8));
    let Some(plain) = plain else {
        let expected = if key {
            "text or whole numbers for the subject key"
        } else {
            "numbers, booleans, dates, timestamps or text"
        };
        let found = array.data_type().to_string();
        return Err(SourceError::ColumnType { column: name.into(), found, expected: expected.into() });
    };
    let options = CastOptions { safe: false, ..Default::default() };
    let array = cast_with_options(array, &plain, &options).map_err(|_| {
        let expected = format!("values that fit {plain}");
        SourceError::ColumnType { column: name.into(), found: array.data_type().to_string(), expected }
    })?;
    Ok(match plain {
        DataType::Int64 => Column::Integer(array.as_primitive::<Int64Type>().clone()),
        DataType::Float64 => Column::Number(array.as_primitive::<Float64Type>().clone()),
        DataType::Boolean => Column::Boolean(array.as_boolean().clone()),
        DataType::Date32 => Column::Date(array.as_primitive::<Date32Type>().clone()),
        DataType::Timestamp(..) => Column::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone()),
        DataType::Utf8 => Column::Text(array.as_string::<i32>().clone()),
        _ => Column::Missing,
    })
}

/// The plain type that holds every value of a source type; `None` for nested and other types.
fn plain_type(source: &DataType) -> Option<DataType> {
    Some(match source {
        t if t.is_integer() => DataType::Int64,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale)
            if *scale <= 0 =>
        {
            DataType::Int64
        }
        t if t.is_floating() || t.is_decimal() => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => plain_type(values)?,
        DataType::Null => DataType::Null,
        _ => return None,
    })
}
