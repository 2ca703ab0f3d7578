//! Runs an analysis on the developer's machine, in a unit test, without WebAssembly or `spe`.
//!
//! ```
//! use spe_guest::{testing, Manifest, Outputs, Params, Subject};
//!
//! const MANIFEST: Manifest = Manifest::new(r#"{
//!     "inputs": [{ "table": "years", "columns": ["visits"], "max_rows": 5 }],
//!     "outputs": [{ "name": "visits", "kind": "mean", "lower": 0, "upper": 20 }]
//! }"#);
//!
//! fn map(subject: &Subject, _: &Params, out: &mut Outputs) {
//!     let visits = const { MANIFEST.table("years").integer("visits") };
//!     out.mean(const { MANIFEST.mean("visits") }, subject.column(visits).mean());
//! }
//!
//! let years = [testing::integers([Some(2), None, Some(4)])];
//! assert_eq!(testing::answer(MANIFEST, map, &[], &[&years]), [3.0]);
//! ```

use std::string::String;
use std::vec;
use std::vec::Vec;

use spe_abi::{column, record, table, Kind, ALIGN, NULL};

use crate::raw::Memory;
use crate::{Manifest, Map, Outputs, Params, Subject};

/// A column of a made-up data subject.
pub struct Cells {
    kind: Kind,
    present: Vec<bool>,
    offsets: Vec<u8>,
    values: Vec<u8>,
}

/// A column of whole numbers.
pub fn integers<T: Into<Option<i64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Integer, cells, i64::to_le_bytes)
}

/// A column of numbers.
pub fn numbers<T: Into<Option<f64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Number, cells, f64::to_le_bytes)
}

/// A column of codes into the dataset's list of categories.
pub fn categories<T: Into<Option<u32>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Category, cells, u32::to_le_bytes)
}

/// A column of days since 1970-01-01.
pub fn dates<T: Into<Option<i32>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Date, cells, i32::to_le_bytes)
}

/// A column of microseconds since 1970-01-01T00:00Z.
pub fn timestamps<T: Into<Option<i64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Timestamp, cells, i64::to_le_bytes)
}

/// A column of yes or no.
pub fn booleans<T: Into<Option<bool>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    let cells: Vec<Option<bool>> = cells.into_iter().map(Into::into).collect();
    let present = cells.iter().map(Option::is_some).collect();
    Cells { kind: Kind::Boolean, present, offsets: vec![], values: bitmap(cells.iter().map(|c| c.unwrap_or(false))) }
}

/// A column of text.
pub fn texts<'t, T: Into<Option<&'t str>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    let cells: Vec<Option<&str>> = cells.into_iter().map(Into::into).collect();
    let mut values = String::new();
    let mut offsets = vec![0; 4];
    for cell in &cells {
        values.push_str(cell.unwrap_or(""));
        offsets.extend((values.len() as u32).to_le_bytes());
    }
    Cells {
        kind: Kind::Text,
        present: cells.iter().map(Option::is_some).collect(),
        offsets,
        values: values.into_bytes(),
    }
}

/// The numbers that `map` writes for a data subject with these tables: per input of the manifest, one column each.
///
/// # Panics
/// If the number of parameters or of tables is not the manifest's, or where `map` panics.
#[must_use]
pub fn answer(manifest: Manifest, map: Map, params: &[f64], tables: &[&[Cells]]) -> Vec<f64> {
    assert_eq!(params.len(), manifest.params(), "the manifest's number of parameters");
    let record = record_of(tables);
    let mut numbers = vec![0.0; manifest.numbers()];
    let subject = Subject::new(Memory::of(&record.words), record.address);
    map(&subject, &Params::new(params), &mut Outputs::new(&mut numbers));
    numbers
}

fn array<V, T: Into<Option<V>>, const B: usize>(
    kind: Kind,
    cells: impl IntoIterator<Item = T>,
    bytes: fn(V) -> [u8; B],
) -> Cells {
    let cells: Vec<Option<V>> = cells.into_iter().map(Into::into).collect();
    let present = cells.iter().map(Option::is_some).collect();
    let values = cells.into_iter().flat_map(|cell| cell.map_or([0; B], bytes)).collect();
    Cells { kind, present, offsets: vec![], values }
}

fn bitmap(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (row, bit) in bits.enumerate() {
        bytes[row / 8] |= u8::from(bit) << (row % 8);
    }
    bytes
}

/// A record, in 8-byte words so that it is aligned; its addresses count from the first.
pub(crate) struct Record {
    words: Vec<u64>,
    address: u32,
}

fn record_of(tables: &[&[Cells]]) -> Record {
    // Address 0 stays free: it means "no bitmap".
    let mut record = Record { words: vec![0], address: 0 };
    let laid: Vec<u8> = tables.iter().flat_map(|columns| record.table(columns)).collect();
    let tables_at = record.put(&laid);
    let fields = [(record::TABLES, tables_at), (record::TABLE_COUNT, tables.len() as u32)];
    record.address = record.put(&structure(record::BYTES, &fields));
    record
}

impl Record {
    fn table(&mut self, columns: &[Cells]) -> Vec<u8> {
        let rows = columns.first().map_or(0, |cells| cells.present.len());
        let laid: Vec<u8> = columns.iter().flat_map(|cells| self.column(cells, rows)).collect();
        let columns_at = self.put(&laid);
        let counts = [(table::COLUMN_COUNT, columns.len() as u32), (table::ROWS, rows as u32)];
        structure(table::BYTES, &[&[(table::COLUMNS, columns_at)], &counts[..]].concat())
    }

    fn column(&mut self, cells: &Cells, rows: usize) -> Vec<u8> {
        assert_eq!(cells.present.len(), rows, "columns of a table have as many rows");
        let all = cells.present.iter().all(|present| *present);
        let validity = if all { NULL } else { self.put(&bitmap(cells.present.iter().copied())) };
        let offsets = if cells.kind == Kind::Text { self.put(&cells.offsets) } else { NULL };
        let values = self.put(&cells.values);
        let kind = (column::KIND, cells.kind.code());
        let pointers = [(column::VALIDITY, validity), (column::OFFSETS, offsets), (column::VALUES, values)];
        structure(column::BYTES, &[&[kind], &pointers[..]].concat())
    }

    /// Appends `bytes`, padded with zeros, and says at which address.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let address = self.words.len() as u32 * ALIGN;
        for chunk in bytes.chunks(ALIGN as usize) {
            let mut word = [0; ALIGN as usize];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words.push(u64::from_ne_bytes(word));
        }
        address
    }
}

fn structure(bytes: u32, fields: &[(u32, u32)]) -> Vec<u8> {
    let mut laid = vec![0; bytes as usize];
    for (offset, value) in fields {
        laid[*offset as usize..*offset as usize + 4].copy_from_slice(&value.to_le_bytes());
    }
    laid
}
