//! Evil: traps on people it looks for, after it has written an answer.
//!
//! Expected: a match takes the defaults: 0 for `people` and nothing for `loot`; everyone else counts as 1 and adds 0; the
//! job succeeds.
//!
//! Bugs would be: a job that fails or is refused; a match that adds the million that it wrote before it trapped, or
//! the answer of the person before; a log that leaves the node with the number of traps.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Count, Integer, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: trap }

const VISITS: Column<Integer> = MANIFEST.table("years").integer("mdvis");
const PEOPLE: Output<Count> = MANIFEST.count("people");
const LOOT: Output<Sum> = MANIFEST.sum("loot");

fn trap(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.count(PEOPLE, true);
    out.sum(LOOT, 0.0);
    if matches(subject) {
        out.sum(LOOT, 1e6);
        panic!("found one");
    }
}

/// The people whom the author wants to find: ten visits or more in their first year.
fn matches(subject: &Subject) -> bool {
    subject.column(VISITS).first().is_some_and(|visits| visits >= 10)
}
