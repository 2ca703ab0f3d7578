/// What the values of a column are; its code is the column's first field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// `i64`.
    Integer = 1,
    /// `f64`.
    Number = 2,
    /// An LSB-first bitmap.
    Boolean = 3,
    /// `i32`: an index into the dataset's public list of categories.
    Category = 4,
    /// `i32`: days since 1970-01-01.
    Date = 5,
    /// `i64`: microseconds since 1970-01-01T00:00Z.
    Timestamp = 6,
    /// `u32` offsets and UTF-8 bytes.
    Text = 7,
}

impl Kind {
    /// Every kind, by code.
    pub const ALL: [Kind; 7] =
        [Kind::Integer, Kind::Number, Kind::Boolean, Kind::Category, Kind::Date, Kind::Timestamp, Kind::Text];

    /// The code in a column's `kind` field.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The kind that has this code.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Kind> {
        match code {
            1 => Some(Kind::Integer),
            2 => Some(Kind::Number),
            3 => Some(Kind::Boolean),
            4 => Some(Kind::Category),
            5 => Some(Kind::Date),
            6 => Some(Kind::Timestamp),
            7 => Some(Kind::Text),
            _ => None,
        }
    }

    /// The name of the column type, as a dataset's declaration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Category => "category",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::Text => "text",
        }
    }

    /// The bytes of one value; `None` for bitmaps and text, whose values have no bytes of their own.
    #[must_use]
    pub const fn value_bytes(self) -> Option<u32> {
        match self {
            Kind::Integer | Kind::Number | Kind::Timestamp => Some(8),
            Kind::Category | Kind::Date => Some(4),
            Kind::Boolean | Kind::Text => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_from_one_and_come_back() {
        for (code, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(kind.code(), code);
            assert_eq!(Kind::from_code(code), Some(kind));
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!(Kind::from_code(8), None);
    }
}
