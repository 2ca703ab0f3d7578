//! The digest of records: over values, so that it depends neither on a file's encryption nor on its encoding.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        datatypes::{
            ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
        },
    },
    error::DataFusionError,
};

/// Hashes all values of `batch`, column by column; what lies under a missing value does not count.
pub(super) fn hash(batch: &RecordBatch, hasher: &mut blake3::Hasher) -> Result<(), DataFusionError> {
    for column in batch.columns() {
        let present: Vec<u8> = match column.nulls() {
            Some(nulls) if nulls.null_count() > 0 => nulls.iter().map(u8::from).collect(),
            _ => Vec::new(),
        };
        hasher.update(&column.len().to_le_bytes()).update(&present.len().to_le_bytes()).update(&present);
        match column.data_type() {
            DataType::Int64 => primitive::<Int64Type>(column, hasher),
            DataType::Float64 => primitive::<Float64Type>(column, hasher),
            DataType::Int32 => primitive::<Int32Type>(column, hasher),
            DataType::Date32 => primitive::<Date32Type>(column, hasher),
            DataType::Timestamp(..) => primitive::<TimestampMicrosecondType>(column, hasher),
            DataType::Boolean => {
                let values: Vec<u8> = column.as_boolean().iter().map(|v| u8::from(v.unwrap_or_default())).collect();
                hasher.update(&values);
            }
            DataType::Utf8 => {
                let mut bytes = Vec::new();
                for value in column.as_string::<i32>() {
                    let value = value.unwrap_or_default();
                    bytes.extend_from_slice(&value.len().to_le_bytes());
                    bytes.extend_from_slice(value.as_bytes());
                }
                hasher.update(&bytes);
            }
            DataType::FixedSizeBinary(16) => {
                hasher.update(column.as_fixed_size_binary().value_data());
            }
            other => return Err(DataFusionError::Internal(format!("no column is {other}"))),
        }
    }
    Ok(())
}

fn primitive<T: ArrowPrimitiveType>(column: &ArrayRef, hasher: &mut blake3::Hasher) {
    let array = column.as_primitive::<T>();
    if array.null_count() == 0 {
        hasher.update(array.values().inner().as_slice());
    } else {
        let values: Vec<T::Native> = array.iter().map(Option::unwrap_or_default).collect();
        hasher.update(datafusion::arrow::buffer::Buffer::from_vec(values).as_slice());
    }
}
