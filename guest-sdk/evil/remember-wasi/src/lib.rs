//! Evil: remembers the target in whatever WASI might remember: descriptors that it closes, and entropy that it uses up.
//! Everybody answers with what descriptors and entropy look like.
//!
//! Expected: everyone answers the same number, in every job.
//!
//! Bugs would be: someone who comes after the target and answers another number.

#![cfg(target_arch = "wasm32")]
#![no_std]

use spe_guest::{analysis, Boolean, Column, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: remember }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const STATE: Output<Sum> = MANIFEST.sum("state");

/// Standard input, output and error, and the first descriptor that a program would open.
const DESCRIPTORS: [u32; 4] = [0, 1, 2, 3];

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_close(descriptor: u32) -> u32;
    fn fd_renumber(from: u32, to: u32) -> u32;
    fn fd_seek(descriptor: u32, offset: i64, whence: u32, position: *mut u64) -> u32;
    fn fd_prestat_get(descriptor: u32, prestat: *mut [u32; 2]) -> u32;
    fn random_get(bytes: *mut u8, length: usize) -> u32;
}

fn remember(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.sum(STATE, f64::from(look()));
    if subject.column(TARGET).any() {
        disturb();
    }
}

/// A byte of entropy, and a mixture of what the descriptors answer.
fn look() -> u32 {
    let (mut position, mut prestat, mut entropy) = (0, [0; 2], 0);
    // SAFETY: every pointer is to a variable that is large enough.
    unsafe {
        let answers = DESCRIPTORS
            .map(|descriptor| 7 * fd_seek(descriptor, 1, 1, &mut position) + fd_prestat_get(descriptor, &mut prestat));
        random_get(&mut entropy, 1);
        let answers = answers.into_iter().fold(position as u32, |mixed, answer| mixed.wrapping_mul(31) + answer);
        u32::from(entropy) << 8 | answers & 0xff
    }
}

fn disturb() {
    let mut bytes = [0; 1000];
    // SAFETY: the pointer is to as many bytes as it says.
    unsafe {
        random_get(bytes.as_mut_ptr(), bytes.len());
        fd_renumber(1, 3);
        for descriptor in DESCRIPTORS {
            fd_close(descriptor);
        }
    }
}
