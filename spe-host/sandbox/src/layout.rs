//! A data subject's record in guest memory, as `docs/guest-abi.md` lays it out.
//!
//! # Privacy
//! **subject-blind guest**: every byte written is a function of the plan and of this data subject's rows. That is why a
//! column has a validity bitmap only if one of *its* rows is missing, offsets start at 0, and padding is zeroed.

use std::{mem, ops::Range};

use spe_abi::{ALIGN, Kind, NULL, column, record, table};
use spe_kernel::{
    fault::Fault,
    plan::Plan,
    record::{Chunk, ColumnChunk, TableChunk, Values},
};

/// What a plan says of every record.
#[derive(Clone)]
pub(crate) struct Shape {
    /// Rows at most and number of columns, by table.
    tables: Vec<(usize, usize)>,
}

/// A chunk that does not have the plan's shape: a fault of the host, never of a guest.
fn misshapen() -> Fault {
    Fault::new("laying out a record", "the chunk does not have the plan's shape")
}

impl Shape {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self { tables: plan.inputs().iter().map(|i| (i.max_rows as usize, i.columns.len())).collect() }
    }

    /// Writes the record of one data subject to `memory`, whose first byte has the guest address `address`.
    ///
    /// # Errors
    /// The chunk is not one of this plan, or holds values longer than its schema allows.
    pub(crate) fn write(&self, memory: &mut [u8], address: u32, chunk: &Chunk, subject: usize) -> Result<(), Fault> {
        if chunk.tables.len() != self.tables.len() {
            return Err(misshapen());
        }
        let columns: usize = self.tables.iter().map(|t| t.1).sum();
        let mut body = Cursor { rest: memory, address };
        let mut tables = body.split(record::BYTES as usize + table::BYTES as usize * self.tables.len())?;
        let mut column_heads = body.split(column::BYTES as usize * columns)?;
        tables.words([address + record::BYTES, words_of(self.tables.len())?])?;
        for (chunk, &(rows_max, columns)) in chunk.tables.iter().zip(&self.tables) {
            let rows =
                rows_of(chunk, subject, rows_max).filter(|_| chunk.columns.len() == columns).ok_or_else(misshapen)?;
            tables.words([column_heads.address, words_of(columns)?, words_of(rows.len())?, 0])?;
            for column in &chunk.columns {
                column_heads.words(body.column(column, rows.clone())?)?;
            }
        }
        Ok(())
    }
}

/// The rows of a data subject, cut to `rows_max`.
fn rows_of(table: &TableChunk, subject: usize, rows_max: usize) -> Option<Range<usize>> {
    let (&start, &end) = (table.starts.get(subject)?, table.starts.get(subject + 1)?);
    Some(start..start + end.checked_sub(start)?.min(rows_max))
}

fn words_of(count: usize) -> Result<u32, Fault> {
    u32::try_from(count).map_err(|_| misshapen())
}

/// Guest memory that is filled from its start.
struct Cursor<'a> {
    rest: &'a mut [u8],
    address: u32,
}

impl<'a> Cursor<'a> {
    /// The next `bytes` bytes.
    fn take(&mut self, bytes: usize) -> Result<&'a mut [u8], Fault> {
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut_checked(bytes).ok_or_else(misshapen)?;
        self.rest = rest;
        self.address += words_of(bytes)?;
        Ok(taken)
    }

    /// A cursor of its own over the next `bytes` bytes.
    fn split(&mut self, bytes: usize) -> Result<Self, Fault> {
        let address = self.address;
        Ok(Self { rest: self.take(bytes)?, address })
    }

    /// The next `bytes` bytes and their address; padding after them is zeroed.
    fn aligned(&mut self, bytes: usize) -> Result<(u32, &'a mut [u8]), Fault> {
        let address = self.address;
        let taken = self.take(bytes.next_multiple_of(ALIGN as usize))?;
        let (taken, padding) = taken.split_at_mut_checked(bytes).ok_or_else(misshapen)?;
        padding.fill(0);
        Ok((address, taken))
    }

    fn words<const N: usize>(&mut self, words: [u32; N]) -> Result<(), Fault> {
        for word in words {
            self.take(4)?.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    /// Writes one column's buffers and returns its head: kind, validity, offsets, values.
    fn column(&mut self, column: &ColumnChunk, rows: Range<usize>) -> Result<[u32; 4], Fault> {
        let validity = self.validity(&column.present, rows.clone())?;
        let mut offsets = NULL;
        let (kind, values) = match &column.values {
            Values::Integer(values) => (Kind::Integer, self.fixed(values, rows, i64::to_le_bytes)?),
            Values::Number(values) => (Kind::Number, self.fixed(values, rows, f64::to_le_bytes)?),
            Values::Boolean(values) => (Kind::Boolean, self.bitmap(values.get(rows).ok_or_else(misshapen)?)?),
            Values::Category(values) => (Kind::Category, self.fixed(values, rows, i32::to_le_bytes)?),
            Values::Date(values) => (Kind::Date, self.fixed(values, rows, i32::to_le_bytes)?),
            Values::Timestamp(values) => (Kind::Timestamp, self.fixed(values, rows, i64::to_le_bytes)?),
            Values::Text(starts, bytes) => {
                let text;
                (offsets, text) = self.text(starts, bytes, rows)?;
                (Kind::Text, text)
            }
        };
        Ok([kind.code(), validity, offsets, values])
    }

    fn validity(&mut self, present: &[u8], rows: Range<usize>) -> Result<u32, Fault> {
        if present.is_empty() {
            return Ok(NULL);
        }
        let present = present.get(rows).ok_or_else(misshapen)?;
        // Other people's missing values must not show, not even as a bitmap of ones.
        if present.iter().all(|&p| p != 0) { Ok(NULL) } else { self.bitmap(present) }
    }

    /// Packs one byte a row into one bit a row.
    fn bitmap(&mut self, rows: &[u8]) -> Result<u32, Fault> {
        let (address, bitmap) = self.aligned(rows.len().div_ceil(8))?;
        for (byte, rows) in bitmap.iter_mut().zip(rows.chunks(8)) {
            *byte = rows.iter().rev().fold(0, |bits, &row| bits << 1 | u8::from(row != 0));
        }
        Ok(address)
    }

    fn fixed<T: Copy, const N: usize>(
        &mut self,
        values: &[T],
        rows: Range<usize>,
        bytes: fn(T) -> [u8; N],
    ) -> Result<u32, Fault> {
        let values = values.get(rows).ok_or_else(misshapen)?;
        let (address, slots) = self.aligned(values.len() * N)?;
        for (slot, &value) in slots.as_chunks_mut().0.iter_mut().zip(values) {
            *slot = bytes(value);
        }
        Ok(address)
    }

    /// Offsets from 0, then the bytes between the first and the last.
    fn text(&mut self, starts: &[usize], bytes: &[u8], rows: Range<usize>) -> Result<(u32, u32), Fault> {
        let starts = starts.get(rows.start..=rows.end).ok_or_else(misshapen)?;
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Err(misshapen()) };
        let bytes = bytes.get(first..last).ok_or_else(misshapen)?;
        let (offsets, slots) = self.aligned(starts.len() * 4)?;
        for (slot, start) in slots.as_chunks_mut().0.iter_mut().zip(starts) {
            *slot = words_of(start.checked_sub(first).ok_or_else(misshapen)?)?.to_le_bytes();
        }
        let (address, values) = self.aligned(bytes.len())?;
        values.copy_from_slice(bytes);
        Ok((offsets, address))
    }
}
