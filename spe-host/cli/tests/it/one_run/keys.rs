//! Keys that one person alone has, audited through the whole corridor in one run: each is a trial.

use std::path::Path;

use spe_kernel::{disclosure::NO_KEY, plan::Choices};
use spe_node::selftest::{
    attacks::Attack,
    people::{Person, Visit},
    world::World,
};

use super::{
    chance::at_least,
    choir::{Noise, RULES, ask},
};
use crate::{
    evil::{cells, compiler},
    seeded,
};

/// 2,000 people with three keys each, all different, at δ = 0.04 for a person who may name four.
const LONERS: u32 = 2_000;
const KEYS_EACH: usize = 3;
const DELTA_EACH: f64 = 0.04 / 4.0;

/// How many keys are released that one person alone has.
fn released(folder: &Path, noise: Option<Noise>) -> usize {
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
    println!("with noise a third too large: {wrong}, at least {:.4}", at_least(wrong, trials));
    assert!(at_least(wrong, trials) > DELTA_EACH, "noise a third too large for its threshold passes with {wrong} keys");
}
