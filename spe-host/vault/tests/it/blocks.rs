//! Blocks: who is in one depends on the pseudonym alone, all of them appear, and nobody is lost.

use proptest::prelude::*;
use spe_kernel::record::{Chunk, Values};
use spe_vault::{Ingest, ScanSizes, Source, Vault};

use super::{
    scan::{COHORT, site},
    support::{Site, Subject, block_plan, chunks, keys, partition, plan, pseudonym, scan},
};

const LABS: &str = r#"[{"table":"labs","columns":["note","v.al-1","day"],"max_rows":65536},{"table":"people","columns":["age"],"max_rows":65536}]"#;
const NOTES: &str = r#"[{"table":"labs","columns":["note"],"max_rows":65536}]"#;

/// The block that `person` must be in, by the rule as it is documented.
fn block_of(person: &str, blocks: usize) -> usize {
    let pseudonym = pseudonym("cohort", &[person.as_bytes()]);
    let high = u64::from_be_bytes(*pseudonym.first_chunk().unwrap());
    usize::try_from((u128::from(high) * u128::try_from(blocks).unwrap()) >> 64).unwrap()
}

/// The rows of each block, in the order of blocks.
fn blocks(vault: &Vault, site: &Site, inputs: &str, blocks: usize) -> Vec<Subject> {
    let scans = scan(vault, &block_plan(site.declaration.schema(), inputs, blocks));
    scans.into_iter().flat_map(|scan| partition(scan).unwrap()).collect()
}

/// Everything that a module is shown of each block, byte for byte.
fn shown(vault: Vault, site: &Site, inputs: &str, blocks: usize) -> Vec<String> {
    let vault = vault.with_sizes(ScanSizes { chunk_subjects: 1, ..ScanSizes::default() });
    let scans = scan(&vault, &block_plan(site.declaration.schema(), inputs, blocks));
    scans.into_iter().flat_map(|scan| chunks(scan).unwrap()).map(|chunk| bytes(&chunk)).collect()
}

fn bytes(chunk: &Chunk) -> String {
    assert_eq!(chunk.subjects, 1);
    let values = |values: &Values| match values {
        Values::Integer(v) | Values::Timestamp(v) => format!("{v:?}"),
        Values::Number(v) => format!("{:?}", v.iter().map(|v| v.to_bits()).collect::<Vec<_>>()),
        Values::Boolean(v) => format!("{v:?}"),
        Values::Category(v) | Values::Date(v) => format!("{v:?}"),
        Values::Text(offsets, bytes) => format!("{offsets:?}{bytes:?}"),
    };
    let tables = chunk.tables.iter().map(|table| {
        let columns = table.columns.iter().map(|c| format!("{:?}{}", c.present, values(&c.values)));
        format!("{:?}{}", table.starts, columns.collect::<String>())
    });
    tables.collect()
}

/// A person, their age if they are in `people`, and their rows of `labs`.
type Person = (u16, Option<u8>, Vec<(u8, Option<i8>)>);

fn person() -> impl Strategy<Value = Person> {
    let rows = prop::collection::vec((0..6_u8, prop::option::of(-9..9_i8)), 0..5);
    (0..1_000_u16, prop::option::of(0..99_u8), rows)
        .prop_map(|(id, age, rows)| if rows.is_empty() { (id, Some(age.unwrap_or(50)), rows) } else { (id, age, rows) })
}

fn people_at_most(count: usize) -> impl Strategy<Value = Vec<Person>> {
    prop::collection::vec(person(), 2..=count).prop_map(|mut people| {
        people.sort();
        people.dedup_by_key(|(id, ..)| *id);
        people
    })
}

fn ingested(people: &[&Person], partitions: usize, reversed: bool) -> Site {
    let site = Site::new(&COHORT.replace("partitions = 2", &format!("partitions = {partitions}")));
    let mut ages: Vec<_> = people.iter().filter_map(|(id, age, _)| Some(format!("{id},{}\n", (*age)?))).collect();
    let row = |id: u16, (day, value): &(u8, Option<i8>)| {
        format!("{id},{day},{},of {id}\n", value.map(|v| v.to_string()).unwrap_or_default())
    };
    let mut labs: Vec<_> = people.iter().flat_map(|(id, _, rows)| rows.iter().map(|r| row(*id, r))).collect();
    if reversed {
        ages.reverse();
        labs.reverse();
    }
    let sources = [
        site.source("people", "people.csv", format!("id,age\n{}", ages.concat())),
        site.source("labs", "labs.csv", format!("person,day,value,note\n{}", labs.concat())),
    ];
    // Row groups of a few rows, so that blocks straddle them as well.
    Ingest { row_group_rows: 3, ..Ingest::new(&site.declaration, &sources, &keys(), &site.vault()) }
        .run(|_| {})
        .unwrap();
    site
}

const FILTERS: [&str; 3] = ["day >= 0", "day in (1, 2)", "v.al-1 > 0 and note is not null"];

fn inputs(rows_max: usize, filter: &str) -> String {
    format!(
        r#"[{{"table":"labs","columns":["note","v.al-1","day"],"max_rows":{rows_max},"filter":"{filter}"}},{{"table":"people","columns":["age"],"max_rows":{rows_max}}}]"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The noise is made for one block that changes. A person who moves anybody else to another block, cuts another block's rows,
    /// or makes a block appear or vanish, changes more than is paid for.
    #[test]
    fn removing_a_subject_changes_one_block(
        people in people_at_most(9),
        partitions in 1..6_usize,
        count in 2..24_usize,
        rows_max in 1..9_usize,
        filter in prop::sample::select(&FILTERS[..]),
    ) {
        prop_assume!(people.len() > 1);
        let inputs = inputs(rows_max, filter);
        let everybody: Vec<_> = people.iter().collect();
        let site = ingested(&everybody, partitions, false);
        let with = shown(site.open(), &site, &inputs, count);
        prop_assert_eq!(with.len(), count);
        for gone in &people {
            let others: Vec<_> = people.iter().filter(|p| p.0 != gone.0).collect();
            let site = ingested(&others, partitions, false);
            let without = shown(site.open(), &site, &inputs, count);
            prop_assert_eq!(without.len(), count, "the number of blocks tells whether somebody is there");
            let own = block_of(&gone.0.to_string(), count);
            for (block, (with, without)) in with.iter().zip(&without).enumerate() {
                prop_assert!(block == own || with == without, "{} of block {own} changed block {block}", gone.0);
            }
        }
    }

    /// Else the same people would be other blocks after the next ingest, or at a node with other partitions, and the plan would
    /// have to know of it.
    #[test]
    fn neither_order_of_ingest_nor_partitions_matter(
        people in people_at_most(12),
        partitions in prop::sample::select(vec![2, 3, 4, 5, 7, 16]),
        count in 2..40_usize,
        chunk_subjects in 1..5_usize,
        (batch_rows, chunk_rows) in (1..6_usize, 1..9_usize),
    ) {
        let everybody: Vec<_> = people.iter().collect();
        let site = ingested(&everybody, 1, false);
        let expected = blocks(&site.open(), &site, LABS, count);
        let site = ingested(&everybody, partitions, true);
        let vault = site.open().with_sizes(ScanSizes { batch_rows, chunk_subjects, chunk_rows });
        prop_assert_eq!(blocks(&vault, &site, LABS, count), expected);
    }
}

/// Two hundred people, each with two rows that say whose they are.
fn crowd(partitions: usize) -> Site {
    let people: Vec<Person> = (0..200).map(|id| (id, None, vec![(1, Some(1)), (2, Some(-1))])).collect();
    ingested(&people.iter().collect::<Vec<_>>(), partitions, false)
}

fn notes(block: &Subject) -> Vec<String> {
    block[0].iter().map(|row| row[0].trim_matches('"').replace("of ", "")).collect()
}

#[test]
fn everybody_is_in_the_block_of_their_pseudonym() {
    for (partitions, count) in [(1, 2), (3, 2), (16, 7), (7, 16), (8, 200), (2, 1_000), (256, 3)] {
        let site = crowd(partitions);
        let found = blocks(&site.open(), &site, NOTES, count);
        assert_eq!(found.len(), count, "{partitions} partitions");
        for (block, subject) in found.iter().enumerate() {
            assert!(
                notes(subject).iter().all(|person| block_of(person, count) == block),
                "somebody is in another's block"
            );
        }
        let rows: usize = found.iter().map(|b| b[0].len()).sum();
        assert_eq!(rows, 400, "{count} blocks over {partitions} partitions lost somebody, or have somebody twice");
    }
}

/// A block without anybody contributes the default, as a block that failed does; were it left out, its absence would tell that
/// nobody is there, and the sum would lack a block.
#[test]
fn blocks_of_nobody_appear() {
    let site = site("id,age\n1,30\n2,40\n", "person,day,value,note\n3,1,2.5,x\n");
    let found = blocks(&site.open(), &site, LABS, 60);
    assert_eq!(found.len(), 60);
    let full: Vec<_> = (0..60).filter(|b| found[*b].iter().any(|table| !table.is_empty())).collect();
    let mut expected: Vec<_> = ["1", "2", "3"].map(|person| block_of(person, 60)).to_vec();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(full, expected);
    let nothing = r#"[{"table":"labs","columns":["day"],"max_rows":9,"filter":"day = 99"}]"#;
    assert_eq!(
        blocks(&site.open(), &site, nothing, 60),
        vec![vec![Vec::<Vec<String>>::new()]; 60],
        "a filter removed blocks"
    );
}

/// What is beyond `max_rows` is nobody else's: left unread it would be an error, or the next block's rows.
#[test]
fn a_block_is_cut_as_a_whole_and_the_next_one_begins_where_it_should() {
    for partitions in [1, 2, 3] {
        let site = crowd(partitions);
        let whole = blocks(&site.open(), &site, NOTES, 5);
        let cut = blocks(&site.open(), &site, &NOTES.replace("65536", "7"), 5);
        for (whole, cut) in whole.iter().zip(&cut) {
            assert!(whole[0].len() > 7);
            assert_eq!(cut[0], whole[0][..7], "not the first rows in order of pseudonym");
        }
    }
}

/// Blocks are another way to hand on the same records, in the same order; the scan by data subject knows nothing of them.
#[test]
fn a_scan_by_subject_is_as_it_was() {
    let site = crowd(3);
    let vault = site.open();
    let by_subject = || {
        let scans = scan(&vault, &plan(site.declaration.schema(), NOTES));
        assert_eq!(scans.len(), 3);
        scans.into_iter().flat_map(|scan| partition(scan).unwrap()).collect::<Vec<_>>()
    };
    let before = by_subject();
    assert_eq!(before.len(), 200);
    assert!(before.iter().all(|s| s[0].len() == 2), "a data subject has rows of another");
    let people: Vec<_> = before.iter().flat_map(notes).collect();
    for count in [2, 6, 65_536] {
        let found = blocks(&vault, &site, NOTES, count);
        assert_eq!(found.iter().flat_map(notes).collect::<Vec<_>>(), people, "not in order of pseudonym");
    }
    assert_eq!(by_subject(), before);
}

/// Where partitions and blocks begin together, threads share the work; no part is read by two.
#[test]
fn parts_are_cut_where_both_begin() {
    let site = crowd(8);
    let parts = |count| scan(&site.open(), &block_plan(site.declaration.schema(), NOTES, count)).len();
    assert_eq!([8, 16, 200, 4, 2, 100, 7].map(parts), [8, 8, 8, 4, 2, 4, 1]);
}

/// A subject of a range that its partition does not hold is in no block of this part: left out in silence, the answer would be
/// of fewer people than were paid for.
#[test]
fn a_damaged_snapshot_is_a_fault_in_blocks_too() {
    let people: String = (0..50).map(|i| format!("{i},1\n")).collect();
    for lost in ["subjects", "tables/people"] {
        let site = site(&format!("id,age\n{people}"), "person,day,value,note\n");
        let vault = site.open();
        let home = site.vault().join("cohort");
        let dir = home.join(std::fs::read_to_string(home.join("CURRENT")).unwrap()).join(lost);
        std::fs::copy(dir.join("0001.parquet"), dir.join("0000.parquet")).unwrap();
        for (inputs, table) in [(LABS, "tables/people"), (NOTES, "tables/labs")] {
            if lost == "tables/people" && table == "tables/labs" {
                continue;
            }
            let fault = |count| {
                let scans = scan(&vault, &block_plan(site.declaration.schema(), inputs, count));
                scans.into_iter().any(|scan| partition(scan).is_err())
            };
            assert!(fault(4) && fault(3), "{lost} of another partition, read with {table}");
        }
    }
}

/// The rows of a source may come in any number of files.
#[test]
fn a_person_in_two_files_is_in_one_block() {
    let site = Site::new(COHORT);
    let labs = |name, rows: &str| site.source("labs", name, format!("person,day,value,note\n{rows}"));
    let sources: [Source; 3] = [
        site.source("people", "p.csv", "id,age\n7,30\n"),
        labs("1.csv", "7,1,,a\n8,1,,c\n"),
        labs("2.csv", "7,2,,b\n"),
    ];
    site.ingest(&sources).unwrap();
    let found = blocks(&site.open(), &site, NOTES, 100);
    assert_eq!(notes(&found[block_of("7", 100)]), ["a", "b"]);
    assert_eq!(notes(&found[block_of("8", 100)]), ["c"]);
}
