//! Figures, printed and not judged: `cargo test --release --workspace --test sandbox speed -- --nocapture`.

use std::time::Instant;

use spe_kernel::record::{Chunk, Contribution};
use spe_sandbox::{ApprovedModule, Sandbox};
use tempfile::TempDir;

use crate::{
    evil,
    fixture::{Guest, approve, choices, config, subjects},
};

const SUBJECTS: usize = 2_000;

/// Sums a column of 10 rows.
fn summing() -> Vec<u8> {
    let map = "(local $at i32) (local $end i32) (local $sum i64)
        (local.set $at (i32.load offset=12 (i32.load (i32.load (local.get $record)))))
        (local.set $end (i32.add (local.get $at) (i32.mul (i32.const 8) (call $rows (local.get $record)))))
        (loop (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
              (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
        (call $answer (local.get $out) (local.get $sum))";
    Guest::mapping(map).wasm()
}

#[test]
fn figures() {
    let directory = TempDir::new().unwrap();
    let sandbox = Sandbox::new(config(directory.path())).unwrap();
    let wasm = summing();
    let timed = |what: &str| {
        let start = Instant::now();
        let module = approve(&sandbox, &wasm, choices()).unwrap();
        println!("{what} approval: {:?}", start.elapsed());
        module
    };
    timed("cold");
    let module = timed("cached");
    let people = subjects(&vec![vec![(3, 2.0, 1); 10]; SUBJECTS]);
    assert_eq!(figure("10 rows, 3 columns, WAT", &module, &people), 30 * SUBJECTS);
    let module = evil::approved("accumulator");
    let people = evil::people(&module, &[3; SUBJECTS]);
    assert_eq!(figure("4 rows, 1 column, Rust SDK", &module, &people), SUBJECTS);
}

/// Prints the time of a data subject in the best of five runs; the sum of the contributions.
fn figure(what: &str, module: &ApprovedModule, people: &Chunk) -> usize {
    let mut worker = module.worker().unwrap();
    let mut sum = 0.0;
    let mut run = || {
        let start = Instant::now();
        sum = 0.0;
        worker.map(people, |_, c| sum += if let Contribution::Numbers(n) = c { n[0] } else { 0.0 }).unwrap();
        start.elapsed()
    };
    let best = (0..5).map(|_| run()).min().unwrap();
    println!("{what}: {:.2} µs a data subject", best.as_secs_f64() * 1e6 / SUBJECTS as f64);
    sum as usize
}
