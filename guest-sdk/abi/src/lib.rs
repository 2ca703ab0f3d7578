//! The guest ABI, version 1, as constants: what a module exports and how a data subject's record lies in its memory.
//!
//! The prose is `docs/guest-abi.md`; where the two differ, this crate is right. All numbers are little-endian, all
//! pointers are 32-bit guest addresses, and a structure or an array of values starts at a multiple of [`ALIGN`].

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod key;
mod kind;
mod output;

pub use key::{key_of_text, text_of_key, KeyText, KEY_CHARS_MAX, KEY_MAX};
pub use kind::Kind;
pub use output::OutputKind;

/// The version that a manifest's `abi` field must state.
pub const ABI_VERSION: u32 = 1;

/// The custom section that holds the manifest (JSON), exactly once in a module.
pub const MANIFEST_SECTION: &str = "spe.manifest";
/// The largest manifest, in bytes.
pub const MANIFEST_MAX_BYTES: usize = 64 * 1024;
/// The largest module, in bytes.
pub const MODULE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The export that is the module's one linear memory.
pub const EXPORT_MEMORY: &str = "memory";
/// `spe_start(params: i32, len: i32) -> i32`: called once, before any data; [`START_READY`] or a refusal.
pub const EXPORT_START: &str = "spe_start";
/// `spe_input(bytes: i32) -> i32`: called once, before `spe_start`; the address of `bytes` writable bytes, or
/// [`INPUT_NO_ROOM`].
pub const EXPORT_INPUT: &str = "spe_input";
/// `spe_map(record: i32, out: i32)`: called per data subject (or block), from the snapshot.
pub const EXPORT_MAP: &str = "spe_map";
/// `spe_update(state: i32, len: i32, out: i32, cap: i32) -> i32`: called before each round and after the last, in
/// modules with rounds; `cap` when it wrote the next state, [`UPDATE_STOP`], or a refusal.
pub const EXPORT_UPDATE: &str = "spe_update";

/// What `spe_start` answers when the module is ready; anything else refuses the job.
pub const START_READY: i32 = 0;
/// What `spe_input` answers when there is no room.
pub const INPUT_NO_ROOM: u32 = 0;
/// What `spe_update` answers to end the rounds, with the state as it was.
pub const UPDATE_STOP: i32 = 0;

/// Fuel for `spe_input` and `spe_start` together.
pub const START_FUEL: u64 = 20_000;
/// Fuel for one call of `spe_update`.
pub const UPDATE_FUEL: u64 = 100_000_000;

/// The alignment of every structure and every array of values, in bytes.
pub const ALIGN: u32 = 8;
/// The size of one parameter, an `f64`; `spe_start`'s `len` is this times the manifest's number of parameters, and of
/// states in a module with rounds.
pub const PARAM_BYTES: u32 = 8;
/// The size of one number that `spe_update` reads or writes, an `f64`.
pub const STATE_BYTES: u32 = 8;
/// The size of one number that `spe_map` writes, an `f64`.
pub const OUTPUT_BYTES: u32 = 8;
/// A pointer that points at nothing: no validity bitmap (every row is present), no offsets.
pub const NULL: u32 = 0;

/// Written for an output, this (or any other NaN) means that the data subject takes the output's declared default.
/// The bits are WebAssembly's canonical NaN, to which the sandbox canonicalises every other.
pub const NO_ANSWER: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// The structure that `spe_map`'s `record` points at.
pub mod record {
    /// Size of a record in bytes.
    pub const BYTES: u32 = 8;
    /// Offset of the `u32` pointer to an array of tables.
    pub const TABLES: u32 = 0;
    /// Offset of the `u32` number of tables.
    pub const TABLE_COUNT: u32 = 4;
}

/// One table of a record, in the manifest's order.
pub mod table {
    /// Size of a table in bytes.
    pub const BYTES: u32 = 16;
    /// Offset of the `u32` pointer to an array of columns.
    pub const COLUMNS: u32 = 0;
    /// Offset of the `u32` number of columns.
    pub const COLUMN_COUNT: u32 = 4;
    /// Offset of the `u32` number of rows, at most the manifest's `max_rows`.
    pub const ROWS: u32 = 8;
    /// Offset of a reserved `u32`, zero.
    pub const RESERVED: u32 = 12;
}

/// The numbers that `spe_update` reads, each an `f64`; the offsets count numbers.
pub mod update {
    /// How many rounds are done.
    pub const ROUND: usize = 0;
    /// How many nodes' sums are added up.
    pub const NODES: usize = 1;
    /// Where the state begins; the sums of the last round follow it, and before the first round nothing does.
    pub const STATE: usize = 2;
}

/// One column of a table, in the manifest's order.
pub mod column {
    /// Size of a column in bytes.
    pub const BYTES: u32 = 16;
    /// Offset of the `u32` code of a [`Kind`](crate::Kind).
    pub const KIND: u32 = 0;
    /// Offset of the `u32` pointer to the validity bitmap, or [`NULL`](crate::NULL): every row is present.
    pub const VALIDITY: u32 = 4;
    /// Offset of the `u32` pointer to rows + 1 `u32` offsets, or [`NULL`](crate::NULL) for kinds other than text.
    pub const OFFSETS: u32 = 8;
    /// Offset of the `u32` pointer to the values.
    pub const VALUES: u32 = 12;
}

/// `bytes` rounded up to a multiple of [`ALIGN`], or `None` past 32 bits.
#[must_use]
pub const fn align_up(bytes: u32) -> Option<u32> {
    match bytes.checked_add(ALIGN - 1) {
        Some(sum) => Some(sum & !(ALIGN - 1)),
        None => None,
    }
}

/// The bytes of a bitmap of `rows` bits, before padding.
#[must_use]
pub const fn bitmap_bytes(rows: u32) -> u32 {
    rows.div_ceil(8)
}

/// Whether bit `row` of an LSB-first bitmap is set; `false` past its end.
#[must_use]
pub const fn bit_is_set(bitmap: &[u8], row: usize) -> bool {
    row / 8 < bitmap.len() && bitmap[row / 8] >> (row % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_the_alignment() {
        assert_eq!(align_up(0), Some(0));
        assert_eq!(align_up(1), Some(8));
        assert_eq!(align_up(16), Some(16));
        assert_eq!(align_up(u32::MAX), None);
        assert_eq!([0, 1, 8, 9].map(bitmap_bytes), [0, 1, 1, 2]);
    }

    #[test]
    fn bitmaps_are_lsb_first() {
        assert!(bit_is_set(&[0b0000_0010, 1], 1));
        assert!(bit_is_set(&[0b0000_0010, 1], 8));
        assert!(!bit_is_set(&[0b0000_0010, 1], 0));
        assert!(!bit_is_set(&[0xff], 8));
    }

    #[test]
    fn structures_keep_the_alignment() {
        assert_eq!(record::BYTES % ALIGN, 0);
        assert_eq!(table::BYTES % ALIGN, 0);
        assert_eq!(column::BYTES % ALIGN, 0);
        assert!(NO_ANSWER.is_nan());
    }
}
