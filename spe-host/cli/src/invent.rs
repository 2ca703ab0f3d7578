//! Made-up records within a dataset's declared bounds: nobody's data, the same each time.

use spe_kernel::{
    dataset::{ColumnType, DatasetSchema},
    manifest::Input,
    plan::Plan,
    record::{Chunk, ColumnChunk, TableChunk, Values},
};

/// Rows of a made-up person in one table, unless it is one who has as many as the module reads.
const ROWS_MAX: u64 = 12;
/// Longest made-up text in bytes.
const TEXT_BYTES_MAX: u64 = 4_096;
/// Days since 1970 of made-up dates: 1900 to 2030.
const DAYS: (i64, i64) = (-25_567, 21_914);

/// A small generator of repeatable numbers (Steele et al., SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A whole number within bounds; the bounds themselves come up more often than others.
    fn within(&mut self, min: i64, max: i64) -> i64 {
        let span = u64::try_from(i128::from(max) - i128::from(min)).unwrap_or(u64::MAX);
        match self.below(10) {
            0 => min,
            1 => max,
            _ => min.saturating_add_unsigned(self.below(span.saturating_add(1))),
        }
    }

    /// From 0 to 1, both included now and then.
    fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let fine = self.below(1 << 52) as f64 / (1_u64 << 52) as f64;
        match self.below(10) {
            0 => 0.0,
            1 => 1.0,
            _ => fine,
        }
    }
}

/// So many people, or blocks of people, each with all their rows of the plan's tables.
///
/// The first has no row at all, and every fourth as many rows as the module reads, so that what a run needs at most is seen.
/// About every tenth value is missing. Filters are not applied: every row is one that passed.
pub(crate) fn people(plan: &Plan, schema: &DatasetSchema, count: usize) -> Vec<Chunk> {
    let mut dice = Dice(7);
    (0..count).map(|nth| person(&mut dice, plan, schema, nth)).collect()
}

fn person(dice: &mut Dice, plan: &Plan, schema: &DatasetSchema, nth: usize) -> Chunk {
    let tables = plan.inputs().iter().map(|input| table(dice, input, schema, nth)).collect();
    Chunk { subjects: 1, tables }
}

fn table(dice: &mut Dice, input: &Input, schema: &DatasetSchema, nth: usize) -> TableChunk {
    let most = u64::from(input.max_rows);
    let rows = match nth {
        0 => 0,
        n if n % 4 == 1 => most,
        _ => dice.below(most.min(ROWS_MAX) + 1),
    };
    let rows = usize::try_from(rows).unwrap_or(0);
    let kinds = input.columns.iter().filter_map(|name| Some(&schema.table(&input.table)?.column(name)?.kind));
    TableChunk { starts: vec![0, rows], columns: kinds.map(|kind| column(dice, kind, rows)).collect() }
}

fn column(dice: &mut Dice, kind: &ColumnType, rows: usize) -> ColumnChunk {
    let present: Vec<u8> = (0..rows).map(|_| u8::from(dice.below(10) > 0)).collect();
    let values = values(dice, kind, &present);
    ColumnChunk { present, values }
}

/// One value a row; a missing one is zero or empty.
fn values(dice: &mut Dice, kind: &ColumnType, present: &[u8]) -> Values {
    fn each<T: Default>(present: &[u8], mut one: impl FnMut() -> T) -> Vec<T> {
        present.iter().map(|p| if *p == 0 { T::default() } else { one() }).collect()
    }
    let small = |n: i64| i32::try_from(n).unwrap_or(0);
    match kind {
        ColumnType::Integer { min, max } => Values::Integer(each(present, || dice.within(*min, *max))),
        ColumnType::Number { min, max } => Values::Number(each(present, || min + (max - min) * dice.share())),
        ColumnType::Boolean => Values::Boolean(each(present, || u8::from(dice.below(2) > 0))),
        ColumnType::Category { values } => {
            let last = i64::try_from(values.len()).unwrap_or(i64::MAX) - 1;
            Values::Category(each(present, || small(dice.within(0, last))))
        }
        ColumnType::Date => Values::Date(each(present, || small(dice.within(DAYS.0, DAYS.1)))),
        ColumnType::Timestamp => Values::Timestamp(each(present, || dice.within(DAYS.0, DAYS.1) * 86_400_000_000)),
        ColumnType::Text { max_bytes } => text(dice, u64::from(*max_bytes).min(TEXT_BYTES_MAX), present),
    }
}

fn text(dice: &mut Dice, most: u64, present: &[u8]) -> Values {
    let (mut starts, mut bytes) = (vec![0], Vec::new());
    for p in present {
        let length = if *p == 0 { 0 } else { dice.below(most + 1) };
        bytes.extend(
            (0..length).map(|_| *b"ABCDE0189.".get(usize::try_from(dice.below(10)).unwrap_or(0)).unwrap_or(&b'A')),
        );
        starts.push(bytes.len());
    }
    Values::Text(starts, bytes)
}
