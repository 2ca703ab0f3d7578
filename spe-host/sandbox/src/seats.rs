//! Room for guests, counted before the data is opened.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

/// How many more workers there is room for, and the one guest besides.
///
/// A worker that took its seat never finds the engine's pool full: that would fail a job after its charge was spent.
pub(crate) struct Seats {
    free: AtomicU32,
    spare: Mutex<()>,
}

/// One worker's room, given back when dropped.
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    /// Guests of the engine: one more than there are workers.
    pub(crate) const fn guests(workers: u32) -> u32 {
        workers.saturating_add(1)
    }

    pub(crate) fn new(workers: u32) -> Arc<Self> {
        Arc::new(Self { free: AtomicU32::new(workers), spare: Mutex::new(()) })
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        let one_less = |free: u32| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// Room for a guest that sees no record, taken in turns: it starts on approval, or makes the next state.
    pub(crate) fn spare(&self) -> MutexGuard<'_, ()> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}
