//! The claimed loss, audited through the whole corridor in one run (Steinke, Nasr & Jagielski, NeurIPS 2023).
//!
//! 10,000 canaries, each ingested or not by the toss of a coin; each one's guest writes a million into a coordinate of its own, which
//! the host must shrink to 1. One release at ρ = 1/2 and the node's own noise. Whoever guesses from a coordinate whether its canary is
//! there is right with probability Φ(1/2) = 0.6915 at most; more would be a leak of ingest, sandbox, clip, sum or noise, whichever.
//!
//! What would be a bug: more right guesses than that, beyond chance; and an audit that does not notice noise a fifth too small.

use std::{fmt::Write, num::NonZeroU32, path::Path};

use spe_kernel::{
    disclosure::{Draw, NO_KEY},
    fault::Fault,
    pace::{Hold, Pace},
    plan::{Choices, Plan},
    units::Measure,
};
use spe_node::selftest::{
    attacks::Attack,
    ground::{Ground, Rules},
    people::{Person, Visit},
    watch::Seen,
    world::World,
};

use crate::{
    evil::{PACE, cells, compiler},
    place::module,
    seeded,
};

const CANARIES: usize = 10_000;
/// Φ(1/2): how often a guess is right at most, if each coordinate is 1-GDP.
const RIGHT_MAX: f64 = 0.691_462_461_274_013_1;
/// How often the audit may blame a node that is sound.
const FALSE_ALARM: f64 = 1e-6;
/// Nobody looks at the clock.
const RULES: Rules = Rules {
    pace: Pace { slot_ms: NonZeroU32::MIN, hold: Hold::Slot, job_seconds_max: 600, ..PACE },
    measure: Measure::Zcdp,
    subjects_max: 10_000,
    workers: 2,
};
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

/// The largest probability that is too small for `hits` of `trials`, but for chance (Clopper and Pearson, one-sided).
fn at_least(hits: usize, trials: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if tail(hits, trials, middle) < FALSE_ALARM { low = middle } else { high = middle }
    }
    low
}

/// P[Bin(trials, p) ≥ hits], term by term; 1 where it is about a half or more.
fn tail(hits: usize, trials: usize, p: f64) -> f64 {
    if hits as f64 <= trials as f64 * p {
        return 1.0;
    }
    let ln_choose: f64 = (0..hits).map(|i| ((trials - i) as f64 / (i + 1) as f64).ln()).sum();
    let mut term = (ln_choose + hits as f64 * p.ln() + (trials - hits) as f64 * (1.0 - p).ln()).exp();
    let mut sum = 0.0;
    for k in hits..=trials {
        sum += term;
        term *= (trials - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    sum
}

fn ask(world: &World, wasm: &[u8], choices: &Choices) -> Seen {
    let (_, mut seen) = world.ask(wasm, choices).unwrap();
    assert!(seen[0].answer.is_some(), "{:?}", seen[0].refusal);
    seen.remove(0)
}

/// How many of the canaries are guessed right, with that noise; the node's own if none is named.
fn right(folder: &Path, noise: Option<fn(&Plan) -> Result<Draw, Fault>>) -> usize {
    let mut coins = vec![0_u8; CANARIES];
    getrandom::fill(&mut coins).unwrap();
    let there: Vec<bool> = coins.iter().map(|coin| coin % 2 == 1).collect();
    let mut csv = String::from("canary,coordinate\n");
    for (i, _) in there.iter().enumerate().filter(|(_, there)| **there) {
        writeln!(csv, "{i},{i}").unwrap();
    }
    std::fs::create_dir_all(folder).unwrap();
    Ground::holding(folder, &[9; 32], DECLARATION, &csv, &RULES).unwrap();
    let mut world = World::reopen(folder, &[9; 32], compiler()).unwrap();
    world.site.noise = noise.unwrap_or(world.site.noise);
    let choices = Choices { fuel_per_subject: 2_000_000, ..Choices::new("rho=0.5".parse().unwrap()) };
    let sums = cells(&ask(&world, &std::fs::read(module("bench-canary")).unwrap(), &choices));
    assert_eq!(sums.len(), CANARIES);
    let half = 1 << 19;
    sums.iter().zip(&there).filter(|(sum, there)| (**sum > half) == **there).count()
}

#[test]
fn ten_thousand_canaries_are_guessed_no_more_often_than_the_loss_allows() {
    let dir = tempfile::tempdir().unwrap();
    let sound = right(&dir.path().join("sound"), None);
    println!(
        "canaries guessed right: {sound} of {CANARIES}, at least {:.4} of {RIGHT_MAX:.4}",
        at_least(sound, CANARIES)
    );
    assert!(at_least(sound, CANARIES) <= RIGHT_MAX, "{sound} right guesses: the node loses more than it charges");
    assert!(sound > CANARIES * 2 / 3, "{sound} right guesses: the canaries are not heard, so nothing was tried");
    let wrong = right(&dir.path().join("wrong"), Some(seeded::wrong_noise));
    println!("with noise a fifth too small: {wrong}, at least {:.4}", at_least(wrong, CANARIES));
    assert!(at_least(wrong, CANARIES) > RIGHT_MAX, "noise a fifth too small passes with {wrong} right guesses");
}

/// Keys that one person alone has: 2,000 people with three each, all different, at δ = 0.04 for a person who may name four.
const LONERS: u32 = 2_000;
const KEYS_EACH: usize = 3;
const DELTA_EACH: f64 = 0.04 / 4.0;

/// How many keys are released that one person alone has.
fn released(folder: &Path, noise: Option<fn(&Plan) -> Result<Draw, Fault>>) -> usize {
    let attack = Attack::named("keys-from-note").unwrap();
    let loner = |id: u32| {
        let note: String = (0..KEYS_EACH).map(|key| format!("{key}x{id:08}")).collect();
        Person { id, target: false, visits: vec![Visit { amount: 1.0, note }] }
    };
    let loners: Vec<_> = (0..LONERS).map(loner).collect();
    let mut world = World::new(folder, &[4; 32], &loners, &RULES, compiler()).unwrap();
    world.site.noise = noise.unwrap_or(world.site.noise);
    let loss = "rho=0.5,delta=0.04".parse().unwrap();
    let choices = Choices { fuel_per_subject: attack.fuel, ..Choices::new(loss) };
    cells(&ask(&world, attack.module, &choices)).as_chunks::<2>().0.iter().filter(|[key, _]| *key != NO_KEY).count()
}

/// Row 17. A bug would be: a threshold below what δ buys. A key of one person is released with probability δ/4 at most.
#[test]
fn six_thousand_keys_of_one_person_are_released_no_more_often_than_delta_allows() {
    let dir = tempfile::tempdir().unwrap();
    let trials = LONERS as usize * KEYS_EACH;
    let sound = released(&dir.path().join("sound"), None);
    println!("keys released: {sound} of {trials}, at least {:.4} of {DELTA_EACH}", at_least(sound, trials));
    assert!(at_least(sound, trials) <= DELTA_EACH, "{sound} of {trials} keys are released");
    assert!(sound > 0, "no key is released: nothing was tried");
    let wrong = released(&dir.path().join("wrong"), Some(seeded::wrong_noise));
    assert!(at_least(wrong, trials) > DELTA_EACH, "noise a third too large for its threshold passes with {wrong} keys");
}
