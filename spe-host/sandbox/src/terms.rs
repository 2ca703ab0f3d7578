//! What a plan says of every run of its module.

use spe_abi::{ALIGN, PARAM_BYTES, STATE_BYTES};
use spe_kernel::{
    dataset::DatasetSchema,
    plan::{Plan, record_bytes_max},
    rounds::update_input_len,
};

use crate::layout::Shape;

/// What the plan says of every run: a function of plan and schema, but for the state, which is made of released numbers.
#[derive(Clone)]
pub(crate) struct Terms {
    /// Bytes that the guest must set aside, a multiple of 8: what it reads at their start, what it writes at their end.
    pub(crate) input_bytes: u32,
    /// What `spe_start` reads: the parameters and, in a module with rounds, the state.
    pub(crate) params: Vec<u8>,
    /// Bytes of `params`.
    pub(crate) params_bytes: u32,
    /// How many numbers a data subject contributes.
    pub(crate) numbers: usize,
    /// How many numbers one round hands to the next; 0 without rounds.
    pub(crate) states: usize,
    /// Fuel for one data subject.
    pub(crate) fuel: u64,
    /// Most memory of the guest in bytes.
    pub(crate) memory_bytes: usize,
    /// How records lie in memory.
    pub(crate) shape: Shape,
}

impl Terms {
    /// The terms of a plan, with a state of zeros; `None` when what it needs has no 32-bit address.
    pub(crate) fn of(plan: &Plan, schema: &DatasetSchema) -> Option<Self> {
        let states = plan.state().len();
        let params = bytes_of(plan.params().iter().copied().chain(std::iter::repeat_n(0.0, states)));
        Some(Self {
            input_bytes: input_bytes(plan, schema)?,
            params_bytes: params.len().try_into().ok()?,
            params,
            numbers: plan.numbers(),
            states,
            fuel: plan.fuel_per_subject(),
            memory_bytes: plan.memory_bytes_max().try_into().ok()?,
            shape: Shape::of(plan),
        })
    }

    /// The same with that state; `None` when it does not have the plan's length.
    pub(crate) fn with_state(&self, state: &[f64]) -> Option<Self> {
        let params = self.params.len().checked_sub(self.states * STATE_BYTES as usize)?;
        let mut terms = self.clone();
        terms.params.truncate(params);
        terms.params.extend(bytes_of(state.iter().copied()));
        (state.len() == self.states).then_some(terms)
    }

    /// The same with a state of zeros.
    pub(crate) fn with_zeros(&self) -> Option<Self> {
        self.with_state(&vec![0.0; self.states])
    }
}

/// The largest of what is ever written to a guest, with what it writes in turn: a record and its outputs, the parameters
/// with the state, a round's sums and the next state.
fn input_bytes(plan: &Plan, schema: &DatasetSchema) -> Option<u32> {
    let bytes = |numbers: usize, each: u32| u64::try_from(numbers).ok()?.checked_mul(each.into());
    let states = plan.state().len();
    let start = bytes(plan.params().len() + states, PARAM_BYTES)?;
    let update = if states == 0 { 0 } else { bytes(update_input_len(plan) + states, STATE_BYTES)? };
    let most = record_bytes_max(plan, schema).max(start).max(update);
    // The guest is given it as an i32.
    Some(i32::try_from(most.checked_next_multiple_of(ALIGN.into())?).ok()?.cast_unsigned())
}

fn bytes_of(numbers: impl Iterator<Item = f64>) -> Vec<u8> {
    numbers.flat_map(f64::to_le_bytes).collect()
}
