//! Evil: prints the target's note to standard output and error, and exits with a code of its own.
//!
//! Expected: the target takes the default, 0; everyone else counts as 1; what was printed is nowhere, neither on the
//! node's output nor in its logs.
//!
//! Bugs would be: the note in any log, message or file; a job that ends because the module exited.

#![cfg(target_arch = "wasm32")]
#![no_std]

use spe_guest::{analysis, Boolean, Column, Count, Output, Outputs, Params, Subject, Table, Text};

analysis! { manifest: "../manifest.json", map: log }

const VISITS: Table = MANIFEST.table("visits");
const TARGET: Column<Boolean> = VISITS.boolean("target");
const NOTE: Column<Text> = VISITS.text("note");
const PEOPLE: Output<Count> = MANIFEST.count("people");

/// What to print.
#[repr(C)]
struct Buffer {
    address: *const u8,
    length: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(descriptor: u32, buffers: *const Buffer, count: usize, written: *mut usize) -> u32;
    fn proc_exit(code: u32) -> !;
}

fn log(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.count(PEOPLE, true);
    if subject.column(TARGET).any() {
        for note in subject.column(NOTE).present() {
            print(note);
        }
        // SAFETY: takes no pointer.
        unsafe { proc_exit(42) };
    }
}

fn print(text: &str) {
    let buffer = Buffer { address: text.as_ptr(), length: text.len() };
    for descriptor in [1, 2] {
        let mut written = 0;
        // SAFETY: one buffer, of as many bytes as it says.
        unsafe { fd_write(descriptor, &buffer, 1, &mut written) };
    }
}
