//! What time it is, for periods of weeks and months.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

/// Tells the time: the system's, or one that a test sets. Clones are one calendar.
///
/// # Security
/// It never goes back: a clock that does stands still here, or a term that was over would run again, and what was refused for it would be
/// open. Watched by `a_clock_that_is_set_back_stands_still`.
#[derive(Clone)]
pub struct Calendar {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    latest: Arc<Mutex<Timestamp>>,
}

impl Calendar {
    /// The system's.
    pub fn system() -> Self {
        Self::of(Timestamp::now)
    }

    /// One that shows `start` until it is set; the second half sets it.
    pub fn by_hand(start: Timestamp) -> (Self, impl Fn(Timestamp)) {
        let hand = Arc::new(Mutex::new(start));
        let shown = Arc::clone(&hand);
        let calendar = Self::of(move || *shown.lock().unwrap_or_else(PoisonError::into_inner));
        (calendar, move |at| *hand.lock().unwrap_or_else(PoisonError::into_inner) = at)
    }

    fn of(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), latest: Arc::new(Mutex::new(Timestamp::MIN)) }
    }

    /// Now: never earlier than it was said before.
    pub fn now(&self) -> Timestamp {
        self.not_before((self.clock)())
    }

    /// The latest of `time` and all that was said before, which is said from then on.
    pub(crate) fn not_before(&self, time: Timestamp) -> Timestamp {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (*latest).max(time);
        *latest
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.now())
    }
}
