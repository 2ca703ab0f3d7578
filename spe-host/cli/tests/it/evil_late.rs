//! Runs that are late, on a machine that is slower than its policy says: how long they go on, and how often that may be.

use std::num::{NonZeroU32, NonZeroU64};

use jiff::SignedDuration;
use spe_kernel::{
    audit::Who,
    pace::{GuestPace, Pace},
    plan::Choices,
    refusal::Refusal,
};
use spe_node::selftest::{attacks::Attack, world::World};

use crate::{
    evil::{PACE, SEED, compiler, loss, world},
    place::Place,
};

/// No machine is so fast.
const BOASTFUL: Pace = Pace {
    job_ms: 0,
    misses_max: NonZeroU32::new(2).unwrap(),
    guests: [GuestPace { memory_bytes: 256 << 20, fuel_per_second: NonZeroU64::MAX, subject_micros: 0, page_nanos: 0 };
        2],
    value_nanos: 0,
    ..PACE
};

/// What is said of a module that spins for the target, with so much fuel.
fn asked(world: &World, fuel_per_subject: u64, attempt: u32) -> Option<Refusal> {
    let spinning = Attack::named("spin-if-target").unwrap();
    let choices = Choices { fuel_per_subject, ..spinning.choices(loss(), attempt) };
    world.ask(spinning.module, &choices).unwrap().1.remove(0).refusal
}

fn spent(world: &World) -> u64 {
    let (dataset, budget) = world.site.budgets[0].clone();
    world.site.ledger().unwrap().spent(&dataset, budget).pico()
}

/// A bug would be: a run that goes on to the end of one person's fuel, here some days, and holds the node.
#[test]
fn a_late_run_is_stopped_in_the_middle_of_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path(), "with", Pace { guests: BOASTFUL.guests, ..PACE });
    let (submitted, days) = (std::time::Instant::now(), 1 << 50);
    assert_eq!(asked(&world, days, 0), Some(Refusal::DeadlineMissed));
    assert!(submitted.elapsed().as_secs() < 100, "it was not stopped when it was late");
    assert_eq!(asked(&world, 50_000, 1), None, "the node does not go on");
}

/// A bug would be: a dataset that goes on answering, so that each charge tells another bit; a count that a restart forgets; a refusal
/// that is charged, or that differs where the target is not.
#[test]
fn a_dataset_that_was_late_too_often_answers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |misses| Some(Refusal::TooManyMisses { dataset: "evil".parse().unwrap(), misses });
    for name in ["with", "without"] {
        let mut world = world(dir.path(), name, PACE);
        assert_eq!(asked(&world, 50_000, 0), None);
        world.site.policy.release = BOASTFUL;
        assert_eq!(asked(&world, 50_000, 1), Some(Refusal::DeadlineMissed), "{name}");
        assert_eq!(asked(&world, 50_000, 2), Some(Refusal::DeadlineMissed), "{name}: one may be late");
        let before = spent(&world);
        assert_eq!(asked(&world, 50_000, 3), refused(2), "{name}: two may be late");
        drop(world);
        let mut world = World::reopen(&dir.path().join(name), &SEED, compiler()).unwrap();
        world.site.policy.release = Pace { misses_max: BOASTFUL.misses_max, ..PACE };
        assert_eq!(asked(&world, 50_000, 4), refused(2), "{name}: a restart forgets");
        assert_eq!(spent(&world), before, "{name}: a refusal was charged");
        assert_eq!(asked(&world, 50_000, 0), None, "{name}: what was answered is given again");
        let records = world.site.audit();
        let dataset = world.site.budgets[0].0.clone();
        assert!(records.resume(&dataset, " ", &Who::Node).is_err(), "{name}: it goes on for no reason");
        assert_eq!(records.resume(&dataset, "measured again", &Who::Node).unwrap(), 2);
        assert_eq!(asked(&world, 50_000, 5), None, "{name}: its operator let it go on");
        let kept = records.all_misses().unwrap();
        assert_eq!(kept.len(), 2, "{name}: late runs were forgotten");
        assert!(kept.iter().all(|miss| miss.resumed.as_deref() == Some("measured again") && miss.person == "mallory"));
    }
}

/// A bug would be: a run that leaves late, whatever becomes of it, and is not counted.
#[test]
fn what_is_ready_at_its_deadline_is_late() {
    let (paid, longest) = ("2026-01-01T00:00:00Z".parse().unwrap(), SignedDuration::from_secs(1));
    let ready = |ms: i64| paid + SignedDuration::from_millis(ms);
    for (ms, late) in [(999, false), (1_000, true), (1_001, true)] {
        assert_eq!(PACE.misses(paid, longest, ready(ms)), late);
        assert_eq!(PACE.leaves(paid, longest, ready(ms)), if late { ready(2_000) } else { ready(1_000) });
    }
}

/// A bug would be: a node that serves with deadlines which nobody knows to be true, or that does not say what to do.
#[test]
fn a_node_that_nobody_measured_does_not_open() {
    let mut place = Place::new("rho=1");
    place.node_at_default_pace("north", &crate::place::example("examples/data/rand-hie.toml"), "site = \"1\"", "rho=2");
    place.policy("north", "unmeasured = true", "");
    let (code, said) = place.fails(&["node", "run", "north"]);
    assert!(code == 1 && said.contains("spe node selftest north --adopt"), "{said}");
    place.policy("north", "hold = \"deadline\"", "hold = \"slot\"");
    place.start_hub();
    place.start_node("north");
    place.wait_online(1);
}
