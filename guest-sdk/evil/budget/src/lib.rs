//! Evil: has rounds, and stops after the first if the target seems to be there, so that what is left of the budget
//! tells.
//!
//! Expected: all rounds are charged before the first; ledger and answer tell no more than the noisy sum does.
//!
//! Bugs would be: a charge that is smaller where the rounds ended early; a sum that is not noisy.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Boolean, Column, Next, Output, Outputs, Params, Round, Subject, Sum};

analysis! { manifest: "../manifest.json", map: look, update: stop_if_seen }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const SEEN: Output<Sum> = MANIFEST.sum("seen");

fn look(subject: &Subject, _: &Params, out: &mut Outputs) {
    out.sum(SEEN, f64::from(u8::from(subject.column(TARGET).any())));
}

fn stop_if_seen(round: &Round, _: &Params, state: &mut [f64]) -> Next {
    match round.sums(SEEN) {
        [seen] if *seen > 0.5 => Next::Stop,
        [seen] => {
            state[0] = *seen;
            Next::GoOn
        }
        _ => Next::GoOn,
    }
}
