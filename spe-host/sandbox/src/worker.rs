//! The reference isolation: every data subject gets an instance of its own.

use std::sync::Arc;

use spe_kernel::{
    fault::Fault,
    record::{Chunk, Contribution},
};

use crate::{
    guest::{Program, Unready},
    interrupt::Interrupt,
    seats::Seat,
    terms::Terms,
};

/// Runs a module for one data subject after the other, on one thread, which needs 1 MiB of stack.
///
/// # Privacy
/// **guest-blind**: a fresh instance for each data subject, brought to the snapshot by the same calls. Nothing that a guest
/// writes outlives its run, so that order, partition and number of workers do not matter.
pub struct Worker {
    program: Arc<Program>,
    terms: Arc<Terms>,
    numbers: Vec<f64>,
    interrupt: Option<Interrupt>,
    _seat: Seat,
}

impl Worker {
    pub(crate) fn new(program: Arc<Program>, terms: Arc<Terms>, seat: Seat) -> Self {
        let numbers = Vec::with_capacity(terms.numbers);
        Self { program, terms, numbers, interrupt: None, _seat: seat }
    }

    /// The same worker, which stops once `interrupt` is raised, also in the middle of a data subject; what it gave is then of no use.
    #[must_use]
    pub fn until(self, interrupt: Interrupt) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// Runs the module for every data subject of `chunk` and hands each contribution, with the subject's place in the
    /// chunk, to `each`.
    ///
    /// # Privacy
    /// What `each` gets for a data subject is a function of the module, the plan, the state and that data subject's rows. It is
    /// confidential all the same: only a noised sum may leave.
    ///
    /// # Errors
    /// The host's own failures: no memory for an instance, or a chunk that is not of this plan. A guest that fails is
    /// [`Contribution::Failed`] and not an error. A run that was interrupted is one too; why, its [`Interrupt`] says.
    pub fn map(&mut self, chunk: &Chunk, mut each: impl FnMut(usize, Contribution<'_>)) -> Result<(), Fault> {
        let interrupt = self.interrupt.clone();
        for subject in 0..chunk.subjects {
            let contribution = self.contribution(chunk, subject);
            // What an interrupted guest gave looks like a failure, and is none.
            if let Some(why) = interrupt.as_ref().and_then(Interrupt::raised) {
                return Err(Fault::new("mapping", format!("interrupted: {why}")));
            }
            each(subject, contribution?);
        }
        Ok(())
    }

    fn contribution(&mut self, chunk: &Chunk, subject: usize) -> Result<Contribution<'_>, Fault> {
        let guest = self.program.start(&self.terms, self.interrupt.as_ref()).map_err(|unready| match unready {
            Unready::Host(fault) => fault,
            // It started once, from the same state, with the same parameters.
            Unready::Guest(why) => Fault::new("starting a guest again", why),
        })?;
        guest.run(&self.terms, chunk, subject, &mut self.numbers)
    }
}
