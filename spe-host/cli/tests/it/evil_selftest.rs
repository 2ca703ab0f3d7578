//! `spe node selftest`: what an operator runs before trusting a machine.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    time::{Duration, Instant},
};

use spe_kernel::{
    disclosure::Draw,
    fault::Fault,
    pace::{Hold, Pace},
    plan::Plan,
    units::Measure,
};
use spe_node::selftest::{
    Worlds,
    attacks::{ALL, Attack, almost_free_of_noise},
    ground::Rules,
    judge::judge,
};

use crate::{
    evil::{PACE, SPINNING_FUEL, compiler, guests, rules},
    place::Place,
    seeded,
};

/// Bugs would be: an attack that is left out, an exit code that says that all is well when it is not, a policy that cannot be used as
/// it is printed, an hour of waiting, a folder that stays behind.
#[test]
fn an_operator_can_try_all_attacks_in_a_minute() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.policy("north", "hold = \"slot\"", "hold = \"deadline\"");
    place.policy("north", "fuel_per_second = 100_000_000", "fuel_per_second = 999_000_000_000_000");
    // Another that runs on this machine, or was killed on it, has its own.
    let others = folders();
    let start = Instant::now();
    let (said, code) = place.view(&["node", "selftest", "north"]);
    assert!(start.elapsed() < Duration::from_secs(240), "it took {:?}, four times what is promised", start.elapsed());
    assert_eq!(code, 1, "doubts, and an exit code that says that all is well");
    assert_eq!(said["held"], true, "{said}");
    let tried: Vec<_> = said["attacks"].as_array().unwrap().iter().map(|a| a["attack"].as_str().unwrap()).collect();
    assert_eq!(tried, ALL.iter().map(|attack| attack.name).collect::<Vec<_>>());
    let proposed: BTreeMap<String, Pace> = toml::from_str(said["release"].as_str().unwrap()).unwrap();
    for (guests, pace) in said["measured"]["guests"].as_array().unwrap().iter().zip(proposed["release"].guests) {
        let slowest = guests["fuel_per_second"].as_object().unwrap().values().filter_map(|rate| rate.as_f64());
        let slowest = slowest.fold(f64::INFINITY, f64::min);
        assert!(pace.fuel_per_second.get() as f64 * 2.0 <= slowest, "half of the slowest: {said}");
    }
    let doubts = said["doubts"].as_array().unwrap();
    assert!(doubts.iter().any(|d| d.as_str().unwrap().contains("fuel_per_second = 999000000000000")), "{doubts:?}");
    assert!(doubts.iter().any(|d| d.as_str().unwrap().contains("unmeasured = true")), "{doubts:?}");
    adopts(&mut place);
    let left: Vec<_> = folders().into_iter().filter(|folder| !others.contains(folder)).collect();
    assert!(left.is_empty(), "{left:?} stays behind");
}

/// Those of all self-tests.
fn folders() -> Vec<OsString> {
    let all = std::fs::read_dir(std::env::temp_dir()).unwrap().map(|e| e.unwrap().file_name());
    all.filter(|name| name.to_string_lossy().starts_with("spe-selftest-")).collect()
}

/// A measurement that is adopted is enough to serve, and one that somebody made better is not.
fn adopts(place: &mut Place) {
    let (said, _) = place.view(&["node", "selftest", "north", "--adopt"]);
    assert!(said["adopted"].as_str().unwrap().ends_with("north/policy.toml"), "{said}");
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
    place.stop("north");
    let text = std::fs::read_to_string(place.path("north/policy.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("job_ms")).unwrap();
    place.policy("north", line, "job_ms = 0");
    let (_, why) = place.fails(&["node", "run", "north"]);
    assert!(why.contains("a number was changed, or this is another machine"), "{why}");
}

/// A unit more than was added up, as if somebody else had answered for the target.
fn telling_noise(plan: &Plan) -> Result<Draw, Fault> {
    Ok(seeded::shifted_noise(plan, 1 << 20))
}

/// Power. Bugs would be: a self-test that finds nothing on a node that does not wait for its deadline, or whose sums say too much.
#[test]
fn a_node_that_leaks_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let worlds = |name: &str, pace: Pace| {
        let rules = Rules { pace, measure: Measure::Pure, ..rules(8) };
        Worlds::new(&dir.path().join(name), &[6; 32], 6, &rules, &compiler()).unwrap()
    };
    let spinning = Attack { fuel: SPINNING_FUEL, ..*Attack::named("spin-if-target").unwrap() };
    let choices = spinning.choices(almost_free_of_noise(Measure::Pure), 0);
    let hasty = worlds("hasty", Pace { hold: Hold::Slot, guests: guests(90_000_000_000), ..PACE });
    let (verdict, _) = judge(&hasty, &spinning, &choices).unwrap();
    assert!(!verdict.held && verdict.seen.contains("it left"), "{verdict:?}");

    let mut telling = worlds("telling", PACE);
    telling.with.site.noise = telling_noise;
    let counting = Attack::named("overrun").unwrap();
    let choices = counting.choices(almost_free_of_noise(Measure::Pure), 0);
    let (verdict, _) = judge(&telling, counting, &choices).unwrap();
    assert!(!verdict.held && verdict.seen.contains("others add"), "{verdict:?}");
}
