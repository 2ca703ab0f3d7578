//! Lines of a program's own log that others can cause without end.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// Lines in a [`WINDOW`].
const LINES_MAX: u32 = 20;
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Gives a log 20 lines an hour at most, and counts those that were left out.
///
/// # Security
/// Whoever sends what is refused must not fill the disk of who refuses it. Watched by `rubbish_without_end_is_a_few_lines` beside this.
#[derive(Debug)]
pub struct Sparing {
    since: Timestamp,
    lines: u32,
    left_out: LeftOut,
}

/// How many lines were left out before one; in words behind it, if there were any.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            lines => write!(f, " ({lines} lines like this were left out before)"),
        }
    }
}

impl Default for Sparing {
    fn default() -> Self {
        Self::new()
    }
}

impl Sparing {
    /// One that has given no line yet.
    pub const fn new() -> Self {
        Self { since: Timestamp::UNIX_EPOCH, lines: 0, left_out: LeftOut(0) }
    }

    /// None, if there have been enough lines before `now`. Else one may be written.
    pub fn line(&mut self, now: Timestamp) -> Option<LeftOut> {
        let age = now.duration_since(self.since);
        // A clock that was set back begins anew.
        if age >= WINDOW || age.is_negative() {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES_MAX {
            self.left_out.0 = self.left_out.0.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a disk that fills with lines about what somebody sends without end; a line that is left out and not counted; a log
    /// that is silent for ever after it had enough.
    #[test]
    fn rubbish_without_end_is_a_few_lines() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).expect("a time");
        let mut sparing = Sparing::default();
        let said: Vec<u64> = (0..3 * 3_600).filter_map(|second| Some(sparing.line(at(second))?.0)).collect();
        assert_eq!(said.len(), 60, "10,800 in three hours");
        assert_eq!((said[0], said[20], said[40]), (0, 3_580, 3_580), "some are not counted");
        assert_eq!(sparing.line(at(3 * 3_600)), Some(LeftOut(3_580)));
        let mut sparing = Sparing::default();
        assert_eq!((0..30).filter_map(|_| sparing.line(at(0))).count(), 20);
        assert_eq!(sparing.line(at(-5)), Some(LeftOut(10)), "a clock that was set back");
    }
}
