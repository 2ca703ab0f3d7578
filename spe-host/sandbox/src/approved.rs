//! Evidence that a module may run.

use std::sync::Arc;

use spe_kernel::{fault::Fault, ids::Digest, manifest::Manifest};

use crate::{
    guest::{Program, Terms},
    inspect::Inspection,
    seats::Seats,
    worker::Worker,
};

/// A module that was inspected, compiled and started, for one plan.
///
/// Made by [`crate::Sandbox::approve`] only. It proves that the module is the one that the plan names, that it uses
/// nothing that is not allowed, and that it reaches its snapshot. Cheap to clone.
#[derive(Clone)]
pub struct ApprovedModule {
    pub(crate) inspection: Arc<Inspection>,
    pub(crate) program: Arc<Program>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) seats: Arc<Seats>,
}

impl ApprovedModule {
    /// A worker; one for each thread. Make all that a job needs before its data is opened.
    ///
    /// # Errors
    /// [`crate::Config::workers_max`] workers are there already.
    pub fn worker(&self) -> Result<Worker, Fault> {
        let seat = self.seats.take().ok_or_else(|| Fault::new("making a worker", "workers_max workers are at work"))?;
        Ok(Worker::new(Arc::clone(&self.program), Arc::clone(&self.terms), seat))
    }

    /// The module's digest.
    pub fn digest(&self) -> Digest {
        self.inspection.digest
    }

    /// What the module says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }
}
