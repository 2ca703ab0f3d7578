//! Evil: remembers people. It counts its calls in a static and on the heap, and answers with the larger count.
//!
//! Expected: every person answers 1, for each is the first that the snapshot sees.
//!
//! Bugs would be: an answer above 1 (something written for one person reached another); an answer that depends on the
//! order of people, on the number of threads or on which isolation runs.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use spe_guest::{analysis, Mean, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: accumulate }

const CALLS: Output<Mean> = MANIFEST.mean("calls");

static IN_A_STATIC: AtomicU32 = AtomicU32::new(0);
/// Where the heap was for the first person: it only moves up, by one box a call.
static FIRST_BOX: AtomicUsize = AtomicUsize::new(0);

fn accumulate(_: &Subject, _: &Params, out: &mut Outputs) {
    let calls = IN_A_STATIC.fetch_add(1, Relaxed) + 1;
    let boxes = count_boxes();
    out.mean(CALLS, f64::from(calls.max(boxes)));
}

fn count_boxes() -> u32 {
    let here = Box::leak(Box::new(0_u64)) as *mut u64 as usize;
    let first = match FIRST_BOX.compare_exchange(0, here, Relaxed, Relaxed) {
        Ok(_) => here,
        Err(first) => first,
    };
    ((here - first) / size_of::<u64>()) as u32 + 1
}
