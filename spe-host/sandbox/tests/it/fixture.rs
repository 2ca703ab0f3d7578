//! A schema, guests in WAT, and one sandbox for all tests.

use std::{path::Path, sync::LazyLock};

use spe_kernel::{
    dataset::{ColumnSchema, ColumnType, DatasetSchema, TableSchema},
    ids::Digest,
    plan::{Choices, Plan},
    record::{Chunk, ColumnChunk, Contribution, TableChunk, Values},
    refusal::{Refusal, Stop},
    units::{Loss, Measure},
};
use spe_sandbox::{ApprovedModule, Compiler, Config, Sandbox, inspect};

/// Run by the compiling process only: the test binary is its own compiler.
#[test]
#[ignore = "the other tests start this as a process"]
fn compile_child() {
    spe_sandbox::compile_child()
}

pub(crate) fn compiler() -> Compiler {
    let args = ["fixture::compile_child", "--exact", "--ignored", "--nocapture"];
    Compiler {
        program: std::env::current_exe().unwrap(),
        args: args.map(Into::into).to_vec(),
        seconds_max: 20,
        memory_bytes_max: 1 << 30,
    }
}

pub(crate) fn config(cache: &Path) -> Config {
    Config {
        cache_dir: cache.to_owned(),
        cache_key: [7; 32],
        compiler: compiler(),
        workers_max: 128,
        memory_bytes_max: 64 << 20,
    }
}

/// The sandbox of all tests that do not need their own. Its cache outlives the run, as a node's would.
pub(crate) static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox-cache");
    Sandbox::new(config(&cache)).unwrap()
});

pub(crate) fn schema() -> DatasetSchema {
    let column = |name: &str, kind| ColumnSchema { name: name.parse().unwrap(), kind, description: String::new() };
    let columns = vec![
        column("whole", ColumnType::Integer { min: i64::MIN, max: i64::MAX }),
        column("number", ColumnType::Number { min: -1e300, max: 1e300 }),
        column("flag", ColumnType::Boolean),
        column("category", ColumnType::Category { values: ["a", "b", "c"].map(String::from).to_vec() }),
        column("day", ColumnType::Date),
        column("instant", ColumnType::Timestamp),
        column("text", ColumnType::Text { max_bytes: 16 }),
    ];
    let table = |name: &str| TableSchema {
        name: name.parse().unwrap(),
        rows_max: None,
        category: None,
        time: None,
        columns: columns.clone(),
    };
    DatasetSchema {
        name: "d".parse().unwrap(),
        title: String::new(),
        overlap: 1,
        subjects_max: 1_000,
        tables: vec![table("t"), table("u")],
    }
}

pub(crate) const INPUT: &str = r#"{"table": "t", "columns": ["whole", "number", "flag"], "max_rows": 20}"#;

/// A guest in the making: a module that does nothing, to be changed in the part that a test is about.
pub(crate) struct Guest {
    pub(crate) inputs: String,
    pub(crate) params: &'static str,
    /// More fields of the manifest, each with a comma after it.
    pub(crate) fields: String,
    pub(crate) outputs: usize,
    /// The fields of every output besides its name.
    pub(crate) output: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) input: &'static str,
    pub(crate) start: &'static str,
    pub(crate) items: String,
    pub(crate) map: String,
    /// Exported if there is one.
    pub(crate) update: Option<&'static str>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            inputs: INPUT.to_owned(),
            params: "",
            fields: String::new(),
            outputs: 1,
            output: r#""kind": "sum", "lower": -1e9, "upper": 1e9"#,
            memory: r#"(memory (export "memory") 2)"#,
            input: "(i32.const 65536)",
            start: "(i32.const 0)",
            items: String::new(),
            map: String::new(),
            update: None,
        }
    }
}

impl Guest {
    pub(crate) fn mapping(map: &str) -> Self {
        Self { map: map.to_owned(), ..Self::default() }
    }

    pub(crate) fn manifest(&self) -> String {
        let Self { inputs, params, fields, output, .. } = self;
        let outputs: Vec<_> = (0..self.outputs).map(|i| format!(r#"{{"name": "o{i}", {output}}}"#)).collect();
        let outputs = outputs.join(",");
        format!(
            r#"{{"name": "g", "version": "1", "abi": 1, {fields} "inputs": [{inputs}], "params": [{params}], "outputs": [{outputs}]}}"#
        )
    }

    pub(crate) fn wat(&self) -> String {
        let Self { memory, input, start, items, map, .. } = self;
        let manifest = self.manifest().replace('"', "\\\"");
        let update = self.update.map_or_else(String::new, |body| {
            format!(
                r#"(func (export "spe_update") (param $state i32) (param $len i32) (param $out i32) (param $cap i32) (result i32) {body})"#
            )
        });
        format!(
            r#"(module
              (@custom "spe.manifest" "{manifest}")
              {items}
              {memory}
              (func $rows (param $record i32) (result i32) (i32.load offset=8 (i32.load (local.get $record))))
              (func $first (param $record i32) (result i64)
                (i64.load (i32.load offset=12 (i32.load (i32.load (local.get $record))))))
              (func $answer (param $out i32) (param $value i64)
                (f64.store (local.get $out) (f64.convert_i64_s (local.get $value))))
              (func (export "spe_input") (param $bytes i32) (result i32) {input})
              (func $start (export "spe_start") (param $params i32) (param $len i32) (result i32) {start})
              (func $map (export "spe_map") (param $record i32) (param $out i32) {map})
              {update})"#
        )
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).unwrap()
    }

    pub(crate) fn approve(&self) -> ApprovedModule {
        approve(&SANDBOX, &self.wasm(), choices()).unwrap_or_else(|stop| panic!("{stop:?}"))
    }

    pub(crate) fn run(&self, chunk: &Chunk) -> Vec<Option<Vec<f64>>> {
        run(&self.approve(), chunk)
    }

    /// Why it is not approved, in the words that the researcher reads.
    pub(crate) fn refusal(&self) -> String {
        refusal(approve(&SANDBOX, &self.wasm(), choices()))
    }
}

/// With fuel for guests that look at all of their memory.
pub(crate) fn choices() -> Choices {
    let loss = Loss::from_pico(Measure::Zcdp, 1_000_000);
    Choices { fuel_per_subject: 10_000_000, memory_bytes_max: 16 << 20, ..Choices::new(loss) }
}

pub(crate) fn plan(wasm: &[u8], choices: &Choices) -> Plan {
    let manifest = inspect(wasm).unwrap_or_else(|e| panic!("{e}")).manifest;
    Plan::new(&manifest, Digest::of(wasm), &schema(), choices).unwrap()
}

pub(crate) fn approve(sandbox: &Sandbox, wasm: &[u8], choices: Choices) -> Result<ApprovedModule, Stop> {
    sandbox.approve(wasm, &plan(wasm, &choices), &schema())
}

pub(crate) fn refusal<T>(given: Result<T, Stop>) -> String {
    match given {
        Err(Stop::Refused(Refusal::ModuleRefused { why, .. } | Refusal::PlanUnfit { why })) => why,
        Err(other) => panic!("stopped for another reason: {other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// What each data subject contributed; `None` = failed.
pub(crate) fn run(module: &ApprovedModule, chunk: &Chunk) -> Vec<Option<Vec<f64>>> {
    let mut seen = Vec::new();
    let each = |subject: usize, contribution: Contribution<'_>| {
        assert_eq!(subject, seen.len());
        seen.push(match contribution {
            Contribution::Numbers(numbers) => Some(numbers.to_vec()),
            Contribution::Failed => None,
        });
    };
    module.worker().unwrap().map(chunk, each).unwrap();
    seen
}

/// One row a data subject, the same number in every column.
pub(crate) fn singles(values: &[i64]) -> Chunk {
    subjects(&values.iter().map(|&v| vec![(v, v as f64, u8::from(v != 0))]).collect::<Vec<_>>())
}

/// Data subjects as rows of table `t`.
pub(crate) fn subjects(subjects: &[Vec<(i64, f64, u8)>]) -> Chunk {
    let mut starts = vec![0];
    starts.extend(subjects.iter().scan(0, |rows, s| {
        *rows += s.len();
        Some(*rows)
    }));
    let rows = || subjects.iter().flatten();
    let column = |values| ColumnChunk { present: Vec::new(), values };
    let columns = vec![
        column(Values::Integer(rows().map(|r| r.0).collect())),
        column(Values::Number(rows().map(|r| r.1).collect())),
        column(Values::Boolean(rows().map(|r| r.2).collect())),
    ];
    Chunk { subjects: subjects.len(), tables: vec![TableChunk { starts, columns }] }
}
