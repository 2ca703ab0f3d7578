//! Evil: hides the target's note in numbers that are none: six bytes in the payload of a NaN, the first one's bits in
//! infinities of either sign and in the largest numbers there are.
//!
//! Expected: the NaN is as good as no answer; an infinity is its output's bound; a vector is shrunk to its norm or, if
//! that is not possible, as good as none. All sums are finite.
//!
//! Bugs would be: a NaN, an infinity or the payload in anything that the node writes or sends; a job that fails.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Boolean, Column, Mean, Output, Outputs, Params, Subject, Sum, Table, Text, VectorSum};

analysis! { manifest: "../manifest.json", map: smuggle }

const VISITS: Table = MANIFEST.table("visits");
const TARGET: Column<Boolean> = VISITS.boolean("target");
const NOTE: Column<Text> = VISITS.text("note");
const PAYLOAD: Output<Mean> = MANIFEST.mean("payload");
const INFINITE: Output<Sum> = MANIFEST.sum("infinite");
const BITS: Output<VectorSum> = MANIFEST.vector_sum("bits");

fn smuggle(subject: &Subject, _: &Params, out: &mut Outputs) {
    if !subject.column(TARGET).any() {
        return;
    }
    let note = subject.column(NOTE).first().unwrap_or("").as_bytes();
    let payload = note.iter().take(6).fold(0, |payload, byte| payload << 8 | u64::from(*byte));
    out.mean(PAYLOAD, f64::from_bits(f64::NAN.to_bits() | payload));
    let secret = note.first().copied().unwrap_or(0);
    out.sum(INFINITE, if secret & 1 == 1 { f64::INFINITY } else { f64::NEG_INFINITY });
    for (bit, number) in out.vector_mut(BITS).iter_mut().enumerate() {
        *number = match secret >> bit & 1 {
            0 => f64::MAX,
            _ => f64::NEG_INFINITY,
        };
    }
}
