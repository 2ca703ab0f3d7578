//! How fast a large CSV file is ingested and scanned, and in how much memory.
//!
//! `cargo run --release --workspace --example scale -- SOURCE.csv DECLARATION.toml COPIES DIRECTORY`
//!
//! Writes `COPIES` copies of the source with fresh subject keys, line by line side by side, so that no two neighbouring
//! lines belong to one person; then ingests them and scans all columns. At the end it writes and reads the tables' files once encrypted
//! and once not, as the vault never does, to show what encryption costs.

#![allow(clippy::print_stdout, reason = "it reports to a terminal")]

use std::{
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::Mutex,
    thread,
    time::Instant,
};

use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::Compression,
    encryption::{decrypt::FileDecryptionProperties, encrypt::FileEncryptionProperties},
    file::properties::{WriterProperties, WriterPropertiesBuilder},
};
use spe_kernel::{
    category::Categories,
    ids::Digest,
    job::Purpose,
    keys::{KeySource, LocalKeys},
    manifest::Manifest,
    optout::AsOf,
    plan::{Choices, Plan},
    units::{Loss, Measure},
};
use spe_vault::{Declaration, Ingest, Source, Vault};

const SUBJECT: &str = r#""unit":"subject","outputs":[{"name":"n","kind":"count"}]"#;
const BLOCKS: &str = r#""unit":{"blocks":1000},"outputs":[{"name":"n","kind":"block_mean","coordinates":[{"name":"c","lower":0,"upper":1}]}]"#;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [source, declaration, copies, directory] = arguments.as_slice() else {
        return Err("usage: scale SOURCE.csv DECLARATION.toml COPIES DIRECTORY".into());
    };
    // Copies are more people than anybody declared.
    let mut text: toml::Table = fs::read_to_string(declaration)?.parse()?;
    text.insert("subjects_max".into(), i64::from(u32::MAX).into());
    let declaration = Declaration::parse(&text.to_string())?;
    let directory = Path::new(directory);
    let (csv, vault) = (directory.join("scale.csv"), directory.join("vault"));
    fs::create_dir_all(&vault)?;
    if !csv.exists() {
        multiply(Path::new(source), &csv, copies.parse()?)?;
    }
    let table = declaration.schema().tables.first().ok_or("no table")?;
    let sources = [Source { table: table.name.clone(), file: csv.clone(), rows: None }];
    println!("csv {:.0} MB, peak memory before: {}", megabytes(fs::metadata(&csv)?.len()), peak_memory());

    let start = Instant::now();
    let keys = LocalKeys::from_seed([7; 32]);
    let mut read = None;
    let done = Ingest::new(&declaration, &sources, &keys, &vault).run(|p| {
        if matches!(p, spe_vault::Progress::Sorted { .. }) && read.is_none() {
            read = Some(start.elapsed());
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "ingest {} rows, {} subjects: {seconds:.2} s, {:.2} M rows/s",
        done.rows_read,
        done.subjects,
        rate(done.rows_read, seconds)
    );
    println!(
        "first partition sorted after {:.2} s; peak memory {}",
        read.unwrap_or_default().as_secs_f64(),
        peak_memory()
    );

    let sealing = Sealing::measure(&declaration, &vault)?;
    println!("the same files in one thread: {sealing}");

    let columns: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let some = r#","filter":"mdvis >= 3 and coins in ('0','25')""#;
    for (unit, rows_max, filter) in [(SUBJECT, 5, ""), (SUBJECT, 5, some), (BLOCKS, 65_536, "")] {
        let inputs = format!(r#"[{{"table":"{}","columns":{columns:?},"max_rows":{rows_max}{filter}}}]"#, table.name);
        let start = Instant::now();
        let (subjects, rows) = scan(&vault, &plan(&declaration, unit, &inputs)?)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "scan{filter}: {subjects} units, {rows} rows: {seconds:.2} s, {:.2} M rows/s; peak memory {}",
            rate(done.rows_read, seconds),
            peak_memory()
        );
    }
    Ok(())
}

/// Seconds for the tables' files, encrypted and not.
#[derive(Default)]
struct Sealing {
    read: [f64; 2],
    write: [f64; 2],
}

impl std::fmt::Display for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([sealed_read, read], [sealed_write, write]) = (self.read, self.write);
        let (reading, writing) = (sealed_read / read, sealed_write / write);
        write!(f, "read {sealed_read:.2} s encrypted, {read:.2} s plain (× {reading:.2}); ")?;
        write!(f, "written {sealed_write:.2} s encrypted, {write:.2} s plain (× {writing:.2})")
    }
}

impl Sealing {
    fn measure(declaration: &Declaration, vault: &Path) -> Result<Self, Box<dyn Error>> {
        let dataset = &declaration.schema().name;
        let home = vault.join(dataset.as_str());
        let snapshot = home.join(fs::read_to_string(home.join("CURRENT"))?);
        let key = LocalKeys::from_seed([7; 32]).data_key(dataset, 1)?.files(dataset).to_vec();
        let mut all = Self::default();
        for table in &declaration.schema().tables {
            for file in fs::read_dir(snapshot.join("tables").join(table.name.as_str()))? {
                let file = file?;
                let name = format!("{dataset}/tables/{}/{}", table.name, file.file_name().to_string_lossy());
                all.add(&file.path(), &key, name.into_bytes())?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, file: &Path, key: &[u8], name: Vec<u8>) -> Result<(), Box<dyn Error>> {
        let opened = FileDecryptionProperties::builder(key.to_vec()).with_aad_prefix(name.clone()).build()?;
        let sealed = FileEncryptionProperties::builder(key.to_vec()).with_aad_prefix(name).build()?;
        let read = |file: &Path, options: ArrowReaderOptions| -> Result<(Vec<_>, f64), Box<dyn Error>> {
            let start = Instant::now();
            let rows = ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(file)?, options)?;
            let rows = rows.with_batch_size(8_192).build()?.collect::<Result<Vec<_>, _>>()?;
            Ok((rows, start.elapsed().as_secs_f64()))
        };
        let (rows, seconds) = read(file, ArrowReaderOptions::new().with_file_decryption_properties(opened))?;
        self.read[0] += seconds;
        let beside = file.with_extension("measured");
        for (place, sealed) in [(0, Some(sealed)), (1, None)] {
            let properties = WriterProperties::builder().set_compression(Compression::LZ4_RAW);
            let properties =
                sealed.into_iter().fold(properties, WriterPropertiesBuilder::with_file_encryption_properties);
            let start = Instant::now();
            let schema = rows.first().ok_or("an empty file")?.schema();
            let mut writer = ArrowWriter::try_new(File::create(&beside)?, schema, Some(properties.build()))?;
            rows.iter().try_for_each(|batch| writer.write(batch))?;
            writer.close()?;
            if let Some(seconds) = self.write.get_mut(place) {
                *seconds += start.elapsed().as_secs_f64();
            }
        }
        self.read[1] += read(&beside, ArrowReaderOptions::new())?.1;
        Ok(fs::remove_file(beside)?)
    }
}

/// Copies of every line, with `-0`, `-1`, … behind the key in column `zper`.
fn multiply(source: &Path, target: &Path, copies: u64) -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(File::open(source)?).lines();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(target)?);
    let header = lines.next().ok_or("empty")??;
    let key = header.split(',').position(|c| c == "zper").ok_or("no zper")?;
    writeln!(out, "{header}")?;
    for line in lines {
        let line = line?;
        let cells: Vec<_> = line.split(',').collect();
        let (before, rest) = cells.split_at(key);
        let (subject, after) = rest.split_first().ok_or("short line")?;
        for copy in 0..copies {
            writeln!(out, "{},{subject}-{copy},{}", before.join(","), after.join(","))?;
        }
    }
    Ok(out.flush()?)
}

fn plan(declaration: &Declaration, unit: &str, inputs: &str) -> Result<Plan, Box<dyn Error>> {
    let manifest = format!(r#"{{"name":"m","version":"1","abi":1,{unit},"inputs":{inputs}}}"#);
    let manifest = Manifest::parse(manifest.as_bytes())?;
    let choices = Choices::new(Loss::from_pico(Measure::Zcdp, 1));
    Ok(Plan::new(&manifest, Digest::of(b"m"), declaration.schema(), &choices)?)
}

/// Subjects and rows of a scan on all processors.
fn scan(vault: &Path, plan: &Plan) -> Result<(usize, usize), Box<dyn Error>> {
    let vault = Vault::open(vault, &LocalKeys::from_seed([7; 32]))?;
    let as_of =
        AsOf { at: "2100-01-01T00:00:00Z".parse()?, purpose: Purpose::ScientificResearch, reads: Categories::ALL };
    let scans = Mutex::new(vault.scan(plan, &vault.cohort(plan.dataset(), as_of)?)?);
    let runtime = tokio::runtime::Runtime::new()?;
    let next = || scans.lock().ok()?.pop();
    let worker = || -> Result<(usize, usize), spe_kernel::fault::Fault> {
        let mut sum = (0, 0);
        while let Some(mut scan) = next() {
            while let Some(chunk) = runtime.block_on(scan.next()) {
                let _ = chunk?.map(|c| {
                    sum.0 += c.subjects;
                    sum.1 += c.tables.iter().filter_map(|t| t.starts.last()).sum::<usize>();
                });
            }
        }
        Ok(sum)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        let mut sum = (0, 0);
        for worker in workers {
            let part = worker.join().map_err(|_| "a worker panicked")??;
            sum = (sum.0 + part.0, sum.1 + part.1);
        }
        Ok(sum)
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(rows: u64, seconds: f64) -> f64 {
    rows as f64 / seconds / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The kernel's high-water mark of this process.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim().to_owned()
}
