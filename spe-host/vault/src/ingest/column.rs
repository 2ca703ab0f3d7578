//! From cells to checked values of one column.

use spe_kernel::dataset::ColumnType;

use super::{cell::Cell, error::SourceError};
use crate::declaration::{ColumnSource, Outside};

/// A value of a column, within its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Missing,
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Category(i32),
    Date(i32),
    Timestamp(i64),
    Text(&'a str),
}

/// Reads one column's cells.
pub(super) struct ColumnReader<'a> {
    source: &'a ColumnSource,
    /// Codes of categories, and of booleans' spellings (0 and 1), in order of the texts.
    codes: Vec<(&'a [u8], i32)>,
    /// Values outside the bounds that were changed as declared.
    pub(super) altered: u64,
}

/// Why a cell has no value.
enum Unfit {
    /// It is not of the type.
    Form,
    /// It is outside the bounds; with the nearest value inside, if there is one.
    Outside(Option<Value<'static>>),
}

impl<'a> ColumnReader<'a> {
    pub(super) fn new(source: &'a ColumnSource) -> Self {
        let spellings: Vec<(&String, i32)> = match &source.schema.kind {
            ColumnType::Category { values } => values.iter().zip(0..).collect(),
            ColumnType::Boolean => {
                let no = source.truths.no.iter().map(|s| (s, 0));
                no.chain(source.truths.yes.iter().map(|s| (s, 1))).collect()
            }
            _ => Vec::new(),
        };
        let mut codes: Vec<_> = spellings.into_iter().map(|(text, code)| (text.as_bytes(), code)).collect();
        codes.sort_unstable();
        Self { source, codes, altered: 0 }
    }

    /// The value of `cell`.
    ///
    /// # Errors
    /// It is neither missing nor of the declared type and within the declared bounds.
    pub(super) fn read<'c>(&mut self, cell: Cell<'c>) -> Result<Value<'c>, SourceError> {
        let cell = self.trimmed(cell);
        if self.is_missing(cell) {
            return Ok(Value::Missing);
        }
        let inside = match (self.value(cell), self.source.outside) {
            (Ok(value), _) => return Ok(value),
            (Err(Unfit::Outside(_)), Outside::Missing) => Value::Missing,
            (Err(Unfit::Outside(Some(nearest))), Outside::Clamp) => nearest,
            (Err(_), _) => return Err(self.error(cell)),
        };
        self.altered += 1;
        Ok(inside)
    }

    /// Spaces around a cell mean nothing, except in texts.
    fn trimmed<'c>(&self, cell: Cell<'c>) -> Cell<'c> {
        match cell {
            Cell::Text(text) if !matches!(self.source.schema.kind, ColumnType::Text { .. }) => {
                Cell::Text(text.trim_ascii())
            }
            other => other,
        }
    }

    fn is_missing(&self, cell: Cell<'_>) -> bool {
        let spelled = |text: &[u8]| self.source.missing.iter().any(|m| m.as_bytes() == text);
        match cell {
            Cell::Missing => true,
            Cell::Text(text) => spelled(text),
            Cell::Number(value) => value.is_nan() && spelled(b"NaN"),
            _ => false,
        }
    }

    fn value<'c>(&self, cell: Cell<'c>) -> Result<Value<'c>, Unfit> {
        match &self.source.schema.kind {
            ColumnType::Integer { min, max } => {
                let value = cell.integer().ok_or(Unfit::Form)?;
                let nearest = Value::Integer(value.clamp(*min, *max));
                if (*min..=*max).contains(&value) { Ok(nearest) } else { Err(Unfit::Outside(Some(nearest))) }
            }
            ColumnType::Number { min, max } => {
                let value = cell.number().ok_or(Unfit::Form)?;
                let nearest = Value::Number(value.clamp(*min, *max));
                if (*min..=*max).contains(&value) { Ok(nearest) } else { Err(Unfit::Outside(Some(nearest))) }
            }
            ColumnType::Boolean => self.code(cell).map(|code| Value::Boolean(code == 1)).ok_or(Unfit::Form),
            ColumnType::Category { .. } => self.code(cell).map(Value::Category).ok_or(Unfit::Outside(None)),
            ColumnType::Date => cell.date().map(Value::Date).ok_or(Unfit::Form),
            ColumnType::Timestamp => cell.timestamp().map(Value::Timestamp).ok_or(Unfit::Form),
            ColumnType::Text { max_bytes } => {
                let Cell::Text(bytes) = cell else { return Err(Unfit::Form) };
                let text = std::str::from_utf8(bytes).map_err(|_| Unfit::Form)?;
                let fits = u32::try_from(text.len()).is_ok_and(|length| length <= *max_bytes);
                if fits { Ok(Value::Text(text)) } else { Err(Unfit::Outside(None)) }
            }
        }
    }

    /// The code of a category, or 0 and 1 of a boolean, by its spelling.
    fn code(&self, cell: Cell<'_>) -> Option<i32> {
        let find = |text: &[u8]| {
            let found = self.codes.binary_search_by_key(&text, |(spelling, _)| spelling).ok()?;
            self.codes.get(found).map(|(_, code)| *code)
        };
        match cell {
            Cell::Text(text) => find(text),
            Cell::Integer(value) => find(value.to_string().as_bytes()),
            Cell::Boolean(value) if self.source.schema.kind == ColumnType::Boolean => Some(value.into()),
            _ => None,
        }
    }

    fn error(&self, cell: Cell<'_>) -> SourceError {
        let expected = match &self.source.schema.kind {
            ColumnType::Integer { min, max } => format!("a whole number from {min} to {max}"),
            ColumnType::Number { min, max } => format!("a number from {min} to {max}"),
            ColumnType::Boolean => {
                let words = self.source.truths.no.iter().chain(&self.source.truths.yes);
                format!("one of {}", words.map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            ColumnType::Category { values } => format!("one of {} declared categories", values.len()),
            ColumnType::Date => "a date, YYYY-MM-DD".into(),
            ColumnType::Timestamp => "a timestamp, YYYY-MM-DDTHH:MM:SSZ".into(),
            ColumnType::Text { max_bytes } => format!("UTF-8 text of at most {max_bytes} bytes"),
        };
        SourceError::Cell { column: self.source.source.clone(), expected, found: cell.shape() }
    }
}
