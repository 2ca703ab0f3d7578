//! Evil: writes its one number and goes on, to the end of its memory.
//!
//! Expected: everyone answers 1, and nothing else is read.
//!
//! Bugs would be: an answer of another size; an answer that depends on what lies behind it.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::arch::wasm32::memory_size;
use core::hint::black_box;

use spe_guest::{export, Manifest};

const MANIFEST: Manifest = Manifest::new(include_str!("../manifest.json"));

#[allow(dead_code, reason = "its section is what matters")]
#[link_section = "spe.manifest"]
static SECTION: [u8; MANIFEST.bytes().len()] = MANIFEST.section();

// The exports are written by hand: the SDK's outputs have an end.

#[no_mangle]
extern "C" fn spe_input(bytes: u32) -> u32 {
    export::input(bytes)
}

#[no_mangle]
extern "C" fn spe_start(_: u32, _: u32) -> i32 {
    0
}

#[no_mangle]
extern "C" fn spe_map(_: u32, out: u32) {
    let mut number = 1.0;
    for address in (out as usize..memory_size(0) << 16).step_by(8) {
        // SAFETY: none: this is the attack. The address lies in the module's own memory.
        unsafe { black_box(address as *mut f64).write_volatile(number) };
        number += 1.0;
    }
}
