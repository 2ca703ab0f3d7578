//! From what is written to what is meant.

use std::collections::BTreeSet;

use spe_kernel::{
    dataset::{CATEGORIES_MAX, ColumnSchema, ColumnType, DatasetSchema, TableSchema},
    filter::Filter,
};

use super::{ColumnSource, Declaration, DeclarationError, Dropped, Outside, TableSource, Truths, raw};

/// Tables of a dataset at most.
const TABLES_MAX: usize = 64;
/// Columns of a table at most.
const COLUMNS_MAX: usize = 1_000;
/// Partitions at most: each has open files while a dataset is ingested.
const PARTITIONS_MAX: usize = 256;
/// Longest text value or category in bytes: a batch of texts stays within 32-bit offsets.
const TEXT_BYTES_MAX: u32 = 65_536;

type Checked<T> = Result<T, DeclarationError>;

fn reject<T>(why: impl Into<String>) -> Checked<T> {
    Err(DeclarationError(why.into()))
}

pub(super) fn declaration(raw: raw::Dataset) -> Checked<Declaration> {
    if raw.overlap == 0 {
        return reject("\"overlap\" must be at least 1: at how many nodes one person may be");
    }
    if raw.subjects_max == 0 {
        return reject(
            "\"subjects_max\" is needed, and at least 1: how many data subjects any one node has at most, decided before looking at the data",
        );
    }
    if !(1..=PARTITIONS_MAX).contains(&raw.partitions) {
        return reject(format!("\"partitions\" must be 1 to {PARTITIONS_MAX}, not {}", raw.partitions));
    }
    if raw.tables.is_empty() || raw.tables.len() > TABLES_MAX {
        return reject(format!("1 to {TABLES_MAX} tables are needed, not {}", raw.tables.len()));
    }
    let tables = raw.tables.into_iter().map(table).collect::<Checked<Vec<_>>>()?;
    distinct("tables", tables.iter().map(|t| t.schema.name.as_str()))?;
    if let [first, rest @ ..] = tables.as_slice()
        && let Some(other) = rest.iter().find(|t| t.key.len() != first.key.len())
    {
        return reject(format!("tables {} and {} have keys of different length", first.schema.name, other.schema.name));
    }
    let schemas = tables.iter().map(|t| t.schema.clone()).collect();
    let raw::Dataset { name, title, overlap, subjects_max, partitions, .. } = raw;
    let schema = DatasetSchema { name, title, overlap, subjects_max, tables: schemas };
    Ok(Declaration { schema, partitions, tables })
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Checked<()> {
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(twice) => reject(format!("{twice:?} is twice among the {what}")),
        None => Ok(()),
    }
}

fn table(raw: raw::Table) -> Checked<TableSource> {
    let name = raw.name.clone();
    table_inner(raw).map_err(|e| DeclarationError(format!("table {name}: {}", e.0)))
}

fn table_inner(raw: raw::Table) -> Checked<TableSource> {
    if raw.key.is_empty() {
        return reject("\"key\" must name the source columns that identify the data subject");
    }
    if raw.columns.is_empty() || raw.columns.len() > COLUMNS_MAX {
        return reject(format!("1 to {COLUMNS_MAX} columns are needed, not {}", raw.columns.len()));
    }
    if raw.rows_max == Some(0) {
        return reject(
            "\"rows_max\" must be at least 1: how many rows the table has at most at any one node, decided before looking at the data",
        );
    }
    let delimiter = u8::try_from(raw.delimiter).ok().filter(|d| matches!(d, b',' | b';' | b'\t' | b'|'));
    let Some(delimiter) = delimiter else { return reject("\"delimiter\" must be one of , ; | and tab") };
    let columns = raw.columns.into_iter().map(|c| column(c, &raw.missing)).collect::<Checked<Vec<_>>>()?;
    distinct("columns", columns.iter().map(|c| c.schema.name.as_str()))?;
    let dropped = match raw.drop {
        raw::Drop::Rest(raw::Rest::Rest) => Dropped::Rest,
        raw::Drop::Named(names) => Dropped::Named(names),
    };
    check_sources(&raw.key, &columns, &dropped)?;
    let columns_of = |columns: &[ColumnSource]| columns.iter().map(|c| c.schema.clone()).collect();
    let raw::Table { name, rows_max, category, time, key, missing, order_by, .. } = raw;
    let schema = TableSchema { name, rows_max, category, time, columns: columns_of(&columns) };
    check_time(&schema)?;
    distinct("columns of order_by", order_by.iter().map(|c| c.as_str()))?;
    if let Some(stray) = order_by.iter().find(|c| schema.column(c).is_none()) {
        return reject(format!("\"order_by\" names {stray}, which is not a declared column"));
    }
    let rows = raw.rows.as_ref().map(|text| Filter::parse(text, &schema)).transpose();
    let rows = rows.map_err(|e| DeclarationError(format!("\"rows\" is not a filter: {e}")))?;
    Ok(TableSource { schema, key, missing, order_by, dropped, delimiter, rows, columns })
}

/// What says when a row is from must say it: permits cut rows by it.
fn check_time(schema: &TableSchema) -> Checked<()> {
    use ColumnType::{Date, Integer, Timestamp};
    let Some(time) = &schema.time else { return Ok(()) };
    match schema.column(time).map(|c| &c.kind) {
        Some(Date | Timestamp | Integer { .. }) => Ok(()),
        Some(other) => reject(format!(
            "\"time\" names {time}, a {}; expected a date, a timestamp, or an integer that is a year",
            other.name()
        )),
        None => reject(format!("\"time\" names {time}, which is not a declared column")),
    }
}

/// The subject key is an identifier: it is used, and never stored.
fn check_sources(key: &[String], columns: &[ColumnSource], dropped: &Dropped) -> Checked<()> {
    distinct("key columns", key.iter().map(String::as_str))?;
    if let Some(column) = columns.iter().find(|c| key.contains(&c.source)) {
        let ColumnSource { schema, source, .. } = column;
        return reject(format!("column {} is the subject key {source:?}, which is never stored", schema.name));
    }
    if let Dropped::Named(names) = dropped
        && let Some(both) = names.iter().find(|n| key.contains(n) || columns.iter().any(|c| c.source == **n))
    {
        return reject(format!("{both:?} is both used and dropped"));
    }
    Ok(())
}

fn column(raw: raw::Column, missing: &[String]) -> Checked<ColumnSource> {
    let name = raw.name.clone();
    column_inner(raw, missing).map_err(|e| DeclarationError(format!("column {name}: {}", e.0)))
}

fn column_inner(raw: raw::Column, missing: &[String]) -> Checked<ColumnSource> {
    // The one word that stands where a column could stand in a filter.
    if raw.name.as_str() == "not" {
        return reject("\"not\" is a word of the filter language; choose another name");
    }
    let kind = kind(&raw)?;
    let outside = outside(raw.outside, &kind)?;
    let boolean = kind == ColumnType::Boolean;
    if !boolean && (raw.r#true.is_some() || raw.r#false.is_some()) {
        return reject(format!("\"true\" and \"false\" are for booleans, not for a {}", kind.name()));
    }
    let words = |given: Option<Vec<String>>, usual: [&str; 2]| given.unwrap_or(usual.map(String::from).to_vec());
    let truths = Truths { yes: words(raw.r#true, ["1", "true"]), no: words(raw.r#false, ["0", "false"]) };
    let missing = raw.missing.unwrap_or_else(|| missing.to_vec());
    let spellings = missing.iter().chain(if boolean { &truths.yes } else { &[][..] });
    distinct("spellings", spellings.chain(if boolean { &truths.no } else { &[][..] }).map(String::as_str))?;
    if let ColumnType::Category { values } = &kind
        && let Some(both) = values.iter().find(|v| missing.contains(v))
    {
        return reject(format!("{both:?} is both a category and a spelling of a missing value"));
    }
    let source = raw.source.unwrap_or_else(|| raw.name.as_str().to_owned());
    let schema = ColumnSchema { name: raw.name, kind, description: raw.description };
    Ok(ColumnSource { schema, source, missing, outside, truths })
}

fn outside(given: Option<Outside>, kind: &ColumnType) -> Checked<Outside> {
    use ColumnType::{Category, Integer, Number, Text};
    match (given, kind) {
        (None, _) => Ok(Outside::Refuse),
        (Some(Outside::Clamp), Integer { .. } | Number { .. }) => Ok(Outside::Clamp),
        (Some(Outside::Clamp), _) => {
            reject(format!("a {} cannot be clamped: \"outside\" must be refuse or missing", kind.name()))
        }
        (Some(given), Integer { .. } | Number { .. } | Category { .. } | Text { .. }) => Ok(given),
        (Some(_), _) => reject(format!("a {} has no bounds: \"outside\" cannot be given", kind.name())),
    }
}

fn kind(raw: &raw::Column) -> Checked<ColumnType> {
    use raw::Type;
    let given = [raw.min.is_some() || raw.max.is_some(), raw.values.is_some(), raw.max_bytes.is_some()];
    let fields = match raw.r#type {
        Type::Integer | Type::Number => [true, false, false],
        Type::Category => [false, true, false],
        Type::Text => [false, false, true],
        Type::Boolean | Type::Date | Type::Timestamp => [false; 3],
    };
    if given != fields {
        return reject(
            "integer and number need \"min\" and \"max\", category \"values\", text \"max_bytes\"; others none of them",
        );
    }
    match raw.r#type {
        Type::Integer => integer(raw),
        Type::Number => number(raw),
        Type::Boolean => Ok(ColumnType::Boolean),
        Type::Category => category(raw.values.clone().unwrap_or_default()),
        Type::Date => Ok(ColumnType::Date),
        Type::Timestamp => Ok(ColumnType::Timestamp),
        Type::Text => match raw.max_bytes {
            Some(max_bytes @ 1..=TEXT_BYTES_MAX) => Ok(ColumnType::Text { max_bytes }),
            _ => reject(format!("\"max_bytes\" must be 1 to {TEXT_BYTES_MAX}")),
        },
    }
}

fn integer(raw: &raw::Column) -> Checked<ColumnType> {
    match (raw.min, raw.max) {
        (Some(raw::Number::Integer(min)), Some(raw::Number::Integer(max))) if min <= max => {
            Ok(ColumnType::Integer { min, max })
        }
        _ => reject("an integer needs whole \"min\" <= \"max\""),
    }
}

fn number(raw: &raw::Column) -> Checked<ColumnType> {
    #[expect(clippy::cast_precision_loss, reason = "bounds are written by people")]
    let float = |n: raw::Number| match n {
        raw::Number::Integer(value) => value as f64,
        raw::Number::Number(value) => value + 0.0,
    };
    match (raw.min.map(float), raw.max.map(float)) {
        (Some(min), Some(max)) if min.is_finite() && max.is_finite() && min <= max => {
            Ok(ColumnType::Number { min, max })
        }
        _ => reject("a number needs finite \"min\" <= \"max\""),
    }
}

fn category(values: Vec<String>) -> Checked<ColumnType> {
    distinct("categories", values.iter().map(String::as_str))?;
    if values.is_empty() || values.len() > CATEGORIES_MAX {
        return reject(format!("1 to {CATEGORIES_MAX} categories are needed, not {}", values.len()));
    }
    let fits = |v: &String| v.len() <= 128 && v.trim_ascii() == v && !v.is_empty();
    match values.iter().find(|v| !fits(v)) {
        Some(bad) => reject(format!("category {bad:?} must have 1 to 128 bytes and no space at its ends")),
        None => Ok(ColumnType::Category { values }),
    }
}
