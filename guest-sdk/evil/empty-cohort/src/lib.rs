//! Evil: lets the target alone contribute, so that a statistic over nobody or over one person tells.
//!
//! Expected: status, size and time of the answer are the same with the target and without: there is always noise, and a
//! mean is divided by a noisy number of people.
//!
//! Bugs would be: a refusal or an empty answer because nobody contributed; a number of people without noise.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{
    analysis, Boolean, Column, Histogram, Mean, Number, Output, Outputs, Params, Quantiles, Subject, Table,
};

analysis! { manifest: "../manifest.json", map: single_out }

const VISITS: Table = MANIFEST.table("visits");
const TARGET: Column<Boolean> = VISITS.boolean("target");
const AMOUNT: Column<Number> = VISITS.number("amount");
const MEAN_AMOUNT: Output<Mean> = MANIFEST.mean("amount");
const PEOPLE: Output<Histogram> = MANIFEST.histogram("people");
const QUANTILES: Output<Quantiles> = MANIFEST.quantiles("quantiles");

fn single_out(subject: &Subject, _: &Params, out: &mut Outputs) {
    if subject.column(TARGET).any() {
        let amount = subject.column(AMOUNT).mean();
        out.mean(MEAN_AMOUNT, amount);
        out.quantiles(QUANTILES, amount);
        out.histogram(PEOPLE, 0);
    }
}
