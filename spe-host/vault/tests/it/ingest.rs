//! What ingest takes, and what it keeps to itself.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray,
        TimestampMillisecondArray,
    },
    datatypes::Int8Type,
};
use parquet::arrow::ArrowWriter;
use spe_kernel::{
    ids::DatasetName,
    keys::{DataKey, Identifiers, KeyError, KeySource, LocalKeys, Newest},
    optout::Subject,
};
use spe_vault::{Altered, Ingest, Ingested, Progress, Source};

use super::support::{CLINIC, HEADER, Row, Site, grep, keys, listing, plan, subjects};

const ALL: &str = r#"[{"table":"visits","columns":["day","dose","acute","ward","born","seen","note"],"max_rows":9}]"#;

fn row(cells: [&str; 7]) -> Row {
    cells.map(String::from).to_vec()
}

#[test]
fn reads_every_type_and_spelling() {
    let site = Site::new(CLINIC);
    let csv = format!(
        "\u{feff}{}\r\n\
         b,2, .5 ,TRUE,25,1970-01-02,1970-01-01 00:00:00.5,\"a \"\"b\"\", c\"\r\n\
         a,1,-0.0,0,north,,,é\r\n\
         \r\n\
         \" b \",1,1e1,1,south,0001-01-01,1970-01-01T01:00:00+01:00,\r\n",
        HEADER.trim_end()
    );
    let error = site.ingest_csv(&csv).unwrap_err().to_string();
    assert!(error.ends_with("expected one of 0, false, 1, true, found 4 characters of the shape \"AAAA\""), "{error}");
    let done = site.ingest_csv(csv.replace("TRUE", "true")).unwrap();
    assert_eq!((done.rows_read, done.rows_kept, done.subjects, done.altered), (3, 3, 2, vec![]));
    let vault = site.open();
    let found = subjects(&vault, &plan(site.declaration.schema(), ALL));
    let a = vec![vec![row(["1", "0.0", "0", "0", "-", "-", "\"é\""])]];
    let b = vec![vec![
        row(["1", "10.0", "1", "1", "-719162", "0", "-"]),
        row(["2", "0.5", "1", "2", "1", "500000", "\"a \\\"b\\\", c\""]),
    ]];
    assert_eq!(found, [a, b]);
}

#[test]
fn parquet_gives_the_same_snapshot_as_csv() {
    let site = Site::new(CLINIC);
    let csv = format!(
        "{HEADER}7,1,0.5,true,north,1970-01-02,1970-01-01T00:00:01Z,x\n7,2,,false,25,,,\n12,3,1.5,,south,1970-01-03,1970-01-01T00:00:02Z,y\n"
    );
    let from_csv = site.ingest_csv(csv).unwrap();
    let wards: DictionaryArray<Int8Type> = ["north", "25", "south"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("note", Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]))),
        ("name", Arc::new(StringArray::from(vec!["Ada", "Ada", "Bob"]))),
        ("pid", Arc::new(Int32Array::from(vec![7, 7, 12]))),
        (
            "seen",
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(1_000), None, Some(2_000)]).with_timezone("Europe/Berlin"),
            ),
        ),
        ("dose", Arc::new(Float32Array::from(vec![Some(0.5), None, Some(1.5)]))),
        ("day", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("acute", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("born", Arc::new(Date32Array::from(vec![Some(1), None, Some(2)]))),
        ("ward", Arc::new(wards)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = site.dir.path().join("source.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let source = Source { table: "visits".parse().unwrap(), file: path, rows: None };
    let from_parquet = site.ingest(&[source]).unwrap();
    assert_eq!(Ingested { subjects_before: None, ..from_parquet }, from_csv);
}

#[test]
fn values_outside_are_treated_as_declared_and_counted() {
    let declaration = CLINIC
        .replace("max = 1000", "max = 1000\noutside = \"clamp\"")
        .replace("max = 10.5", "max = 10.5\noutside = \"missing\"\nmissing = [\"\", \"NaN\", \"9999\"]")
        .replace("max_bytes = 40", "max_bytes = 4\noutside = \"missing\"")
        .replace("values = [", "outside = \"missing\"\nvalues = [");
    let site = Site::new(&declaration);
    let done = site
        .ingest_csv(format!("{HEADER}a,-5,11,1,west,,,abcd\na,2000,NaN,1,north,,,abcde\na,7,9999,1,,,,\n"))
        .unwrap();
    let altered =
        |column: &str, values| Altered { table: "visits".parse().unwrap(), column: column.parse().unwrap(), values };
    assert_eq!(done.altered, [altered("day", 2), altered("dose", 1), altered("ward", 1), altered("note", 1)]);
    let found = subjects(&site.open(), &plan(site.declaration.schema(), ALL));
    let rows = vec![
        row(["0", "-", "1", "-", "-", "-", "\"abcd\""]),
        row(["7", "-", "1", "-", "-", "-", "-"]),
        row(["1000", "-", "1", "0", "-", "-", "-"]),
    ];
    assert_eq!(found, [vec![rows]]);
}

#[test]
fn a_form_error_is_refused_even_where_outside_values_are_not() {
    let site = Site::new(&CLINIC.replace("max = 1000", "max = 1000\noutside = \"clamp\""));
    assert!(site.ingest_csv(format!("{HEADER}a,ten,,,,,,\n")).is_err());
}

#[test]
fn row_filters_choose_what_is_ingested() {
    let site = Site::new(&CLINIC.replace("drop =", "rows = 'day < 100'\ndrop ="));
    let csv = format!("{HEADER}a,1,,,north,,,\na,2,,,south,,,\nb,3,,,south,,,\nc,4,,,,,,\nd,500,,,north,,,\n");
    let source = site.source("visits", "source.csv", csv);
    let source = Source { rows: Some("ward in ('north', '25')".into()), ..source };
    let other = site.source("visits", "other.csv", format!("{HEADER}e,5,,,south,,,\ne,600,,,south,,,\n"));
    let done = site.ingest(&[source, other]).unwrap();
    assert_eq!(
        (done.rows_read, done.rows_kept, done.subjects),
        (7, 2, 2),
        "people without rows are not in the dataset"
    );
    let days = r#"[{"table":"visits","columns":["day"],"max_rows":9}]"#;
    let found = subjects(&site.open(), &plan(site.declaration.schema(), days));
    assert_eq!(found, [vec![vec![vec!["1".to_owned()]]], vec![vec![vec!["5".to_owned()]]]]);
}

/// Keys that remember for whom they were asked.
struct Watched(LocalKeys, Mutex<Vec<Vec<u8>>>);

impl KeySource for Watched {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        self.0.newest(dataset)
    }
    fn data_key(&self, dataset: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        self.0.data_key(dataset, version)
    }
    fn pseudonyms(&self, dataset: &DatasetName, version: u32, asked: &Identifiers) -> Result<Vec<Subject>, KeyError> {
        self.1.lock().unwrap().extend(asked.iter().map(<[u8]>::to_vec));
        self.0.pseudonyms(dataset, version, asked)
    }
}

/// What would be a bug: an identifier of somebody of whom no row is kept, at the key holder; or rows that get another's pseudonym for it.
#[test]
fn nobody_who_is_filtered_out_is_asked_for() {
    let site = Site::new(CLINIC);
    let csv = format!(
        "{HEADER}a,1,,,south,,,\nb,2,,,north,,,\nb,3,,,south,,,\nc,4,,,south,,,\nd,5,,,north,,,\nb,6,,,north,,,\n"
    );
    let source = Source { rows: Some("ward = 'north'".into()), ..site.source("visits", "source.csv", csv) };
    let keys = Watched(LocalKeys::from_seed([7; 32]), Mutex::default());
    let done = Ingest::new(&site.declaration, std::slice::from_ref(&source), &keys, &site.vault()).run(|_| {}).unwrap();
    assert_eq!((done.rows_kept, done.subjects), (3, 2));
    let mut asked: Vec<u8> = keys.1.into_inner().unwrap().into_iter().map(|packed| *packed.last().unwrap()).collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, b"bd");
    let kept = site.ingest_csv(format!("{HEADER}b,2,,,north,,,\nd,5,,,north,,,\nb,6,,,north,,,\n")).unwrap();
    assert_eq!(kept.snapshot, done.snapshot, "the filter made another snapshot than the rows alone");
}

#[test]
fn the_snapshot_depends_on_records_and_key_only() {
    let rows: Vec<_> =
        (0..3_000).map(|i| format!("p{},{},{},1,25,,,n{}\n", i * 7 % 400, i % 10, i % 3, i % 11)).collect();
    let site = Site::new(CLINIC);
    let forward = site.ingest_csv(format!("{HEADER}{}", rows.concat())).unwrap();
    let backward: String = rows.iter().rev().cloned().collect();
    let (one, two) = backward.split_at(backward.len() / 2);
    let cut = one.len() + two.find('\n').unwrap() + 1;
    let (one, two) = backward.split_at(cut);
    let sources = [
        site.source("visits", "1.csv", format!("{HEADER}{one}")),
        site.source("visits", "2.csv", format!("{HEADER}{two}")),
    ];
    let keys = keys();
    let vault = site.vault();
    let mut small = Ingest::new(&site.declaration, &sources, &keys, &vault);
    small.threads = 5;
    assert_eq!(Ingested { subjects_before: None, ..small.run(|_| {}).unwrap() }, forward);
    let other = LocalKeys::from_seed([8; 32]);
    let rekeyed = Ingest { keys: &other, ..small };
    assert_ne!(rekeyed.run(|_| {}).unwrap().snapshot, forward.snapshot);
    let changed = site.ingest_csv(format!("{HEADER}{}", rows.concat().replacen("n10", "n11", 1))).unwrap();
    assert_ne!(changed.snapshot, forward.snapshot);
}

/// Direct identifiers must not be on disk at any moment: neither in the snapshot nor in staging files, nor after a failure.
#[test]
fn identifiers_never_reach_the_disk() {
    let needles = ["KEY-CANARY", "SSN-CANARY", "NAME-CANARY"];
    let header = HEADER.replace("pid,", "ssn,name,pid,");
    let row = |i: usize| format!("SSN-CANARY-{i},NAME-CANARY-{i},KEY-CANARY-{},{},,,,,,note {i}\n", i % 700, i % 1000);
    let rows: String = (0..40_000).map(row).collect();
    let site = Site::new(CLINIC);
    let sources = [site.source("visits", "source.csv", format!("{header}{rows}"))];
    let (keys, vault) = (keys(), site.vault());
    let mut steps = 0;
    let ingest = Ingest::new(&site.declaration, &sources, &keys, &vault);
    ingest
        .run(|_| {
            steps += 1;
            assert!(grep(&vault, &needles).is_empty());
        })
        .unwrap();
    assert!(steps > 10, "nobody looked");
    assert!(!grep(&vault, &["visits"]).is_empty(), "the search finds nothing at all");
    assert!(grep(&vault, &needles).is_empty());
    let bad = site.ingest_csv(format!("{header}{}SSN-CANARY,NAME-CANARY,KEY-CANARY,NAME-CANARY,,,,,,\n", row(1)));
    let message = bad.unwrap_err().to_string();
    assert!(needles.iter().all(|n| !message.contains(n)), "{message}");
}

#[test]
fn progress_is_told() {
    let site = Site::new(CLINIC);
    let sources = [site.source("visits", "source.csv", format!("{HEADER}{}", "a,1,,,,,,\n".repeat(5_000)))];
    let mut told = Vec::new();
    Ingest::new(&site.declaration, &sources, &keys(), &site.vault()).run(|p| told.push(p)).unwrap();
    assert!(told.contains(&Progress::Read { rows: 5_000 }));
    assert_eq!(told.last(), Some(&Progress::Sorted { done: 3, of: 3 }));
}

#[test]
fn leftovers_of_a_killed_ingest_are_removed() {
    let site = Site::new(CLINIC);
    let old = site.vault().join(".staging-abc/snapshot");
    fs::create_dir_all(&old).unwrap();
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    assert!(listing(&site.vault()).keys().all(|path| !path.to_string_lossy().contains("staging")));
}
