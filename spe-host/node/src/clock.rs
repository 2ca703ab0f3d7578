//! What time it is here, for what ends.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use spe_kernel::admission::CLOCK_SLACK;

/// The system's clock, and the latest time that it or the audit log has shown.
///
/// # Security
/// It never goes back: a clock that does stands still here, or a permit that had ended would be in force again. Watched by
/// `a_clock_that_is_set_back_brings_no_permit_back` in `spe-host/cli/tests/it/clock.rs`. So one entry of a clock that was far ahead ends every
/// permit that ends before then: the operator is told, once each time it happens.
pub(crate) struct Clock(Mutex<Shown>);

/// The latest time that was shown, and whether the operator knows that the clock is far behind it.
struct Shown {
    latest: Timestamp,
    told: bool,
}

impl Clock {
    /// One that shows nothing before `latest`, which the audit log has.
    pub(crate) fn not_before(latest: Timestamp) -> Self {
        Self(Mutex::new(Shown { latest, told: false }))
    }

    /// Now: never earlier than it was said before, nor than the log was when the node was opened.
    pub(crate) fn now(&self) -> Timestamp {
        let (now, noticed) = self.at(Timestamp::now());
        if let Some(still) = noticed {
            tracing::error!("{still}");
        }
        now
    }

    /// The time for what ends when the system's clock shows `clock`; and that it stands still, once until the clock is right again, where the
    /// clock is further behind than clocks are.
    fn at(&self, clock: Timestamp) -> (Timestamp, Option<StandsStill>) {
        let mut shown = self.shown();
        let latest = shown.latest.max(clock);
        shown.latest = latest;
        let behind = latest.duration_since(clock) > CLOCK_SLACK;
        let known = std::mem::replace(&mut shown.told, behind);
        (latest, (behind && !known).then_some(StandsStill { clock, latest }))
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Two plain values: a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            "the clock shows {clock}, and this node was at {latest} before: for permits, revocations and agreements its time stands still there \
             until the clock has caught up, so that those that end before then are over. If the clock is wrong, set it right. If it is right, it \
             was ahead before: stop the node and start it again; if this line comes again, the audit log has entries of that time, which stay, \
             and only permits and agreements that end later count here (docs/audit-log.md)"
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    /// What would be a bug: permits that end for good, and nobody is told why; a line for each question meanwhile; one for what clocks differ.
    #[test]
    fn a_clock_far_behind_is_told_once() {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().expect("a time");
        let clock = Clock::not_before(start);
        let noticed = |at: Timestamp| clock.at(at).1.map(|still| still.to_string());
        assert_eq!(noticed(start - 1.hours()), None, "a clock that was put right by an hour");
        assert_eq!(noticed(start + 1.hours()), None);
        let said = noticed(start - 1.minutes()).expect("nobody is told that it stands still");
        for part in ["2026-03-02T08:59:00Z", "2026-03-02T10:00:00Z", "set it right", "docs/audit-log.md"] {
            assert!(said.contains(part), "{part} is not in it: {said}");
        }
        assert_eq!(noticed(start - 2.minutes()), None, "it is told again and again");
        assert_eq!(clock.at(start).0, start + 1.hours(), "it went back");
        assert_eq!(noticed(start + 1.hours()), None);
        assert!(noticed(start - 1.minutes()).is_some(), "it happened again, and nobody is told");
    }
}
