//! A run can be stopped in the middle of a data subject, as a whole, and no other run notices.

use std::{sync::mpsc, thread, time::Duration};

use spe_kernel::{record::Contribution, refusal::Refusal};

use crate::fixture::{Guest, SANDBOX, approve, choices, run, singles};

/// Days of fuel.
const FUEL: u64 = u64::MAX >> 2;

/// Loops for ever for a data subject whose value is not 1.
fn spinning() -> Vec<u8> {
    let map = "(if (i64.ne (call $first (local.get $record)) (i64.const 1)) (then (loop (br 0))))
        (call $answer (local.get $out) (i64.const 1))";
    Guest::mapping(map).wasm()
}

/// Longer than anything takes here, on the busiest machine; a guest that nobody stops takes days.
const PATIENCE: Duration = Duration::from_secs(60);

/// What would be a bug: a guest that goes on until its fuel is gone, so that a run holds its thread for days; a data subject who was
/// interrupted and is added up as one whose guest failed, which would make the sums a matter of time.
#[test]
fn a_guest_is_stopped_in_the_middle_and_gives_nothing() {
    let module =
        approve(&SANDBOX, &spinning(), spe_kernel::plan::Choices { fuel_per_subject: FUEL, ..choices() }).unwrap();
    let interrupt = SANDBOX.interrupt();
    let (began, beginning) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let mut worker = module.worker().unwrap().until(interrupt.clone());
    thread::spawn(move || {
        let mut given = Vec::new();
        let each = |subject: usize, contribution: Contribution<'_>| {
            given.push((subject, matches!(contribution, Contribution::Numbers(_))));
            began.send(()).unwrap();
        };
        let fault = worker.map(&singles(&[1, 0, 1]), each).map_err(|fault| fault.to_string());
        ended.send((fault, given)).unwrap();
    });
    beginning.recv_timeout(PATIENCE).unwrap();
    assert!(end.recv_timeout(Duration::from_millis(200)).is_err(), "it does not spin: nothing was interrupted");
    let (fault, given) = loop {
        interrupt.raise(Refusal::DeadlineMissed);
        interrupt.raise(Refusal::Cancelled);
        if let Ok(ended) = end.recv_timeout(Duration::from_millis(5)) {
            break ended;
        }
    };
    assert!(fault.unwrap_err().contains("interrupted"), "the run did not end as a whole");
    assert_eq!(given, [(0, true)], "an interrupted data subject, or one after it, contributed");
    assert_eq!(interrupt.raised(), Some(&Refusal::DeadlineMissed), "the first reason stays");
    let mut late = module.worker().unwrap().until(interrupt);
    assert!(late.map(&singles(&[1]), |_, _| panic!("it gave something")).is_err(), "a stopped run begins anew");
}

/// What would be a bug: one run's interrupt that makes another run's data subjects fail.
#[test]
fn other_runs_go_on() {
    let map = "(local $n i64) (local.set $n (i64.const 200000))
        (loop (local.set $n (i64.sub (local.get $n) (i64.const 1))) (br_if 0 (i64.gt_s (local.get $n) (i64.const 0))))
        (call $answer (local.get $out) (i64.const 1))";
    let wasm = Guest::mapping(map).wasm();
    let module = approve(&SANDBOX, &wasm, spe_kernel::plan::Choices { fuel_per_subject: FUEL, ..choices() }).unwrap();
    let (own, other) = (SANDBOX.interrupt(), SANDBOX.interrupt());
    let people = singles(&[1; 200]);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let (mut given, mut worker) = (0, module.worker().unwrap().until(own.clone()));
            worker.map(&people, |_, c| given += usize::from(matches!(c, Contribution::Numbers(_)))).unwrap();
            given
        });
        while !working.is_finished() {
            other.raise(Refusal::Cancelled);
            assert!(run(&module, &singles(&[1])) == [Some(vec![1.0])], "a worker without an interrupt was stopped");
        }
        assert_eq!(working.join().unwrap(), 200, "another run's interrupt failed somebody");
    });
}
