//! Copying rows out of Arrow arrays into compact columns: offsets from 0, missing values zero, no shared memory.

use std::ops::Range;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{ArrowPrimitiveType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use spe_kernel::{
    dataset::ColumnType,
    fault::Fault,
    record::{ColumnChunk, Values},
};

/// A column of a chunk under construction.
pub(super) struct Gathered {
    kind: ColumnType,
    chunk: ColumnChunk,
    rows: usize,
}

impl Gathered {
    pub(super) fn new(kind: &ColumnType) -> Self {
        Self { kind: kind.clone(), chunk: ColumnChunk { present: Vec::new(), values: empty(kind) }, rows: 0 }
    }

    pub(super) fn take(&mut self) -> ColumnChunk {
        self.rows = 0;
        let fresh = ColumnChunk { present: Vec::new(), values: empty(&self.kind) };
        std::mem::replace(&mut self.chunk, fresh)
    }

    /// Appends `rows` of `array`.
    pub(super) fn append(&mut self, array: &ArrayRef, rows: Range<usize>) -> Result<(), Fault> {
        let slice = array.slice(rows.start, rows.len());
        self.append_present(&slice);
        self.rows += rows.len();
        let copied = match &mut self.chunk.values {
            Values::Integer(values) => primitive::<Int64Type>(values, &slice),
            Values::Number(values) => primitive::<Float64Type>(values, &slice),
            Values::Category(values) => primitive::<Int32Type>(values, &slice),
            Values::Date(values) => primitive::<Date32Type>(values, &slice),
            Values::Timestamp(values) => primitive::<TimestampMicrosecondType>(values, &slice),
            Values::Boolean(values) => boolean(values, &slice),
            Values::Text(offsets, bytes) => text(offsets, bytes, &slice),
        };
        copied.ok_or_else(|| {
            Fault::new("reading a table", format!("a {} is {} on disk", self.kind.name(), array.data_type()))
        })
    }

    /// `present` stays empty until the first missing value.
    fn append_present(&mut self, slice: &ArrayRef) {
        let present = &mut self.chunk.present;
        match slice.nulls().filter(|n| n.null_count() > 0) {
            Some(nulls) => {
                present.resize(self.rows, 1);
                present.extend(nulls.iter().map(u8::from));
            }
            None if !present.is_empty() => present.resize(self.rows + slice.len(), 1),
            None => {}
        }
    }
}

fn empty(kind: &ColumnType) -> Values {
    match kind {
        ColumnType::Integer { .. } => Values::Integer(Vec::new()),
        ColumnType::Number { .. } => Values::Number(Vec::new()),
        ColumnType::Boolean => Values::Boolean(Vec::new()),
        ColumnType::Category { .. } => Values::Category(Vec::new()),
        ColumnType::Date => Values::Date(Vec::new()),
        ColumnType::Timestamp => Values::Timestamp(Vec::new()),
        ColumnType::Text { .. } => Values::Text(vec![0], Vec::new()),
    }
}

/// What lies under a missing value in Arrow is undefined; here it is zero.
fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, slice: &ArrayRef) -> Option<()> {
    let array = slice.as_primitive_opt::<T>()?;
    if array.null_count() == 0 {
        values.extend_from_slice(array.values());
    } else {
        values.extend(array.iter().map(Option::unwrap_or_default));
    }
    Some(())
}

fn boolean(values: &mut Vec<u8>, slice: &ArrayRef) -> Option<()> {
    values.extend(slice.as_boolean_opt()?.iter().map(|v| u8::from(v.unwrap_or_default())));
    Some(())
}

fn text(offsets: &mut Vec<usize>, bytes: &mut Vec<u8>, slice: &ArrayRef) -> Option<()> {
    for value in slice.as_string_opt::<i32>()? {
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        offsets.push(bytes.len());
    }
    Some(())
}
