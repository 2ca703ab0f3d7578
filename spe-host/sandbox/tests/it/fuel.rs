//! Fuel is a property of module and record, never of the machine or the moment.

use crate::fixture::{Guest, SANDBOX, approve, choices, run, singles};

/// Loops as often as the record says.
fn looping() -> Vec<u8> {
    let map = "(local $n i64) (local.set $n (call $first (local.get $record)))
        (loop (local.set $n (i64.sub (local.get $n) (i64.const 1))) (br_if 0 (i64.gt_s (local.get $n) (i64.const 0))))
        (call $answer (local.get $out) (i64.const 1))";
    Guest::mapping(map).wasm()
}

fn succeeds(wasm: &[u8], loops: i64, fuel: u64) -> bool {
    let mut choices = choices();
    choices.fuel_per_subject = fuel;
    run(&approve(&SANDBOX, wasm, choices).unwrap(), &singles(&[loops]))[0].is_some()
}

/// The least fuel with which it succeeds.
fn need(wasm: &[u8], loops: i64) -> u64 {
    let (mut too_little, mut enough) = (0, 1_000_000);
    while enough - too_little > 1 {
        let middle = u64::midpoint(too_little, enough);
        if succeeds(wasm, loops, middle) { enough = middle } else { too_little = middle }
    }
    enough
}

/// With exactly what it needs it succeeds, every time; with one less it fails, every time.
#[test]
fn the_boundary_is_exact() {
    let wasm = looping();
    let exact = need(&wasm, 1000);
    for _ in 0..20 {
        assert!(succeeds(&wasm, 1000, exact));
        assert!(!succeeds(&wasm, 1000, exact - 1));
    }
    // Linear in the work: each loop costs the same.
    let (one, two) = (need(&wasm, 2000) - exact, need(&wasm, 3000) - exact);
    assert_eq!(one * 2, two);
}

/// What starting took is not taken from the data subject's fuel, and cannot be saved up for it.
#[test]
fn starting_has_fuel_of_its_own() {
    let slow = Guest {
        start: "(local.set $len (i32.const 2000)) (loop (br_if 0 (local.tee $len (i32.sub (local.get $len) (i32.const 1))))) (i32.const 0)",
        map: "(call $answer (local.get $out) (i64.const 1))".to_owned(),
        ..Guest::default()
    };
    let quick = Guest { start: "(i32.const 0)", ..Guest { map: slow.map.clone(), ..Guest::default() } };
    assert_eq!(need(&slow.wasm(), 1), need(&quick.wasm(), 1));
}

/// Bulk operations cost by their bytes: otherwise a few instructions could keep the host busy for hours.
#[test]
fn bulk_operations_cost_by_the_byte() {
    let fill = |bytes| Guest::mapping(&format!("(memory.fill (i32.const 0) (i32.const 0) (i32.const {bytes}))")).wasm();
    assert!(need(&fill(100_000), 1) - need(&fill(1_000), 1) >= 99_000);
}

/// Growing asks the host even when it fails: at the price of an addition it would be the cheapest way to be slow.
#[test]
fn growing_costs_what_it_takes() {
    let grows = |pages| {
        let map = format!(
            "(local $n i64) (local.set $n (call $first (local.get $record)))
            (loop (drop (memory.grow (i32.const {pages})))
                (br_if 0 (i64.gt_s (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))"
        );
        Guest::mapping(&map).wasm()
    };
    assert!(need(&grows(0), 100) >= 99 * 255, "asking must cost, also for nothing");
    assert!(need(&grows(30), 100) >= need(&grows(0), 100) + 99 * 30 * 255, "and every page asked for");
}
