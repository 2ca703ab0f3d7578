//! What time it is here, for what ends.

use std::fmt;

use jiff::Timestamp;
use spe_kernel::onward::{Behind, Onward};

/// The system's clock, and the latest time that it or the audit log has shown.
///
/// # Security
/// It never goes back: a clock that does stands still here, or a permit that had ended would be in force again. Watched by
/// `a_clock_that_is_set_back_brings_no_permit_back` in `spe-host/cli/tests/it/clock.rs`. So one entry of a clock that was far ahead ends every
/// permit that ends before then: the operator is told, once each time it happens.
pub(crate) struct Clock(Onward);

impl Clock {
    /// One that shows nothing before `latest`, which the audit log has.
    pub(crate) const fn not_before(latest: Timestamp) -> Self {
        Self(Onward::not_before(latest))
    }

    /// Now: never earlier than it was said before, nor than the log was when the node was opened.
    pub(crate) fn now(&self) -> Timestamp {
        let (now, behind) = self.0.at(Timestamp::now());
        if let Some(behind) = behind {
            tracing::error!("{}", StandsStill(behind));
        }
        now
    }
}

/// What the operator is told of a clock that is far behind.
struct StandsStill(Behind);

impl fmt::Display for StandsStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Behind { clock, latest }) = self;
        write!(
            f,
            "the clock shows {clock}, and this node was at {latest} before: for permits, revocations and agreements its time stands still there \
             until the clock has caught up, so that those that end before then are over. If the clock is wrong, set it right. If it is right, it \
             was ahead before: stop the node and start it again; if this line comes again, the audit log has entries of that time, which stay, \
             and only permits and agreements that end later count here (docs/audit-log.md)"
        )
    }
}
