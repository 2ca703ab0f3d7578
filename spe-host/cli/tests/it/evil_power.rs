//! The harness sees what it must: each thing that an attacker could look at, changed a little in one world.
//!
//! A bug would be a change that passes: then the tests of hostile guests would show nothing.

use jiff::SignedDuration;
use spe_kernel::refusal::Refusal;
use spe_node::selftest::watch::Seen;

use crate::evil::{SHORT, Series};

/// A series without a leak.
const CLEAN: &str = "trap-if-target";

fn leak(change: impl FnOnce(&mut Series)) -> Option<String> {
    let mut series = SHORT[CLEAN].clone();
    change(&mut series);
    series.leak().err()
}

/// One run of one world.
fn run<'s>(series: &'s mut Series, world: &str, attempt: usize) -> &'s mut Seen {
    &mut series.worlds.get_mut(world).unwrap().runs[attempt][0]
}

fn add_to_sums(series: &mut Series, world: &str, step: i128) {
    let answer = run(series, world, 0).answer.as_mut().unwrap();
    answer.outputs[0].cells.0[0] += step;
}

#[test]
fn nothing_is_seen_where_nothing_is() {
    assert_eq!(leak(|_| {}), None);
}

#[test]
fn any_other_message_is_seen() {
    let changes: [(&str, fn(&mut Seen)); 6] = [
        ("a byte more", |seen| seen.bytes.push(b' ')),
        ("another kind", |seen| seen.kind = "refusal"),
        ("a refusal", |seen| seen.refusal = Some(Refusal::Cancelled)),
        ("a step less", |seen| seen.steps.truncate(seen.steps.len() - 1)),
        ("another price", |seen| {
            let certificate = &mut seen.answer.as_mut().unwrap().certificate;
            certificate.spent_after = certificate.spent_before;
        }),
        ("no answer", |seen| seen.answer = None),
    ];
    for (what, change) in changes {
        for world in ["with", "without", "changed"] {
            assert!(leak(|series| change(run(series, world, 1))).is_some(), "{what} {world} the target is not seen");
        }
    }
}

/// Others who add one grid step, a millionth, more; a target who adds one step more than anybody may.
#[test]
fn one_grid_step_is_seen() {
    assert!(leak(|series| add_to_sums(series, "with", 1)).is_some(), "others answer differently, and it is not seen");
    let clip = leak(|series| {
        let one = 1 << 20;
        ["with", "alone"].into_iter().for_each(|world| add_to_sums(series, world, one + 1));
    });
    assert!(clip.is_some_and(|leak| leak.contains("output people moves")), "a sum without a clip is not seen");
    let within = leak(|series| ["with", "alone"].into_iter().for_each(|world| add_to_sums(series, world, 1 << 20)));
    assert_eq!(within, None, "what anybody may add is no leak");
}

#[test]
fn other_books_are_seen() {
    let changes: [(&str, fn(&mut crate::evil::Shown)); 4] = [
        ("a charge", |shown| shown.books.0 += 1),
        ("a line of the audit log", |shown| shown.books.1.truncate(shown.books.1.len() - 1)),
        ("a line that was changed", |shown| shown.books.1[0] += 1),
        ("a ledger that is longer", |shown| shown.ledger.get_mut("charge").unwrap().1 += 1),
    ];
    for (what, change) in changes {
        assert!(leak(|series| change(series.worlds.get_mut("with").unwrap())).is_some(), "{what} is not seen");
    }
}

#[test]
fn other_times_are_seen() {
    let slot = SignedDuration::from_millis(50);
    let held = leak(|series| run(series, "with", 2).times.as_mut().unwrap().held_until += slot);
    assert!(held.is_some(), "one answer that is held a slot too long is not seen");
    let early = leak(|series| {
        let times = run(series, "with", 2).times.as_mut().unwrap();
        times.left_at = times.held_until - SignedDuration::from_millis(1);
    });
    assert!(early.is_some(), "one answer that leaves too early is not seen");
    let late = leak(|series| {
        for attempt in 0..series.plans.len() {
            run(series, "with", attempt).times.as_mut().unwrap().left_at += slot * 10;
        }
    });
    assert!(late.is_some(), "answers that all leave late are not seen");
}
