//! How fast this machine is, at its slowest: what `[release]` in a node's policy promises of it.

use std::{num::NonZeroU64, time::Instant};

use jiff::Timestamp;
use spe_kernel::{
    category::Categories,
    dataset::{DatasetSchema, TableSchema},
    fault::Fault,
    ids::Digest,
    job::Purpose,
    manifest::{ABI, COLUMNS_MAX, Input, Kind, Manifest, Output, Unit},
    optout::AsOf,
    pace::{GuestPace, Pace},
    plan::{Choices, Plan},
    record::{Chunk, ColumnChunk, TableChunk, Values},
    refusal::Stop,
    units::{Loss, Measure},
};
use spe_sandbox::{ApprovedModule, inspect};
use spe_vault::{Dataset, Vault};
use tokio::runtime::Builder;

use super::{
    people::READER_VALUES,
    slow::{PAGE_BYTES, PAGES_LEAST, SYSTEM_PAGE_BYTES, Workload},
    world::World,
};
use crate::site::Site;

const DOING: &str = "measuring the machine";
/// What is measured is believed half: other programs run beside a node too.
pub const SAFETY: u32 = 2;
/// Fuel of the shorter and of the longer run, whose difference is timed.
const FUEL: (u64, u64) = (500_000, 4_500_000);
/// Fuel of those that end by themselves.
const ENOUGH_FUEL: u64 = 1 << 40;
/// How often each is timed; the slowest counts.
const REPEATS: usize = 3;
/// Guests that are started and return at once, to see what that costs; guests that write to all their memory.
const GUESTS: (u32, u32) = (2_000, 20);

/// Guests are not measured with more memory than that.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// What was measured; nothing of it is rounded in this machine's favour.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Guests with little memory, and with as much as the policy allows.
    pub guests: [Guests; 2],
    /// What a value costs to read, in nanoseconds, as [`Pace::value_nanos`] counts them.
    pub value_nanos: f64,
    /// What a job costs besides its data subjects, in milliseconds.
    pub job_ms: f64,
}

/// What tells this machine, running this program, from others.
pub fn description() -> String {
    let lines = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = lines.split("\n\n").next().unwrap_or_default().lines();
    let says = |line: &str| {
        let (name, value) = line.split_once(':')?;
        ["model name", "CPU implementer", "CPU part"].contains(&name.trim()).then(|| value.trim().to_owned())
    };
    let model = first.filter_map(says).collect::<Vec<_>>().join(" ");
    format!("{} {model}, spe {}", std::env::consts::ARCH, env!("CARGO_PKG_VERSION"))
}

/// The worst that guests with so much memory can do, on one thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Guests {
    /// Their memory.
    pub memory_bytes: u64,
    /// Fuel that each kind of slow code spends in a second.
    pub fuel_per_second: Vec<(&'static str, f64)>,
    /// What a data subject costs besides fuel, in microseconds.
    pub subject_micros: f64,
    /// What it costs besides to write to 4 KiB of the memory for the first time, in nanoseconds.
    pub page_nanos: f64,
}

impl Guests {
    fn slowest(&self) -> f64 {
        self.fuel_per_second.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and nothing is negative"
    )]
    fn proposal(&self) -> GuestPace {
        // Down to two digits: round numbers, on the safe side.
        let fuel = self.slowest() / f64::from(SAFETY);
        let step = 10_f64.powf(fuel.max(1.0).log10().floor() - 1.0).max(1.0);
        GuestPace {
            memory_bytes: self.memory_bytes,
            fuel_per_second: NonZeroU64::new(((fuel / step).floor() * step) as u64).unwrap_or(NonZeroU64::MIN),
            subject_micros: up(self.subject_micros),
            page_nanos: up(self.page_nanos),
        }
    }
}

/// With [`SAFETY`], up to whole units.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and nothing is negative")]
fn up(measured: f64) -> u32 {
    (measured * f64::from(SAFETY)).ceil().max(1.0) as u32
}

impl Machine {
    /// `[release]` of a policy for this machine, with [`SAFETY`]; slots and limits as `like` has them.
    pub fn proposal(&self, like: &Pace) -> Pace {
        let [few, many] = &self.guests;
        let (value_nanos, job_ms) = (up(self.value_nanos), up(self.job_ms));
        let pace = Pace { guests: [few.proposal(), many.proposal()], value_nanos, job_ms, ..*like };
        pace.measured_on(&description(), Timestamp::now())
    }

    /// In what `configured` says that this machine is faster than it is, in the words of the policy.
    pub fn contradicts(&self, configured: &Pace) -> Vec<String> {
        let mut wrong = Vec::new();
        for (says, seen) in configured.guests.iter().zip(&self.guests) {
            let (fuel, memory) = (says.fuel_per_second.get(), seen.memory_bytes);
            for (workload, rate) in &seen.fuel_per_second {
                #[expect(clippy::cast_precision_loss, reason = "a comparison of rates")]
                if *rate < fuel as f64 {
                    wrong.push(format!("fuel_per_second = {fuel}, but {workload} in {memory} bytes spend {rate:.0}"));
                }
            }
            wrong.extend(too_little("subject_micros", says.subject_micros, seen.subject_micros));
            wrong.extend(too_little("page_nanos", says.page_nanos, seen.page_nanos));
        }
        wrong.extend(too_little("value_nanos", configured.value_nanos, self.value_nanos));
        wrong.extend(too_little("job_ms", configured.job_ms, self.job_ms));
        wrong
    }
}

fn too_little(name: &str, says: u32, seen: f64) -> Option<String> {
    (f64::from(says) < seen).then(|| format!("{name} = {says}, but {seen:.0} was measured"))
}

/// Measures the machine with the node of `world`, who holds `rows` rows, and guests with so much memory: little, and all that they
/// may have. A job was seen to take `job_ms`.
///
/// # Errors
/// A guest that is refused, or a table that cannot be read; neither should be.
pub fn measure(world: &World, rows: u32, job_ms: f64, memory_bytes: [u64; 2]) -> Result<Machine, Fault> {
    let site = &world.site;
    let [few, many] = memory_bytes.map(|bytes| bytes.clamp((PAGES_LEAST * PAGE_BYTES).into(), MEMORY_BYTES_MAX));
    let measured = || -> Result<Machine, Stop> {
        Ok(Machine {
            guests: [guests(site, few.min(many))?, guests(site, many)?],
            value_nanos: world.block_on(async { value(site, rows).await })?,
            job_ms,
        })
    };
    measured().map_err(|stop| match stop {
        Stop::Failed(fault) => fault,
        Stop::Refused(refusal) => Fault::new(DOING, refusal),
    })
}

/// Times guests on one thread of `site`, whose people are of no matter.
fn guests(site: &Site, memory_bytes: u64) -> Result<Guests, Stop> {
    let rate = |workload: Workload| Ok((workload.name(), rate(site, workload, memory_bytes)?));
    let (subject_micros, page_nanos) = overhead(site, memory_bytes)?;
    let fuel_per_second = Workload::ENDLESS.into_iter().map(rate).collect::<Result<_, Stop>>()?;
    Ok(Guests { memory_bytes, fuel_per_second, subject_micros, page_nanos })
}

/// Fuel in a second: that of a long run over that of a short one, so that what is not fuel falls out.
fn rate(site: &Site, workload: Workload, memory_bytes: u64) -> Result<f64, Stop> {
    let before = workload.fuel_before(pages(memory_bytes)?);
    let approved = |fuel: u64| approved(site, workload, memory_bytes, before + fuel);
    let (short, long) = (approved(FUEL.0)?, approved(FUEL.1)?);
    let mut slowest = f64::INFINITY;
    for _ in 0..REPEATS {
        let seconds = seconds(&long, 1)? - seconds(&short, 1)?;
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let fuel = (FUEL.1 - FUEL.0) as f64;
        slowest = slowest.min(fuel / seconds.max(1e-9));
    }
    Ok(slowest)
}

/// What a data subject costs besides fuel, in microseconds, with a guest that does nothing; and for each page, in nanoseconds, what
/// one adds that writes to all its memory.
fn overhead(site: &Site, memory_bytes: u64) -> Result<(f64, f64), Stop> {
    let micros = |workload: Workload, guests: u32| -> Result<f64, Stop> {
        let module = approved(site, workload, memory_bytes, ENOUGH_FUEL)?;
        let mut slowest = 0.0_f64;
        for _ in 0..REPEATS {
            slowest = slowest.max(seconds(&module, guests)? * 1e6 / f64::from(guests));
        }
        Ok(slowest)
    };
    let subject = micros(Workload::Rest, GUESTS.0)?;
    let touched = pages(memory_bytes)? * (PAGE_BYTES / SYSTEM_PAGE_BYTES);
    Ok((subject, (micros(Workload::Touch, GUESTS.1)? - subject).max(0.0) * 1e3 / f64::from(touched.max(1))))
}

fn approved(site: &Site, workload: Workload, memory_bytes: u64, fuel: u64) -> Result<ApprovedModule, Stop> {
    let wasm = workload.module(pages(memory_bytes)?);
    let plan = plan(site, &wasm, memory_bytes, fuel)?;
    let offer = site.offer(plan.dataset())?;
    site.sandbox.approve(&wasm, &plan, &offer.schema)
}

fn pages(memory_bytes: u64) -> Result<u32, Fault> {
    u32::try_from(memory_bytes / u64::from(PAGE_BYTES)).map_err(Fault::while_(DOING))
}

fn plan(site: &Site, wasm: &[u8], memory_bytes: u64, fuel: u64) -> Result<Plan, Fault> {
    let inspection = inspect(wasm).map_err(Fault::while_(DOING))?;
    let held = site.vault.datasets().next().ok_or_else(|| Fault::new(DOING, "there is no dataset"))?;
    let loss = Loss::from_pico(Measure::Pure, 1);
    let choices = Choices { fuel_per_subject: fuel, memory_bytes_max: memory_bytes, ..Choices::new(loss) };
    Plan::new(&inspection.manifest, inspection.digest, held.schema(), &choices).map_err(Fault::while_(DOING))
}

/// How long the module takes for so many data subjects without rows.
fn seconds(module: &ApprovedModule, guests: u32) -> Result<f64, Stop> {
    let guests = usize::try_from(guests).unwrap_or_default();
    let columns = [Values::Boolean(Vec::new()), Values::Number(Vec::new()), Values::Text(vec![0], Vec::new())];
    let columns = columns.map(|values| ColumnChunk { present: Vec::new(), values });
    let table = TableChunk { starts: vec![0; guests + 1], columns: columns.into() };
    let chunk = Chunk { subjects: guests, tables: vec![table] };
    let mut worker = module.worker()?;
    let start = Instant::now();
    worker.map(&chunk, |_, _| {})?;
    Ok(start.elapsed().as_secs_f64())
}

/// What a value costs to read, in nanoseconds, of the `rows` rows that `site` holds.
async fn value(site: &Site, rows: u32) -> Result<f64, Stop> {
    let memory = u64::from(PAGES_LEAST * PAGE_BYTES);
    let plan = plan(site, &Workload::Rest.module(PAGES_LEAST), memory, FUEL.0)?;
    let mut slowest = 0.0_f64;
    for _ in 0..REPEATS {
        slowest = slowest.max(scan_seconds(&site.vault, &plan).await?);
    }
    Ok(slowest * 1e9 / f64::from(rows.max(1)) / READER_VALUES)
}

/// Tables that take longer to read than `pace` gives the least job that reads them, in words.
///
/// A plan pays for the rows that each table may have, by the number and length of their values; values that read slower show here.
///
/// # Errors
/// A table that cannot be read.
pub fn unread(vault: &Vault, pace: &Pace) -> Result<Vec<String>, Fault> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Fault::while_(DOING))?;
    let mut slow = Vec::new();
    for schema in vault.datasets().map(Dataset::schema) {
        for table in &schema.tables {
            let plan = least(schema, table)?;
            let seconds = runtime.block_on(scan_seconds(vault, &plan))? * f64::from(SAFETY);
            let given = pace.longest(&plan, schema).map_err(Fault::while_(DOING))?.as_secs_f64();
            if seconds > given {
                slow.push(format!(
                    "a job over {}.{} has {given:.2} s, of which reading may take {seconds:.2}",
                    schema.name, table.name
                ));
            }
        }
    }
    Ok(slow)
}

/// The plan that is given the least time to read all of a table.
fn least(schema: &DatasetSchema, table: &TableSchema) -> Result<Plan, Fault> {
    let columns = table.columns.iter().take(COLUMNS_MAX).map(|c| c.name.clone()).collect();
    let manifest = Manifest {
        name: "reader".into(),
        version: String::new(),
        abi: ABI,
        unit: Unit::Subject,
        inputs: vec![Input { table: table.name.clone(), columns, max_rows: 1, filter: None }],
        params: Vec::new(),
        rounds: None,
        outputs: vec![Output { name: "people".into(), kind: Kind::Count, unit: String::new(), default: None }],
    };
    let choices = Choices { fuel_per_subject: 1, ..Choices::new(Loss::from_pico(Measure::Pure, 1)) };
    Plan::new(&manifest, Digest::of(b""), schema, &choices).map_err(Fault::while_(DOING))
}

/// How long it takes to read what `plan` asks for, on one thread. What is read is dropped.
async fn scan_seconds(vault: &Vault, plan: &Plan) -> Result<f64, Fault> {
    let as_of = AsOf { at: Timestamp::now(), purpose: Purpose::ScientificResearch, reads: Categories::ALL };
    let cohort = vault.cohort(plan.dataset(), as_of)?;
    let start = Instant::now();
    for mut part in vault.scan(plan, &cohort)? {
        while let Some(chunk) = part.next().await {
            drop(chunk?);
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
