//! Evil: takes all the memory that it can get for people it looks for, and answers with how many pages it found.
//!
//! Expected: everyone answers the same number of pages, that of the snapshot; a match grows up to the plan's limit and
//! then is refused by `memory.grow` (-1), which the module can see but nobody else.
//!
//! Bugs would be: someone who finds more pages than the snapshot has (memory grown for another person); a host that
//! runs out of memory; a job that is refused because one person's memory grew.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use core::arch::wasm32::{memory_grow, memory_size};

use spe_guest::{analysis, Column, Integer, Mean, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: grow }

const VISITS: Column<Integer> = MANIFEST.table("years").integer("mdvis");
const PAGES: Output<Mean> = MANIFEST.mean("pages");

fn grow(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.mean(PAGES, memory_size(0) as f64);
    if matches(subject) {
        while memory_grow(0, 1) != usize::MAX {}
    }
}

/// The people whom the author wants to find: ten visits or more in their first year.
fn matches(subject: &Subject) -> bool {
    subject.column(VISITS).first().is_some_and(|visits| visits >= 10)
}
