//! The allocator: takes memory and never gives it back, because the host restores the snapshot after every data subject.
//! A module that does not use `alloc` has of this only what `spe_input` needs.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE_BYTES: usize = 64 * 1024;

/// The first byte that is free; 0 before the first use.
static FREE: AtomicUsize = AtomicUsize::new(0);

extern "C" {
    /// The linker's end of stack and statics: its address is what it says.
    static __heap_base: u8;
}

/// The address of `bytes` fresh bytes.
pub(crate) fn take(bytes: usize, align: usize) -> Option<usize> {
    let free = match FREE.load(Relaxed) {
        0 => &raw const __heap_base as usize,
        free => free,
    };
    let start = free.checked_add(align - 1)? & !(align - 1);
    let end = start.checked_add(bytes)?;
    reach(end)?;
    FREE.store(end, Relaxed);
    Some(start)
}

/// Grows memory until `end` lies in it.
fn reach(end: usize) -> Option<()> {
    let missing = end.div_ceil(PAGE_BYTES).saturating_sub(memory_size(0));
    (missing == 0 || memory_grow(0, missing) != usize::MAX).then_some(())
}

struct Heap;

// SAFETY: `take` gives every byte once, aligned and inside memory; nothing is ever given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size(), layout.align()).map_or(core::ptr::null_mut(), |address| address as *mut u8)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Heap = Heap;
