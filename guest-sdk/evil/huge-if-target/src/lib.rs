//! Evil: answers 10³⁰⁸, or its opposite, to every output for the target, and 0 for everyone else.
//!
//! Expected: the target moves no sum by more than anybody may: numbers are clamped, vectors shrunk, groups become
//! `other`.
//!
//! Bugs would be: a sum that overflows or saturates; a vector whose squared length is infinite and that is not shrunk;
//! a job that fails.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Boolean, Column, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: exaggerate }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");

fn exaggerate(subject: &Subject, _: &Params, out: &mut Outputs) {
    let target = subject.column(TARGET).any();
    let huge = if target { 1e308 } else { 0.0 };
    out.count(const { MANIFEST.count("count") }, target);
    out.sum(const { MANIFEST.sum("sum") }, -huge);
    out.mean(const { MANIFEST.mean("mean") }, huge);
    out.variance(const { MANIFEST.variance("variance") }, -huge);
    out.histogram_each(const { MANIFEST.histogram("histogram") }, [huge, -huge]);
    out.grouped_count(const { MANIFEST.grouped_count("cross") }, (huge, -huge));
    out.grouped_mean(const { MANIFEST.grouped_mean("groups") }, huge, huge);
    out.quantiles(const { MANIFEST.quantiles("quantiles") }, huge);
    out.vector(const { MANIFEST.vector_sum("vector") }, &[huge, -huge]);
    out.survival(const { MANIFEST.survival("survival") }, huge, target);
}
