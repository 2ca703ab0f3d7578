//! The rows of the adversary suite that are about the host, not about a guest: noise, blocks, repeated questions, cancellation,
//! crashes, panics.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use spe_kernel::{
    category::Categories,
    disclosure::Draw,
    fault::Fault,
    ids::Digest,
    job::Purpose,
    ledger::AnswerKey,
    optout::AsOf,
    pace::{Hold, Pace},
    plan::{Choices, Plan},
    record::Contribution,
    refusal::{Refusal, Stop},
};
use spe_node::{
    run::{Escort, Step, run},
    selftest::{
        attacks::{ALL, Attack, Must},
        people::{and, crowd, target},
        watch::{Outline, Seen, Watch},
        world::World,
    },
    site::Site,
};
use spe_vault::{ScanSizes, Vault};

use crate::{
    evil::{PACE, PEOPLE_MAX, SPINNING_FUEL, cells, compiler, guests, loss, rules, world},
    observable::indistinguishable,
    seeded,
};

/// For what nobody compares the times of.
pub const HASTE: Pace = Pace { slot_ms: NonZeroU32::MIN, hold: Hold::Slot, ..PACE };

fn named(name: &str) -> &'static Attack {
    Attack::named(name).unwrap()
}

/// What a guest gives for every data subject or block, in order, as bits; none for one that failed.
fn contributions(world: &World, attack: &Attack) -> Vec<Option<Vec<u64>>> {
    let (_, plan) = world.ground.question(&world.site, attack.module, &attack.choices(loss(), 0)).unwrap();
    let schema = world.site.offer(plan.dataset()).unwrap().schema;
    let module = world.site.sandbox.approve(attack.module, &plan, &schema).unwrap();
    let (mut worker, mut all) = (module.worker().unwrap(), Vec::new());
    let as_of = AsOf { at: Timestamp::now(), purpose: Purpose::ScientificResearch, reads: Categories::ALL };
    let cohort = world.site.vault.cohort(plan.dataset(), as_of).unwrap();
    world.block_on(async {
        for mut part in world.site.vault.scan(&plan, &cohort).unwrap() {
            while let Some(chunk) = part.next().await {
                // A test may look where the node may not.
                chunk.unwrap().map(|chunk| {
                    let each = |_, given: Contribution<'_>| {
                        all.push(match given {
                            Contribution::Numbers(numbers) => Some(numbers.iter().map(|x| x.to_bits()).collect()),
                            Contribution::Failed => None,
                        });
                    };
                    worker.map(&chunk, each).unwrap();
                });
            }
        }
    });
    all
}

/// Rows 2 and 6. A bug would be: anyone who gives something else because the target is there. All contributions are compared, one
/// by one, not only their sums.
#[test]
fn nobody_gives_something_else_because_the_target_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let [with, without, alone] = ["with", "without", "alone"].map(|name| world(dir.path(), name, PACE));
    for attack in ALL.iter().filter(|a| matches!(a.must, Must::Add | Must::HideKeys)) {
        let sorted = |mut all: Vec<_>| {
            all.sort_unstable();
            all
        };
        let apart = [contributions(&without, attack), contributions(&alone, attack)].concat();
        assert_eq!(sorted(contributions(&with, attack)), sorted(apart), "{}", attack.name);
    }
}

/// Row 2. A bug would be: sums that depend on the order in the operator's file, on the number of threads or on how records are
/// portioned.
#[test]
fn order_threads_and_portions_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let mut people = and(crowd(12), target());
    let mut answers = BTreeMap::new();
    for (name, workers, portion) in [("a", 1, 1_024), ("b", 2, 1_024), ("c", 2, 1), ("d", 1, 3)] {
        people.rotate_left(5);
        let mut world = World::new(&dir.path().join(name), &[3; 32], &people, &rules(16), compiler()).unwrap();
        let sizes = ScanSizes { chunk_subjects: portion, ..ScanSizes::default() };
        world.site.vault =
            Vault::open(&world.ground.folder().join("data/vault"), &*world.ground.keys()).unwrap().with_sizes(sizes);
        (world.site.workers, world.site.noise, world.site.policy.release) = (workers, seeded::foreseen_noise, HASTE);
        for attack in ALL.iter().filter(|a| matches!(a.must, Must::Add | Must::ChangeOneBlock)) {
            let (_, seen) = world.ask(attack.module, &attack.choices(loss(), 0)).unwrap();
            let sums = cells(&seen[0]);
            assert!(!sums.is_empty(), "{}: {:?}", attack.name, seen[0].refusal);
            assert_eq!(answers.entry(attack.name).or_insert_with(|| sums.clone()), &sums, "{} in {name}", attack.name);
        }
    }
}

/// Row 12. A bug would be: a second block that changes when one person goes, or blocks that depend on how many there are.
#[test]
fn one_person_changes_one_block() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = |name: &str| contributions(&world(dir.path(), name, PACE), named("block-order"));
    let (with, without, alone) = (blocks("with"), blocks("without"), blocks("alone"));
    let changed = |a: &[Option<Vec<u64>>], b: &[Option<Vec<u64>>]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert_eq!((with.len(), without.len(), alone.len()), (4, 4, 4), "as many blocks as declared, whoever is there");
    assert_eq!(changed(&with, &without), 1);
}

/// Noise that takes its time, by its size as an attacker would have it: 0 to 60 ms, foreseen by the plan.
fn slow_noise(plan: &Plan) -> Result<Draw, Fault> {
    std::thread::sleep(delay(plan));
    seeded::foreseen_noise(plan)
}

fn delay(plan: &Plan) -> Duration {
    Duration::from_millis(u64::from(plan.digest().as_bytes()[0] % 2) * 60)
}

/// Row 9 (Jin et al. 2022: the time that a sampler takes tells what it drew). A bug would be: a time from charge to departure that
/// depends on the sampler's time; noise that is drawn after the charge, when the clock of the answer runs, or after the sum.
#[test]
fn the_time_that_noise_takes_does_not_show() {
    let (dir, attack) = (tempfile::tempdir().unwrap(), named("trap-if-target"));
    let mut world = world(dir.path(), "with", PACE);
    world.site.noise = slow_noise;
    let (mut quick, mut slow) = (Vec::new(), Vec::new());
    for attempt in 0..40 {
        let (plan, seen) = world.ask(attack.module, &attack.choices(loss(), attempt)).unwrap();
        let at = |step: Step| seen[0].steps.iter().position(|s| *s == step);
        assert!(at(Step::Drawn) < at(Step::Reserved) && at(Step::Reserved) < at(Step::Summed), "{:?}", seen[0].steps);
        let took = seen[0].times.unwrap().since_charge();
        if delay(&plan).is_zero() { quick.push(took) } else { slow.push(took) }
    }
    indistinguishable("noise", &quick, &slow).unwrap();
}

/// Row 10. A bug would be: bits of a released number that are more often set in one world. A released number is an integer of grid
/// steps by its type; here its ten lowest bits are counted in both worlds, with the node's own sampler.
#[test]
fn low_bits_of_released_numbers_are_noise() {
    const RUNS: u32 = 120;
    let (dir, attack) = (tempfile::tempdir().unwrap(), named("low-bits"));
    let ones = |name: &str| -> Vec<f64> {
        // Nobody looks at the clock here.
        let mut world = world(dir.path(), name, HASTE);
        world.site.noise = spe_node_noise();
        let mut ones = vec![0.0; 10];
        for attempt in 0..RUNS {
            let (_, seen) = world.ask(attack.module, &attack.choices(loss(), attempt)).unwrap();
            let Some(cell) = cells(&seen[0]).first().copied() else { continue };
            ones.iter_mut().enumerate().for_each(|(bit, count)| *count += f64::from((cell >> bit & 1) as u8));
        }
        ones
    };
    let (with, without) = (ones("with"), ones("without"));
    // Under the null each difference is normal with variance RUNS/2: χ² with 10 degrees of freedom; 47 has probability 10⁻⁶.
    let chi_square: f64 = with.iter().zip(&without).map(|(a, b)| (a - b).powi(2) / (f64::from(RUNS) / 2.0)).sum();
    assert!(chi_square < 47.0, "{chi_square}: {with:?} {without:?}");
}

/// The node's own sampler: what a site has before a test puts another in its place.
fn spe_node_noise() -> fn(&Plan) -> Result<Draw, Fault> {
    let dir = tempfile::tempdir().unwrap();
    World::new(dir.path(), &[1; 32], &crowd(1), &rules(1), compiler()).unwrap().site.noise
}

/// Row 13. A bug would be: a second draw for the same question, or another question that is not charged.
#[test]
fn the_same_question_has_one_answer_and_another_has_a_price() {
    let (dir, attack) = (tempfile::tempdir().unwrap(), named("low-bits"));
    let mut world = world(dir.path(), "with", PACE);
    world.site.noise = spe_node_noise();
    let dataset = world.site.budgets[0].clone();
    let spent = |world: &World| world.site.ledger().unwrap().spent(&dataset.0, dataset.1).pico();
    let ask = |world: &World, choices: &Choices| world.ask(attack.module, choices).unwrap().1.remove(0);
    let choices = attack.choices(loss(), 0);
    let first = ask(&world, &choices);
    let price = spent(&world);
    let again = ask(&world, &choices);
    assert_eq!((first.bytes.clone(), price), (again.bytes.clone(), spent(&world)), "asked again, it costs or differs");
    assert!(again.times.is_none() && price == loss().pico(), "read or charged again");
    let fuel = ask(&world, &Choices { fuel_per_subject: attack.fuel + 1, ..choices.clone() });
    let anew = ask(&world, &attack.choices(loss(), 1));
    assert_eq!(spent(&world), 3 * price, "a question that differs in one number is another question");
    assert!(cells(&fuel) != cells(&first) && cells(&anew) != cells(&first), "two questions, one noise");
}

/// Row 14. A bug would be: a node that does anything else for the smallest number of people there can be, or for a filter that
/// leaves nobody. (A dataset without anybody is refused at ingest, which only its operator sees.)
#[test]
fn the_smallest_cohorts_look_like_any_other() {
    let (dir, attack) = (tempfile::tempdir().unwrap(), named("empty-cohort"));
    let outline = |name: &str, people: &[_]| {
        let mut world = World::new(&dir.path().join(name), &[5; 32], people, &rules(PEOPLE_MAX), compiler()).unwrap();
        world.site.policy.release = PACE;
        world.site.noise = seeded::foreseen_noise;
        Outline::of(&world.ask(attack.module, &attack.choices(loss(), 0)).unwrap().1[0])
    };
    let one = outline("one", &crowd(1));
    assert!(one.answer.is_some(), "{one:?}");
    for (name, people) in [("target", vec![target()]), ("two", and(crowd(1), target())), ("many", crowd(PEOPLE_MAX))] {
        assert_eq!(outline(name, &people), one, "{name}");
    }
}

/// An escort that cancels some time after the charge, panics after a step, or looks into the ledger before the answer may leave.
struct Meddler<'s> {
    watch: Watch,
    site: &'s Site,
    key: AnswerKey,
    cancel_after: Option<Duration>,
    panic_after: Option<Step>,
    charged: Option<Instant>,
    /// Whether an answer was durable when the job was told to hold.
    durable_early: Vec<bool>,
}

impl Escort for Meddler<'_> {
    async fn fetch(&mut self, module: Digest) -> Result<Vec<u8>, Stop> {
        self.watch.fetch(module).await
    }
    fn passed(&mut self, step: Step) {
        self.watch.passed(step);
        if step == Step::Reserved {
            self.charged = Some(Instant::now());
        }
        assert!(self.panic_after != Some(step), "as a record might make it");
    }
    fn cancelled(&self) -> bool {
        self.charged.zip(self.cancel_after).is_some_and(|(at, after)| at.elapsed() >= after)
    }
    async fn hold(&mut self, time: Timestamp) {
        self.watch.hold(time).await;
        let recalled = self.site.ledger().unwrap().recall(&self.key);
        self.durable_early.push(matches!(recalled, Ok(Some(_))));
    }
}

struct Meddled {
    seen: Seen,
    durable_early: Vec<bool>,
    /// What the same question gives afterwards.
    again: Outline,
}

/// The spinning guest, whose run takes some 50 ms where the target is and 10 ms where not.
fn meddle(dir: &Path, name: &str, cancel_after: Option<Duration>, panic_after: Option<Step>) -> Meddled {
    let attack = named("spin-if-target");
    let pace = Pace { guests: guests(9_000_000_000), ..PACE };
    let world = world(&dir.join(format!("{cancel_after:?}{panic_after:?}")), name, pace);
    let choices = Choices { fuel_per_subject: SPINNING_FUEL / 10, ..attack.choices(loss(), 0) };
    let (submitted, plan) = world.ground.question(&world.site, attack.module, &choices).unwrap();
    let as_of = AsOf { at: Timestamp::now(), purpose: Purpose::ScientificResearch, reads: Categories::ALL };
    let snapshot = world.site.vault.cohort(plan.dataset(), as_of).unwrap().digest();
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot, round: 0 };
    let (watch, site) = (Watch::new(attack.module), &world.site);
    let mut meddler = Meddler { watch, site, key, cancel_after, panic_after, charged: None, durable_early: Vec::new() };
    let given = world.block_on(run(site, &submitted, &mut meddler));
    let Meddler { watch, durable_early, .. } = meddler;
    let seen = watch.seen(site, &plan, given);
    let longest = pace.longest(&plan, &site.offer(plan.dataset()).unwrap().schema).unwrap();
    assert!(seen.times.unwrap().punctual(&pace, longest), "{name} left at another time: {:?}", seen.times);
    let again = Outline::of(&world.ask(attack.module, &choices).unwrap().1[0]);
    Meddled { seen, durable_early, again }
}

/// A bug would be: a cancellation that finds the run at its end in one world and not in the other, and so tells how long it took;
/// one that costs an answer which is paid for. Most runs end before 30 ms without the target, after it with the target, and before
/// 500 ms in any case.
#[test]
fn a_cancellation_does_not_tell_how_far_the_run_was() {
    let dir = tempfile::tempdir().unwrap();
    for after in [0, 30, 100, 500].map(Duration::from_millis) {
        let outcome = |name: &str| {
            let Meddled { seen, again, .. } = meddle(dir.path(), name, Some(after), None);
            (seen.refusal, again)
        };
        let (with, without) = (outcome("with"), outcome("without"));
        assert_eq!(with, without, "cancelled after {after:?}");
        assert_eq!(with.0, Some(Refusal::Cancelled), "cancelled after {after:?}, but before it left");
        assert!(with.1.answer.is_some(), "cancelled after {after:?}, and what was paid for is lost: {:?}", with.1);
    }
}

/// A bug would be: an answer that is durable before it may leave, so that what a crash leaves tells whether the run was done.
#[test]
fn nothing_is_durable_before_it_may_leave() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["with", "without"] {
        let Meddled { seen, durable_early, .. } = meddle(dir.path(), name, None, None);
        assert_eq!((seen.kind, durable_early), ("released", vec![false, false]), "{name}");
    }
}

/// A bug would be: a panic, which a record might cause, that is told at once.
#[test]
fn a_panic_is_told_when_an_answer_would_be() {
    let dir = tempfile::tempdir().unwrap();
    for step in [Step::Summed, Step::Noised] {
        let Meddled { seen, again, .. } = meddle(dir.path(), "with", None, Some(step));
        assert!(matches!(seen.refusal, Some(Refusal::Internal { .. })), "{seen:?}");
        assert!(matches!(again.refusal, Some(Refusal::Interrupted { .. })), "{again:?}");
    }
}
