//! Evil: hides the first two bytes of a person's note in the last bits of an amount, where noise of a naive sampler
//! does not reach.
//!
//! Expected: amounts are rounded to the grid of the output before they are added, and every released number is on it.
//!
//! Bugs would be: a released number with bits below the grid; bits of it that are the same with and without the target,
//! or more likely with one note than with another.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Number, Output, Outputs, Params, Subject, Sum, Table, Text};

analysis! { manifest: "../manifest.json", map: hide }

const VISITS: Table = MANIFEST.table("visits");
const AMOUNT: Column<Number> = VISITS.number("amount");
const NOTE: Column<Text> = VISITS.text("note");
const SUM: Output<Sum> = MANIFEST.sum("amount");

fn hide(subject: &Subject, _: &Params, out: &mut Outputs) {
    let note = subject.column(NOTE).first().unwrap_or("").as_bytes();
    let secret = note.iter().take(2).fold(0, |secret, byte| secret << 8 | u64::from(*byte));
    out.sum(SUM, subject.column(AMOUNT).first().map(|amount| f64::from_bits(amount.to_bits() & !0xffff | secret)));
}
