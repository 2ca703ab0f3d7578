//! Evil: takes all the memory that it can get for the target and writes to every page of it. Everybody answers with how
//! many pages they found.
//!
//! Expected: everyone answers the same number of pages, that of the snapshot, and the node's memory stays as it was.
//!
//! Bugs would be: someone who finds more pages; a node that runs out of memory, or is slower with the target than
//! without.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::{memory_grow, memory_size};

use spe_guest::{analysis, Boolean, Column, Mean, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: grow }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const PAGES: Output<Mean> = MANIFEST.mean("pages");

const PAGE_BYTES: usize = 64 * 1024;

fn grow(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.mean(PAGES, memory_size(0) as f64);
    if subject.column(TARGET).any() {
        while memory_grow(0, 1) != usize::MAX {
            // SAFETY: the page was given by the line above.
            unsafe { (((memory_size(0) - 1) * PAGE_BYTES) as *mut u8).write_volatile(1) };
        }
    }
}
