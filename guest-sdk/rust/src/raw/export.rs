//! What the exports do that [`analysis!`](crate::analysis) writes into a module.

use core::cell::UnsafeCell;

use spe_abi::{ALIGN, PARAM_BYTES, START_READY, STATE_BYTES, UPDATE_STOP};

use super::{heap, Memory};
use crate::{Map, Next, Outputs, Params, Round, Subject, Update};

/// What `spe_update` answers when the host does not send what the manifest says: a refusal.
const UPDATE_REFUSED: i32 = -1;

/// Where a module keeps its parameters, and the state after them: `spe_start` writes them, and the snapshot keeps them.
pub struct ParamStore<const N: usize>(UnsafeCell<[f64; N]>);

// SAFETY: the ABI refuses threads and shared memory, so a module has one thread.
unsafe impl<const N: usize> Sync for ParamStore<N> {}

impl<const N: usize> ParamStore<N> {
    /// A store of zeros.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a static needs a const")]
    pub const fn new() -> Self {
        ParamStore(UnsafeCell::new([0.0; N]))
    }
}

/// `spe_input`.
pub fn input(bytes: u32) -> u32 {
    heap::take(bytes as usize, ALIGN as usize).map_or(spe_abi::INPUT_NO_ROOM, |address| address as u32)
}

/// `spe_start`.
///
/// # Safety
/// Called once, before `map`, with the address and length in bytes of the parameters, as the ABI says.
pub unsafe fn start<const N: usize>(params: u32, len: u32, store: &ParamStore<N>) -> i32 {
    if len as usize != N * PARAM_BYTES as usize {
        return START_READY + 1;
    }
    // SAFETY: the host wrote `len` bytes at `params`, which nothing writes during this call.
    let sent = unsafe { Memory::own() }.array(params, N);
    // SAFETY: the only reference to the store: `map` comes later and ends before it returns.
    unsafe { &mut *store.0.get() }.copy_from_slice(sent);
    START_READY
}

/// `spe_map`, for a manifest with `P` parameters whose outputs take `OUT` numbers.
///
/// # Safety
/// `record` must be the address of a record, `out` that of `OUT` writable `f64` outside it, as the ABI says.
pub unsafe fn map<const P: usize, const N: usize, const OUT: usize>(
    record: u32,
    out: u32,
    store: &ParamStore<N>,
    map: Map,
) {
    // SAFETY: the host writes the record before this call and nothing writes it during it.
    let memory = unsafe { Memory::own() };
    // SAFETY: `start` is over, and nothing else writes the store.
    let (params, state) = unsafe { &*store.0.get() }.split_at(P);
    // SAFETY: the caller's promise; the ABI aligns `out`.
    let numbers = unsafe { core::slice::from_raw_parts_mut(out as *mut f64, OUT) };
    map(&Subject::new(memory, record), &Params::new(params, state), &mut Outputs::new(numbers));
}

/// `spe_update`, for a manifest with `P` parameters whose outputs have `SUMS` sums.
///
/// # Safety
/// `sent` must be the address of `len` bytes that nothing writes, `out` that of `cap` writable bytes outside them, both
/// aligned, as the ABI says.
pub unsafe fn update<const P: usize, const N: usize, const SUMS: usize>(
    sent: u32,
    len: u32,
    out: u32,
    cap: u32,
    store: &ParamStore<N>,
    update: Update,
) -> i32 {
    let states = N - P;
    // SAFETY: the caller's promise.
    let sent = unsafe { Memory::own() }.array(sent, (len / STATE_BYTES) as usize);
    let Some((round, state)) = Round::read(sent, states, SUMS) else { return UPDATE_REFUSED };
    if cap as usize != states * STATE_BYTES as usize {
        return UPDATE_REFUSED;
    }
    // SAFETY: `start` is over, and nothing else writes the store.
    let params = unsafe { &(&*store.0.get())[..P] };
    // SAFETY: the caller's promise.
    let next = unsafe { core::slice::from_raw_parts_mut(out as *mut f64, states) };
    next.copy_from_slice(state);
    match update(&round, &Params::new(params, state), next) {
        Next::GoOn => cap as i32,
        Next::Stop => UPDATE_STOP,
    }
}

#[panic_handler]
fn trap(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
