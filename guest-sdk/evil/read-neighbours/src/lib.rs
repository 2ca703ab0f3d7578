//! Evil: looks through all of its memory for the text `NEXTDOOR`, in whatever the host copied there besides the record
//! or left from someone else. People whose own note says it do not look.
//!
//! Expected: everyone answers 0.
//!
//! Bugs would be: anyone who answers 1 (a buffer that is shared, padding, a dictionary, an earlier record).
//!
//! It takes some 800,000 fuel a page of memory: with less, everyone takes the default and nothing is shown.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::memory_size;

use spe_guest::{analysis, Column, Output, Outputs, Params, Subject, Sum, Text};

analysis! { manifest: "../manifest.json", map: search }

const NOTE: Column<Text> = MANIFEST.table("visits").text("note");
const FOUND: Output<Sum> = MANIFEST.sum("found");

const PAGE_BYTES: usize = 64 * 1024;
/// The text with every bit the other way round: as it is, it must not be in the module.
const NEEDLE: u64 = !u64::from_le_bytes(*b"NEXTDOOR");

fn search(subject: &Subject, _: &Params, out: &mut Outputs) {
    let notes = subject.column(NOTE);
    let own = notes.present().any(|note| note.as_bytes().windows(8).any(is_needle));
    out.sum(FOUND, f64::from(u8::from(!own && is_anywhere())));
}

/// Address 0 is left out: Rust may not read it.
fn is_anywhere() -> bool {
    (1..memory_size(0) * PAGE_BYTES - size_of::<u64>()).any(|address| {
        // SAFETY: bytes inside the memory, which has one thread.
        let found = unsafe { (address as *const u64).read_unaligned() };
        found == !NEEDLE
    })
}

fn is_needle(bytes: &[u8]) -> bool {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)) == !NEEDLE
}
