//! Noise that can be foreseen: for tests, and nowhere else.
//!
//! A node draws from the operating system's generator, in every build, and has no way to be told another. These tests put a
//! sampler of their own in its place, so that two worlds get the same noise, or too little of it.

use std::{collections::BTreeSet, path::Path, process::Command};

use spe_kernel::{
    disclosure::{Draw, DrawnOutput, Fresh},
    fault::Fault,
    federation::{key_threshold, mechanism, nominal_scale},
    manifest::Kind,
    plan::{Plan, Planned},
};
use spe_node::selftest::{attacks::Attack, ground::Rules, people, world::World};

use crate::{evil, place::SPE};

/// `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Standard Laplace, as the textbook draws it.
    fn laplace(&mut self) -> f64 {
        let u = self.uniform() - 0.5;
        -u.signum() * (1.0 - 2.0 * u.abs()).ln()
    }

    /// That nobody foresees.
    fn fresh() -> Result<Self, Fault> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(Fault::while_("seeding noise"))?;
        Ok(Self(u64::from_le_bytes(seed)))
    }
}

/// Noise that is a function of the plan: the same in all worlds. Keys get none, or one key more would shift everybody's.
pub fn foreseen_noise(plan: &Plan) -> Result<Draw, Fault> {
    let seed = plan.digest().as_bytes()[..8].try_into().unwrap();
    Ok(Draw::new(plan.digest(), normal(plan, Random(u64::from_le_bytes(seed)), 1.0, 0.0)))
}

/// The same noise for all plans of one shape.
pub fn same_noise(plan: &Plan) -> Result<Draw, Fault> {
    Ok(Draw::new(plan.digest(), normal(plan, Random(1), 1.0, 0.0)))
}

/// No noise at all.
pub fn no_noise(plan: &Plan) -> Result<Draw, Fault> {
    Ok(Draw::new(plan.digest(), normal(plan, Random(0), 0.0, 0.0)))
}

/// No noise, but so many grid steps in every cell.
pub fn shifted_noise(plan: &Plan, steps: i128) -> Draw {
    let mut draw = normal(plan, Random(0), 0.0, 0.0);
    draw.iter_mut().for_each(|output| {
        if let Fresh::Cells(noise) = &mut output.noise {
            noise.fill(steps);
        }
    });
    Draw::new(plan.digest(), draw)
}

/// Noise that nobody foresees: for cells a tenth too small, for keys a third too large, which is what leaks there.
pub fn wrong_noise(plan: &Plan) -> Result<Draw, Fault> {
    Ok(Draw::new(plan.digest(), normal(plan, Random::fresh()?, 0.9, 4.0 / 3.0)))
}

/// Noise of the right scale that nobody foresees, drawn in floating point, which its low bits show (Mironov, CCS 2012).
pub fn textbook_laplace(plan: &Plan) -> Result<Draw, Fault> {
    Ok(Draw::new(plan.digest(), drawn(plan, Random::fresh()?, Random::laplace, 1.0)))
}

fn normal(plan: &Plan, random: Random, cells: f64, keys: f64) -> Vec<DrawnOutput> {
    drawn(plan, random, |random| random.normal() * cells, keys)
}

/// `cell` and `keys` are times the scale that the loss buys.
fn drawn(plan: &Plan, mut random: Random, cell: impl Fn(&mut Random) -> f64, keys: f64) -> Vec<DrawnOutput> {
    let mut of_keys = Random(random.next());
    let output = |planned: &Planned| {
        let scale = nominal_scale(planned);
        let noise = match &planned.output.kind {
            Kind::Keys(declared) => {
                let mut own = Random(of_keys.next());
                Fresh::Keys {
                    threshold: key_threshold(planned, scale),
                    released_max: declared.released_max as usize,
                    next: Box::new(move || Ok((own.normal() * scale * keys).round() as i128)),
                }
            }
            kind => Fresh::Cells((0..kind.cells()).map(|_| (cell(&mut random) * scale).round() as i128).collect()),
        };
        let mechanism = mechanism(planned.loss.measure());
        DrawnOutput { mechanism, scale, sensitivity: planned.sensitivity(), noise }
    };
    plan.outputs().iter().map(output).collect()
}

/// A bug would be: a release build that can be told its noise, by a variable, an option or a function left in it. The marks are
/// found where they are: in this test's own program.
#[test]
fn the_program_that_is_shipped_cannot_be_seeded() {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let has = |bytes: &[u8], mark: &str| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    let (shipped, own) = (read(SPE.as_ref()), read(&std::env::current_exe().unwrap()));
    for mark in ["foreseen_noise", "wrong_noise", "no_noise", "same_noise", "textbook_laplace"] {
        assert!(has(&own, mark), "the search finds nothing where there is something");
        assert!(!has(&shipped, mark), "spe has {mark} in it");
    }
    // What a switch would be called, in variables of the environment and in options.
    for mark in ["SPE_SEED", "SPE_NOISE", "--seed", "--noise", "OPENDP_TEST", "RNG_SEED"] {
        assert!(!has(&shipped, mark), "spe knows {mark}");
    }
    let help = Command::new(SPE).args(["node", "run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap().to_lowercase();
    assert!(!["seed", "noise", "debug", "insecure"].iter().any(|word| help.contains(word)), "{help}");
}

/// A bug would be: two machines started from one image that draw the same noise, so that the difference of their answers is
/// exact. Everything that a folder holds is the same here, down to the keys and the ledger.
#[test]
fn two_copies_of_a_node_draw_different_noise() {
    let attack = Attack::named("trap-if-target").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules { workers: 1, ..evil::rules(16) };
    let original = World::new(&dir.path().join("a"), &[7; 32], &people::crowd(4), &rules, evil::compiler()).unwrap();
    let ground = original.ground.folder().to_owned();
    drop(original);
    let choices = attack.choices("rho=0.01".parse().unwrap(), 0);
    let mut noise = BTreeSet::new();
    for copy in ["b", "c", "d"] {
        let folder = dir.path().join(copy);
        evil::copy(&ground, &folder);
        let world = World::reopen(&folder, &[7; 32], evil::compiler()).unwrap();
        let (_, seen) = world.ask(attack.module, &choices).unwrap();
        let answer = seen[0].answer.as_ref().unwrap();
        noise.insert(answer.outputs.iter().flat_map(|o| o.cells.0.clone()).collect::<Vec<_>>());
    }
    assert_eq!(noise.len(), 3, "two copies of one node drew the same noise");
}
