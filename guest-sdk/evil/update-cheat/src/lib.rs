//! Evil: tries to carry what it saw of people past the noise: the map leaves a mark in a static for the update, the
//! update one for the map, and writes clocks, entropy and the mark into the public state.
//!
//! Expected: `left` is 0 for everyone; the state is the same after every round, at every node and at the researcher's.
//!
//! Bugs would be: a mark that is found; two nodes with different states; an update that is told anything but public
//! numbers.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use spe_guest::{analysis, Boolean, Column, Next, Output, Outputs, Params, Round, Subject, Sum};

analysis! { manifest: "../manifest.json", map: leave_a_mark, update: look_for_it }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const LEFT: Output<Sum> = MANIFEST.sum("left");

static BY_MAP: AtomicU32 = AtomicU32::new(0);
static BY_UPDATE: AtomicU32 = AtomicU32::new(0);

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn clock_time_get(clock: u32, precision: u64, nanoseconds: *mut u64) -> u32;
    fn random_get(bytes: *mut u8, length: usize) -> u32;
}

fn leave_a_mark(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.sum(LEFT, f64::from(BY_UPDATE.load(Relaxed)));
    if subject.column(TARGET).any() {
        BY_MAP.fetch_add(1, Relaxed);
    }
}

/// Writes what it finds: marks, its own calls, the clock in milliseconds, a byte of entropy.
fn look_for_it(_: &Round, _: &Params, state: &mut [f64]) -> Next {
    let (mut nanoseconds, mut byte) = (0, 0);
    // SAFETY: the pointers are to variables that are large enough.
    unsafe {
        clock_time_get(0, 1, &mut nanoseconds);
        random_get(&mut byte, 1);
    }
    let calls = BY_UPDATE.fetch_add(1, Relaxed) + 1;
    state.copy_from_slice(&[
        f64::from(BY_MAP.load(Relaxed)),
        f64::from(calls),
        (nanoseconds / 1_000_000) as f64,
        f64::from(byte),
    ]);
    Next::GoOn
}
