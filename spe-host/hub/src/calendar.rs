//! What time it is, for periods of weeks and months.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::admission::CLOCK_SLACK;

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
    shown: Arc<Mutex<Shown>>,
}

/// The latest time that was shown, and whether the operator knows that the clock is far behind it.
struct Shown {
    latest: Timestamp,
    told: bool,
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
        let shown = Shown { latest: Timestamp::MIN, told: false };
        Self { clock: Arc::new(clock), shown: Arc::new(Mutex::new(shown)) }
    }

    /// Now: never earlier than it was said before.
    pub fn now(&self) -> Timestamp {
        let clock = (self.clock)();
        let now = self.not_before(clock);
        if let Some(still) = self.noticed(clock) {
            tracing::error!("{still}");
        }
        now
    }

    /// The latest of `time` and all that was said before, which is said from then on.
    pub(crate) fn not_before(&self, time: Timestamp) -> Timestamp {
        let mut shown = self.shown();
        shown.latest = shown.latest.max(time);
        shown.latest
    }

    /// That it stands still, as the clock is further behind than clocks are: once, until the clock is right again.
    fn noticed(&self, clock: Timestamp) -> Option<StandsStill> {
        let mut shown = self.shown();
        let behind = shown.latest.duration_since(clock) > CLOCK_SLACK;
        let known = std::mem::replace(&mut shown.told, behind);
        (behind && !known).then_some(StandsStill { clock, latest: shown.latest })
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the operator is told of a clock that is far behind.
struct StandsStill {
    clock: Timestamp,
    latest: Timestamp,
}

impl fmt::Display for StandsStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, latest } = self;
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

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    /// What would be a bug: permits and terms that end for good, and nobody is told why; a line for each question meanwhile; one for what
    /// clocks differ.
    #[test]
    fn a_clock_far_behind_is_told_once() {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().expect("a time");
        let (calendar, set) = Calendar::by_hand(start);
        let noticed = |clock: Timestamp| {
            set(clock);
            calendar.not_before(clock);
            calendar.noticed(clock).map(|still| still.to_string())
        };
        assert_eq!(noticed(start + 1.hours()), None);
        assert_eq!(noticed(start), None, "a clock that was put right by an hour");
        let said = noticed(start - 1.minutes()).expect("nobody is told that it stands still");
        for part in ["2026-03-02T08:59:00Z", "2026-03-02T10:00:00Z", "set it right", "hub.sqlite"] {
            assert!(said.contains(part), "{part} is not in it: {said}");
        }
        assert_eq!(noticed(start - 2.minutes()), None, "it is told again and again");
        assert_eq!(noticed(start + 1.hours()), None);
        assert!(noticed(start - 1.minutes()).is_some(), "it happened again, and nobody is told");
        assert_eq!(calendar.now(), start + 1.hours());
    }
}
