//! One test a hostile guest: `guest-sdk/evil`, each crate of which says in words what it tries.
//!
//! What would be a bug in every one of them: anything but numbers that differs with the target and without (a message's kind, its
//! length, a refusal, a step, a certificate, a charge, a line of the audit log, a byte in the ledger); a time that does not
//! follow from the charge, or that a clock can tell by; sums that differ by anything but what the target adds alone, or by more
//! than the sensitivity. The tests below say what else would be.

use std::{collections::BTreeSet, path::PathBuf};

use spe_kernel::{pace::Hold, refusal::Refusal};
use spe_node::selftest::attacks::{ALL, Attack};

use crate::{
    evil::{PEOPLE, SHORT, Series, cells},
    place::example,
};

/// One unit in grid steps.
const ONE: i128 = 1 << 20;

/// What the target alone adds to the sums; what is seen of `name` must tell nothing besides.
fn share(name: &str) -> Vec<i128> {
    let series = &SHORT[name];
    series.leak().unwrap();
    series.worlds["alone"].runs[0].iter().flat_map(cells).collect()
}

/// The noiseless sums over everybody but the target.
fn others(name: &str) -> Vec<i128> {
    let series = &SHORT[name];
    let dir = tempfile::tempdir().unwrap();
    let mut world = crate::evil::world(dir.path(), "without", series.pace);
    world.site.noise = crate::seeded::no_noise;
    let (_, seen) = world.ask(series.attack.module, &series.attack.choices(crate::evil::loss(), 0)).unwrap();
    seen.iter().flat_map(cells).collect()
}

/// Every guest that is built over the suite's table is in the suite, and the suite has no guest that is not built.
#[test]
fn every_evil_guest_is_tried() {
    let files = std::fs::read_dir(example("guest-sdk/evil/modules")).unwrap().map(|e| e.unwrap().path());
    let over_visits = |file: &PathBuf| {
        let inspected = spe_sandbox::inspect(&std::fs::read(file).unwrap()).unwrap();
        inspected.manifest.inputs[0].table.as_str() == "visits"
    };
    let built: BTreeSet<_> =
        files.filter(over_visits).map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let tried: BTreeSet<String> = ALL.iter().map(|attack| attack.name.to_owned()).collect();
    assert_eq!(built, tried);
}

/// Row 1. A bug would be: an answer that comes sooner without the target, or that says that fuel ran out.
#[test]
fn a_guest_that_spins_on_the_target_does_not_tell_by_the_time() {
    assert_eq!(share("spin-if-target"), [0], "who spins is not counted");
}

/// Power, row 1: with the protection taken away (`hold = "slot"`) the harness sees the same guest.
#[test]
fn without_a_deadline_the_spinning_guest_is_seen() {
    let series = Series::run(Attack::named("spin-if-target").unwrap(), Hold::Slot, 25);
    let leak = series.leak().expect_err("the harness does not see what it is made to see");
    assert!(leak.contains("apart") || leak.contains("advantage"), "it is not the time that tells: {leak}");
}

/// Row 2. A bug would be: anyone but the target who has seen the target in a static or on the heap.
#[test]
fn nothing_is_remembered_in_statics() {
    assert_eq!((share("remember-static"), others("remember-static")), (vec![0], vec![0]));
}

/// Row 2. A bug would be: a corner of memory that is not as it was.
#[test]
fn nothing_is_remembered_in_memory() {
    assert_eq!((share("remember-memory"), others("remember-memory")), (vec![0], vec![0]));
}

/// Row 2. A bug would be: globals that are not put back after a trap.
#[test]
fn nothing_is_remembered_in_globals() {
    assert_eq!((share("remember-stack"), others("remember-stack")), (vec![0], vec![0]));
}

/// Row 2. A bug would be: a descriptor that stays closed, or entropy that is used up, for whoever comes after the target.
#[test]
fn nothing_is_remembered_by_wasi() {
    let (share, others) = (share("remember-wasi"), others("remember-wasi"));
    assert_eq!(others[0], share[0] * i128::from(PEOPLE), "somebody sees another system than the target");
}

/// Rows 3 and 4. A bug would be: a trap that is told by status, message, log or price; a million that was written before it.
#[test]
fn a_guest_that_traps_on_the_target_does_not_tell_by_an_error() {
    assert_eq!(share("trap-if-target"), [0, 0], "who traps adds the defaults");
}

/// Row 4. A bug would be: a printed note that goes anywhere (see `canary`), or an exit code that ends the job.
#[test]
fn a_guest_that_prints_and_exits_is_not_heard() {
    assert_eq!(share("log-if-target"), [0], "who exits adds the default");
}

/// Row 5. A bug would be: a second number that is read, or one that lies behind the first.
#[test]
fn a_guest_that_answers_too_much_is_read_as_far_as_declared() {
    assert_eq!((share("overrun"), others("overrun")), (vec![ONE], vec![ONE * i128::from(PEOPLE)]));
}

/// Row 5. A bug would be: a payload, a NaN or an infinity in a sum. `N` is 0x4e: its last bit is 0, so the infinity is negative.
#[test]
fn numbers_that_are_none_carry_nothing() {
    let share = share("nan-payload");
    assert_eq!(share[..3], [0, 0, 0], "a NaN is nobody's answer, and an infinity the nearer bound");
}

/// Row 6. A bug would be: a hash that depends on anything but the person's own record: then sums would not add up.
#[test]
fn memory_holds_nothing_of_others() {
    let share = share("hash-memory");
    assert!(share[0] > 0 && share[0] < ONE, "the guest did not get to its hash: {share:?}");
}

/// Row 6. A bug would be: the target's note in what anybody else can read.
#[test]
fn no_text_of_others_can_be_found() {
    assert_eq!((share("read-neighbours"), others("read-neighbours")), (vec![0], vec![0]));
}

/// Row 7. A bug would be: memory that stays grown for whoever comes next.
#[test]
fn memory_does_not_stay_grown() {
    let (share, others) = (share("grow-if-target"), others("grow-if-target"));
    assert_eq!(others, share.iter().map(|x| x * i128::from(PEOPLE)).collect::<Vec<_>>());
}

/// Row 8. A bug would be: a clock that moves or entropy that differs, between people or between runs.
#[test]
fn clocks_stand_still_and_entropy_is_a_constant() {
    let (share, others) = (share("clock-entropy"), others("clock-entropy"));
    assert_eq!(others, share.iter().map(|x| x * i128::from(PEOPLE)).collect::<Vec<_>>());
    let runs = &SHORT["clock-entropy"].worlds["alone"].runs;
    assert!(runs.iter().all(|run| run.iter().flat_map(cells).collect::<Vec<_>>() == share), "two runs differ");
}

/// Row 10. A bug would be: two bytes of a note in bits below the grid. 271.828182 is 285,032,508.17 steps.
#[test]
fn low_bits_are_rounded_away() {
    assert_eq!(share("low-bits"), [(271.828_182_f64 * ONE as f64).round() as i128]);
}

/// Row 11. A bug would be: a target that moves any sum by more than anybody may. 22 cells of 10 kinds.
#[test]
fn huge_numbers_are_clipped() {
    let share = share("huge-if-target");
    assert_eq!(share[..2], [ONE, -ONE], "a count counts one, and a sum its bound");
    assert!(share.iter().any(|x| *x != 0), "{share:?}");
}

/// Row 12. A bug would be: blocks that depend on each other; `evil_rows` compares them one by one.
#[test]
fn a_guest_that_tells_the_order_of_people_tells_nothing() {
    SHORT["block-order"].leak().unwrap();
}

/// Row 14. A bug would be: a statistic over nobody that looks different from one over somebody.
#[test]
fn an_answer_over_nobody_looks_like_any_other() {
    assert_eq!(
        others("empty-cohort").iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([0]),
        "somebody is there"
    );
    assert!(share("empty-cohort").iter().any(|x| *x != 0), "the target is not there");
}

/// Row 17. A bug would be: a key among the released that only the target has. The text that all others begin with is one.
#[test]
fn keys_of_one_person_are_not_released() {
    let series = &SHORT["keys-from-note"];
    series.leak().unwrap();
    let keys = |name: &str| -> Vec<Vec<i128>> { series.worlds[name].runs.iter().map(|run| cells(&run[0])).collect() };
    let (with, without) = (keys("with"), keys("without"));
    assert_eq!(with, without, "keys or counts differ");
    assert!(
        with[0][0] >= 0 && with[0][1] == ONE * i128::from(PEOPLE),
        "not even a key that all have: {:?}",
        &with[0][..4]
    );
    assert!(keys("alone").iter().flatten().all(|cell| [0, -1].contains(cell)), "the target's note is released");
}

/// Row 3. A bug would be: a price that depends on when the module stops.
#[test]
fn rounds_that_are_not_run_are_paid_all_the_same() {
    let series = &SHORT["budget"];
    series.leak().unwrap();
    let rounds = |name: &str| series.worlds[name].runs.iter().map(Vec::len).collect::<BTreeSet<_>>();
    assert!(
        rounds("with").len() > 1 || rounds("with") != rounds("without"),
        "the guest never stopped early: nothing was tried"
    );
}

/// Rows 2 and 8, in rounds. A bug would be: a mark that gets from a map to an update or back, a state that is not the same
/// everywhere.
#[test]
fn an_update_learns_nothing_but_released_sums() {
    let series = &SHORT["update-cheat"];
    series.leak().unwrap();
    let last = |name: &str| series.worlds[name].runs[0].last().unwrap().bytes.clone();
    assert_eq!(String::from_utf8(last("with")), String::from_utf8(last("without")));
    let left: Vec<_> = series.worlds["alone"].runs[0].iter().flat_map(cells).collect();
    assert!(left.iter().all(|x| *x == 0), "a map found what an update left: {left:?}");
}

/// A bug would be: a node that hangs, or that charges before it knows that the module starts.
#[test]
fn a_guest_that_spins_at_the_start_is_refused_before_any_charge() {
    let series = &SHORT["spin-in-start"];
    series.leak().unwrap();
    let seen = &series.worlds["with"].runs[0][0];
    assert!(matches!(seen.refusal, Some(Refusal::ModuleRefused { .. })) && seen.times.is_none(), "{seen:?}");
    assert_eq!(series.worlds["with"].books.0, 0);
}
