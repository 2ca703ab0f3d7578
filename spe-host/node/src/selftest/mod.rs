//! The adversary suite: hostile guests against a whole node, in worlds with and without the person whom they look for.
//!
//! `spe node selftest` runs it on an operator's machine, in a folder of its own, with this program as it is: the noise is real, and
//! so small for these invented people that what each adds can be read off. `spe-host/cli/tests/it` runs the same attacks with noise
//! that is equal in all worlds, many times, and compares everything that leaves and when.
//!
//! What is seen of a job is what the corridor lets out: the bytes of each message, its time, the steps that are reported, and the
//! ledger. Numbers may move by what one person may add (the noise pays for it); nothing else may move at all.

use std::{num::NonZeroU32, path::Path, thread};

use spe_kernel::{
    fault::Fault,
    pace::{GuestPace, Pace},
    units::{Loss, Measure},
};

pub mod attacks;
pub mod ground;
pub mod judge;
pub mod machine;
pub mod people;
mod slow;
pub mod watch;
pub mod world;

use attacks::{ALL, almost_free_of_noise};
use ground::{Compiler, Rules};
use machine::Machine;
use world::World;

/// People beside the target, and the number that is public.
const PEOPLE: (u32, u32) = (12, 16);
/// People and rows of each, to see what reading a row costs.
const READERS: (u32, u32) = (1_000, 100);
/// The proving ground's: a busy machine must not be late, or there is nothing to judge.
fn unhurried() -> Pace {
    let (slot_ms, [few, many]) = (NonZeroU32::new(50).unwrap_or(NonZeroU32::MIN), Pace::default().guests);
    let guests = [few, GuestPace { memory_bytes: GUEST_MEMORY_BYTES_MAX, ..many }];
    Pace { slot_ms, job_ms: 1_000, misses_max: NonZeroU32::MAX, unmeasured: true, guests, ..Pace::default() }
}

/// Most memory of a proving ground's guests.
const GUEST_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// What came of one attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The guest.
    pub attack: &'static str,
    /// What it tries.
    pub tries: &'static str,
    /// What must be seen.
    pub expected: &'static str,
    /// What was seen.
    pub seen: String,
    /// Whether the protection held.
    pub held: bool,
}

/// What the self-test found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One for each attack.
    pub verdicts: Vec<Verdict>,
    /// How fast the machine is.
    pub machine: Machine,
}

/// How far the self-test is.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// An attack begins.
    Attack {
        /// Its name.
        name: &'static str,
        /// Attacks that are done.
        done: usize,
        /// All attacks.
        of: usize,
    },
    /// An attack is over.
    Over(&'a Verdict),
    /// The machine is measured.
    Measuring,
}

/// The worlds that every attack is tried in.
pub struct Worlds {
    /// The crowd and the target.
    pub with: World,
    /// The crowd.
    pub without: World,
    /// The target.
    pub alone: World,
}

impl Worlds {
    /// Makes three nodes in `folder`.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn new(folder: &Path, seed: &[u8; 32], people: u32, rules: &Rules, compiler: &Compiler) -> Result<Self, Fault> {
        let (crowd, target) = (people::crowd(people), people::target());
        let world = |name: &str, people: &[people::Person]| {
            World::new(&folder.join(name), seed, people, rules, compiler.clone())
        };
        Ok(Self {
            with: world("with", &people::and(crowd.clone(), target.clone()))?,
            without: world("without", &crowd)?,
            alone: world("alone", &[target])?,
        })
    }
}

/// Runs all attacks and measures the machine, in `folder`, which must be there and empty. Guests are measured with
/// `guest_memory_bytes` of memory: little, and the most that the node's policy allows them. Takes less than a minute.
///
/// # Errors
/// What keeps the test from being made, such as a full disk. A protection that does not hold is no error but a [`Verdict`].
pub fn run(
    folder: &Path,
    compiler: &Compiler,
    guest_memory_bytes: [u64; 2],
    mut tell: impl FnMut(Progress<'_>),
) -> Result<Report, Fault> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Fault::while_("drawing keys"))?;
    let rules = Rules { pace: unhurried(), measure: Measure::Pure, subjects_max: PEOPLE.1, workers: 0 };
    let worlds = Worlds::new(folder, &seed, PEOPLE.0, &rules, compiler)?;
    let mut verdicts = Vec::new();
    let mut job_ms = 0.0_f64;
    for (done, attack) in ALL.iter().enumerate() {
        tell(Progress::Attack { name: attack.name, done, of: ALL.len() });
        let choices = attack.choices(almost_free_of_noise(Measure::Pure), 0);
        let (verdict, slowest) = judge::judge(&worlds, attack, &choices)?;
        if attack.fuel == spe_kernel::plan::FUEL_DEFAULT {
            job_ms = job_ms.max(slowest.as_secs_f64() * 1e3);
        }
        tell(Progress::Over(&verdict));
        verdicts.push(verdict);
    }
    tell(Progress::Measuring);
    let readers = Rules { subjects_max: READERS.0, ..rules };
    let readers = World::new(&folder.join("readers"), &seed, &people::readers(READERS), &readers, compiler.clone())?;
    Ok(Report { verdicts, machine: machine::measure(&readers, READERS.0 * READERS.1, job_ms, guest_memory_bytes)? })
}

/// Asks the same in all three worlds at once.
fn everywhere<T: Send>(worlds: &Worlds, ask: impl Fn(&World) -> Result<T, Fault> + Sync) -> Result<[T; 3], Fault> {
    let panicked = |_| Fault::new("asking a world", "it panicked");
    thread::scope(|scope| {
        let (with, without) = (scope.spawn(|| ask(&worlds.with)), scope.spawn(|| ask(&worlds.without)));
        let alone = ask(&worlds.alone);
        Ok([with.join().map_err(panicked)??, without.join().map_err(panicked)??, alone?])
    })
}

/// What was spent at a world's node.
fn spent(world: &World) -> Result<Loss, Fault> {
    let nothing = || Fault::new("reading the ledger", "there is no dataset");
    let (dataset, budget) = world.site.budgets.first().ok_or_else(nothing)?;
    Ok(world.site.ledger()?.spent(dataset, *budget))
}
