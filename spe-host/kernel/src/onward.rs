//! A time that never goes back.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::admission::CLOCK_SLACK;

/// The latest time that a clock has shown: a clock that goes back stands still here. What is over stays over.
#[derive(Debug)]
pub struct Onward(Mutex<Shown>);

/// The latest time that was shown, and whether it is known that the clock is far behind it.
#[derive(Debug)]
struct Shown {
    latest: Timestamp,
    told: bool,
}

/// A clock that is further behind the latest time than clocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// What it shows.
    pub clock: Timestamp,
    /// The latest time, at which it stands still.
    pub latest: Timestamp,
}

impl Onward {
    /// One that shows nothing before `latest`.
    pub const fn not_before(latest: Timestamp) -> Self {
        Self(Mutex::new(Shown { latest, told: false }))
    }

    /// The time when the clock shows `clock`: the latest of that and all before. And that the clock is far behind it, once until it is right
    /// again.
    pub fn at(&self, clock: Timestamp) -> (Timestamp, Option<Behind>) {
        // Two plain values: a panic elsewhere leaves nothing half-done.
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = shown.latest.max(clock);
        let is_behind = latest.duration_since(clock) > CLOCK_SLACK;
        let known = std::mem::replace(&mut shown.told, is_behind);
        shown.latest = latest;
        (latest, (is_behind && !known).then_some(Behind { clock, latest }))
    }

    /// The latest of `time` and all before, which is shown from then on.
    pub fn raise(&self, time: Timestamp) -> Timestamp {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.latest = shown.latest.max(time);
        shown.latest
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    /// What would be a bug: a time that goes back; a clock far behind of which nobody is told, or again and again, or for what clocks differ.
    #[test]
    fn a_clock_far_behind_is_told_once() {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().expect("a time");
        let time = Onward::not_before(start);
        let latest = start + 1.hours();
        assert_eq!(time.at(start - 1.hours()), (start, None), "a clock that was put right by an hour");
        assert_eq!(time.at(latest), (latest, None));
        let clock = start - 1.minutes();
        assert_eq!(time.at(clock), (latest, Some(Behind { clock, latest })), "nobody is told that it stands still");
        assert_eq!(time.at(start - 2.minutes()), (latest, None), "it is told again and again");
        assert_eq!(time.at(start), (latest, None), "it went back");
        assert!(time.at(start - 1.minutes()).1.is_some(), "it happened again, and nobody is told");
        assert_eq!(time.raise(start), latest);
        assert_eq!(time.raise(latest + 1.hours()), latest + 1.hours());
    }
}
