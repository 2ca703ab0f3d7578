//! Evil: remembers the target in a static and on the heap, and tells everybody who comes later.
//!
//! Expected: everyone answers 0.
//!
//! Bugs would be: anyone who answers 1; an answer that depends on the order of people or on the number of threads.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use spe_guest::{analysis, Boolean, Column, Output, Outputs, Params, Subject, Sum};

analysis! { manifest: "../manifest.json", map: remember }

const TARGET: Column<Boolean> = MANIFEST.table("visits").boolean("target");
const SEEN: Output<Sum> = MANIFEST.sum("seen");

static IN_A_STATIC: AtomicBool = AtomicBool::new(false);
static ON_THE_HEAP: AtomicPtr<bool> = AtomicPtr::new(null_mut());

fn remember(subject: &Subject, _: &Params, out: &mut Outputs) {
    let seen = IN_A_STATIC.load(Relaxed) || !ON_THE_HEAP.load(Relaxed).is_null();
    out.sum(SEEN, f64::from(u8::from(seen)));
    if subject.column(TARGET).any() {
        IN_A_STATIC.store(true, Relaxed);
        ON_THE_HEAP.store(Box::leak(Box::new(true)), Relaxed);
    }
}
