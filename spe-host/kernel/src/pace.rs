//! When an answer leaves: at a time that was known before any record was read.
//!
//! A guest that loops for one person makes its node late, and whoever sees the answer arrive learns of it (Haeberlen, Pierce &
//! Narayan, USENIX Security 2011). So the node holds the answer until the time that the slowest possible run would have taken,
//! a function of plan, public schema and policy alone, and on to the next slot.

use std::num::{NonZeroU32, NonZeroU64};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use spe_abi::START_FUEL;

use crate::{
    dataset::{ColumnType, DatasetSchema, TableSchema},
    filter::Filter,
    manifest::{Input, Kind},
    plan::{MEMORY_DEFAULT_BYTES, Plan, Planned},
    refusal::Refusal,
};

mod vouch;
pub use vouch::{Measured, Unvouched};

/// The operator's rules on time; `policies/` holds samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Answers leave at multiples of this since 1970 only, in milliseconds.
    pub slot_ms: NonZeroU32,
    /// Until when they are held.
    pub hold: Hold,
    /// Longest job that is run, in seconds.
    pub job_seconds_max: u32,
    /// So many runs on a dataset may be late; after that it answers nothing until its operator says so.
    #[serde(default = "misses_max")]
    pub misses_max: NonZeroU32,
    /// What a job costs besides its data subjects, in milliseconds.
    pub job_ms: u32,
    /// What one value costs to read, in nanoseconds: one for each column of a row and one for the row, in texts one for every
    /// [`TEXT_BYTES`] more.
    pub value_nanos: u32,
    /// Nobody measured this machine, and its operator serves from it all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmeasured: bool,
    /// `spe node selftest` measured this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// What guests take, by their memory: few and many bytes of it.
    pub guests: [GuestPace; 2],
}

/// What guests with at most so much memory take at their slowest, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestPace {
    /// Their memory at most: what of it is not in a cache is slow.
    pub memory_bytes: u64,
    /// Fuel that the slowest code spends in a second.
    pub fuel_per_second: NonZeroU64,
    /// What one data subject costs besides fuel, in microseconds.
    pub subject_micros: u32,
    /// What it costs a guest to write to 4 KiB of its memory for the first time, in nanoseconds: each starts with fresh memory.
    pub page_nanos: u32,
}

/// Of a text, what counts as one value more.
pub const TEXT_BYTES: u64 = 32;

const fn misses_max() -> NonZeroU32 {
    MISSES_MAX_DEFAULT
}

const MISSES_MAX_DEFAULT: NonZeroU32 = NonZeroU32::new(3).unwrap();

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
    /// The slowest code there is on a rented virtual machine of 2023, halved, as `spe node selftest` proposes it; vouched for by nobody.
    fn default() -> Self {
        const GUESTS: [GuestPace; 2] = [
            GuestPace {
                memory_bytes: MEMORY_DEFAULT_BYTES,
                fuel_per_second: NonZeroU64::new(100_000_000).unwrap(),
                subject_micros: 50,
                page_nanos: 1_500,
            },
            GuestPace {
                memory_bytes: 64 << 20,
                fuel_per_second: NonZeroU64::new(2_000_000).unwrap(),
                subject_micros: 150,
                page_nanos: 8_000,
            },
        ];
        Self {
            slot_ms: NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN),
            hold: Hold::Deadline,
            job_seconds_max: 3_600,
            misses_max: MISSES_MAX_DEFAULT,
            job_ms: 250,
            value_nanos: 50,
            unmeasured: false,
            measured: None,
            guests: GUESTS,
        }
    }
}

/// Values that a row of `input` holds, as [`Pace::value_nanos`] counts them.
fn values(input: &Input, table: &TableSchema) -> u128 {
    let filter = input.filter.as_ref().and_then(|text| Filter::parse(text, table).ok());
    let named = filter.iter().flat_map(|filter| filter.columns().iter());
    let value = |kind: &ColumnType| match kind {
        ColumnType::Text { max_bytes } => 1 + u64::from(*max_bytes).div_ceil(TEXT_BYTES),
        _ => 1,
    };
    let columns = input.columns.iter().chain(named).filter_map(|name| table.column(name));
    1 + columns.map(|column| u128::from(value(&column.kind))).sum::<u128>()
}

/// Values that a run of `plan` reads of its tables at most, and hands to its guests.
fn values_read(plan: &Plan, schema: &DatasetSchema, runs: u128) -> u128 {
    let of = |input: &Input| {
        let Some(table) = schema.table(&input.table) else { return 0 };
        let all = u128::from(schema.rows_max(table));
        // Rows beyond a plan's `max_rows` are read too; the others are copied besides.
        (all + all.min(runs * u128::from(input.max_rows))) * values(input, table)
    };
    plan.inputs().iter().map(of).sum()
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
        let forbid = |rule: String| Err(Refusal::PolicyForbids { rule });
        let memory = plan.memory_bytes_max();
        let [.., largest] = self.guests;
        let Some(guest) = self.guests.iter().find(|guest| memory <= guest.memory_bytes) else {
            let most = largest.memory_bytes;
            return forbid(format!("how long a guest takes is known up to {most} bytes of memory, not {memory}"));
        };
        let people = u128::from(schema.subjects_max);
        let runs = plan.unit().blocks().map_or(people, u128::from);
        // Every run starts the module anew.
        let fuel = u128::from(plan.fuel_per_subject()) + u128::from(START_FUEL);
        let fuel_nanos = fuel * 1_000_000_000 / u128::from(guest.fuel_per_second.get());
        let pages = u128::from(memory.div_ceil(PAGE_BYTES));
        let keys = keys(plan);
        if people * keys > KEYS_MAX {
            return forbid(format!(
                "{people} people with {keys} keys each are more than the {KEYS_MAX} that a job may count"
            ));
        }
        let numbers = u128::try_from(plan.numbers()).unwrap_or(u128::MAX >> 64);
        let run = fuel_nanos + pages * u128::from(guest.page_nanos) + numbers * NUMBER_NANOS + keys * KEY_NANOS;
        // Blocks are dealt out person by person too.
        let nanos = runs * run + people.max(runs) * u128::from(guest.subject_micros) * 1_000;
        let nanos = nanos + values_read(plan, schema, runs) * u128::from(self.value_nanos);
        let nanos = nanos + u128::from(self.job_ms) * 1_000_000;
        let limit = u128::from(self.job_seconds_max) * 1_000_000_000;
        if nanos > limit {
            return forbid(format!(
                "a job may take {} s, and this one {} s if every data subject uses all its fuel and memory: \
                 lower them (--fuel, --memory)",
                self.job_seconds_max,
                nanos / 1_000_000_000
            ));
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

    /// Whether what is ready at `ready` leaves late, and shows that it is.
    pub fn misses(&self, paid: Timestamp, longest: SignedDuration, ready: Timestamp) -> bool {
        self.hold == Hold::Deadline && ready >= paid.saturating_add(longest).unwrap_or(Timestamp::MAX)
    }

    /// When an answer leaves whose charge was made at `paid`, and is ready at `ready`.
    ///
    /// # Privacy
    /// With [`Hold::Deadline`], a function of `paid` and `longest` if the answer is ready in time. What is not is a refusal, which
    /// leaves when twice the time is over: that it is late tells, how late does not, and how often is limited by
    /// [`Self::misses_max`]. Watched by the harness of evil guests.
    pub fn leaves(&self, paid: Timestamp, longest: SignedDuration, ready: Timestamp) -> Timestamp {
        let after = |time: SignedDuration| paid.saturating_add(time).unwrap_or(Timestamp::MAX);
        self.slot(match self.hold {
            Hold::Deadline if self.misses(paid, longest, ready) => after(longest.saturating_mul(2)).max(ready),
            Hold::Deadline => after(longest),
            Hold::Slot => ready,
        })
    }

    /// When what was held until `leaves_at`, by a process that is gone, leaves: then, but a clock that was set back is not waited for
    /// longer than the longest job.
    pub fn still(&self, leaves_at: Timestamp, now: Timestamp) -> Timestamp {
        let longest = SignedDuration::from_secs(self.job_seconds_max.into());
        leaves_at.min(self.slot(now.saturating_add(longest).unwrap_or(Timestamp::MAX)))
    }

    /// The first slot that is not before `from`.
    pub fn slot(&self, from: Timestamp) -> Timestamp {
        let slot = i128::from(self.slot_ms.get()) * 1_000_000;
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
        let pace = Pace { slot_ms: NonZeroU32::new(50).expect("not 0"), ..Pace::default() };
        let longest = SignedDuration::from_millis(120);
        for ready in [1_001, 1_050, 1_119] {
            assert_eq!(pace.leaves(at(1_000), longest, at(ready)), at(1_150));
        }
        assert_eq!(pace.leaves(at(1_000), longest, at(1_151)), at(1_250), "how late a refusal is must not tell");
        let pace = Pace { hold: Hold::Slot, ..pace };
        assert_eq!(pace.leaves(at(1_000), longest, at(1_001)), at(1_050));
        assert_eq!(pace.leaves(at(1_000), longest, at(1_050)), at(1_050), "a slot's own instant is not early");
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_for_ever() {
        let pace = Pace { slot_ms: NonZeroU32::new(50).expect("not 0"), job_seconds_max: 10, ..Pace::default() };
        assert_eq!(pace.still(at(9_000), at(1_010)), at(9_000));
        assert_eq!(pace.still(at(86_400_000), at(1_010)), at(11_050), "a node would do nothing else for a day");
    }
}
