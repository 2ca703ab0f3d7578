//! Reading CSV (RFC 4180, UTF-8, any line ends): splits rows into cells, and keeps only the slots.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    batch::{Block, TextRows},
    error::{IngestError, Place, SourceError},
    header,
};
use crate::declaration::TableSource;

/// Rows in a block.
const BLOCK_ROWS: usize = 2_048;
const BUFFER_BYTES: usize = 1 << 20;

/// An open CSV file.
pub(super) struct CsvFile {
    file: PathBuf,
    reader: csv::Reader<QuoteCounter>,
    quotes: Arc<AtomicUsize>,
    slots: Vec<usize>,
    record: csv::ByteRecord,
}

impl CsvFile {
    pub(super) fn open(file: &Path, table: &TableSource) -> Result<Self, IngestError> {
        let fail = |why| IngestError::source(file, Place::File, why);
        let unreadable = |e: std::io::Error| fail(SourceError::Unreadable(e.to_string()));
        let mut bytes = BufReader::with_capacity(BUFFER_BYTES, File::open(file).map_err(unreadable)?);
        match bytes.fill_buf().map_err(unreadable)? {
            [] => return Err(fail(SourceError::Empty)),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(fail(SourceError::Utf16)),
            [0xef, 0xbb, 0xbf, ..] => bytes.consume(3),
            _ => {}
        }
        let quotes = Arc::new(AtomicUsize::new(0));
        let bytes = QuoteCounter { bytes, quotes: quotes.clone() };
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.delimiter(table.delimiter).buffer_capacity(BUFFER_BYTES).from_reader(bytes);
        let mut opened = Self { file: file.into(), reader, quotes, slots: Vec::new(), record: csv::ByteRecord::new() };
        opened.slots = header::slots(table, &opened.header()?).map_err(fail)?;
        Ok(opened)
    }

    fn header(&mut self) -> Result<Vec<String>, IngestError> {
        let names = match self.reader.headers() {
            Ok(names) => names.iter().map(|name| name.trim_ascii().to_owned()).collect::<Vec<_>>(),
            Err(error) => return Err(self.fault(&error)),
        };
        if names.iter().all(String::is_empty) {
            return Err(IngestError::source(&self.file, Place::File, SourceError::Empty));
        }
        Ok(names)
    }

    /// The next rows; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Block>, IngestError> {
        let slots = self.slots.len();
        let mut rows = TextRows { bytes: Vec::new(), ends: Vec::new(), slots, places: Vec::with_capacity(BLOCK_ROWS) };
        while rows.places.len() < BLOCK_ROWS {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.fault(&error)),
            }
            for slot in &self.slots {
                rows.bytes.extend_from_slice(self.record.get(*slot).unwrap_or_default());
                rows.ends.push(rows.bytes.len());
            }
            rows.places.push(self.record.position().map_or(0, csv::Position::line));
        }
        if rows.places.is_empty() {
            return self.check_quotes().map(|()| None);
        }
        Ok(Some(Block::Text(rows)))
    }

    /// A quotation mark that is never closed swallows all lines after it, silently if they end in a dropped column.
    fn check_quotes(&self) -> Result<(), IngestError> {
        if self.quotes.load(Ordering::Relaxed).is_multiple_of(2) {
            return Ok(());
        }
        Err(IngestError::source(&self.file, Place::File, SourceError::OddQuotes))
    }

    fn fault(&self, error: &csv::Error) -> IngestError {
        let line = error.position().map_or(Place::File, |p| Place::Line(p.line()));
        let why = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                SourceError::Ragged { found: *len, expected: *expected_len }
            }
            csv::ErrorKind::Utf8 { .. } => SourceError::Unreadable("the header is not UTF-8".into()),
            _ => SourceError::Unreadable(error.to_string()),
        };
        IngestError::source(&self.file, line, why)
    }
}

/// Counts quotation marks on their way: in a well-formed file they are even.
struct QuoteCounter {
    bytes: BufReader<File>,
    quotes: Arc<AtomicUsize>,
}

impl Read for QuoteCounter {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.bytes.read(buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        let quotes = read.iter().filter(|b| **b == b'"').count();
        self.quotes.fetch_add(quotes, Ordering::Relaxed);
        Ok(length)
    }
}
