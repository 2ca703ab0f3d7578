//! A small dataset, plans over it, and records as plain values.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use spe_kernel::{
    category::Categories,
    dataset::DatasetSchema,
    fault::Fault,
    ids::Digest,
    job::Purpose,
    keys::{Identifiers, KeySource, LocalKeys},
    manifest::Manifest,
    optout::AsOf,
    plan::{Choices, Plan},
    record::{Chunk, ColumnChunk, Values},
    units::{Loss, Measure},
};
use spe_vault::{Declaration, Ingest, IngestError, Ingested, PartitionScan, Source, Vault};
use tempfile::TempDir;

/// One table with a column of every type.
pub(crate) const CLINIC: &str = r#"
name = "clinic"
title = "Visits to a clinic"
subjects_max = 900
partitions = 3

[[tables]]
name = "visits"
key = ["pid"]
order_by = ["day"]
drop = ["ssn", "name"]

[[tables.columns]]
name = "day"
type = "integer"
min = 0
max = 1000

[[tables.columns]]
name = "dose"
type = "number"
min = -10
max = 10.5

[[tables.columns]]
name = "acute"
type = "boolean"

[[tables.columns]]
name = "ward"
type = "category"
values = ["north", "south", "25"]

[[tables.columns]]
name = "born"
type = "date"

[[tables.columns]]
name = "seen"
type = "timestamp"

[[tables.columns]]
name = "note"
type = "text"
max_bytes = 40
"#;

pub(crate) const HEADER: &str = "pid,day,dose,acute,ward,born,seen,note\n";

/// A vault and its source files.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) declaration: Declaration,
}

impl Site {
    pub(crate) fn new(declaration: &str) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("vault")).unwrap();
        Self { dir, declaration: Declaration::parse(declaration).unwrap() }
    }

    pub(crate) fn vault(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn source(&self, table: &str, name: &str, content: impl AsRef<[u8]>) -> Source {
        Source { table: table.parse().unwrap(), file: self.file(name, content), rows: None }
    }

    pub(crate) fn ingest(&self, sources: &[Source]) -> Result<Ingested, IngestError> {
        Ingest::new(&self.declaration, sources, &keys(), &self.vault()).run(|_| {})
    }

    /// Ingests one CSV text into the first table.
    pub(crate) fn ingest_csv(&self, csv: impl AsRef<[u8]>) -> Result<Ingested, IngestError> {
        let table = self.declaration.schema().tables[0].name.clone();
        self.ingest(&[self.source(table.as_str(), "source.csv", csv)])
    }

    pub(crate) fn open(&self) -> Vault {
        Vault::open(&self.vault(), &keys()).unwrap()
    }
}

pub(crate) fn keys() -> LocalKeys {
    LocalKeys::from_seed([7; 32])
}

/// The pseudonym of the person whose key columns hold `parts`.
pub(crate) fn pseudonym(dataset: &str, parts: &[&[u8]]) -> spe_vault::Pseudonym {
    let mut identifiers = Identifiers::default();
    parts.iter().for_each(|part| identifiers.push(part));
    identifiers.close();
    keys().pseudonyms(&dataset.parse().unwrap(), 1, &identifiers).unwrap()[0]
}

/// The folder of the current snapshot.
pub(crate) fn current(site: &Site) -> PathBuf {
    let home = site.vault().join(site.declaration.schema().name.as_str());
    home.join(fs::read_to_string(home.join("CURRENT")).unwrap())
}

/// A plan that reads `inputs`, written as in a manifest.
pub(crate) fn plan(schema: &DatasetSchema, inputs: &str) -> Plan {
    plan_by(schema, inputs, "\"subject\"", r#"{"name":"n","kind":"count"}"#)
}

/// A plan that reads `inputs` in so many blocks.
pub(crate) fn block_plan(schema: &DatasetSchema, inputs: &str, blocks: usize) -> Plan {
    let output = r#"{"name":"n","kind":"block_mean","coordinates":[{"name":"c","lower":0,"upper":1}]}"#;
    plan_by(schema, inputs, &format!(r#"{{"blocks":{blocks}}}"#), output)
}

fn plan_by(schema: &DatasetSchema, inputs: &str, unit: &str, output: &str) -> Plan {
    let manifest =
        format!(r#"{{"name":"m","version":"1","abi":1,"unit":{unit},"inputs":{inputs},"outputs":[{output}]}}"#);
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap();
    let choices = Choices::new(Loss::from_pico(Measure::Zcdp, 1_000_000));
    Plan::new(&manifest, Digest::of(b"m"), schema, &choices).unwrap()
}

/// A late day, on which everything that was entered before counts.
pub(crate) fn as_of() -> AsOf {
    AsOf { at: "2100-01-01T00:00:00Z".parse().unwrap(), purpose: Purpose::ScientificResearch, reads: Categories::ALL }
}

/// A scan of the records of everybody who has not opted out by then.
pub(crate) fn scan(vault: &Vault, plan: &Plan) -> Vec<PartitionScan> {
    vault.scan(plan, &vault.cohort(plan.dataset(), as_of()).unwrap()).unwrap()
}

/// A value as text; `-` when missing.
pub(crate) type Row = Vec<String>;
/// Rows by table.
pub(crate) type Subject = Vec<Vec<Row>>;

/// All data subjects of all partitions, sorted: the multiset of records.
pub(crate) fn subjects(vault: &Vault, plan: &Plan) -> Vec<Subject> {
    let scans = scan(vault, plan);
    let mut all: Vec<_> = scans.into_iter().rev().flat_map(|scan| partition(scan).unwrap()).collect();
    all.sort();
    all
}

pub(crate) fn partition(scan: PartitionScan) -> Result<Vec<Subject>, Fault> {
    Ok(chunks(scan)?.iter().flat_map(records).collect())
}

pub(crate) fn chunks(mut scan: PartitionScan) -> Result<Vec<Chunk>, Fault> {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut chunks = Vec::new();
        while let Some(chunk) = scan.next().await {
            let _ = chunk?.map(|chunk| chunks.push(chunk));
        }
        assert!(scan.next().await.is_none(), "a finished scan stays finished");
        Ok(chunks)
    })
}

/// A chunk's records, after checking its shape.
pub(crate) fn records(chunk: &Chunk) -> Vec<Subject> {
    for table in &chunk.tables {
        let rows = *table.starts.last().unwrap();
        assert_eq!((table.starts.len(), table.starts[0]), (chunk.subjects + 1, 0));
        table.columns.iter().for_each(|column| check_column(column, rows));
    }
    let rows_of = |subject: usize| {
        let table = |t: &spe_kernel::record::TableChunk| {
            let row = |r| t.columns.iter().map(|c| value(c, r)).collect::<Row>();
            (t.starts[subject]..t.starts[subject + 1]).map(row).collect::<Vec<_>>()
        };
        chunk.tables.iter().map(table).collect()
    };
    (0..chunk.subjects).map(rows_of).collect()
}

fn check_column(column: &ColumnChunk, rows: usize) {
    assert!(column.present.is_empty() || column.present.len() == rows);
    assert!(column.present.iter().all(|p| *p <= 1));
    let zero = |row: usize| match &column.values {
        Values::Integer(v) | Values::Timestamp(v) => v[row] == 0,
        Values::Number(v) => v[row].to_bits() == 0,
        Values::Boolean(v) => v[row] == 0,
        Values::Category(v) | Values::Date(v) => v[row] == 0,
        Values::Text(offsets, _) => offsets[row] == offsets[row + 1],
    };
    let missing = column.present.iter().enumerate().filter(|(_, p)| **p == 0);
    assert!(missing.into_iter().all(|(row, _)| zero(row)), "a missing value is not zero");
    let length = match &column.values {
        Values::Integer(v) | Values::Timestamp(v) => v.len(),
        Values::Number(v) => v.len(),
        Values::Boolean(v) => v.len(),
        Values::Category(v) | Values::Date(v) => v.len(),
        Values::Text(offsets, bytes) => {
            assert_eq!((offsets[0], offsets[offsets.len() - 1]), (0, bytes.len()));
            offsets.len() - 1
        }
    };
    assert_eq!(length, rows);
}

fn value(column: &ColumnChunk, row: usize) -> String {
    if column.present.get(row) == Some(&0) {
        return "-".into();
    }
    match &column.values {
        Values::Integer(v) | Values::Timestamp(v) => v[row].to_string(),
        Values::Number(v) => format!("{:?}", v[row]),
        Values::Boolean(v) => v[row].to_string(),
        Values::Category(v) | Values::Date(v) => v[row].to_string(),
        Values::Text(offsets, bytes) => {
            format!("{:?}", std::str::from_utf8(&bytes[offsets[row]..offsets[row + 1]]).unwrap())
        }
    }
}

/// Every file and directory below `dir` with its content. What vanishes meanwhile is left out.
pub(crate) fn listing(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(listing(&path));
            all.insert(path, None);
        } else if let Ok(content) = fs::read(&path) {
            all.insert(path, Some(content));
        }
    }
    all
}

/// Files below `dir` that hold any of `needles`.
pub(crate) fn grep(dir: &Path, needles: &[&str]) -> Vec<PathBuf> {
    let holds = |content: &[u8]| needles.iter().any(|n| content.windows(n.len()).any(|w| w == n.as_bytes()));
    listing(dir).into_iter().filter(|(_, c)| c.as_deref().is_some_and(holds)).map(|(path, _)| path).collect()
}
