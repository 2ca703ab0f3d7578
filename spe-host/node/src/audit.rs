//! What this node writes down, and the files that auditors read.

use spe_kernel::{
    admission::Admitted,
    audit::{Event, Who},
    fault::Fault,
    ids::{DatasetName, Digest},
    job::Job,
    permit::Permit,
    refusal::Stop,
    tlog::SignedCheckpoint,
};
use spe_vault::Register;

use crate::{
    journal::{SOFTWARE, Told},
    run::Submitted,
    site::Site,
};

impl Site {
    /// Writes down that `who` did something. Durable when this returns.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log(&self, who: &Who, event: Event) -> Result<(), Fault> {
        self.audit().log(who, event)?;
        self.publish(false);
        Ok(())
    }

    /// Brings the files that auditors read up to date. They are derived: should it fail, the log is durable all the same, and the next
    /// time makes up for it.
    pub(crate) fn publish(&self, whole: bool) -> Option<SignedCheckpoint> {
        match self.audit().publish(&self.log_files, &self.key, whole) {
            Ok(checkpoint) => Some(checkpoint),
            Err(fault) => {
                tracing::error!("{fault}; the log is in the ledger's file, and `spe audit verify` reads it there");
                None
            }
        }
    }

    /// The node starts to serve: which program, which policy, which data.
    ///
    /// # Errors
    /// The storage's own.
    pub fn log_start(&self) -> Result<(), Fault> {
        let log = self.audit();
        log.log(&Who::Node, Event::NodeStarted { software: SOFTWARE.into() })?;
        let policy = self.policy_digest;
        log.log_change("policy", policy, Event::PolicyChanged { policy })?;
        for (dataset, _) in &self.budgets {
            if let Some(held) = self.vault.dataset(dataset) {
                let (snapshot, dataset) = (held.snapshot(), dataset.clone());
                log.log_change(&format!("dataset {dataset}"), snapshot, Event::DatasetIngested { dataset, snapshot })?;
            }
            if let Err(fault) = self.log_opt_outs(dataset) {
                tracing::warn!("{fault}");
            }
        }
        self.publish(true);
        Ok(())
    }

    /// The node stops, because it was told to.
    pub fn log_stop(&self) {
        if let Err(fault) = self.log(&Who::Node, Event::NodeStopped { software: SOFTWARE.into() }) {
            tracing::error!("{fault}");
        }
    }

    /// Opt-outs are entered beside a node that runs: it tells of them when it next looks.
    fn log_opt_outs(&self, dataset: &DatasetName) -> Result<Told, Fault> {
        let register = Register::of(&self.vault_dir, dataset).and_then(|register| register.head());
        let register = register.map_err(Fault::while_("reading the register of opt-outs"))?;
        let event = Event::OptOutsChanged { dataset: dataset.clone(), register };
        self.audit().log_change(&format!("opt-outs {dataset}"), register, event)
    }

    /// Writes down that a job was admitted, before anything is done for it.
    ///
    /// # Errors
    /// The storage's own: what cannot be logged is not done.
    pub(crate) fn log_admitted(&self, admitted: &Admitted, permit: &[u8]) -> Result<(), Fault> {
        self.log_opt_outs(admitted.plan().dataset())?;
        if self.audit().log_admitted(admitted, permit)? == Told::New {
            self.publish(false);
        }
        Ok(())
    }

    /// Writes down that a job came to nothing, if its signatures are good: anybody can send bytes.
    pub(crate) fn log_stopped(&self, submitted: &Submitted, stop: &Stop) {
        let permit = Permit::verify(&submitted.permit, &self.policy.access_bodies, self.now());
        let (Ok(permit), Ok(job)) = (permit, Job::verify(&submitted.job)) else { return };
        match self.audit().log_stopped(&job, &permit, stop) {
            Ok(Told::New) => drop(self.publish(false)),
            Ok(Told::Known) => {}
            Err(fault) => tracing::error!("{fault}"),
        }
    }
}

/// What the policy says, with its further rules.
pub(crate) fn policy_digest(files: &[&[u8]]) -> Digest {
    let digests: Vec<u8> = files.iter().flat_map(|file| *Digest::of(file).as_bytes()).collect();
    Digest::of(&digests)
}
