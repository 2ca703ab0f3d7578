//! Sources that are not as declared: what is said, and that nothing is left behind.

use std::{fs, path::Path, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use parquet::arrow::ArrowWriter;
use spe_vault::{Ingest, IngestError, Source};

use super::support::{CLINIC, HEADER, Site, keys, listing};

const GOOD: &str = "p1,1,0.5,true,north,2020-01-31,2020-01-31T08:00:00Z,hello\n";

/// What is said about `csv`, without the file's name; nothing of it may be on disk.
fn refusal(csv: impl AsRef<[u8]>) -> String {
    let site = Site::new(CLINIC);
    let first = site.ingest_csv(format!("{HEADER}{GOOD}")).unwrap();
    let before = listing(&site.vault());
    let error = site.ingest_csv(csv).expect_err("it was taken").to_string();
    assert_eq!(listing(&site.vault()), before, "something of a refused ingest was left");
    assert_eq!(site.open().datasets().next().unwrap().snapshot(), first.snapshot);
    let file = format!("{}: ", site.dir.path().join("source.csv").display());
    error.strip_prefix(&file).map_or(error.clone(), str::to_owned)
}

fn row(cells: &str) -> String {
    refusal(format!("{HEADER}{GOOD}{cells}\n"))
}

#[test]
fn cells() {
    let good: Vec<_> = GOOD.trim_end().split(',').collect();
    let with = |column: usize, cell: &str| {
        let mut cells = good.clone();
        cells[column] = cell;
        row(&cells.join(","))
    };
    let cases = [
        (with(0, ""), "line 3: column \"pid\": the subject key is missing; every row must belong to a data subject"),
        (with(0, "  "), "line 3: column \"pid\": the subject key is missing; every row must belong to a data subject"),
        (
            with(1, "1.5"),
            "line 3: column \"day\": expected a whole number from 0 to 1000, found 3 characters of the shape \"9.9\"",
        ),
        (
            with(1, "1001"),
            "line 3: column \"day\": expected a whole number from 0 to 1000, found 4 characters of the shape \"9999\"",
        ),
        (
            with(1, "99999999999999999999"),
            "line 3: column \"day\": expected a whole number from 0 to 1000, found 20 characters of the shape \"99999999999999999999\"",
        ),
        (
            with(2, "NaN"),
            "line 3: column \"dose\": expected a number from -10 to 10.5, found 3 characters of the shape \"AaA\"",
        ),
        (
            with(2, "1e999"),
            "line 3: column \"dose\": expected a number from -10 to 10.5, found 5 characters of the shape \"9a999\"",
        ),
        (
            with(2, "10.6"),
            "line 3: column \"dose\": expected a number from -10 to 10.5, found 4 characters of the shape \"99.9\"",
        ),
        (
            with(3, "yes"),
            "line 3: column \"acute\": expected one of 0, false, 1, true, found 3 characters of the shape \"aaa\"",
        ),
        (
            with(4, "North"),
            "line 3: column \"ward\": expected one of 3 declared categories, found 5 characters of the shape \"Aaaaa\"",
        ),
        (
            with(5, "31.01.2020"),
            "line 3: column \"born\": expected a date, YYYY-MM-DD, found 10 characters of the shape \"99.99.9999\"",
        ),
        (
            with(5, "2021-02-29"),
            "line 3: column \"born\": expected a date, YYYY-MM-DD, found 10 characters of the shape \"9999-99-99\"",
        ),
        (
            with(6, "08:00"),
            "line 3: column \"seen\": expected a timestamp, YYYY-MM-DDTHH:MM:SSZ, found 5 characters of the shape \"99:99\"",
        ),
        (
            with(7, &"long ".repeat(9)),
            "line 3: column \"note\": expected UTF-8 text of at most 40 bytes, found 45 characters of the shape \"aaaa aaaa aaaa aaaa …\"",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Else everybody whose key was not recorded would be one person.
#[test]
fn a_spelling_of_missing_is_not_a_key() {
    let site = Site::new(&CLINIC.replace("drop =", "missing = [\"\", \"NA\"]\ndrop ="));
    let error = site.ingest_csv(format!("{HEADER}{GOOD}NA,1,,,,,,\n")).unwrap_err().to_string();
    assert!(
        error.ends_with("line 3: column \"pid\": the subject key is missing; every row must belong to a data subject")
    );
}

#[test]
fn files() {
    let latin1 = [HEADER.as_bytes(), GOOD.as_bytes(), b"p1,1,0,true,north,,,caf\xe9\n"].concat();
    let utf16: Vec<u8> = [0xfeff_u16].into_iter().chain(HEADER.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let cases = [
        (refusal(""), "is empty; a header line is needed"),
        (refusal("\n\n"), "is empty; a header line is needed"),
        (refusal(utf16), "is UTF-16; save it as UTF-8"),
        (
            refusal(latin1),
            "line 3: column \"note\": expected UTF-8 text of at most 40 bytes, found bytes that are not UTF-8",
        ),
        (refusal(HEADER.replace("dose", "day")), "column \"day\" is twice in the header; rename one"),
        (
            refusal(HEADER.replace("dose", "dosis")),
            "column \"dosis\" is neither declared nor dropped; declare it, add it to \"drop\", or say drop = \"rest\"",
        ),
        (
            refusal(HEADER.replace("dose,", "")),
            "column \"dose\" is missing; the file has pid, day, acute, ward, born, seen, note",
        ),
        (
            refusal(HEADER.replace("pid,", "")),
            "column \"pid\" is missing; the file has day, dose, acute, ward, born, seen, note",
        ),
        (row("p1,1,0.5"), "line 3: 3 cells, but the header has 8; is a quotation mark or a delimiter missing?"),
        (
            row(&format!("{},", GOOD.trim_end())),
            "line 3: 9 cells, but the header has 8; is a quotation mark or a delimiter missing?",
        ),
        (
            row("p1,1,0.5,true,north,,,\"never closed"),
            "the number of quotation marks is odd: one is never closed; a mark inside a cell must be doubled and the cell quoted",
        ),
        (refusal(HEADER), "no row is left to ingest: the sources are empty or the row filters keep nothing"),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Jobs are given time for the declared number of people: with more of them, how late a node is would tell how many there are.
#[test]
fn more_people_than_declared() {
    let site = Site::new(&CLINIC.replace("subjects_max = 900", "subjects_max = 3"));
    let csv = |people: usize| {
        HEADER.to_owned() + &(0..2 * people).map(|i| format!("p{},1,,,,,,\n", i % people)).collect::<String>()
    };
    let says = || site.ingest_csv(csv(4)).unwrap_err().to_string();
    let message = "4 data subjects, but \"subjects_max\" declares at most 3 at any one node: ingest fewer, or declare a larger bound, at all nodes alike; every job's time is computed from it, so leave room rather than declare the number itself";
    assert_eq!(says(), message);
    assert!(listing(&site.vault()).is_empty(), "something of a refused ingest was left");
    assert_eq!(site.ingest_csv(csv(3)).unwrap().subjects, 3, "as many as declared, whatever their rows");
    let before = listing(&site.vault());
    assert_eq!(says(), message);
    assert_eq!(listing(&site.vault()), before);
}

/// Jobs are given time to read the declared number of rows: with more of them, a node could be late because somebody has many.
#[test]
fn more_rows_than_declared() {
    let site = Site::new(&CLINIC.replace("name = \"visits\"", "name = \"visits\"\nrows_max = 5"));
    let csv = |rows: usize| HEADER.to_owned() + &"p1,1,,,,,,\n".repeat(rows);
    let says = site.ingest_csv(csv(6)).unwrap_err().to_string();
    assert!(says.starts_with("table visits has 6 rows, and at any one node it may have 5 (\"rows_max\""), "{says}");
    assert!(listing(&site.vault()).is_empty(), "something of a refused ingest was left");
    assert_eq!(site.ingest_csv(csv(5)).unwrap().rows_kept, 5, "as many as declared, whoever has them");
    let usual = Site::new(CLINIC);
    let table = &usual.declaration.schema().tables[0];
    assert_eq!(usual.declaration.schema().rows_max(table), 100_000, "a public number without a declaration");
}

#[test]
fn the_first_wrong_line_is_named_whichever_thread_finds_one_first() {
    let mut csv = String::from(HEADER);
    for line in 0..50_000 {
        csv.push_str(if line >= 30_000 { "p1,x,,,,,,\n" } else { "p1,1,,,,,,\n" });
    }
    for _ in 0..5 {
        assert!(refusal(&csv).starts_with("line 30002: column \"day\""));
    }
}

#[test]
fn sources_and_filters() {
    let site = Site::new(CLINIC);
    let says = |sources: &[Source]| site.ingest(sources).unwrap_err().to_string();
    let good = site.source("visits", "good.csv", format!("{HEADER}{GOOD}"));
    assert_eq!(says(&[]), "table visits has no source; name at least one file for it");
    let stray = Source { table: "labs".parse().unwrap(), ..good.clone() };
    assert_eq!(says(&[good.clone(), stray]), "a source is for table labs, which is not declared");
    let filtered = Source { rows: Some("ward = 'west'".into()), ..good.clone() };
    let message = "the row filter for table visits is wrong: at character 8: expected one of \"north\", \"south\", \"25\" for the category ward, found the text \"west\"";
    assert_eq!(says(&[filtered]), message);
    let nothing = Source { rows: Some("ward = 'south'".into()), ..good.clone() };
    assert_eq!(says(&[nothing]), "no row is left to ingest: the sources are empty or the row filters keep nothing");
    let absent = Source { file: "/no/such.csv".into(), ..good.clone() };
    assert_eq!(says(&[absent]), "/no/such.csv: cannot be read: No such file or directory (os error 2)");
    let excel = Source { file: site.file("good.xlsx", ""), ..good };
    assert!(says(&[excel]).ends_with("good.xlsx: is neither .csv nor .parquet"));
    assert!(listing(&site.vault()).is_empty());
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_files() {
    let declaration = CLINIC.split("[[tables.columns]]").take(3).collect::<Vec<_>>().join("[[tables.columns]]");
    let site = Site::new(&declaration);
    let path = site.dir.path().join("source.parquet");
    let source = Source { table: "visits".parse().unwrap(), file: path.clone(), rows: None };
    let says = |columns: Vec<(&str, ArrayRef)>| {
        parquet(&path, columns);
        let error = site.ingest(std::slice::from_ref(&source)).unwrap_err().to_string();
        assert!(listing(&site.vault()).is_empty());
        error.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
    };
    let ints = |v: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(v.to_vec())) };
    let floats = |v: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(v.to_vec())) };
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    assert_eq!(
        says(vec![("pid", keys), ("day", ints(&[1, 2])), ("dose", floats(&[1.0, 2.0]))]),
        "row 2: column \"pid\": the subject key is missing; every row must belong to a data subject"
    );
    assert_eq!(
        says(vec![("pid", floats(&[1.0])), ("day", ints(&[1])), ("dose", floats(&[1.0]))]),
        "row 1: column \"pid\" holds Float64; expected text or whole numbers for the subject key"
    );
    assert_eq!(
        says(vec![("pid", ints(&[1, 2])), ("day", ints(&[1, 2])), ("dose", floats(&[1.0, f64::NAN]))]),
        "row 2: column \"dose\": expected a number from -10 to 10.5, found NaN"
    );
    assert_eq!(
        says(vec![("pid", ints(&[1])), ("day", floats(&[1.0])), ("dose", floats(&[1.0]))]),
        "row 1: column \"day\": expected a whole number from 0 to 1000, found a number"
    );
    let nested = datafusion::arrow::array::new_empty_array(&DataType::new_list(DataType::Int64, true));
    let nested: ArrayRef = datafusion::arrow::compute::concat(&[
        &*nested,
        &*datafusion::arrow::array::new_null_array(nested.data_type(), 1),
    ])
    .unwrap();
    assert_eq!(
        says(vec![("pid", ints(&[1])), ("day", ints(&[1])), ("dose", nested)]),
        "row 1: column \"dose\" holds List(Int64); expected numbers, booleans, dates, timestamps or text"
    );
    fs::write(&path, "not parquet").unwrap();
    let error = site.ingest(&[source]).unwrap_err().to_string();
    assert!(error.contains("source.parquet: cannot be read: "), "{error}");
}

#[test]
fn vaults_that_cannot_be_written() {
    let site = Site::new(CLINIC);
    let source = site.source("visits", "good.csv", format!("{HEADER}{GOOD}"));
    let into = |vault: &Path| {
        Ingest::new(&site.declaration, std::slice::from_ref(&source), &keys(), vault).run(|_| {}).unwrap_err()
    };
    let absent = into(Path::new("/no/such")).to_string();
    let message = "cannot write to /no/such: No such file or directory (os error 2); nothing was published. Check that the directory exists, may be written and has room";
    assert_eq!(absent, message);
    // Not even root may write there.
    assert!(matches!(into(Path::new("/proc")), IngestError::Write { .. }));
    let lock = fs::File::open(site.vault()).unwrap();
    lock.lock().unwrap();
    assert!(into(&site.vault()).to_string().starts_with("another ingest is writing to "));
    assert!(listing(&site.vault()).is_empty());
}
