//! Room for workers, counted before the data is opened.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// How many more workers there is room for.
///
/// A worker that took its seat never finds the engine's pool full: that would fail a job after its charge was spent.
pub(crate) struct Seats {
    free: AtomicU32,
}

/// One worker's room, given back when dropped.
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    pub(crate) fn new(count: u32) -> Arc<Self> {
        Arc::new(Self { free: AtomicU32::new(count) })
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        let one_less = |free: u32| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).ok()?;
        Some(Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}
