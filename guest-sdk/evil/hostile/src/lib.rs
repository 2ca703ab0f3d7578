//! Evil: one attack for each kind of person, told apart by the visits of their first year.
//!
//! Expected: the job succeeds. Everyone is one of `people`, by answer or by default; `calls` is at most 1 a person; `loot`
//! is in [0, 1] a person: 1 for those who answer infinity, 0 by default for those who trap, spin or answer NaN.
//!
//! Bugs would be: more than one call a person; a number outside its bounds; a NaN in the answer, or one whose payload
//! survives; a job that hangs, fails or is refused; anything that says how many people were attacked in which way.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::{memory_grow, memory_size};
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use spe_guest::{analysis, Column, Count, Integer, Mean, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: attack }

const VISITS: Column<Integer> = MANIFEST.table("years").integer("mdvis");
const PEOPLE: Output<Count> = MANIFEST.count("people");
const CALLS: Output<Sum> = MANIFEST.sum("calls");
const LOOT: Output<Mean> = MANIFEST.mean("loot");

const PAGE_BYTES: usize = 64 * 1024;

static CALLS_SO_FAR: AtomicU32 = AtomicU32::new(0);

fn attack(subject: &Subject, _: &Params, out: &mut Outputs) {
    let visits = subject.column(VISITS).first().unwrap_or(0);
    out.count(PEOPLE, true);
    out.sum(CALLS, f64::from(CALLS_SO_FAR.fetch_add(1, Relaxed) + 1));
    match visits % 8 {
        0 => out.mean(LOOT, f64::INFINITY),
        1 => out.mean(LOOT, smuggled_in_nan(visits)),
        2 => out.mean(LOOT, f64::MAX),
        3 => spin(out),
        4 => take_all_memory(out),
        5 => exhaust_the_stack(visits as u64, out),
        6 => scribble(),
        _ => panic!("a person of kind 7"),
    }
}

/// A NaN whose payload is the person's secret.
fn smuggled_in_nan(secret: i64) -> f64 {
    f64::from_bits(f64::NAN.to_bits() | secret as u64)
}

/// Tells by its time that this person exists.
fn spin(out: &mut Outputs) {
    loop {
        black_box(out as *mut Outputs);
    }
}

/// Leaves a byte in every page that it can get, for the next person to find.
fn take_all_memory(out: &mut Outputs) {
    let found = memory_size(0);
    while memory_grow(0, 1) != usize::MAX {
        // SAFETY: the page was given by the line above.
        unsafe { (((memory_size(0) - 1) * PAGE_BYTES) as *mut u8).write_volatile(1) };
    }
    out.mean(LOOT, found as f64);
}

/// Recurses until the stack runs into the bottom of memory.
#[allow(unconditional_recursion, reason = "this is the attack")]
fn exhaust_the_stack(depth: u64, out: &mut Outputs) {
    let frame = black_box([depth; 64]);
    exhaust_the_stack(frame[0] + 1, out);
    out.mean(LOOT, black_box(frame[1]) as f64);
}

/// Overwrites its memory, stack, statics and record included, from the end down.
fn scribble() {
    for address in (8..memory_size(0) * PAGE_BYTES).step_by(8).rev() {
        // SAFETY: none: this is the attack. The address lies in the module's own memory.
        unsafe { black_box(address as *mut u64).write_volatile(u64::MAX) };
    }
}
