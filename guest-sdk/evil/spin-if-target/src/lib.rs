//! Evil: runs forever on the target, so that the time of the answer tells whether the target is there.
//!
//! Expected: the target runs out of fuel and takes the default, 0; everyone else counts as 1; the answer leaves when
//! the plan says, with the target and without.
//!
//! Bugs would be: an answer that comes sooner without the target; a job that hangs, fails or says that fuel ran out.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;

use spe_guest::{analysis, Boolean, Column, Count, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: spin }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const PEOPLE: Output<Count> = MANIFEST.count("people");

fn spin(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.count(PEOPLE, true);
    while subject.column(TARGET).any() {
        black_box(out as *mut Outputs);
    }
}
