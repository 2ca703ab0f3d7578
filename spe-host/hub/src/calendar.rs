//! What time it is, for periods of weeks and months.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

/// Tells the time: the system's, or one that a test sets.
#[derive(Clone)]
pub struct Calendar(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Calendar {
    /// The system's.
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// One that shows `start` until it is set; the second half sets it.
    pub fn by_hand(start: Timestamp) -> (Self, impl Fn(Timestamp)) {
        let hand = Arc::new(Mutex::new(start));
        let shown = Arc::clone(&hand);
        let read = move || *shown.lock().unwrap_or_else(PoisonError::into_inner);
        (Self(Arc::new(read)), move |at| *hand.lock().unwrap_or_else(PoisonError::into_inner) = at)
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.now())
    }
}
