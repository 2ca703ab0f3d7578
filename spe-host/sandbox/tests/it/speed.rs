//! Figures, printed and not judged: `cargo test --release --workspace --test sandbox speed -- --nocapture`.

use std::time::Instant;

use spe_sandbox::Sandbox;
use tempfile::TempDir;

use crate::fixture::{Guest, approve, choices, config, subjects};

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
    let chunk = subjects(&vec![vec![(3, 2.0, 1); 10]; 2_000]);
    let mut worker = module.worker().unwrap();
    for _ in 0..5 {
        let start = Instant::now();
        let mut sum = 0.0;
        worker
            .map(&chunk, |_, c| {
                if let spe_kernel::record::Contribution::Numbers(n) = c {
                    sum += n[0]
                }
            })
            .unwrap();
        println!("{:.2} µs a data subject (10 rows, 3 columns)", start.elapsed().as_secs_f64() * 1e6 / 2_000.0);
        assert!((sum - 60_000.0).abs() < f64::EPSILON);
    }
}
