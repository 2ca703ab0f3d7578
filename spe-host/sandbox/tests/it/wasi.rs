//! The closed WASI: names that ordinary toolchains link against, and nothing behind them.

use std::time::{Duration, Instant};

use crate::fixture::{Guest, singles};

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
    (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))"#;

/// Runs `before`, then answers the number that `value` (an i64) gives, for four data subjects who must all see the same.
fn constant(before: &str, value: &str) -> i64 {
    let map = format!("(i64.store (i32.const 0) (i64.const -1)) {before} (call $answer (local.get $out) {value})");
    let seen = Guest { items: IMPORTS.to_owned(), map, ..Guest::default() }.run(&singles(&[1, 2, 3, 4]));
    let first = seen[0].clone();
    assert!(first.is_some(), "{before}: it failed");
    assert!(seen.iter().all(|s| *s == first), "{before}: not the same for all: {seen:?}");
    first.unwrap()[0] as i64
}

fn errno(call: &str) -> i64 {
    constant("", &format!("(i64.extend_i32_u {call})"))
}

/// An answer that differs from these constants would be a door: to files, to time, to entropy, to other people.
#[test]
fn answers_are_constants() {
    assert_eq!(
        errno(
            "(call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 8))"
        ),
        8
    );
    assert_eq!(errno("(call $fd_prestat_get (i32.const 3) (i32.const 0))"), 8);
    assert_eq!(errno("(call $fd_seek (i32.const 1) (i64.const 0) (i32.const 0) (i32.const 0))"), 70);
    assert_eq!(errno("(call $fd_close (i32.const 3))"), 8);
    assert_eq!(errno("(call $sched_yield)"), 0);
    assert_eq!(errno("(call $proc_raise (i32.const 9))"), 58);
    assert_eq!(errno("(call $sock_accept (i32.const 3) (i32.const 0) (i32.const 0))"), 58);
    assert_eq!(errno("(call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))"), 58);
    assert_eq!(
        constant("(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0)))", "(i64.load (i32.const 0))"),
        0
    );
    assert_eq!(constant("(drop (call $args_sizes_get (i32.const 0) (i32.const 4)))", "(i64.load (i32.const 0))"), 0);
    assert_eq!(constant("(drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))", "(i64.load (i32.const 0))"), 0);
    assert_eq!(
        constant(
            "(drop (call $fd_read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0)))",
            "(i64.load32_u (i32.const 0))"
        ),
        0
    );
    assert_eq!(
        constant("(drop (call $fd_fdstat_get (i32.const 1) (i32.const 0)))", "(i64.load offset=8 (i32.const 0))"),
        64
    );
}

#[test]
fn output_goes_nowhere() {
    let hello = "(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (i32.const 12))
                 (i32.store (i32.const 72) (i32.const 0)) (i32.store (i32.const 76) (i32.const 30))
                 (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 2) (i32.const 0)))";
    assert_eq!(constant(hello, "(i64.load32_u (i32.const 0))"), 42);
    assert_eq!(errno("(call $fd_write (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 0))"), 8);
}

/// The same bytes for everybody and every call, and bytes that differ among themselves.
#[test]
fn entropy_is_one_stream() {
    let draw = |at| format!("(drop (call $random_get (i32.const {at}) (i32.const 16)))");
    let first = constant(&draw(0), "(i64.shr_u (i64.load (i32.const 0)) (i64.const 12))");
    let again = constant(&format!("{}{}", draw(0), draw(32)), "(i64.shr_u (i64.load (i32.const 32)) (i64.const 12))");
    let later = constant(&draw(0), "(i64.shr_u (i64.load (i32.const 8)) (i64.const 12))");
    assert_eq!(first, again);
    assert_ne!(first, later);
}

/// Closing a descriptor leaves no trace, in this run or in the next person's.
#[test]
fn descriptors_cannot_carry_a_message() {
    let write = "(call $fd_write (i32.const 1) (i32.const 64) (i32.const 0) (i32.const 0))";
    let value = format!("(i64.extend_i32_u (i32.add {write} (call $fd_close (i32.const 1))))");
    assert_eq!(constant("", &value), 0);
    assert_eq!(constant("(drop (call $fd_close (i32.const 1)))", &value), 0);
}

/// Pointers of the guest are only followed within its memory.
#[test]
fn wild_pointers_are_answered() {
    assert_eq!(errno("(call $random_get (i32.const -8) (i32.const 16))"), 21);
    assert_eq!(errno("(call $random_get (i32.const 131068) (i32.const 8))"), 21);
    assert_eq!(errno("(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 131066))"), 21);
    assert_eq!(errno("(call $clock_time_get (i32.const 9) (i64.const 0) (i32.const 0))"), 28);
    assert_eq!(errno("(call $fd_write (i32.const 1) (i32.const -4) (i32.const 2) (i32.const 0))"), 21);
    assert_eq!(errno("(call $fd_write (i32.const 1) (i32.const 131064) (i32.const 2) (i32.const 0))"), 21);
}

/// A guest that could sleep could tell the time of day by when the job ends. Asking for an hour takes none.
#[test]
fn nobody_sleeps() {
    let start = Instant::now();
    // A subscription to the clock, 3 600 s from now.
    let hour = "(i64.store (i32.const 88) (i64.const 3600000000000))";
    assert_eq!(
        constant(
            hour,
            "(i64.extend_i32_u (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 256)))"
        ),
        58
    );
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// The host's work is paid for in fuel: asking it to fill memory in a loop ends soon.
#[test]
fn calls_cost_fuel() {
    let loops = [
        "(loop (drop (call $random_get (i32.const 0) (i32.const 131072))) (br 0))",
        "(loop (drop (call $sched_yield)) (br 0))",
        "(loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 16384) (i32.const 0))) (br 0))",
    ];
    for spin in loops {
        let start = Instant::now();
        let guest = Guest { items: IMPORTS.to_owned(), map: spin.to_owned(), ..Guest::default() };
        assert_eq!(guest.run(&singles(&[1])), [None]);
        assert!(start.elapsed() < Duration::from_secs(10), "{spin}: {:?}", start.elapsed());
    }
}
