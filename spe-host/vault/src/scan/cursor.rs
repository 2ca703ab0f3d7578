//! One table's sorted rows, taken subject by subject.

use std::ops::Range;

use datafusion::arrow::array::{AsArray, RecordBatch};
use futures::TryStreamExt;
use spe_kernel::{dataset::ColumnType, fault::Fault, record::TableChunk};

use super::{files::Rows, gather::Gathered};
use crate::pseudonym::Pseudonym;

const DOING: &str = "reading a table";

/// Where a table's stream stands, and what was gathered for the current chunk.
pub(super) struct Cursor {
    rows: Rows,
    batch: Option<RecordBatch>,
    /// First row of `batch` that belongs to nobody yet.
    at: usize,
    /// Rows of `batch` that were taken and are still to be copied: neighbours are copied at once.
    pending: Range<usize>,
    starts: Vec<usize>,
    columns: Vec<Gathered>,
    /// Rows taken for the current chunk.
    taken: usize,
    /// Rows that the current data subject or block may still have.
    room: usize,
    rows_max: usize,
}

impl Cursor {
    /// Over `rows`, whose first column is the subject and whose others are of these `kinds`.
    pub(super) fn new(rows: Rows, kinds: &[ColumnType], rows_max: usize) -> Self {
        let columns = kinds.iter().map(Gathered::new).collect();
        Self { rows, batch: None, at: 0, pending: 0..0, starts: vec![0], columns, taken: 0, room: rows_max, rows_max }
    }

    /// Rows in the current chunk.
    pub(super) const fn rows(&self) -> usize {
        self.taken
    }

    /// Takes all rows of `subject`, who comes after everyone before, and keeps those that there is room for.
    pub(super) async fn gather(&mut self, subject: &Pseudonym) -> Result<(), Fault> {
        while self.fill().await? {
            let run = self.run(subject)?;
            let (start, keep) = (self.at, run.min(self.room));
            self.keep(start..start + keep)?;
            self.room -= keep;
            self.at += run;
            if self.at < self.batch.as_ref().map_or(0, RecordBatch::num_rows) {
                break;
            }
        }
        Ok(())
    }

    /// Takes all rows of `subject`, and keeps none.
    pub(super) async fn pass(&mut self, subject: &Pseudonym) -> Result<(), Fault> {
        let room = std::mem::replace(&mut self.room, 0);
        let passed = self.gather(subject).await;
        self.room = room;
        passed
    }

    /// What was gathered since the last time is one data subject's, or one block's.
    pub(super) fn close(&mut self) {
        self.starts.push(self.taken);
        self.room = self.rows_max;
    }

    /// Makes sure that there is a row to look at; `false` at the end.
    async fn fill(&mut self) -> Result<bool, Fault> {
        while self.batch.as_ref().is_none_or(|b| self.at >= b.num_rows()) {
            self.flush()?;
            (self.batch, self.at) = (self.rows.try_next().await.map_err(Fault::while_(DOING))?, 0);
            if self.batch.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many of the next rows of the batch are the subject's.
    fn run(&self, subject: &Pseudonym) -> Result<usize, Fault> {
        let column = self.batch.as_ref().and_then(|b| b.columns().first()?.as_fixed_size_binary_opt());
        let column = column.ok_or_else(|| Fault::new(DOING, "the column of pseudonyms is missing"))?;
        let (subjects, _) = column.value_data().as_chunks::<16>();
        let next = subjects.get(self.at..).unwrap_or_default();
        if next.first().is_some_and(|first| first < subject) {
            return Err(Fault::new(DOING, "rows are out of order or of an unknown data subject"));
        }
        Ok(next.iter().take_while(|s| *s == subject).count())
    }

    fn keep(&mut self, rows: Range<usize>) -> Result<(), Fault> {
        self.taken += rows.len();
        if rows.start == self.pending.end {
            self.pending.end = rows.end;
            return Ok(());
        }
        self.flush()?;
        self.pending = rows;
        Ok(())
    }

    /// Copies what is pending.
    fn flush(&mut self) -> Result<(), Fault> {
        let rows = std::mem::replace(&mut self.pending, 0..0);
        let Some(batch) = &self.batch else { return Ok(()) };
        if rows.is_empty() {
            return Ok(());
        }
        let arrays = batch.columns().iter().skip(1);
        self.columns.iter_mut().zip(arrays).try_for_each(|(column, array)| column.append(array, rows.clone()))
    }

    /// The chunk gathered so far; the next one starts empty.
    pub(super) fn take(&mut self) -> Result<TableChunk, Fault> {
        self.flush()?;
        self.taken = 0;
        let starts = std::mem::replace(&mut self.starts, vec![0]);
        Ok(TableChunk { starts, columns: self.columns.iter_mut().map(Gathered::take).collect() })
    }

    /// No row may be left after the last subject.
    pub(super) async fn check_exhausted(&mut self) -> Result<(), Fault> {
        if self.fill().await? { Err(Fault::new(DOING, "rows are left of an unknown data subject")) } else { Ok(()) }
    }
}
