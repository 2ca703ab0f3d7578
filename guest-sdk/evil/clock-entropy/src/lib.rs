//! Evil: answers with what the clocks say and with random numbers, to tell runs, people and machines apart.
//!
//! Expected: everyone answers the same, in every job and on every machine.
//!
//! Bugs would be: a clock that moves; entropy that differs from person to person or from run to run.

#![cfg(target_arch = "wasm32")]
#![no_std]

use spe_guest::{analysis, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: look_around }

const CLOCKS: Output<Sum> = MANIFEST.sum("clocks");
const ENTROPY: Output<Sum> = MANIFEST.sum("entropy");

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn clock_time_get(clock: u32, precision: u64, nanoseconds: *mut u64) -> u32;
    fn random_get(bytes: *mut u8, length: usize) -> u32;
    fn sched_yield() -> u32;
}

fn look_around(_: &Subject, _: &Params, out: &mut Outputs) {
    let mut bytes = [0; 8];
    // SAFETY: the pointer is to as many bytes as it says.
    unsafe {
        sched_yield();
        random_get(bytes.as_mut_ptr(), bytes.len());
    }
    out.sum(ENTROPY, (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64);
    // Real time, monotonic, and the processor's for process and thread.
    let microseconds = [0, 1, 2, 3].map(|clock| time(clock) / 1_000 % 1_000_000);
    out.sum(CLOCKS, microseconds.iter().sum::<u64>() as f64);
}

fn time(clock: u32) -> u64 {
    let mut nanoseconds = 0;
    // SAFETY: the pointer is to a variable.
    unsafe { clock_time_get(clock, 1, &mut nanoseconds) };
    nanoseconds
}
