//! The harness of the adversary suite: the same question in worlds that differ in one person, and everything that is seen of it.
//!
//! D holds a dozen people and the target, D' the dozen alone, D'' the dozen and the target with other records; two more worlds hold
//! the target alone. Noise is the same in all worlds (`seeded`), or none where somebody is alone, so that
//!
//! - sums must obey S(D) = S(D') + S(target), to the last bit, and S(target) must be within the sensitivity;
//! - everything else must be equal: the kind and length of messages, refusals, steps, certificates, charges, audit log, ledger;
//! - messages must leave at a time that follows from the charge alone, and clocks must tell nothing (`observable`).

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    path::Path,
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use jiff::SignedDuration;
use rusqlite::Connection;
use spe_kernel::{
    pace::{GuestPace, Hold, Pace},
    plan::{Choices, Plan},
    refusal::Refusal,
    units::{Loss, Measure},
};
use spe_node::selftest::{
    attacks::{ALL, Attack, Must},
    ground::{Compiler, Rules},
    judge::unlike,
    people::{and, changed, crowd, target},
    watch::{Seen, Times},
    world::World,
};
use tempfile::TempDir;

use crate::{observable::indistinguishable, place::SPE, seeded};

/// How often each world is asked.
const RUNS: usize = 20;
/// How often worlds are asked whose times nobody compares.
const RUNS_OTHER: usize = 3;
/// Attacks at a time: most of a job's time is waiting.
const AT_ONCE: usize = 21;
/// People beside the target, and the public bound.
pub const PEOPLE: u32 = 12;
pub const PEOPLE_MAX: u32 = 16;
/// Fuel that takes some slots to burn: one person's, so that the machine may be declared fast enough for everybody's.
pub const SPINNING_FUEL: u64 = 3_000_000_000;
pub const SEED: [u8; 32] = [28; 32];

/// A node that waits for its slowest run, and so long besides that a busy machine is not late.
pub const PACE: Pace = Pace {
    slot_ms: NonZeroU32::new(50).unwrap(),
    hold: Hold::Deadline,
    job_seconds_max: 60,
    misses_max: NonZeroU32::MAX,
    job_ms: 1_500,
    value_nanos: 50,
    unmeasured: true,
    measured: None,
    guests: guests(400_000_000),
};

/// Guests that spend so much fuel in a second, whatever their memory. That of tests is not the slowest there is.
pub const fn guests(fuel_per_second: u64) -> [GuestPace; 2] {
    let fuel_per_second = NonZeroU64::new(fuel_per_second).unwrap();
    [GuestPace { memory_bytes: 256 << 20, fuel_per_second, subject_micros: 50, page_nanos: 500 }; 2]
}

pub fn rules(subjects_max: u32) -> Rules {
    Rules { pace: PACE, measure: Measure::Zcdp, subjects_max, workers: 2 }
}

pub fn compiler() -> Compiler {
    (SPE.into(), vec!["compile-module".into()])
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if from.is_dir() { copy(&from, &to) } else { assert!(std::fs::copy(from, to).is_ok()) }
    }
}

/// Everything but the noise that is bought by it.
pub fn loss() -> Loss {
    "rho=0.5".parse().unwrap()
}

/// The folders of the worlds, ingested once.
static TEMPLATES: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let crowd = crowd(PEOPLE);
    for (name, people) in [
        ("with", and(crowd.clone(), target())),
        ("without", crowd.clone()),
        ("changed", and(crowd, changed())),
        ("alone", vec![target()]),
        ("changed-alone", vec![changed()]),
    ] {
        World::new(&dir.path().join(name), &SEED, &people, &rules(PEOPLE_MAX), compiler()).unwrap();
        std::fs::remove_dir_all(dir.path().join(name).join("data/compiled")).unwrap();
        std::fs::remove_file(dir.path().join(name).join("data/ledger.sqlite")).unwrap();
    }
    dir
});

/// A world of that name with a ledger of its own, paced as `pace` says.
pub fn world(dir: &Path, name: &str, pace: Pace) -> World {
    copy(&TEMPLATES.path().join(name), &dir.join(name));
    let mut world = World::reopen(&dir.join(name), &SEED, compiler()).unwrap();
    world.site.policy.release = pace;
    world.site.noise = if name.ends_with("alone") { seeded::no_noise } else { seeded::foreseen_noise };
    world
}

/// The noisy sums of all outputs.
pub fn cells(seen: &Seen) -> Vec<i128> {
    seen.answer.iter().flat_map(|a| &a.outputs).flat_map(|o| o.cells.0.iter().copied()).collect()
}

/// What one world showed: an entry for each time that it was asked.
#[derive(Default, Clone)]
pub struct Shown {
    pub runs: Vec<Vec<Seen>>,
    /// What was spent, and how the audit log stands.
    pub books: (u64, Vec<u32>),
    /// Rows of each of the ledger's tables, and what they hold in bytes. Not the file's length: how pages of it split depends on the
    /// order of random tags.
    pub ledger: BTreeMap<String, (i64, i64)>,
}

/// One attack in all worlds.
#[derive(Clone)]
pub struct Series {
    pub attack: &'static Attack,
    pub plans: Vec<Plan>,
    pub pace: Pace,
    /// How long the slowest run takes that the plan allows.
    longest: SignedDuration,
    pub worlds: BTreeMap<&'static str, Shown>,
}

/// The guest that spins is given so much fuel that a slot can tell, and a machine that is declared fast enough for it.
fn terms(attack: &'static Attack, hold: Hold, attempt: u32) -> (Choices, Pace) {
    let choices = attack.choices(loss(), attempt);
    let pace = Pace { hold, ..PACE };
    match attack.name {
        "spin-if-target" => {
            (Choices { fuel_per_subject: SPINNING_FUEL, ..choices }, Pace { guests: guests(90_000_000_000), ..pace })
        }
        _ => (choices, pace),
    }
}

impl Series {
    pub fn run(attack: &'static Attack, hold: Hold, runs: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pace = terms(attack, hold, 0).1;
        let names = ["with", "without", "changed", "alone", "changed-alone"];
        let open: Vec<_> = names.iter().map(|name| (*name, world(dir.path(), name, pace))).collect();
        let mut worlds: BTreeMap<_, _> = names.iter().map(|name| (*name, Shown::default())).collect();
        let mut plans = Vec::new();
        for attempt in 0..runs {
            // Whatever drifts with time hits all worlds alike, and none is always the first.
            for i in 0..open.len() {
                let i = if attempt % 2 == 0 { i } else { open.len() - 1 - i };
                let (name, world) = &open[i];
                if attempt < RUNS_OTHER || ["with", "without"].contains(name) {
                    let (plan, seen) = world.ask(attack.module, &terms(attack, hold, attempt as u32).0).unwrap();
                    worlds.get_mut(name).unwrap().runs.push(seen);
                    plans.resize(attempt + 1, plan);
                }
            }
        }
        let schema = open[0].1.site.offer(plans[0].dataset()).unwrap().schema;
        let longest = pace.longest(&plans[0], &schema).unwrap();
        for (name, world) in open {
            worlds.get_mut(name).unwrap().close(world);
        }
        Self { attack, plans, pace, longest, worlds }
    }

    /// The first thing that tells the worlds apart, or that one person moves too far.
    pub fn leak(&self) -> Result<(), String> {
        let world = |name: &str| &self.worlds[name];
        let kept = self.kept()?;
        for (a, b) in [("with", "without"), ("changed", "without"), ("alone", "changed-alone")] {
            self.alike((a, world(a)), (b, world(b)), &kept)?;
        }
        for (name, shown) in &self.worlds {
            shown.runs.iter().flatten().try_for_each(|seen| self.punctual(name, seen))?;
        }
        if self.attack.must == Must::Add {
            self.adds("with", "alone", &kept)?;
            self.adds("changed", "changed-alone", &kept)?;
        }
        let times = |name: &str| self.times(name, &kept, Times::since_charge);
        indistinguishable(self.attack.name, &times("with"), &times("without"))
    }

    /// The times of a world's charged runs, of all rounds.
    pub fn times(&self, name: &str, kept: &[usize], time: impl Fn(&Times) -> Duration) -> Vec<Duration> {
        let runs = kept.iter().flat_map(|i| &self.worlds[name].runs[*i]);
        runs.filter_map(|seen| seen.times.as_ref()).map(time).collect()
    }

    /// The runs in which no world was too slow for what it promised: that is a refusal, and here a busy machine's.
    pub fn kept(&self) -> Result<Vec<usize>, String> {
        let late = |shown: &Shown, i: usize| {
            shown.runs.get(i).is_some_and(|run| run.iter().any(|s| s.refusal == Some(Refusal::DeadlineMissed)))
        };
        let missed = |name: &str| (0..self.plans.len()).filter(|i| late(&self.worlds[name], *i)).count();
        let (with, without) = (missed("with"), missed("without"));
        if with.abs_diff(without) > self.plans.len() / 4 + 1 {
            return Err(format!("{with} deadlines missed with the target, {without} without"));
        }
        let kept: Vec<_> = (0..self.plans.len()).filter(|i| !self.worlds.values().any(|w| late(w, *i))).collect();
        if kept.len() * 2 < self.plans.len() {
            return Err(format!(
                "the machine is too busy: {} of {} runs were late",
                self.plans.len() - kept.len(),
                self.plans.len()
            ));
        }
        Ok(kept)
    }

    fn alike(&self, (a, with): (&str, &Shown), (b, without): (&str, &Shown), kept: &[usize]) -> Result<(), String> {
        let differ = |what: String| Err(format!("{}: {a} and {b} differ: {what}", self.attack.name));
        for (i, (with, without)) in with.runs.iter().zip(&without.runs).enumerate().filter(|(i, _)| kept.contains(i)) {
            // How many rounds there are may follow from the first one's noisy sum: then that is what tells.
            let rounds = if self.attack.name == "budget" { 1 } else { usize::MAX };
            let first = |run: &[Seen]| run.iter().take(rounds).cloned().collect::<Vec<_>>();
            if let Some(difference) = unlike(&first(with), &first(without)) {
                return differ(format!("run {i}: {difference}"));
            }
        }
        let alike = with.runs.len() == without.runs.len();
        if alike && with.books.0 != without.books.0 {
            return differ(format!("{} and {} pico spent", with.books.0, without.books.0));
        }
        if alike && kept.len() == self.plans.len() && self.attack.name != "budget" {
            if with.books != without.books {
                return differ(format!("{:?}\n{:?}", with.books, without.books));
            }
            if with.ledger != without.ledger {
                return differ(format!("ledgers of {:?} and {:?} rows and bytes", with.ledger, without.ledger));
            }
        }
        Ok(())
    }

    fn punctual(&self, name: &str, seen: &Seen) -> Result<(), String> {
        let Some(times) = seen.times else { return Ok(()) };
        let excused = self.pace.hold == Hold::Slot || seen.refusal == Some(Refusal::DeadlineMissed);
        if excused || times.punctual(&self.pace, self.longest) {
            return Ok(());
        }
        let (name, took) = (format!("{}: {name}", self.attack.name), times.since_charge());
        Err(format!("{name}: left {took:?} after the charge; due is the first slot after {:?}", self.longest))
    }

    /// S(D) = S(D') + S(target), and the target is within the sensitivity.
    fn adds(&self, with: &str, alone: &str, kept: &[usize]) -> Result<(), String> {
        let all = |name: &str, i: usize| self.worlds[name].runs[i].iter().flat_map(cells).collect::<Vec<_>>();
        for i in kept.iter().copied().take_while(|i| *i < RUNS_OTHER) {
            let (with, without, alone) = (all(with, i), all("without", i), all(alone, i));
            let moved: Vec<_> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
            if moved != alone {
                return Err(format!("{}: sums move by {moved:?}, the target adds {alone:?}", self.attack.name));
            }
            self.bounded(i, &alone)?;
        }
        Ok(())
    }

    fn bounded(&self, i: usize, share: &[i128]) -> Result<(), String> {
        let mut rest = share;
        for planned in self.plans[i].outputs() {
            let (own, others) = rest.split_at(planned.output.kind.cells());
            rest = others;
            let square: i128 = own.iter().map(|x| x * x).sum();
            if square > i128::from(planned.sensitivity()).pow(2) {
                return Err(format!("{}: output {} moves by {own:?}", self.attack.name, planned.output.name));
            }
        }
        Ok(())
    }
}

impl Shown {
    fn close(&mut self, world: World) {
        let (dataset, budget) = world.site.budgets[0].clone();
        let spent = world.site.ledger().unwrap().spent(&dataset, budget);
        let log = world.site.audit().releases().unwrap();
        self.books = (spent.pico(), log.iter().map(|line| line.key.round).collect());
        let file = world.ground.folder().join("data/ledger.sqlite");
        drop(world);
        self.ledger = contents(&Connection::open(file).unwrap()).unwrap();
    }
}

/// Of each table, how many rows there are, and how many bytes their values have as text.
fn contents(db: &Connection) -> rusqlite::Result<BTreeMap<String, (i64, i64)>> {
    let names =
        |sql: &str| -> rusqlite::Result<Vec<String>> { db.prepare(sql)?.query_map([], |r| r.get(0))?.collect() };
    let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let measure = |table: String| {
        let columns = names(&format!(
            "SELECT 'COALESCE(length(CAST(\"' || name || '\" AS BLOB)), 0)' FROM pragma_table_info('{table}')"
        ))?;
        let sums = format!("SELECT COUNT(*), COALESCE(SUM({}), 0) FROM {table}", columns.join(" + "));
        let sums = db.query_row(&sums, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok((table, sums))
    };
    tables.into_iter().map(measure).collect()
}

/// All attacks, tried once for all tests.
pub static SHORT: LazyLock<BTreeMap<&'static str, Series>> = LazyLock::new(|| try_all(RUNS));

pub fn try_all(runs: usize) -> BTreeMap<&'static str, Series> {
    let waiting = Mutex::new(ALL.iter().collect::<Vec<_>>());
    let next = || waiting.lock().unwrap().pop();
    let work = || std::iter::from_fn(next).map(|a| (a.name, Series::run(a, Hold::Deadline, runs))).collect::<Vec<_>>();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
