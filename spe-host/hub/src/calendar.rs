//! What time it is, for periods of weeks and months.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::onward::{Behind, Onward};

use crate::{stop::Stop, store::governance};

/// Tells the time: the system's, or one that a test sets. Clones are one calendar.
///
/// # Security
/// It never goes back: a clock that does stands still here, or a term that was over would run again, and what was refused for it would be
/// open. Watched by `a_clock_that_is_set_back_stands_still`. So one entry of a clock that was far ahead ends every permit and term: the operator
/// is told, when the hub starts and when it happens. Watched by `a_log_from_the_future_is_told_and_kept`.
#[derive(Clone)]
pub struct Calendar {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    shown: Arc<Onward>,
}

impl Calendar {
    /// The system's.
    pub fn system() -> Self {
        Self::of(Timestamp::now)
    }

    /// The system's, which is never before the last entry of the log of governance.
    pub(crate) fn of_log(db: &Connection) -> Result<Self, Stop> {
        let calendar = Self::system();
        calendar.not_before(governance::last(db)?.unwrap_or(Timestamp::MIN));
        Ok(calendar)
    }

    /// One that shows `start` until it is set; the second half sets it.
    pub fn by_hand(start: Timestamp) -> (Self, impl Fn(Timestamp)) {
        let hand = Arc::new(Mutex::new(start));
        let shown = Arc::clone(&hand);
        let calendar = Self::of(move || *shown.lock().unwrap_or_else(PoisonError::into_inner));
        (calendar, move |at| *hand.lock().unwrap_or_else(PoisonError::into_inner) = at)
    }

    fn of(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), shown: Arc::new(Onward::not_before(Timestamp::MIN)) }
    }

    /// Now: never earlier than it was said before.
    pub fn now(&self) -> Timestamp {
        let (now, behind) = self.shown.at((self.clock)());
        if let Some(behind) = behind {
            tracing::error!("{}", StandsStill(behind));
        }
        now
    }

    /// The latest of `time` and all that was said before, which is said from then on.
    pub(crate) fn not_before(&self, time: Timestamp) -> Timestamp {
        self.shown.raise(time)
    }
}

/// What the operator is told of a clock that is far behind.
struct StandsStill(Behind);

impl fmt::Display for StandsStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Behind { clock, latest }) = self;
        write!(
            f,
            "the clock shows {clock}, and this hub was at {latest} before: it stands still there until the clock has caught up, so that permits \
             and terms that end before then are over. If the clock is wrong, set it right. If it is right, it was ahead before: stop the hub \
             and start it again; if this line comes again, the log of governance has entries of that time, and `hub.sqlite` is to be put \
             back from a copy of before (docs/governance.md)"
        )
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.now())
    }
}
