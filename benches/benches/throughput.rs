//! One million people with ten rows each: ingest, one question through the whole corridor, and the same question of plain
//! DataFusion in the same run. `SPE_BENCH_PEOPLE` sets another number of people.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use datafusion::{
    functions_aggregate::expr_fn::{avg, min},
    prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext, col},
};
use spe_benches::{Error, Federation, peak_memory_bytes, visits_module};

const ROWS: u64 = 10;
const DECLARATION: &str = r#"
name = "generated"
title = "Generated visits"
subjects_max = PEOPLE

[[tables]]
name = "years"
key = ["person"]
order_by = ["year"]
drop = []

[[tables.columns]]
name = "year"
type = "integer"
min = 1
max = 10

[[tables.columns]]
name = "coins"
type = "category"
values = ["0", "25", "50", "95", "100"]

[[tables.columns]]
name = "mdvis"
type = "integer"
min = 0
max = 100
"#;

/// A small generator of repeatable numbers (Steele et al., SplitMix64).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn generate(file: &Path, people: u64) -> Result<(), Error> {
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "person,year,coins,mdvis")?;
    let mut state = 7;
    for person in 0..people {
        let coins =
            ["0", "25", "50", "95", "100"].get(usize::try_from(splitmix(&mut state) % 5)?).copied().unwrap_or("0");
        for year in 1..=ROWS {
            writeln!(out, "{person},{year},{coins},{}", splitmix(&mut state) % 17)?;
        }
    }
    Ok(out.flush()?)
}

fn main() -> Result<(), Error> {
    let people: u64 = std::env::var("SPE_BENCH_PEOPLE").ok().map_or(Ok(1_000_000), |n| n.parse())?;
    let mut federation = Federation::found("generated", &["years.coins", "years.mdvis"])?;
    let (csv, declaration) = (federation.path("years.csv"), federation.path("generated.toml"));
    generate(&csv, people)?;
    std::fs::write(&declaration, DECLARATION.replace("PEOPLE", &people.to_string()))?;
    std::fs::write(federation.path("visits.wasm"), visits_module()?)?;
    let (pid, ingest) = federation.node("north", &declaration, &csv, None)?;
    let rows = people * ROWS;
    #[expect(clippy::cast_precision_loss, reason = "display")]
    let (rows_f, people_f) = (rows as f64, people as f64);
    println!(
        "ingest of {rows} CSV rows: {:.2} s, {:.2} million rows/s",
        ingest.as_secs_f64(),
        rows_f / ingest.as_secs_f64() / 1e6
    );
    federation.wait(1)?;
    let begin = Instant::now();
    let ask =
        ["job", "submit", "visits.wasm", "--as", "researcher", "--permit", "permit.json", "--dataset", "generated"];
    let view = federation.spe(&[&ask[..], &["--purpose", "policymaking", "--loss", "rho=0.1"]].concat())?;
    let ours = begin.elapsed().as_secs_f64();
    if view.get("answered").and_then(serde_json::Value::as_u64) != Some(1) {
        return Err(format!("no answer: {view}").into());
    }
    let memory = peak_memory_bytes(pid)? >> 20;
    println!(
        "spe, submit to result: {ours:.2} s, {:.0} people/s; most memory of the node {memory} MiB",
        people_f / ours
    );
    let plain = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(datafusion(&csv, federation.dir.path()))?;
    println!(
        "plain DataFusion on sorted Parquet, one thread / all: {:.2} / {:.2} s; spe takes {:.1} times all",
        plain.0,
        plain.1,
        ours / plain.1
    );
    Ok(())
}

/// The same question, not private and not isolated: seconds on one thread and on all.
async fn datafusion(csv: &Path, dir: &Path) -> Result<(f64, f64), Error> {
    let parquet = dir.join("years.parquet");
    let target = parquet.display().to_string();
    let convert = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let all = convert.read_csv(csv.display().to_string(), CsvReadOptions::new()).await?;
    all.write_parquet(&target, datafusion::dataframe::DataFrameWriteOptions::new().with_single_file_output(true), None)
        .await?;
    let mut times = Vec::new();
    for threads in [1, std::thread::available_parallelism()?.get()] {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(threads));
        let begin = Instant::now();
        let rows = context.read_parquet(&target, ParquetReadOptions::default()).await?;
        let people = rows.aggregate(
            vec![col("person")],
            vec![avg(col("mdvis")).alias("visits"), min(col("coins")).alias("coins")],
        )?;
        let groups = people.aggregate(vec![col("coins")], vec![avg(col("visits"))])?;
        let batches = groups.collect().await?;
        times.push(begin.elapsed().as_secs_f64());
        if batches.iter().map(datafusion::arrow::array::RecordBatch::num_rows).sum::<usize>() != 5 {
            return Err("DataFusion's answer has not five groups".into());
        }
    }
    Ok((times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default()))
}
