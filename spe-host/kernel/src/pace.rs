//! When an answer leaves: at a time that was known before any record was read.
//!
//! A guest that loops for one person makes its node late, and whoever sees the answer arrive learns of it (Haeberlen, Pierce &
//! Narayan, USENIX Security 2011). So the node holds the answer until the time that the slowest possible run would have taken,
//! a function of plan, public schema and policy alone, and on to the next slot.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use spe_abi::START_FUEL;

use crate::{
    dataset::DatasetSchema,
    manifest::Kind,
    plan::{Plan, Planned},
    refusal::Refusal,
};

/// The operator's rules on time; `policies/` holds samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Answers leave at multiples of this since 1970 only, in milliseconds; at least 1.
    pub slot_ms: u32,
    /// Until when they are held.
    pub hold: Hold,
    /// Fuel that this machine surely spends in a second on one thread; `spe node selftest` measures it.
    pub fuel_per_second: u64,
    /// What one data subject costs besides fuel, in microseconds.
    pub subject_micros: u32,
    /// What it costs a guest to write to 4 KiB of its memory for the first time, in nanoseconds: each starts with fresh memory.
    pub page_nanos: u32,
    /// What one row costs to read, in nanoseconds.
    pub row_nanos: u32,
    /// What a job costs besides its data subjects, in milliseconds.
    pub job_ms: u32,
    /// Longest job that is run.
    pub job_seconds_max: u32,
}

/// What the operating system gives a guest at a time.
const PAGE_BYTES: u64 = 4_096;
/// What the host's own work takes for each number that a guest writes: quantising, clipping, adding.
const NUMBER_NANOS: u128 = 100;
/// And for each key: adding it, and drawing noise for it after all records were read.
const KEY_NANOS: u128 = 20_000;
/// Keys of all people together: each takes some hundred bytes until the job is done.
const KEYS_MAX: u128 = 10_000_000;

/// Keys of one data subject, over all outputs.
fn keys(plan: &Plan) -> u128 {
    let of = |planned: &Planned| if let Kind::Keys(keys) = &planned.output.kind { keys.per_subject } else { 0 };
    plan.outputs().iter().map(|planned| u128::from(of(planned))).sum()
}

/// Until when an answer is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Until the slowest run that the plan allows would have ended. Time tells nothing.
    Deadline,
    /// Until the next slot. Time tells in which slot the run ended, which depends on everybody's fuel: for nodes whose
    /// researchers are trusted so far.
    Slot,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            slot_ms: 100,
            hold: Hold::Deadline,
            fuel_per_second: 250_000_000,
            subject_micros: 50,
            page_nanos: 500,
            row_nanos: 1_000,
            job_ms: 250,
            job_seconds_max: 3_600,
        }
    }
}

impl Pace {
    /// How long the slowest run of `plan` takes on one thread.
    ///
    /// # Privacy
    /// Claim: a function of plan, public schema and policy, never of a record. Watched by the harness of evil guests.
    ///
    /// # Errors
    /// Longer than the policy allows: refused before anything is charged.
    pub fn longest(&self, plan: &Plan, schema: &DatasetSchema) -> Result<SignedDuration, Refusal> {
        let people = u128::from(schema.subjects_max);
        let runs = plan.unit().blocks().map_or(people, u128::from);
        let rows: u128 = plan.inputs().iter().map(|input| u128::from(input.max_rows)).sum();
        // Every run starts the module anew.
        let fuel = u128::from(plan.fuel_per_subject()) + u128::from(START_FUEL);
        let fuel_nanos = fuel * 1_000_000_000 / u128::from(self.fuel_per_second.max(1));
        let pages = u128::from(plan.memory_bytes_max().div_ceil(PAGE_BYTES));
        let keys = keys(plan);
        if people * keys > KEYS_MAX {
            let rule =
                format!("{people} people with {keys} keys each are more than the {KEYS_MAX} that a job may count");
            return Err(Refusal::PolicyForbids { rule });
        }
        let numbers = u128::try_from(plan.numbers()).unwrap_or(u128::MAX >> 64);
        let guest = fuel_nanos + pages * u128::from(self.page_nanos) + rows * u128::from(self.row_nanos);
        let run = guest + numbers * NUMBER_NANOS + keys * KEY_NANOS;
        // Blocks are dealt out person by person too.
        let nanos = runs * run + people.max(runs) * u128::from(self.subject_micros) * 1_000;
        let nanos = nanos + u128::from(self.job_ms) * 1_000_000;
        let limit = u128::from(self.job_seconds_max) * 1_000_000_000;
        if nanos > limit {
            let rule = format!(
                "a job may take {} s, and this one {} s if every data subject uses all its fuel and memory: \
                 lower them (--fuel, --memory)",
                self.job_seconds_max,
                nanos / 1_000_000_000
            );
            return Err(Refusal::PolicyForbids { rule });
        }
        Ok(SignedDuration::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)))
    }

    /// The longest that a run is let go on, of which the slowest would take `longest`.
    pub fn limit(&self, longest: SignedDuration) -> SignedDuration {
        match self.hold {
            Hold::Deadline => longest,
            Hold::Slot => SignedDuration::from_secs(self.job_seconds_max.into()),
        }
    }

    /// When an answer leaves whose charge was made at `paid`, and is ready at `ready`.
    ///
    /// # Privacy
    /// With [`Hold::Deadline`], a function of `paid` and `longest` if the answer is ready in time. What is not is a refusal, which
    /// leaves when twice the time is over: that it is late tells, how late does not. Watched by the harness of evil guests.
    pub fn leaves(&self, paid: Timestamp, longest: SignedDuration, ready: Timestamp) -> Timestamp {
        let after = |time: SignedDuration| paid.saturating_add(time).unwrap_or(Timestamp::MAX);
        self.slot(match self.hold {
            Hold::Deadline if ready <= after(longest) => after(longest),
            Hold::Deadline => after(longest.saturating_mul(2)).max(ready),
            Hold::Slot => ready,
        })
    }

    /// The first slot that is not before `from`.
    pub fn slot(&self, from: Timestamp) -> Timestamp {
        let slot = i128::from(self.slot_ms.max(1)) * 1_000_000;
        let next = (from.as_nanosecond() + slot - 1).div_euclid(slot) * slot;
        Timestamp::from_nanosecond(next).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("a time")
    }

    #[test]
    fn an_answer_leaves_at_the_first_slot_after_its_deadline_however_early_it_is_ready() {
        let pace = Pace { slot_ms: 50, ..Pace::default() };
        let longest = SignedDuration::from_millis(120);
        for ready in [1_001, 1_050, 1_119] {
            assert_eq!(pace.leaves(at(1_000), longest, at(ready)), at(1_150));
        }
        assert_eq!(pace.leaves(at(1_000), longest, at(1_151)), at(1_250), "how late a refusal is must not tell");
        let pace = Pace { hold: Hold::Slot, ..pace };
        assert_eq!(pace.leaves(at(1_000), longest, at(1_001)), at(1_050));
        assert_eq!(pace.leaves(at(1_000), longest, at(1_050)), at(1_050), "a slot's own instant is not early");
    }
}
