//! Canaries at a node: who is there, what is asked, what is guessed.

use std::{cell::Cell, fmt::Write, num::NonZeroU32};

use spe_kernel::{
    disclosure::Draw,
    fault::Fault,
    pace::{Hold, Pace},
    plan::{Choices, Plan},
    units::Measure,
};
use spe_node::selftest::{
    ground::{Ground, Rules},
    watch::Seen,
    world::World,
};
use tempfile::TempDir;

use crate::{
    evil::{PACE, cells, compiler},
    place::module,
};

pub const CANARIES: usize = 3_333;
/// Half of what a canary adds to its three sums in all, √3 people, in steps of the grid.
pub const HALF_WAY: i128 = 908_093;
/// Nobody looks at the clock.
pub const RULES: Rules = Rules {
    pace: Pace { slot_ms: NonZeroU32::MIN, hold: Hold::Slot, job_seconds_max: 600, ..PACE },
    measure: Measure::Zcdp,
    subjects_max: 10_000,
    workers: 2,
};
const SEED: [u8; 32] = [9; 32];
const DECLARATION: &str = r#"
name = "canaries"
title = "Canaries"
subjects_max = 10000
partitions = 8
[[tables]]
name = "subjects"
key = ["canary"]
[[tables.columns]]
name = "coordinate"
type = "integer"
min = 0
max = 9999
"#;

/// The rows of a canary: data subject and coordinate.
type Rows = fn(usize) -> Vec<(usize, usize)>;
/// What draws noise in the node's place.
pub type Noise = fn(&Plan) -> Result<Draw, Fault>;

/// One data subject with three coordinates.
pub fn once(canary: usize) -> Vec<(usize, usize)> {
    (0..3).map(|i| (canary, canary * 3 + i)).collect()
}

/// Two data subjects with the same three coordinates.
pub fn twice(canary: usize) -> Vec<(usize, usize)> {
    [once(canary), once(canary).iter().map(|(id, coordinate)| (id + CANARIES, *coordinate)).collect()].concat()
}

/// Three data subjects with one coordinate each.
pub fn apart(canary: usize) -> Vec<(usize, usize)> {
    once(canary).iter().map(|(_, coordinate)| (*coordinate, *coordinate)).collect()
}

/// A node whose data are renewed with every release.
pub struct Choir {
    dir: TempDir,
    rows: Rows,
    noise: Option<Noise>,
    rules: Rules,
    releases: Cell<u32>,
}

impl Choir {
    /// With the node's own noise, and losses in ρ.
    pub fn new(rows: Rows) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), rows, noise: None, rules: RULES, releases: Cell::new(0) }
    }

    pub fn with_noise(self, noise: Noise) -> Self {
        Self { noise: Some(noise), ..self }
    }

    pub fn measured_in(self, measure: Measure) -> Self {
        Self { rules: Rules { measure, ..RULES }, ..self }
    }

    /// How many canaries are guessed right from one release: `guess` says whether one is there by its three sums.
    pub fn release(&self, loss: &str, guess: impl Fn(&[i128; 3]) -> bool) -> usize {
        let there = coins();
        let sums = self.sums(&there, loss);
        sums.iter().zip(&there).filter(|(sums, there)| guess(sums) == **there).count()
    }

    /// The same from two releases, each at that loss: those who are there the first time are not the second, and all others are.
    pub fn two_releases(&self, loss: &str, guess: impl Fn([&[i128; 3]; 2]) -> bool) -> usize {
        let there = coins();
        let others: Vec<bool> = there.iter().map(|there| !there).collect();
        let (first, second) = (self.sums(&there, loss), self.sums(&others, loss));
        first.iter().zip(&second).zip(&there).filter(|((a, b), there)| guess([*a, *b]) == **there).count()
    }

    /// Ingests those who are there, asks, and gives each canary's three sums.
    fn sums(&self, there: &[bool], loss: &str) -> Vec<[i128; 3]> {
        let mut csv = String::from("canary,coordinate\n");
        let rows = there.iter().enumerate().filter(|(_, there)| **there).flat_map(|(canary, _)| (self.rows)(canary));
        rows.for_each(|(id, coordinate)| writeln!(csv, "{id},{coordinate}").unwrap());
        Ground::holding(self.dir.path(), &SEED, DECLARATION, &csv, &self.rules).unwrap();
        let mut world = World::reopen(self.dir.path(), &SEED, compiler()).unwrap();
        world.site.noise = self.noise.unwrap_or(world.site.noise);
        let attempt = self.releases.get();
        self.releases.set(attempt + 1);
        let choices = Choices { attempt, fuel_per_subject: 2_000_000, ..Choices::new(loss.parse().unwrap()) };
        let sums = cells(&ask(&world, &std::fs::read(module("bench-canary")).unwrap(), &choices));
        let (dataset, budget) = world.site.budgets[0].clone();
        let spent = world.site.ledger().unwrap().spent(&dataset, budget);
        assert_eq!(spent.pico(), choices.loss.pico() * u64::from(attempt + 1), "a release was not charged");
        sums.as_chunks().0[..CANARIES].to_vec()
    }
}

fn coins() -> Vec<bool> {
    let mut coins = [0_u8; CANARIES];
    getrandom::fill(&mut coins).unwrap();
    coins.iter().map(|coin| coin % 2 == 1).collect()
}

/// The only answer to a question.
pub fn ask(world: &World, wasm: &[u8], choices: &Choices) -> Seen {
    let (_, mut seen) = world.ask(wasm, choices).unwrap();
    assert!(seen[0].answer.is_some(), "{:?}", seen[0].refusal);
    seen.remove(0)
}
