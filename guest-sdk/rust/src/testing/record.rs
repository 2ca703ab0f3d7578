//! Lays out a record as the host does.

use std::vec;
use std::vec::Vec;

use spe_abi::{column, record, table, Kind, ALIGN, NULL};

use super::{bitmap, Cells};

/// A record, in 8-byte words so that it is aligned; its addresses count from the first.
pub(super) struct Record {
    pub(super) words: Vec<u64>,
    pub(super) address: u32,
}

impl Record {
    /// The record of a data subject with these tables.
    pub(super) fn of(tables: &[&[Cells]]) -> Record {
        // Address 0 stays free: it means "no bitmap".
        let mut record = Record { words: vec![0], address: 0 };
        let laid: Vec<u8> = tables.iter().flat_map(|columns| record.table(columns)).collect();
        let tables_at = record.put(&laid);
        let fields = [(record::TABLES, tables_at), (record::TABLE_COUNT, tables.len() as u32)];
        record.address = record.put(&structure(record::BYTES, &fields));
        record
    }

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
