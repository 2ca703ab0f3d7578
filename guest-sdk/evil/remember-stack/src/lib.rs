//! Evil: remembers the target in a mutable global, the stack pointer: it traps deep in the stack, which nobody unwinds,
//! and everybody who comes later looks where the stack is.
//!
//! Expected: the target takes the default, nothing; everyone else answers 0.
//!
//! Bugs would be: anyone who answers 1 (the globals of the snapshot were not restored after a trap).

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;

use spe_guest::{analysis, Boolean, Column, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: remember }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const SEEN: Output<Sum> = MANIFEST.sum("seen");

/// The linker puts the stack first, and it grows down from here.
const STACK_BYTES: usize = 64 * 1024;
/// Far more than an honest call of this module has on it.
const DEEP: usize = 32 * 1024;

fn remember(subject: &Subject, _: &Params, out: &mut Outputs) {
    let local = 0_u8;
    let depth = STACK_BYTES - black_box(&raw const local) as usize;
    out.sum(SEEN, f64::from(u8::from(depth > DEEP)));
    if subject.column(TARGET).any() {
        trap_deep_down();
    }
}

#[inline(never)]
fn trap_deep_down() {
    let frame = black_box([0_u8; DEEP]);
    panic!("{}", frame[0]);
}
