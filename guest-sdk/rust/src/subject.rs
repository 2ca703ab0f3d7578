use core::marker::PhantomData;

use spe_abi::Kind;

use crate::kinds::{Boolean, Category, ColumnKind, Date, Integer, Number, Text, Timestamp};
use crate::raw::Memory;
use crate::values::Values;
use crate::Manifest;

/// One data subject: the rows of the manifest's tables that belong to one person, and nothing of anyone else. Where the
/// manifest's unit is blocks: one block, and the rows of all of its people.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    memory: Memory<'a>,
    record: u32,
}

/// An input table of a manifest.
#[derive(Clone, Copy)]
pub struct Table {
    pub(crate) manifest: Manifest,
    pub(crate) index: usize,
}

/// A column of an input table, with the type that its values have.
pub struct Column<K> {
    table: usize,
    index: usize,
    kind: PhantomData<K>,
}

impl<K> Clone for Column<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Column<K> {}

impl Table {
    /// The column of this name, of whole numbers.
    #[must_use]
    pub const fn integer(self, name: &str) -> Column<Integer> {
        self.column(name)
    }

    /// The column of this name, of numbers.
    #[must_use]
    pub const fn number(self, name: &str) -> Column<Number> {
        self.column(name)
    }

    /// The columns of these names, of numbers.
    #[must_use]
    pub const fn numbers<const N: usize>(self, names: [&str; N]) -> [Column<Number>; N] {
        let mut columns = [Column { table: self.index, index: 0, kind: PhantomData }; N];
        let mut at = 0;
        while at < N {
            columns[at] = self.number(names[at]);
            at += 1;
        }
        columns
    }

    /// The column of this name, of yes or no.
    #[must_use]
    pub const fn boolean(self, name: &str) -> Column<Boolean> {
        self.column(name)
    }

    /// The column of this name, of codes into the dataset's public list of categories.
    #[must_use]
    pub const fn category(self, name: &str) -> Column<Category> {
        self.column(name)
    }

    /// The column of this name, of days since 1970-01-01.
    #[must_use]
    pub const fn date(self, name: &str) -> Column<Date> {
        self.column(name)
    }

    /// The column of this name, of microseconds since 1970-01-01T00:00Z.
    #[must_use]
    pub const fn timestamp(self, name: &str) -> Column<Timestamp> {
        self.column(name)
    }

    /// The column of this name, of text.
    #[must_use]
    pub const fn text(self, name: &str) -> Column<Text> {
        self.column(name)
    }

    const fn column<K>(self, name: &str) -> Column<K> {
        Column { table: self.index, index: self.manifest.column(self.index, name), kind: PhantomData }
    }
}

impl<'a> Subject<'a> {
    pub(crate) fn new(memory: Memory<'a>, record: u32) -> Subject<'a> {
        Subject { memory, record }
    }

    /// How many rows there are in `table`, at most the manifest's `max_rows`.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        self.memory.table(self.record, table.index).rows
    }

    /// The values of `column`, one a row, in the dataset's order.
    ///
    /// # Panics
    /// If the dataset's column is of another type. In a module this traps: the person takes the declared defaults, and
    /// a rehearsal shows it.
    #[must_use]
    pub fn column<K: ColumnKind>(&self, column: Column<K>) -> Values<'a, K> {
        let table = self.memory.table(self.record, column.table);
        let raw = self.memory.column(table, column.index);
        assert!(Kind::from_code(raw.kind) == Some(K::KIND), "the dataset's column is of another type");
        Values::new(self.memory, raw, table.rows)
    }
}
