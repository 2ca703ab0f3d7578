use spe_abi::{bit_is_set, Kind};

use crate::raw::{Memory, RawColumn};

/// A type of column. Sealed: the ABI has these and no others.
pub trait ColumnKind: sealed::Sealed + 'static {
    /// What the record's column must say.
    #[doc(hidden)]
    const KIND: Kind;
    /// What one value is.
    type Value<'a>: Copy;
    /// Where the values are.
    #[doc(hidden)]
    type Data<'a>: Copy;

    #[doc(hidden)]
    fn data<'a>(memory: Memory<'a>, column: RawColumn, rows: usize) -> Self::Data<'a>;
    #[doc(hidden)]
    fn value<'a>(data: Self::Data<'a>, row: usize) -> Option<Self::Value<'a>>;
}

/// A type of column whose values can be averaged.
pub trait Numeric: ColumnKind {
    /// The value as a number.
    fn number(value: Self::Value<'_>) -> f64;
}

mod sealed {
    pub trait Sealed {}
}

/// A type whose values lie in an array.
macro_rules! array_kind {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $stored:ty) => {
        $(#[$doc])*
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl ColumnKind for $name {
            const KIND: Kind = $kind;
            type Value<'a> = $stored;
            type Data<'a> = &'a [$stored];

            fn data<'a>(memory: Memory<'a>, column: RawColumn, rows: usize) -> &'a [$stored] {
                memory.array(column.values, rows)
            }

            fn value<'a>(data: Self::Data<'a>, row: usize) -> Option<Self::Value<'a>> {
                data.get(row).copied()
            }
        }
    };
}

array_kind!(
    /// Whole numbers: `i64`.
    Integer, Kind::Integer, i64
);
array_kind!(
    /// Numbers: `f64`.
    Number, Kind::Number, f64
);
array_kind!(
    /// Categories: `u32`, an index into the dataset's public list of categories.
    Category, Kind::Category, u32
);
array_kind!(
    /// Dates: `i32` days since 1970-01-01.
    Date, Kind::Date, i32
);
array_kind!(
    /// Timestamps: `i64` microseconds since 1970-01-01T00:00Z.
    Timestamp, Kind::Timestamp, i64
);

/// Yes or no: `bool`.
pub enum Boolean {}
impl sealed::Sealed for Boolean {}
impl ColumnKind for Boolean {
    const KIND: Kind = Kind::Boolean;
    type Value<'a> = bool;
    type Data<'a> = &'a [u8];

    fn data<'a>(memory: Memory<'a>, column: RawColumn, rows: usize) -> &'a [u8] {
        memory.bitmap(column.values, rows)
    }

    fn value<'a>(data: Self::Data<'a>, row: usize) -> Option<Self::Value<'a>> {
        Some(bit_is_set(data, row))
    }
}

/// Text: `&str`.
pub enum Text {}
impl sealed::Sealed for Text {}
impl ColumnKind for Text {
    const KIND: Kind = Kind::Text;
    type Value<'a> = &'a str;
    type Data<'a> = (&'a [u32], &'a [u8]);

    fn data<'a>(memory: Memory<'a>, column: RawColumn, rows: usize) -> (&'a [u32], &'a [u8]) {
        let offsets: &[u32] = memory.array(column.offsets, rows + 1);
        let bytes = memory.array(column.values, offsets[rows] as usize);
        (offsets, bytes)
    }

    fn value<'a>((offsets, bytes): Self::Data<'a>, row: usize) -> Option<Self::Value<'a>> {
        let (from, to) = (*offsets.get(row)?, *offsets.get(row + 1)?);
        core::str::from_utf8(bytes.get(from as usize..to as usize)?).ok()
    }
}

impl Numeric for Integer {
    fn number(value: i64) -> f64 {
        value as f64
    }
}

impl Numeric for Number {
    fn number(value: f64) -> f64 {
        value
    }
}

impl Numeric for Boolean {
    fn number(value: bool) -> f64 {
        f64::from(u8::from(value))
    }
}
