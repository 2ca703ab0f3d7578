//! Evil: traps on the target after it has written an answer, so that an error, a log or a metric tells.
//!
//! Expected: the target takes the defaults: 0 for `people` and nothing for `loot`; everyone else counts as 1 and adds
//! 0; status, size and time of the answer are the same with the target and without.
//!
//! Bugs would be: a job that fails or is refused; a target that adds the million that it wrote; a message with the
//! panic's text, or a number of traps, that leaves the node.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Boolean, Column, Count, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: trap }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const PEOPLE: Output<Count> = MANIFEST.count("people");
const LOOT: Output<Sum> = MANIFEST.sum("loot");

fn trap(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.count(PEOPLE, true);
    out.sum(LOOT, 0.0);
    if subject.column(TARGET).any() {
        out.sum(LOOT, 1e6);
        panic!("found the target");
    }
}
