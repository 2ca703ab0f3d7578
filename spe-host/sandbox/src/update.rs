//! From one round to the next: `spe_update`, on public numbers.

use spe_abi::{STATE_BYTES, UPDATE_FUEL, UPDATE_STOP};
use spe_kernel::fault::Fault;
use wasmtime::Trap;

use crate::{
    guest::{Areas, Guest, Program, Unready},
    terms::Terms,
};

impl Program {
    /// The state that the module makes of `input`, in an instance of its own; `None` when it stops.
    ///
    /// # Privacy
    /// The instance never holds a record, so that why it fails may be told.
    pub(crate) fn next(&self, terms: &Terms, input: &[f64]) -> Result<Option<Vec<f64>>, Unready> {
        let mut guest = self.start(terms, None)?;
        let update = self.update(&mut guest)?;
        let (address, len, cap) = (guest.address, bytes(input.len())?, bytes(terms.states)?);
        let Areas { read, out } = guest.areas(terms, terms.states)?;
        let slots = read.as_chunks_mut().0.get_mut(..input.len()).ok_or_else(too_long)?;
        for (slot, number) in slots.iter_mut().zip(input) {
            *slot = number.to_le_bytes();
        }
        guest.store.set_fuel(UPDATE_FUEL).map_err(Fault::while_("giving fuel"))?;
        match update.call(&mut guest.store, (address, len, out, cap)) {
            Ok(UPDATE_STOP) => Ok(None),
            Ok(answer) if answer.cast_unsigned() == cap => Ok(Some(state(&guest, out, terms)?)),
            Ok(answer) => Err(Unready::guest(format!(
                "spe_update returns {answer}; it is {cap} when it wrote the next state, {UPDATE_STOP} to stop"
            ))),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn too_long() -> Fault {
    Fault::new("updating a state", "there are more numbers than the plan has")
}

fn bytes(numbers: usize) -> Result<u32, Fault> {
    u32::try_from(numbers).ok().and_then(|numbers| numbers.checked_mul(STATE_BYTES)).ok_or_else(too_long)
}

/// What the guest wrote, all of it finite.
fn state(guest: &Guest, out: u32, terms: &Terms) -> Result<Vec<f64>, Unready> {
    let state: Vec<f64> = guest.written(out, terms.states).collect();
    state.iter().position(|number| !number.is_finite()).map_or(Ok(()), |at| {
        Err(Unready::guest(format!("after spe_update number {at} of the state is not finite, or was not written")))
    })?;
    Ok(state)
}

fn failed(error: &wasmtime::Error) -> Unready {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Unready::guest(format!("spe_update runs out of fuel: each call has {UPDATE_FUEL}")),
        Some(trap) => Unready::guest(format!("spe_update fails: {trap}")),
        None => Unready::guest("spe_update ends itself"),
    }
}
