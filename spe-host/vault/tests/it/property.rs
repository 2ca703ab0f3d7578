//! Random tables, sizes and filters: a scan gives exactly what a naive grouping in memory gives, by data subject and by block.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spe_kernel::filter::{Filter, moment};
use spe_vault::{Ingest, ScanSizes, Source};

use super::{
    filters::{Plain, truth},
    support::{Row, Site, Subject, block_plan, keys, partition, plan, pseudonym, scan, subjects},
};

const WARDS: [&str; 3] = ["north", "south", "25"];
const NAMES: [&str; 7] = ["day", "dose", "acute", "ward", "born", "seen", "note"];

fn declaration(partitions: usize) -> String {
    let columns = r#"
columns = [
  { name = "day", type = "integer", min = -5, max = 5 },
  { name = "dose", type = "number", min = -10, max = 10 },
  { name = "acute", type = "boolean" },
  { name = "ward", type = "category", values = ["north", "south", "25"] },
  { name = "born", type = "date" },
  { name = "seen", type = "timestamp" },
  { name = "note", type = "text", max_bytes = 40 },
]"#;
    let table = |name: &str, order: &str| {
        format!("[[tables]]\nname = \"{name}\"\nkey = [\"pid\", \"site\"]\norder_by = {order}{columns}\n")
    };
    let (one, two) = (table("one", "[\"ward\", \"day\"]"), table("two", "[]"));
    format!("name = \"d\"\ntitle = \"\"\nsubjects_max = 40\npartitions = {partitions}\n{one}{two}")
}

/// A row: whose it is, and its values in the order of [`NAMES`].
type Values = (u8, Vec<Plain>);

fn values() -> impl Strategy<Value = Values> {
    let maybe = |s: BoxedStrategy<Plain>| prop_oneof![1 => Just(Plain::Missing), 4 => s].boxed();
    let int = |range: std::ops::RangeInclusive<i64>| range.prop_map(Plain::Int).boxed();
    let texts = prop::sample::select(vec!["x", "é\"", "a, b", "line\nend", "  "]);
    let columns = vec![
        maybe(int(-5..=5)),
        maybe((-20..=20).prop_map(|v| Plain::Num(f64::from(v) / 2.0)).boxed()),
        maybe(int(0..=1)),
        maybe(int(0..=2)),
        maybe(int(-3..=3)),
        maybe(int(-2_000_000..=2_000_000)),
        maybe(texts.prop_map(|t| Plain::Text(t.into())).boxed()),
    ];
    // A few subjects have most of the rows.
    (prop_oneof![3 => 0..3_u8, 1 => 0..40_u8], columns)
}

fn written(column: &str, value: &Plain) -> String {
    match (column, value) {
        (_, Plain::Missing) => String::new(),
        ("acute", Plain::Int(v)) => ["false", "true"][usize::try_from(*v).unwrap()].into(),
        ("ward", Plain::Int(v)) => WARDS[usize::try_from(*v).unwrap()].into(),
        ("born", Plain::Int(v)) => moment::print_date(i32::try_from(*v).unwrap()),
        ("seen", Plain::Int(v)) => moment::print_timestamp(*v),
        (_, Plain::Int(v)) => v.to_string(),
        (_, Plain::Num(v)) => format!("{v:?}"),
        (_, Plain::Text(v)) => v.clone(),
    }
}

fn csv(rows: &[Values]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["site", "pid"].iter().chain(&NAMES)).unwrap();
    for (subject, values) in rows {
        let cells = NAMES.iter().zip(values).map(|(name, v)| written(name, v));
        writer.write_record(["s".to_owned(), subject.to_string()].into_iter().chain(cells)).unwrap();
    }
    writer.into_inner().unwrap()
}

fn shown(value: &Plain) -> String {
    match value {
        Plain::Missing => "-".into(),
        Plain::Int(v) => v.to_string(),
        Plain::Num(v) => format!("{v:?}"),
        Plain::Text(v) => format!("{v:?}"),
    }
}

/// A subject's rows as a scan should give them.
fn expected(rows: &[Values], subject: u8, order: &[usize], filter: &Filter) -> Vec<Row> {
    let keeps = |values: &Vec<Plain>| {
        let value = |name: &str| values[NAMES.iter().position(|n| *n == name).unwrap()].clone();
        truth(filter.predicate(), &value) == Some(true)
    };
    let mut mine: Vec<_> = rows.iter().filter(|(s, v)| *s == subject && keeps(v)).map(|(_, v)| v).collect();
    mine.sort_by(|a, b| {
        order.iter().map(|i| a[*i].order(&b[*i])).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    mine.into_iter().map(|v| v.iter().map(shown).collect()).collect()
}

/// The first rows of each table.
fn cut(mut subject: Subject, rows_max: usize) -> Subject {
    subject.iter_mut().for_each(|table| table.truncate(rows_max));
    subject
}

/// Everybody's rows one after the other in order of pseudonym, in the block that the documented rule names.
fn naive_blocks(subjects: &BTreeMap<u8, Subject>, blocks: usize, rows_max: usize) -> Vec<Subject> {
    let pseudonym = |subject: &u8| u128::from_be_bytes(pseudonym("d", &[subject.to_string().as_bytes(), b"s"]));
    let by_pseudonym: BTreeMap<u128, &Subject> = subjects.iter().map(|(id, s)| (pseudonym(id), s)).collect();
    let mut dealt = vec![vec![Vec::new(); 2]; blocks];
    for (pseudonym, subject) in by_pseudonym {
        let block = ((pseudonym >> 64) * u128::try_from(blocks).unwrap()) >> 64;
        let tables = dealt[usize::try_from(block).unwrap()].iter_mut();
        tables.zip(subject).for_each(|(all, rows)| all.extend_from_slice(rows));
    }
    dealt.into_iter().map(|block| cut(block, rows_max)).collect()
}

const FILTERS: [&str; 14] = [
    "day is null or day is not null",
    "day >= 1",
    "not day >= 1",
    "dose between -1.5 and 2",
    "dose not between -1.5 and 2 or dose = 0",
    "acute = true and ward != 'south'",
    "ward in ('25', 'north')",
    "ward not in ('25') and not note = 'x'",
    "born <= date '1970-01-01' or seen > timestamp '1970-01-01T00:00:01Z'",
    "note = 'line\nend' or note in ('é\"', '  ')",
    "not (day = 1 and dose > 0 or acute = false)",
    "day in (1, 2, 3) and (dose is null or note is not null)",
    "seen between timestamp '1969-12-31T23:59:59Z' and timestamp '1970-01-01T00:00:00Z'",
    "day = 1 and day = 2",
];

fn sizes() -> impl Strategy<Value = ScanSizes> {
    (1..12_usize, 1..5_usize, 1..12_usize).prop_map(|(batch_rows, chunk_subjects, chunk_rows)| ScanSizes {
        batch_rows,
        chunk_subjects,
        chunk_rows,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_scan_is_a_grouping(
        one in prop::collection::vec(values(), 1..120),
        two in prop::collection::vec(values(), 0..60),
        partitions in 1..5_usize,
        (row_group_rows, threads) in (1..20_usize, 1..4_usize),
        memory_bytes in prop::sample::select(vec![1, 30_000, 256 << 20]),
        sizes in sizes(),
        rows_max in 1..20_usize,
        filters in (prop::sample::select(&FILTERS[..]), prop::sample::select(&FILTERS[..])),
        blocks in 2..90_usize,
    ) {
        let site = Site::new(&declaration(partitions));
        let schema = site.declaration.schema();
        let half = one.len() / 2;
        let sources: Vec<Source> = [("one", "1.csv", &one[..half]), ("two", "2.csv", &two[..]), ("one", "3.csv", &one[half..])]
            .into_iter().map(|(table, file, rows)| site.source(table, file, csv(rows))).collect();
        let (keys, vault) = (keys(), site.vault());
        let ingest = Ingest { row_group_rows, threads, memory_bytes, ..Ingest::new(&site.declaration, &sources, &keys, &vault) };
        ingest.run(|_| {}).unwrap();

        let input = |table: &str, filter: &str| {
            let text = serde_json::to_string(filter).unwrap();
            format!(r#"{{"table":"{table}","columns":{},"max_rows":{rows_max},"filter":{text}}}"#, serde_json::to_string(&NAMES).unwrap())
        };
        let inputs = format!("[{},{}]", input("two", filters.1), input("one", filters.0));
        let vault = site.open().with_sizes(sizes);
        let found = subjects(&vault, &plan(schema, &inputs));
        let scans = scan(&vault, &block_plan(schema, &inputs, blocks));
        let found_blocks: Vec<_> = scans.into_iter().flat_map(|scan| partition(scan).unwrap()).collect();

        let parsed = |table: usize, text| Filter::parse(text, &schema.tables[table]).unwrap();
        let everybody: BTreeSet<u8> = one.iter().chain(&two).map(|(s, _)| *s).collect();
        let naive: BTreeMap<u8, Subject> = everybody.into_iter().map(|s| {
            let of_one = expected(&one, s, &[3, 0, 1, 2, 4, 5, 6], &parsed(0, filters.0));
            let of_two = expected(&two, s, &[0, 1, 2, 3, 4, 5, 6], &parsed(1, filters.1));
            (s, vec![of_two, of_one])
        }).collect();
        prop_assert_eq!(found_blocks, naive_blocks(&naive, blocks, rows_max));
        let mut naive: Vec<_> = naive.into_values().map(|subject| cut(subject, rows_max)).collect();
        naive.sort();
        prop_assert_eq!(found, naive);
    }
}
