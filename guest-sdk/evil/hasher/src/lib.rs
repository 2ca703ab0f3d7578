//! Evil: answers with a hash of its whole memory as it finds it, record and `out` included, as a fraction in [0, 1).
//!
//! Expected: two people with equal records have equal hashes, whoever came before, on every thread, with every
//! isolation, on every machine.
//!
//! Bugs would be: a hash that depends on anything else: bytes of an earlier record that was longer, padding that is not
//! zero, an answer that was left at `out`, memory grown for someone else, a record at another address.
//!
//! It takes some 150,000 fuel a page of memory: with less, everyone takes the default and nothing is shown.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::memory_size;
use core::hint::black_box;

use spe_guest::{export, Manifest};

const MANIFEST: Manifest = Manifest::new(include_str!("../manifest.json"));

#[allow(dead_code, reason = "its section is what matters")]
#[link_section = "spe.manifest"]
static SECTION: [u8; MANIFEST.bytes().len()] = MANIFEST.section();

// The exports are written by hand, so that nothing of the SDK runs before the hash.

#[no_mangle]
extern "C" fn spe_input(bytes: u32) -> u32 {
    export::input(bytes)
}

#[no_mangle]
extern "C" fn spe_start(_: u32, _: u32) -> i32 {
    0
}

#[no_mangle]
extern "C" fn spe_map(record: u32, out: u32) {
    let mut hash = mix(mix(0xcbf2_9ce4_8422_2325, record.into()), out.into());
    // The first word is left out: it has the null address, which Rust may not read.
    for address in (8..memory_size(0) << 16).step_by(8) {
        // SAFETY: an aligned word inside the memory, which has one thread; volatile, because it may be anything.
        hash = mix(hash, unsafe { black_box(address as *const u64).read_volatile() });
    }
    // SAFETY: `out` is where the host wants one number.
    unsafe { *(out as *mut f64) = (hash >> 11) as f64 / (1_u64 << 53) as f64 };
}

/// FNV-1a over words.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3)
}
