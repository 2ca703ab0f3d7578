//! What a scan gives: whole subjects, all of them, and nobody else's bytes.

use spe_kernel::record::{Chunk, Values};
use spe_vault::{Ingest, ScanSizes};

use super::support::{Site, chunks, keys, partition, plan, records, scan, subjects};

/// Two tables that share their subjects; a column name with a dot and a minus.
pub(crate) const COHORT: &str = r#"
name = "cohort"
title = "People and their labs"
subjects_max = 10000
partitions = 2

[[tables]]
name = "people"
key = ["id"]
columns = [{ name = "age", type = "integer", min = 0, max = 120 }]

[[tables]]
name = "labs"
key = ["person"]
order_by = ["day"]
columns = [
  { name = "day", type = "integer", min = 0, max = 100000 },
  { name = "v.al-1", source = "value", type = "number", min = -1e6, max = 1e6 },
  { name = "note", type = "text", max_bytes = 20 },
]
"#;

pub(crate) const BOTH: &str = r#"[{"table":"labs","columns":["v.al-1","day"],"max_rows":65536},{"table":"people","columns":["age"],"max_rows":1}]"#;

pub(crate) fn site(people: &str, labs: &str) -> Site {
    let site = Site::new(COHORT);
    site.ingest(&[site.source("people", "people.csv", people), site.source("labs", "labs.csv", labs)]).unwrap();
    site
}

fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<Vec<String>> {
    rows.iter().map(|row| row.iter().map(|v| (*v).to_owned()).collect()).collect()
}

#[test]
fn tables_are_joined_by_subject_and_nobody_is_left_out() {
    let site = site("id,age\n1,30\n2,40\n", "person,day,value,note\n2,5,1.5,\n3,1,2.5,x\n2,1,,\n");
    let vault = site.open();
    let found = subjects(&vault, &plan(site.declaration.schema(), BOTH));
    let one = vec![vec![], rows(&[["30"]])];
    let two = vec![rows(&[["-", "1"], ["1.5", "5"]]), rows(&[["40"]])];
    let three = vec![rows(&[["2.5", "1"]]), vec![]];
    assert_eq!(found, [one, two, three]);

    let filtered = r#"[{"table":"labs","columns":["day"],"max_rows":9,"filter":"v.al-1 > 2 and note = 'x'"}]"#;
    let found = subjects(&vault, &plan(site.declaration.schema(), filtered));
    assert_eq!(found, [vec![vec![]], vec![vec![]], vec![rows(&[["1"]])]], "a filter must not remove people");
}

#[test]
fn a_subject_with_many_rows_is_whole_and_cut_to_the_first() {
    let labs: String = (0..30_000).rev().map(|day| format!("big,{day},{day},\nsmall{},1,1,\n", day % 3)).collect();
    let site = site("id,age\nbig,1\n", &format!("person,day,value,note\n{labs}"));
    let vault = site.open().with_sizes(ScanSizes { batch_rows: 1_000, chunk_subjects: 2, chunk_rows: 500 });
    let found = subjects(&vault, &plan(site.declaration.schema(), BOTH));
    assert_eq!(found.iter().map(|s| s[0].len()).collect::<Vec<_>>(), [30_000, 10_000, 10_000, 10_000]);
    assert!(found[0][0].iter().enumerate().all(|(day, row)| row[1] == day.to_string()), "declared order");

    let cut = r#"[{"table":"labs","columns":["day"],"max_rows":3,"filter":"day >= 7"}]"#;
    let found = subjects(&vault, &plan(site.declaration.schema(), cut));
    assert_eq!(found.last().unwrap()[0], rows(&[["7"], ["8"], ["9"]]), "the filter comes before the cut");
}

#[test]
fn partitions_are_independent() {
    let people: String = (0..5_000).map(|i| format!("{i},{}\n", i % 100)).collect();
    let site = site(&format!("id,age\n{people}"), "person,day,value,note\n");
    let (vault, plan) = (site.open(), plan(site.declaration.schema(), BOTH));
    let scans = scan(&vault, &plan);
    assert_eq!(scans.len(), 2);
    let threads: Vec<_> = scans.into_iter().map(|scan| std::thread::spawn(|| partition(scan).unwrap())).collect();
    let mut found: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    found.sort();
    assert_eq!(found.len(), 5_000);
    assert_eq!(found, subjects(&vault, &plan));
}

#[test]
fn chunks_are_bounded() {
    let people: String = (0..5_000).map(|i| format!("{i},1\n")).collect();
    let site = site(&format!("id,age\n{people}"), "person,day,value,note\n");
    for scan in scan(&site.open(), &plan(site.declaration.schema(), BOTH)) {
        assert!(chunks(scan).unwrap().iter().all(|c| (1..=1_024).contains(&c.subjects)));
    }
}

/// All bytes that a chunk holds.
fn bytes(chunk: &Chunk) -> String {
    let columns = chunk.tables.iter().flat_map(|t| &t.columns);
    let texts = columns.filter_map(|c| match &c.values {
        Values::Text(offsets, bytes) => Some(format!("{offsets:?}{bytes:?}/{}", bytes.capacity() < 64)),
        _ => None,
    });
    format!("{:?}{}", records(chunk), texts.collect::<String>())
}

/// Arrow slices share their parent's memory; a chunk must not: whatever others' rows hold, a subject's chunk is the same.
#[test]
fn a_chunk_does_not_depend_on_anyone_else() {
    let input = r#"[{"table":"labs","columns":["note","v.al-1","day"],"max_rows":9},{"table":"people","columns":["age"],"max_rows":1}]"#;
    let of_me = |others: &str| {
        let site = site("id,age\nme,44\n", &format!("person,day,value,note\nme,1,,mine\n{others}me,2,5,\n"));
        let vault = site.open().with_sizes(ScanSizes { chunk_subjects: 1, ..ScanSizes::default() });
        let scans = scan(&vault, &plan(site.declaration.schema(), input));
        let all: Vec<_> = scans.into_iter().flat_map(|s| chunks(s).unwrap()).collect();
        all.iter().map(bytes).find(|chunk| chunk.contains("mine")).unwrap()
    };
    let alone = of_me("");
    assert_eq!(alone, of_me("you,1,CANARY1,CANARY\n".replace("CANARY1", "99").as_str()));
    let crowd: String = (0..500).map(|i| format!("u{i},{i},{},CANARY{i}\n", i * 3)).collect();
    assert_eq!(alone, of_me(&crowd));
    assert!(!of_me(&crowd).contains("CANARY"));
}

#[test]
fn a_damaged_snapshot_is_a_fault_not_an_answer() {
    let people: String = (0..50).map(|i| format!("{i},1\n")).collect();
    let site = site(&format!("id,age\n{people}"), "person,day,value,note\n");
    let (vault, plan) = (site.open(), plan(site.declaration.schema(), BOTH));
    let home = site.vault().join("cohort");
    let dir = home.join(std::fs::read_to_string(home.join("CURRENT")).unwrap()).join("tables/people");
    std::fs::copy(dir.join("0001.parquet"), dir.join("0000.parquet")).unwrap();
    let first = scan(&vault, &plan).remove(0);
    let fault = partition(first).unwrap_err().to_string();
    assert!(fault.contains("unable to decrypt"), "a partition was read in the place of another: {fault}");
    std::fs::write(dir.join("0001.parquet"), "PAR1 is not enough").unwrap();
    assert!(partition(scan(&vault, &plan).remove(1)).is_err());
}

#[test]
fn odd_directories_are_not_patterns() {
    let site = Site::new(COHORT);
    let vault = site.dir.path().join("v*[a]? %20é#");
    std::fs::create_dir(&vault).unwrap();
    let sources =
        [site.source("people", "p.csv", "id,age\n1,1\n"), site.source("labs", "l.csv", "person,day,value,note\n")];
    Ingest::new(&site.declaration, &sources, &keys(), &vault).run(|_| {}).unwrap();
    let vault = spe_vault::Vault::open(&vault, &super::support::keys()).unwrap();
    assert_eq!(subjects(&vault, &plan(site.declaration.schema(), BOTH)).len(), 1);
}

#[test]
fn long_filters_are_evaluated() {
    let site = site("id,age\n1,30\n2,40\n", "person,day,value,note\n");
    for word in [" or ", " and "] {
        let filter = ["age=30"; 370].join(word);
        let input = format!(r#"[{{"table":"people","columns":["age"],"max_rows":1,"filter":"{filter}"}}]"#);
        let found = subjects(&site.open(), &plan(site.declaration.schema(), &input));
        assert_eq!(found, [vec![vec![]], vec![rows(&[["30"]])]]);
    }
}
