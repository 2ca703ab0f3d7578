//! Evil: remembers the target in memory that no honest module uses: at the bottom of the stack, in the last word, and
//! in a page that it grows; everybody who comes later looks there.
//!
//! Expected: everyone answers 0.
//!
//! Bugs would be: anyone who answers 1 (only a part of memory was restored, or only where the host had written).

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::{memory_grow, memory_size};
use core::hint::black_box;

use spe_guest::{analysis, Boolean, Column, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: remember }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const SEEN: Output<Sum> = MANIFEST.sum("seen");

const PAGE_BYTES: usize = 64 * 1024;
/// In no data, and in no code's numbers but these.
const MARK: u64 = 0x5eed_0f_a_7a26e7;
const BOTTOM: usize = 16;

fn remember(subject: &Subject, _: &Params, out: &mut Outputs) {
    let seen = [BOTTOM, last_word()].into_iter().any(|address| word(address) == MARK);
    out.sum(SEEN, f64::from(u8::from(seen)));
    if subject.column(TARGET).any() {
        mark(BOTTOM);
        mark(last_word());
        if memory_grow(0, 1) != usize::MAX {
            mark(last_word());
        }
    }
}

fn last_word() -> usize {
    memory_size(0) * PAGE_BYTES - size_of::<u64>()
}

fn word(address: usize) -> u64 {
    // SAFETY: an aligned word inside the memory; volatile, because it may be anything.
    unsafe { black_box(address as *const u64).read_volatile() }
}

fn mark(address: usize) {
    // SAFETY: none: this is the attack. The address lies in the module's own memory.
    unsafe { black_box(address as *mut u64).write_volatile(MARK) };
}
