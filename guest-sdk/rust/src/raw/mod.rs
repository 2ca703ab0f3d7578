//! Everything unsafe of the SDK: reading the record (here), the exports, and the allocator. The host writes records and
//! calls exports as `docs/guest-abi.md` says; each reason says what of it is relied on.

#[cfg(target_arch = "wasm32")]
pub mod export;
#[cfg(target_arch = "wasm32")]
mod heap;

use core::marker::PhantomData;

use spe_abi::{bitmap_bytes, column, record, table, NULL};

/// The memory that a record lies in: the module's own or, off WebAssembly, the bytes of a test.
#[derive(Clone, Copy)]
pub struct Memory<'a> {
    #[cfg(not(target_arch = "wasm32"))]
    words: &'a [u64],
    record: PhantomData<&'a [u8]>,
}

/// A table's fields.
#[derive(Clone, Copy)]
pub struct RawTable {
    columns: u32,
    column_count: usize,
    pub(crate) rows: usize,
}

/// A column's fields.
#[derive(Clone, Copy)]
pub struct RawColumn {
    pub(crate) kind: u32,
    validity: u32,
    pub(crate) offsets: u32,
    pub(crate) values: u32,
}

/// A value that may hold any bits.
///
/// # Safety
/// Every bit pattern must be a value, there must be no padding, and the alignment must be at most `ALIGN`.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: integers and floats.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for i64 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}

impl<'a> Memory<'a> {
    /// The module's own memory.
    ///
    /// # Safety
    /// For `'a`, every address that the record gives must be that of bytes that nothing writes.
    #[cfg(target_arch = "wasm32")]
    pub(crate) unsafe fn own() -> Memory<'a> {
        Memory { record: PhantomData }
    }

    /// The bytes of `words`, the first of which has address 0.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of(words: &'a [u64]) -> Memory<'a> {
        Memory { words, record: PhantomData }
    }

    /// The `count` values at `address`.
    pub(crate) fn array<T: Plain>(self, address: u32, count: usize) -> &'a [T] {
        if count == 0 {
            return &[];
        }
        let pointer = self.pointer(address, count.saturating_mul(size_of::<T>())).cast();
        // SAFETY: `pointer` answers for the bytes, which are a `T` each whatever they are; the ABI aligns arrays.
        unsafe { core::slice::from_raw_parts(pointer, count) }
    }

    /// A bitmap of `rows` bits.
    pub(crate) fn bitmap(self, address: u32, rows: usize) -> &'a [u8] {
        self.array(address, bitmap_bytes(rows as u32) as usize)
    }

    /// The validity bitmap of a column, unless every row is present.
    pub(crate) fn validity(self, column: RawColumn, rows: usize) -> Option<&'a [u8]> {
        (column.validity != NULL).then(|| self.bitmap(column.validity, rows))
    }

    /// Table `index` of the record at `record`.
    pub(crate) fn table(self, record: u32, index: usize) -> RawTable {
        let count = self.field(record, record::TABLE_COUNT) as usize;
        assert!(index < count, "the record has no such table");
        let at = nth(self.field(record, record::TABLES), index, table::BYTES);
        RawTable {
            columns: self.field(at, table::COLUMNS),
            column_count: self.field(at, table::COLUMN_COUNT) as usize,
            rows: self.field(at, table::ROWS) as usize,
        }
    }

    /// Column `index` of `table`.
    pub(crate) fn column(self, table: RawTable, index: usize) -> RawColumn {
        assert!(index < table.column_count, "the record's table has no such column");
        let at = nth(table.columns, index, column::BYTES);
        RawColumn {
            kind: self.field(at, column::KIND),
            validity: self.field(at, column::VALIDITY),
            offsets: self.field(at, column::OFFSETS),
            values: self.field(at, column::VALUES),
        }
    }

    /// The field at `offset` of the structure at `address`.
    fn field(self, address: u32, offset: u32) -> u32 {
        self.array(address.wrapping_add(offset), 1)[0]
    }

    /// A pointer that is good for `bytes` bytes, for `'a`.
    #[cfg(target_arch = "wasm32")]
    fn pointer(self, address: u32, _bytes: usize) -> *const u8 {
        // Whoever called `own` answers for it.
        address as *const u8
    }

    /// A pointer that is good for `bytes` bytes, for `'a`.
    #[cfg(not(target_arch = "wasm32"))]
    fn pointer(self, address: u32, bytes: usize) -> *const u8 {
        let address = address as usize;
        assert!(address + bytes <= size_of_val(self.words), "the record points outside itself");
        self.words.as_ptr().cast::<u8>().wrapping_add(address)
    }
}

/// The address of item `index` of an array of structures. Addresses wrap: the record lies inside the memory, so they do
/// not, and checking would cost a third of a small analysis.
fn nth(array: u32, index: usize, bytes: u32) -> u32 {
    array.wrapping_add((index as u32).wrapping_mul(bytes))
}
