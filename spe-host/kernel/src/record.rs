//! Records of whole data subjects, as they stream from the vault to the sandbox.

/// Consecutive data subjects, or blocks of them, with all their rows, one entry for each of the plan's input tables, in its order.
///
/// Compact copies: offsets start at 0 and no byte belongs to anyone who is not in the chunk. Carries no identifier:
/// **subject-blind guest** starts here.
#[derive(Default)]
pub struct Chunk {
    /// How many data subjects, or blocks.
    pub subjects: usize,
    /// One for each input of the plan.
    pub tables: Vec<TableChunk>,
}

/// The rows of one table.
#[derive(Default)]
pub struct TableChunk {
    /// `subjects + 1` row numbers: the rows of subject `i` are `starts[i]..starts[i + 1]`.
    pub starts: Vec<usize>,
    /// One for each column of the input, in its order.
    pub columns: Vec<ColumnChunk>,
}

/// One column's rows.
pub struct ColumnChunk {
    /// One byte a row, 1 = present; empty when every row is present. The value of a missing row is zero or empty.
    pub present: Vec<u8>,
    /// The values, one a row.
    pub values: Values,
}

/// Values by column type, see `docs/guest-abi.md`.
pub enum Values {
    /// `integer`.
    Integer(Vec<i64>),
    /// `number`.
    Number(Vec<f64>),
    /// `boolean`, one byte a row, 0 or 1.
    Boolean(Vec<u8>),
    /// `category`: index into the public category list.
    Category(Vec<i32>),
    /// `date`: days since 1970-01-01.
    Date(Vec<i32>),
    /// `timestamp`: microseconds since 1970-01-01T00:00Z.
    Timestamp(Vec<i64>),
    /// `text`: `rows + 1` byte offsets from 0, and UTF-8 bytes.
    Text(Vec<usize>, Vec<u8>),
}

/// What one run of a guest gave for one data subject.
#[derive(Clone, Copy)]
pub enum Contribution<'a> {
    /// Exactly [`crate::plan::Plan::numbers`] numbers, of any value; NaN stands for nothing to contribute.
    Numbers(&'a [f64]),
    /// It trapped or ran out of fuel or memory: every output's declared default. Nobody can tell (**guest-blind**).
    Failed,
}
