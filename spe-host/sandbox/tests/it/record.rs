//! The record's bytes, read back with nothing but the prose of `docs/guest-abi.md`.

use spe_kernel::record::{Chunk, ColumnChunk, TableChunk, Values};

use crate::fixture::{Guest, SANDBOX, approve, choices, run};

const ADDRESS: u32 = 65_536;
const WORDS: usize = 16;

/// A guest that shows 16 words of its memory, from `at` bytes after its input.
fn viewer(inputs: &str) -> Vec<u8> {
    let show = |i| {
        format!(
            "(f64.store offset={} (local.get $out) (f64.convert_i32_u (i32.load offset={} (global.get $at))))",
            i * 8,
            i * 4
        )
    };
    let guest = Guest {
        inputs: inputs.to_owned(),
        params: r#"{"name": "at", "min": 0, "max": 100000}"#,
        outputs: WORDS,
        items: "(global $at (mut i32) (i32.const 0))".to_owned(),
        // The place of the parameter is dirtied, to show that the record covers it.
        start: "(global.set $at (i32.add (i32.const 65536) (i32.trunc_f64_u (f64.load (local.get $params)))))
                (memory.fill (i32.const 65536) (i32.const 255) (i32.const 4096))
                (select (i32.const 0) (i32.const 1) (i32.eq (local.get $len) (i32.const 8)))",
        map: (0..WORDS).map(show).collect(),
        ..Guest::default()
    };
    guest.wasm()
}

/// The first 512 bytes of every data subject's input.
fn view(inputs: &str, chunk: &Chunk) -> Vec<View> {
    let wasm = viewer(inputs);
    let mut views = vec![View(Vec::new()); chunk.subjects];
    for at in (0..512).step_by(WORDS * 4) {
        let mut choices = choices();
        choices.params.insert("at".to_owned(), f64::from(at));
        let module = approve(&SANDBOX, &wasm, choices).unwrap_or_else(|e| panic!("{e:?}"));
        for (view, words) in views.iter_mut().zip(run(&module, chunk)) {
            view.0.extend(words.unwrap().iter().flat_map(|&w| (w as u32).to_le_bytes()));
        }
    }
    views
}

#[derive(Clone, PartialEq, Debug)]
struct View(Vec<u8>);

struct Column {
    kind: u32,
    validity: u32,
    offsets: u32,
    values: u32,
}

impl View {
    fn bytes<const N: usize>(&self, address: u32) -> [u8; N] {
        let at = (address - ADDRESS) as usize;
        self.0[at..at + N].try_into().unwrap()
    }

    fn word(&self, address: u32) -> u32 {
        u32::from_le_bytes(self.bytes(address))
    }

    /// Number of columns, rows.
    fn table(&self, table: u32) -> (u32, u32) {
        let at = self.word(ADDRESS) + 16 * table;
        assert_eq!(self.word(at + 12), 0, "the reserved word");
        (self.word(at + 4), self.word(at + 8))
    }

    fn column(&self, table: u32, column: u32) -> Column {
        let at = self.word(self.word(ADDRESS) + 16 * table) + 16 * column;
        let column = Column {
            kind: self.word(at),
            validity: self.word(at + 4),
            offsets: self.word(at + 8),
            values: self.word(at + 12),
        };
        assert!(
            [column.validity, column.offsets, column.values].iter().all(|p| p % 8 == 0),
            "pointers are 8-byte aligned"
        );
        column
    }
}

const ALL: &str =
    r#"{"table": "t", "columns": ["whole", "number", "flag", "category", "day", "instant", "text"], "max_rows": 3}"#;
const TWO: &str = r#"{"table": "t", "columns": ["whole"], "max_rows": 2}, {"table": "u", "columns": ["text", "flag"], "max_rows": 9}"#;

/// Two data subjects: one with rows 0 and 1, one with rows 2 to 5, of which the last is one too many.
fn all_types() -> Chunk {
    let column = |values| ColumnChunk { present: Vec::new(), values };
    let mut columns = vec![
        column(Values::Integer(vec![-1, 2, 3, i64::MIN, i64::MAX, 6])),
        column(Values::Number(vec![0.5, -0.0, 1e300, f64::MIN_POSITIVE, 5.0, 6.0])),
        column(Values::Boolean(vec![1, 0, 0, 1, 1, 1])),
        column(Values::Category(vec![0, 2, 1, 0, 2, 2])),
        column(Values::Date(vec![-1, 0, 19_000, 4, 5, 6])),
        column(Values::Timestamp(vec![1, -2, 3, 4, 5, 6])),
        column(Values::Text(vec![0, 2, 2, 5, 5, 9, 11], b"abcdef-xyz!".to_vec())),
    ];
    columns[0].present = vec![1, 1, 1, 0, 1, 1];
    Chunk { subjects: 2, tables: vec![TableChunk { starts: vec![0, 2, 6], columns }] }
}

#[test]
fn every_type_lies_as_the_abi_says() {
    let [first, second] = view(ALL, &all_types()).try_into().unwrap();
    assert_eq!((first.word(ADDRESS + 4), first.table(0), second.table(0)), (1, (7, 2), (7, 3)));
    let kinds: Vec<_> = (0..7).map(|c| second.column(0, c).kind).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7]);
    let values = |view: &View, column| view.column(0, column).values;
    let i64s = |view: &View, column: u32, row: u32| i64::from_le_bytes(view.bytes(values(view, column) + 8 * row));
    assert_eq!([0, 1].map(|row| i64s(&first, 0, row)), [-1, 2]);
    assert_eq!([0, 1, 2].map(|row| i64s(&second, 0, row)), [3, i64::MIN, i64::MAX]);
    assert_eq!([0, 1, 2].map(|row| i64s(&second, 5, row)), [3, 4, 5]);
    let f64s = |row: u32| f64::from_le_bytes(second.bytes(values(&second, 1) + 8 * row));
    assert_eq!([0, 1, 2].map(f64s), [1e300, f64::MIN_POSITIVE, 5.0]);
    let i32s = |column: u32, row: u32| i32::from_le_bytes(second.bytes(values(&second, column) + 4 * row));
    assert_eq!([0, 1, 2].map(|row| i32s(3, row)), [1, 0, 2]);
    assert_eq!([0, 1, 2].map(|row| i32s(4, row)), [19_000, 4, 5]);
}

/// Bits beyond the last row, and bytes up to the next multiple of 8, are zero: here the memory was 0xff before.
#[test]
fn bitmaps_are_packed_and_padding_is_zero() {
    let [first, second] = view(ALL, &all_types()).try_into().unwrap();
    assert_eq!(first.bytes::<8>(first.column(0, 2).values), [0b01, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(second.bytes::<8>(second.column(0, 2).values), [0b110, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(second.bytes::<8>(second.column(0, 0).validity), [0b101, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(second.bytes::<4>(second.column(0, 3).values + 12), [0; 4]);
    // Whoever misses nothing has no bitmap, though the column has one for somebody else.
    assert_eq!(first.column(0, 0).validity, 0);
    assert!((1..7).all(|c| second.column(0, c).validity == 0));
}

#[test]
fn text_has_offsets_from_zero() {
    let [first, second] = view(ALL, &all_types()).try_into().unwrap();
    let text = |view: &View| {
        let column = view.column(0, 6);
        let offsets: Vec<_> = (0..=view.table(0).1).map(|row| view.word(column.offsets + 4 * row)).collect();
        (offsets, view.bytes::<8>(column.values))
    };
    assert_eq!(text(&first), (vec![0, 2, 2], *b"ab\0\0\0\0\0\0"));
    assert_eq!(text(&second), (vec![0, 3, 3, 7], *b"cdef-xy\0"));
    assert!((0..6).all(|c| second.column(0, c).offsets == 0));
}

#[test]
fn tables_come_in_order_and_may_be_empty() {
    let column = |values| ColumnChunk { present: vec![1, 0, 1], values };
    let t = TableChunk { starts: vec![0, 0, 3], columns: vec![column(Values::Integer(vec![1, 0, 3]))] };
    let u = TableChunk {
        starts: vec![0, 3, 3],
        columns: vec![column(Values::Text(vec![0, 1, 1, 2], b"xy".to_vec())), column(Values::Boolean(vec![1, 0, 1]))],
    };
    let [first, second] = view(TWO, &Chunk { subjects: 2, tables: vec![t, u] }).try_into().unwrap();
    assert_eq!((first.word(ADDRESS + 4), first.table(0), first.table(1)), (2, (1, 0), (2, 3)));
    assert_eq!((second.table(0), second.table(1)), ((1, 2), (2, 0)));
    let empty = second.column(1, 0);
    assert_eq!((empty.validity, second.word(empty.offsets)), (0, 0));
    assert_eq!(first.bytes::<2>(first.column(1, 0).values), *b"xy");
    assert_eq!(first.bytes::<1>(first.column(1, 1).validity), [0b101]);
}

/// The largest record that the plan allows fits into the bytes that the guest set aside, beside its outputs.
#[test]
fn the_largest_record_fits() {
    let inputs = r#"{"table": "t", "columns": ["text", "flag", "whole"], "max_rows": 7}"#;
    let some = |values| ColumnChunk { present: vec![1, 0, 0, 1, 0, 1, 0], values };
    let columns = vec![
        some(Values::Text((0..8).map(|row| row * 16).collect(), vec![b'z'; 7 * 16])),
        some(Values::Boolean(vec![1; 7])),
        some(Values::Integer(vec![-1; 7])),
    ];
    let chunk = Chunk { subjects: 1, tables: vec![TableChunk { starts: vec![0, 7], columns }] };
    assert_eq!(view(inputs, &chunk)[0].table(0), (3, 7));
}

/// A block has the rows of many people: as many as a table may have, each as long as its column allows. A record that outgrew
/// the bytes that the guest set aside would be a fault after the charge; one row more or less a wrong cut.
#[test]
fn the_largest_block_fits() {
    const ROWS: u32 = 65_536;
    const BLOCK: &str = r#""kind": "block_mean", "coordinates": [{"name": "rows", "lower": 0, "upper": 1}, {"name": "last", "lower": 0, "upper": 1}, {"name": "text", "lower": 0, "upper": 1}]"#;
    let guest = Guest {
        inputs: ALL.replace("\"max_rows\": 3", &format!("\"max_rows\": {ROWS}")),
        fields: r#""unit": {"blocks": 2},"#.to_owned(),
        output: BLOCK,
        memory: r#"(memory (export "memory") 160)"#,
        map: "(local $columns i32)
              (local.set $columns (i32.load (i32.load (local.get $record))))
              (f64.store (local.get $out) (f64.convert_i32_u (call $rows (local.get $record))))
              (f64.store offset=8 (local.get $out) (f64.convert_i64_s (i64.load
                (i32.add (i32.load offset=12 (local.get $columns)) (i32.mul (i32.const 8) (i32.sub (call $rows (local.get $record)) (i32.const 1)))))))
              (f64.store offset=16 (local.get $out) (f64.convert_i32_u (i32.load
                (i32.add (i32.load offset=104 (local.get $columns)) (i32.mul (i32.const 4) (call $rows (local.get $record)))))))"
            .to_owned(),
        ..Guest::default()
    };
    let rows = ROWS as usize + 5;
    let column = |values| {
        let mut present = vec![1; rows];
        present[0] = 0;
        ColumnChunk { present, values }
    };
    let columns = vec![
        column(Values::Integer((0..rows as i64).collect())),
        column(Values::Number(vec![0.5; rows])),
        column(Values::Boolean(vec![1; rows])),
        column(Values::Category(vec![2; rows])),
        column(Values::Date(vec![9; rows])),
        column(Values::Timestamp(vec![-1; rows])),
        column(Values::Text((0..=rows).map(|row| row * 16).collect(), vec![b'z'; rows * 16])),
    ];
    let chunk = Chunk { subjects: 1, tables: vec![TableChunk { starts: vec![0, rows], columns }] };
    let (last, text) = (f64::from(ROWS) - 1.0, f64::from(ROWS) * 16.0);
    assert_eq!(guest.run(&chunk), [Some(vec![f64::from(ROWS), last, text])]);
}
