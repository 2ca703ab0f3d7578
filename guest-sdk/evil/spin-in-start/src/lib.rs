//! Evil: runs forever in `spe_start`, before there is any data, to keep a node busy.
//!
//! Expected: the job is refused when the start's fuel runs out, before a record is read; the refusal may say why.
//!
//! Bugs would be: a node that hangs; a job that is started; a charge that depends on the data.

#![cfg(target_arch = "wasm32")]
#![no_std]

use core::hint::black_box;

use spe_guest::{export, Manifest};

const MANIFEST: Manifest = Manifest::new(include_str!("../manifest.json"));

#[allow(dead_code, reason = "its section is what matters")]
#[link_section = "spe.manifest"]
static SECTION: [u8; MANIFEST.bytes().len()] = MANIFEST.section();

// The exports are written by hand: the SDK's `spe_start` runs nothing of the module.

#[no_mangle]
extern "C" fn spe_input(bytes: u32) -> u32 {
    export::input(bytes)
}

#[no_mangle]
extern "C" fn spe_start(_: u32, len: u32) -> i32 {
    while black_box(true) {}
    len as i32
}

#[no_mangle]
extern "C" fn spe_map(_: u32, _: u32) {}
