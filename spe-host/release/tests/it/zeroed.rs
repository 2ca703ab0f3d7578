//! Noise does not outlive its use: memory that held it is zero when it is given back.
#![allow(unsafe_code, reason = "only an allocator sees memory as it is given back")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use serde_json::json;
use spe_kernel::disclosure::{DrawnOutput, Fresh};
use spe_release::{draw, noise};

use crate::plans::{drawn, histogram, plan};

/// Blocks of so many bytes and more hold noise; all that is smaller is not looked at.
const LARGE: usize = 4_096;

thread_local! {
    /// How many large blocks of this thread were given back with something in them; none while nobody asks.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

struct Watching;

// SAFETY: every block is the system's own, handed on as it is.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let watched = layout.size() >= LARGE && layout.align() == align_of::<i128>();
        if let Some(left) = LEFT.try_with(Cell::get).ok().flatten().filter(|_| watched) {
            // SAFETY: the block is the caller's until it is given back below.
            let empty = (0..layout.size()).all(|i| unsafe { at.add(i).read_volatile() } == 0);
            let _ = LEFT.try_with(|cell| cell.set(Some(left + u32::from(!empty))));
        }
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static WATCHING: Watching = Watching;

/// Large blocks that `work` gives back with something in them.
fn left_behind(work: impl FnOnce()) -> u32 {
    LEFT.set(Some(0));
    work();
    LEFT.take().unwrap()
}

/// Whoever reads the node's memory later, in a core dump or in swap, would take the noise off an answer.
#[test]
fn noise_is_zeroed_when_dropped() {
    let cells = plan(&histogram(10_000, 1), 20, "rho=0.5");
    let noise_of_cells = draw(&cells).unwrap();
    assert_eq!(left_behind(|| drop(noise_of_cells)), 0, "noise for cells stays in memory");
    let (_, bare) = drawn(&cells.outputs()[0]);
    assert_eq!(left_behind(|| drop(bare)), 1, "no power: noise that is not zeroed is not seen");
    let keys = plan(&json!({"name": "o", "kind": "keys", "released_max": 1}), 20, "rho=0.5");
    let DrawnOutput { noise: Fresh::Keys { mut next, .. }, .. } = noise(&keys.outputs()[0]).unwrap() else {
        panic!("keys")
    };
    next().unwrap();
    assert_eq!(left_behind(|| drop(next)), 0, "noise for keys stays in memory");
}
