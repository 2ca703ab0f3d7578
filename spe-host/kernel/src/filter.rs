//! Row filters: which rows of a table a module is given (`docs/filter.md`).
//!
//! The language is **error-free**: comparisons of one column with literals of its own type, null tests, `and`, `or`, `not`.
//! No arithmetic, cast, function or comparison of two columns, so nothing can fail on one record and pass on another.
//!
//! # Privacy
//! Whether a text is a filter depends on the text and the public schema only (**data-blind refusal**).

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{dataset::TableSchema, ids::ColumnName, manifest::FILTER_BYTES_MAX};

pub mod moment;
mod parse;
#[cfg(test)]
mod tests;
mod token;

/// Deepest nesting of `not` and parentheses.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Literals in one set at most.
pub const FILTER_SET_MAX: usize = 1_000;

/// A filter, checked against the table that it selects from.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    predicate: Predicate,
    columns: BTreeSet<ColumnName>,
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: expected {expected}, found {found}")]
pub struct FilterError {
    /// Where, counted in characters from 1.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What could have stood there.
    pub expected: String,
}

/// A condition on one row: true, false, or unknown when it compares a missing value (SQL's three-valued logic).
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// `a and b and …`
    All(Vec<Self>),
    /// `a or b or …`
    Any(Vec<Self>),
    /// `not a`
    Not(Box<Self>),
    /// A test of one column.
    Test(ColumnName, Test),
}

/// A test of one column's value against literals of the column's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `= 1`, `>= 1`, … Ordered comparisons only for integer, number, date and timestamp.
    Compare(Comparison, Literal),
    /// `between 1 and 2`, both included.
    Between(Literal, Literal),
    /// `in (1, 2)`
    In(Vec<Literal>),
    /// `is null`; never unknown.
    Null,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A literal of a column's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `18`
    Integer(i64),
    /// `18.5`; finite, and zero is never negative.
    Number(f64),
    /// `true`
    Boolean(bool),
    /// `"25"`: index in the column's public list, and the text.
    Category(i32, String),
    /// `date "2020-01-31"`: days since 1970-01-01.
    Date(i32),
    /// `timestamp "2020-01-31T08:00:00Z"`: microseconds since 1970-01-01T00:00Z.
    Timestamp(i64),
    /// `"any text"`
    Text(String),
}

impl Filter {
    /// Parses `text` and checks it against the columns of `table`.
    ///
    /// # Errors
    /// The first place where it stops being a filter over `table`.
    pub fn parse(text: &str, table: &TableSchema) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            let found = format!("a text of {} bytes", text.len());
            return Err(FilterError { at: 1, found, expected: format!("at most {FILTER_BYTES_MAX} bytes") });
        }
        parse::filter(text, table).map(|(predicate, columns)| Self { predicate, columns })
    }

    /// The condition that a row must meet: only rows for which it is true are kept.
    pub const fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// The columns that it names.
    pub const fn columns(&self) -> &BTreeSet<ColumnName> {
        &self.columns
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(f)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => list(f, parts.iter().map(Inner), " and "),
            Self::Any(parts) => list(f, parts.iter().map(Inner), " or "),
            Self::Not(inner) => write!(f, "not {}", Inner(inner)),
            Self::Test(column, test) => write!(f, "{column} {test}"),
        }
    }
}

/// A predicate inside another: parenthesised when it has parts.
struct Inner<'a>(&'a Predicate);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Predicate::All(_) | Predicate::Any(_) => write!(f, "({})", self.0),
            Predicate::Not(_) | Predicate::Test(..) => self.0.fmt(f),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parts: impl Iterator<Item = impl fmt::Display>, between: &str) -> fmt::Result {
    for (i, part) in parts.enumerate() {
        write!(f, "{}{part}", if i == 0 { "" } else { between })?;
    }
    Ok(())
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, literal) => write!(f, "{comparison} {literal}"),
            Self::Between(low, high) => write!(f, "between {low} and {high}"),
            Self::In(literals) => {
                f.write_str("in (")?;
                list(f, literals.iter(), ", ")?;
                f.write_str(")")
            }
            Self::Null => f.write_str("is null"),
        }
    }
}

impl Comparison {
    /// Whether it needs values that have an order.
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl FromStr for Comparison {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "=" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            // Debug, not Display: 1e300 instead of 301 digits; both read back to the same bits.
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Boolean(value) => value.fmt(f),
            Self::Category(_, text) | Self::Text(text) => write!(f, "\"{}\"", text.replace('"', "\"\"")),
            Self::Date(days) => write!(f, "date \"{}\"", moment::print_date(*days)),
            Self::Timestamp(micros) => write!(f, "timestamp \"{}\"", moment::print_timestamp(*micros)),
        }
    }
}
