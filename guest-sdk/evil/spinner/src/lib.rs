//! Evil: runs forever on people it looks for, so that the time of the answer tells that they exist.
//!
//! Expected: a match runs out of fuel and takes the default, 0; everyone else counts as 1; the job succeeds.
//!
//! Bugs would be: a job that hangs, is refused or says that fuel ran out; a match that counts; an outcome that depends
//! on the machine's speed.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;

use spe_guest::{analysis, Column, Count, Integer, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: spin }

const VISITS: Column<Integer> = MANIFEST.table("years").integer("mdvis");
const PEOPLE: Output<Count> = MANIFEST.count("people");

fn spin(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.count(PEOPLE, true);
    while matches(subject) {
        black_box(out as *mut Outputs);
    }
}

/// The people whom the author wants to find: ten visits or more in their first year.
fn matches(subject: &Subject) -> bool {
    subject.column(VISITS).first().is_some_and(|visits| visits >= 10)
}
