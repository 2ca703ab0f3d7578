//! Stopping a run as a whole, in the middle of a data subject.

use std::sync::{
    Arc, OnceLock,
    atomic::{Ordering, fence},
};

use spe_kernel::refusal::Refusal;
use wasmtime::{Engine, Store, UpdateDeadline};

/// Stops one run: every worker that was given a clone of it ends within milliseconds, whatever its guest does.
///
/// Anyone who holds a clone may raise it, from any thread, as often as they like; the first reason is the one that counts, and it
/// cannot be taken back. The next run gets a new one from [`crate::Sandbox::interrupt`].
///
/// # Privacy
/// **guest-blind**: when a run is interrupted is a matter of time, not of the module. So it ends the whole run, as
/// [`crate::Worker::map`]'s error, and never becomes one data subject's contribution: the only limit of a data subject is fuel. Watched by
/// `interrupt` in `tests/it`.
#[derive(Clone)]
pub struct Interrupt(Arc<Line>);

struct Line {
    /// Guests look at its epoch at the head of each loop and function.
    engine: Engine,
    why: OnceLock<Refusal>,
}

/// A guest that nobody interrupts: fuel alone ends it.
const NEVER: u64 = u64::MAX >> 1;

impl Interrupt {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self(Arc::new(Line { engine: engine.clone(), why: OnceLock::new() }))
    }

    /// Stops the run, which is refused for this reason. Raise it again until the run has ended: a guest that another run's
    /// interrupt woke may miss a single one.
    pub fn raise(&self, why: Refusal) {
        // The first reason stays.
        let _ = self.0.why.set(why);
        // Pairs with the one in `arm`: a guest that does not see the epoch go up sees the reason.
        fence(Ordering::SeqCst);
        self.0.engine.increment_epoch();
    }

    /// Why the run was stopped, if it was.
    pub fn raised(&self) -> Option<&Refusal> {
        self.0.why.get()
    }

    /// Has the guest in `store` trap once `interrupt` is raised.
    pub(crate) fn arm<T>(interrupt: Option<&Self>, store: &mut Store<T>) {
        let Some(interrupt) = interrupt.cloned() else {
            store.set_epoch_deadline(NEVER);
            return;
        };
        store.set_epoch_deadline(1);
        fence(Ordering::SeqCst);
        if interrupt.raised().is_some() {
            // The epoch may have gone up before: the first look traps.
            store.set_epoch_deadline(0);
        }
        store.epoch_deadline_callback(move |_| {
            let raised = interrupt.raised().is_some();
            Ok(if raised { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
    }
}
