//! One value as a source gives it, and its strict conversion to the declared type.

use spe_kernel::filter::moment;

/// A value in a source file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Date(i32),
    Timestamp(i64),
    /// As written; in CSV everything is text.
    Text(&'a [u8]),
}

impl Cell<'_> {
    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A finite number; adding zero turns -0 into 0, which Arrow would order below it.
    pub(super) fn number(self) -> Option<f64> {
        let value = match self {
            #[expect(clippy::cast_precision_loss, reason = "a number column rounds to the nearest float, as text does")]
            Self::Integer(value) => value as f64,
            Self::Number(value) => value,
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
            _ => return None,
        };
        value.is_finite().then_some(value + 0.0)
    }

    pub(super) fn date(self) -> Option<i32> {
        match self {
            Self::Date(days) => Some(days),
            Self::Text(text) => moment::parse_date(text),
            _ => None,
        }
    }

    pub(super) fn timestamp(self) -> Option<i64> {
        match self {
            Self::Timestamp(micros) => Some(micros),
            Self::Date(days) => i64::from(days).checked_mul(86_400_000_000),
            Self::Text(text) => moment::parse_timestamp(text),
            _ => None,
        }
    }

    /// What an error says was found: the shape of a text, never the text. Letters become `a`, digits `9`.
    pub(super) fn shape(self) -> String {
        match self {
            Self::Missing => "nothing".into(),
            Self::Integer(_) => "a whole number".into(),
            Self::Number(value) if value.is_nan() => "NaN".into(),
            Self::Number(_) => "a number".into(),
            Self::Boolean(_) => "a boolean".into(),
            Self::Date(_) => "a date".into(),
            Self::Timestamp(_) => "a timestamp".into(),
            Self::Text(b"") => "an empty cell".into(),
            Self::Text(text) => std::str::from_utf8(text).map_or("bytes that are not UTF-8".into(), shape_of),
        }
    }
}

fn shape_of(text: &str) -> String {
    let mask = |c: char| match c {
        _ if c.is_uppercase() => 'A',
        _ if c.is_alphabetic() => 'a',
        _ if c.is_numeric() => '9',
        _ => c,
    };
    let length = text.chars().count();
    let mask: String = text.chars().take(20).map(mask).collect();
    format!("{length} characters of the shape {:?}", if length > 20 { mask + "…" } else { mask })
}
