//! The evil guests of the SDK, compiled from Rust as a researcher would: `guest-sdk/evil`.

use std::path::Path;

use spe_kernel::{
    dataset::{ColumnSchema, ColumnType, DatasetSchema, TableSchema},
    ids::Digest,
    manifest::Manifest,
    plan::Plan,
    record::{Chunk, ColumnChunk, TableChunk, Values},
};
use spe_sandbox::{ApprovedModule, inspect};

use crate::fixture::{SANDBOX, choices, run, schema};

fn read(module: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(module);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn kind(column: &str) -> ColumnType {
    if matches!(column, "female" | "target") { ColumnType::Boolean } else { ColumnType::Integer { min: 0, max: 1_000 } }
}

/// The tables that a module asks for.
fn wanted(manifest: &Manifest) -> DatasetSchema {
    let column = |c: &spe_kernel::ids::ColumnName| ColumnSchema {
        name: c.clone(),
        kind: kind(c.as_str()),
        description: String::new(),
    };
    let table = |i: &spe_kernel::manifest::Input| TableSchema {
        name: i.table.clone(),
        rows_max: None,
        category: None,
        time: None,
        columns: i.columns.iter().map(column).collect(),
    };
    DatasetSchema { tables: manifest.inputs.iter().map(table).collect(), ..schema() }
}

pub(crate) fn approved(name: &str) -> ApprovedModule {
    approve(name, &read(&format!("guest-sdk/evil/modules/{name}.wasm")))
}

fn approve(name: &str, wasm: &[u8]) -> ApprovedModule {
    let manifest = inspect(wasm).unwrap_or_else(|e| panic!("{name}: {e}")).manifest;
    let schema = wanted(&manifest);
    let plan = Plan::new(&manifest, Digest::of(wasm), &schema, &choices()).unwrap();
    SANDBOX.approve(wasm, &plan, &schema).unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

/// One data subject for each number of visits, with as many rows as visits modulo 4, and one more.
pub(crate) fn people(module: &ApprovedModule, visits: &[i64]) -> Chunk {
    let mut starts = vec![0];
    let mut rows = Vec::new();
    for &v in visits {
        rows.extend(vec![v; 1 + v as usize % 4]);
        starts.push(rows.len());
    }
    let values = |column: &str| match kind(column) {
        ColumnType::Boolean => Values::Boolean(rows.iter().map(|v| (v % 2) as u8).collect()),
        _ => Values::Integer(rows.clone()),
    };
    let column = |c: &spe_kernel::ids::ColumnName| ColumnChunk { present: Vec::new(), values: values(c.as_str()) };
    let columns = module.manifest().inputs[0].columns.iter().map(column).collect();
    Chunk { subjects: visits.len(), tables: vec![TableChunk { starts, columns }] }
}

/// Numbers as bits, so that NaN equals NaN.
fn contributions(module: &ApprovedModule, visits: &[i64]) -> Vec<Option<Vec<u64>>> {
    let bits = |numbers: Vec<f64>| numbers.into_iter().map(f64::to_bits).collect();
    run(module, &people(module, visits)).into_iter().map(|c| c.map(bits)).collect()
}

/// Whatever an evil guest does to one person, everyone contributes in company what they contribute alone.
#[test]
fn company_does_not_matter() {
    let visits: Vec<_> = (0..24).collect();
    for name in ["accumulator", "grower", "hasher", "hostile", "spinner", "trapper"] {
        let module = approved(name);
        let together = contributions(&module, &visits);
        let alone: Vec<_> = visits.iter().flat_map(|&v| contributions(&module, &[v])).collect();
        assert_eq!(together, alone, "{name}");
        assert!(
            together.iter().flatten().flatten().all(|&b| !f64::from_bits(b).is_nan() || b == f64::NAN.to_bits()),
            "{name}"
        );
    }
}

/// Every call is the first.
#[test]
fn the_accumulator_counts_to_one() {
    let seen = contributions(&approved("accumulator"), &[1, 2, 3]);
    assert_eq!(seen, vec![Some(vec![1_f64.to_bits()]); 3]);
}

/// What would be a bug: one of those who come after the target, and are not, that answers 1: a global or a table that was not put back.
#[test]
fn globals_and_tables_remember_nobody() {
    for name in ["remember-global", "remember-table"] {
        let text = String::from_utf8(read(&format!("guest-sdk/evil/wat/{name}.wat"))).unwrap();
        let answers = |text: &str| contributions(&approve(name, &wat::parse_str(text).unwrap()), &[1, 2, 4, 1, 2]);
        let bits = |numbers: [f64; 5]| numbers.map(|number| Some(vec![number.to_bits()]));
        assert_eq!(answers(&text), bits([0.0; 5]), "{name}");
        // Called twice for one person, it does remember: of the target, and of nobody else.
        let twice = "(func (export \"spe_map\") (param i32 i32)
            (call $once (local.get 0) (local.get 1)) (call $once (local.get 0) (local.get 1)))
            (@custom";
        let text = text.replace("(func (export \"spe_map\")", "(func $once").replace("(@custom", twice);
        assert_eq!(answers(&text), bits([1.0, 0.0, 0.0, 1.0, 0.0]), "{name}");
    }
}

/// Attacks do fail: a hostile guest whose attacks all answered would test nothing.
#[test]
fn the_hostile_guest_fails_for_some_only() {
    let seen = contributions(&approved("hostile"), &(0..16).collect::<Vec<_>>());
    assert!(seen.iter().any(Option::is_none) && seen.iter().any(Option::is_some), "{seen:?}");
    assert_eq!(seen[..8], seen[8..], "the attack depends on visits modulo 8 only");
}

/// The examples that researchers start from need no WASI.
#[test]
fn examples_are_accepted() {
    for name in ["hospital-use", "visits-by-coinsurance"] {
        let found = inspect(&read(&format!("examples/modules/{name}.wasm"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(found.imports.is_empty());
    }
}
