//! Who vouches that a machine is as fast as its policy says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hold, Pace};
use crate::ids::Digest;

/// That `spe node selftest` measured the numbers beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// When.
    pub at: Timestamp,
    /// Digest of the machine, of the program's version, and of all that was measured. No secret is in it: it shows a number that
    /// was changed and a policy that was carried to another machine, not an operator who means to deceive.
    pub seal: Digest,
}

/// Why nobody vouches for a pace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unvouched {
    /// Neither measured, nor served from all the same.
    #[error(
        "[release] says hold = \"deadline\", and nobody has measured this machine: a module could be late for one person on purpose. \
         Run `spe node selftest {dir} --adopt`, which takes a minute; or accept that, with unmeasured = true in [release]"
    )]
    Unmeasured {
        /// The node's folder.
        dir: String,
    },
    /// Both.
    #[error("[release] says unmeasured = true, and has a [release.measured] as well: remove one of them")]
    Both,
    /// Other numbers, or another machine.
    #[error(
        "[release] is not what `spe node selftest` measured here on {at}: a number was changed, or this is another machine or version \
         ({machine}). Run `spe node selftest {dir} --adopt`"
    )]
    Changed {
        /// When it was measured.
        at: Timestamp,
        /// This machine.
        machine: String,
        /// The node's folder.
        dir: String,
    },
    /// Guests of which nobody knows how long they take.
    #[error(
        "guest_memory_bytes_max = {allowed}, but the memory_bytes of [[release.guests]] must go up, and end with no less: they are \
         {few} and {many}. Run `spe node selftest {dir} --adopt`, or lower it"
    )]
    Memory {
        /// What a guest may have.
        allowed: u64,
        /// Of the first.
        few: u64,
        /// Of the last.
        many: u64,
        /// The node's folder.
        dir: String,
    },
}

impl Pace {
    /// The same, measured at `at` on `machine`.
    #[must_use]
    pub fn measured_on(self, machine: &str, at: Timestamp) -> Self {
        Self { unmeasured: false, measured: Some(Measured { at, seal: self.seal(machine, at) }), ..self }
    }

    /// Checks that somebody vouches for these numbers on `machine`, for guests with up to `memory_bytes_max` of memory. `dir` is
    /// the node's folder, for the advice.
    ///
    /// # Privacy
    /// A deadline hides time as far as its numbers are true of the machine (`docs/threat-model.md`). With [`Hold::Slot`] nothing is
    /// claimed of it, and nothing checked.
    ///
    /// # Errors
    /// What is missing, and which command mends it.
    pub fn vouched(&self, machine: &str, memory_bytes_max: u64, dir: &str) -> Result<(), Unvouched> {
        let dir = || dir.to_owned();
        let [few, many] = self.guests.map(|guest| guest.memory_bytes);
        match (self.hold, self.unmeasured, self.measured) {
            (Hold::Slot, ..) => Ok(()),
            (_, false, None) => Err(Unvouched::Unmeasured { dir: dir() }),
            (_, true, Some(_)) => Err(Unvouched::Both),
            (_, _, Some(Measured { at, seal })) if seal != self.seal(machine, at) => {
                Err(Unvouched::Changed { at, machine: machine.to_owned(), dir: dir() })
            }
            _ if few > many || many < memory_bytes_max => {
                Err(Unvouched::Memory { allowed: memory_bytes_max, few, many, dir: dir() })
            }
            _ => Ok(()),
        }
    }

    /// What was measured, and no more: slots and limits are the operator's to choose.
    fn seal(&self, machine: &str, at: Timestamp) -> Digest {
        let guests = self
            .guests
            .map(|g| format!("{} {} {} {}\n", g.memory_bytes, g.fuel_per_second, g.subject_micros, g.page_nanos));
        let Self { job_ms, value_nanos, .. } = self;
        Digest::of(format!("{machine}\n{at}\n{job_ms} {value_nanos}\n{}", guests.concat()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "this machine";

    fn vouched(pace: &Pace) -> Result<(), Unvouched> {
        pace.vouched(HERE, 64 << 20, "north")
    }

    /// What would be a bug: a node that holds answers until deadlines which nobody knows to be true, without anybody having said so.
    #[test]
    fn a_deadline_needs_a_measurement_or_a_word() {
        let pace = Pace::default();
        let refused = vouched(&pace).expect_err("nobody vouched").to_string();
        assert!(refused.contains("spe node selftest north --adopt"), "no advice: {refused}");
        assert_eq!(vouched(&Pace { hold: Hold::Slot, ..pace }), Ok(()));
        assert_eq!(vouched(&Pace { unmeasured: true, ..pace }), Ok(()));
        let measured = pace.measured_on(HERE, Timestamp::UNIX_EPOCH);
        assert_eq!(vouched(&measured), Ok(()));
        assert_eq!(vouched(&Pace { unmeasured: true, ..measured }), Err(Unvouched::Both));
    }

    /// What would be a bug: numbers that were made better than what was measured, or measured elsewhere, and pass for measured.
    #[test]
    fn a_measurement_is_good_for_its_numbers_and_machine_only() {
        let measured = Pace::default().measured_on(HERE, Timestamp::UNIX_EPOCH);
        let [few, many] = measured.guests;
        let one_less = |n: u32| n - 1;
        let faster = [
            Pace { job_ms: one_less(measured.job_ms), ..measured },
            Pace { value_nanos: one_less(measured.value_nanos), ..measured },
            Pace {
                guests: [super::super::GuestPace { fuel_per_second: std::num::NonZeroU64::MAX, ..few }, many],
                ..measured
            },
            Pace {
                guests: [few, super::super::GuestPace { page_nanos: one_less(many.page_nanos), ..many }],
                ..measured
            },
            Pace { guests: [few, super::super::GuestPace { subject_micros: 0, ..many }], ..measured },
            Pace { guests: [few, super::super::GuestPace { memory_bytes: 1 << 30, ..many }], ..measured },
            Pace { measured: measured.measured.map(|m| Measured { at: Timestamp::MAX, ..m }), ..measured },
        ];
        for pace in faster {
            assert!(matches!(vouched(&pace), Err(Unvouched::Changed { .. })), "{pace:?}");
        }
        assert!(measured.vouched("another machine", 64 << 20, "north").is_err());
        let slower = Pace { slot_ms: std::num::NonZeroU32::MAX, job_seconds_max: 1, ..measured };
        assert_eq!(vouched(&slower), Ok(()), "slots and limits are the operator's to choose");
    }

    /// What would be a bug: guests with more memory than those that were measured, whose loads take longer.
    #[test]
    fn guests_may_not_have_more_memory_than_was_measured() {
        let measured = Pace::default().measured_on(HERE, Timestamp::UNIX_EPOCH);
        assert!(matches!(measured.vouched(HERE, (64 << 20) + 1, "north"), Err(Unvouched::Memory { .. })));
        let [few, many] = measured.guests;
        let turned = Pace { guests: [many, few], unmeasured: true, measured: None, ..measured };
        assert!(turned.vouched(HERE, 1, "north").is_err(), "the wrong numbers would be found first");
    }
}
