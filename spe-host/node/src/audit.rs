//! What this node writes down, and the files that auditors read.

use spe_kernel::{
    admission::{Admitted, names},
    audit::{Event, Who},
    document,
    fault::Fault,
    ids::{DatasetName, Digest},
    job::Job,
    keys::KeyError,
    permit::{PermitBody, Version},
    refusal::{Refusal, Stop},
    tlog::SignedCheckpoint,
};
use spe_vault::Register;
use spe_wire::Submission;

use crate::{
    journal::{Counted, SOFTWARE, Told},
    leave::{Leave, Share},
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

    /// Nothing, if these are the records that the node had.
    ///
    /// # Privacy
    /// A function of what the node once signed and of what its witness says (**data-blind refusal**). Watched by
    /// `an_old_copy_of_the_folder_answers_nothing` in `spe-host/cli/tests/it/audit.rs`.
    ///
    /// # Errors
    /// [`Refusal::RolledBack`]: charges may be missing.
    pub(crate) fn has_its_records(&self) -> Result<(), Stop> {
        match self.records().rolled_back()?.into_iter().next() {
            None => Ok(()),
            Some(why) => Err(Refusal::RolledBack { node: self.name.clone(), why }.into()),
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
            let opt_outs = self.opt_outs(dataset).and_then(|register| {
                let event = Event::OptOutsRead { dataset: dataset.clone(), register };
                log.log(&Who::Node, event)
            });
            if let Err(fault) = opt_outs {
                tracing::warn!("{fault}");
            }
        }
        for (dataset, why) in self.vault.sealed() {
            self.log_keys(dataset, why)?;
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

    /// Tells that the key holder gives the key of `dataset` no more, if that is why it is not served.
    ///
    /// # Errors
    /// The storage's own.
    pub(crate) fn log_keys(&self, dataset: &DatasetName, why: &KeyError) -> Result<(), Fault> {
        if matches!(why, KeyError::Gone(_)) {
            let (what, event) = (format!("keys {dataset}"), Event::KeysDestroyed { dataset: dataset.clone() });
            self.audit().log_change(&what, Digest::of(why.to_string().as_bytes()), event)?;
        }
        Ok(())
    }

    /// Digest of the register of opt-outs as it is: entries are made beside a node that runs.
    fn opt_outs(&self, dataset: &DatasetName) -> Result<Digest, Fault> {
        let register = Register::of(&self.vault_dir, dataset).and_then(|register| register.head());
        register.map_err(Fault::while_("reading the register of opt-outs"))
    }

    /// Writes down that a job was admitted, and the `register` of opt-outs that its cohort was made by, before anything is done for it.
    ///
    /// # Errors
    /// The storage's own: what cannot be logged is not done.
    pub(crate) fn log_admitted(&self, admitted: &Admitted, permit: Digest, register: Digest) -> Result<(), Fault> {
        if self.audit().log_admitted(admitted, permit, register)? == Told::New {
            self.publish(false);
        }
        Ok(())
    }

    /// Writes down that a job came to nothing, if its signatures are good: anybody can send bytes, which are counted. So is whoever signed it
    /// and is not named by the permit.
    pub(crate) async fn log_stopped(&self, submitted: &Submitted, stop: &Stop) {
        // Also one that is over, or not yet valid: that is the clause which the job was refused by.
        let permit =
            document::open::<PermitBody>(&submitted.permit).and_then(|p| p.trusting(&self.policy.access_bodies));
        let (permit, job) = match (permit, Job::verify(&submitted.job)) {
            (Ok(permit), Ok(job)) => (permit, job),
            // Whole, and signed by whom nobody here trusts.
            (Err(Refusal::UntrustedKey { .. }), Ok(_)) => return self.count_stranger(),
            _ => return self.count_damaged(stop),
        };
        let job = self.people.recognise_job(job.clone(), self.clock()).await.unwrap_or(job);
        let told = match names(permit.body(), &job) {
            true => self.audit().log_stopped(&job, &Version::opened(&permit).0, stop),
            false => return self.count_stranger(),
        };
        self.told(told);
    }

    /// Refuses a job before it takes any room among those that wait, if no data access body that this node trusts has permitted anything to
    /// who signed it: anybody can make keys, and would keep others out. Else says by whose leave it waits, and whose part of the room it takes.
    ///
    /// # Security
    /// Watched by `who_has_no_permit_takes_no_room` in `spe-host/cli/tests/it/crowded.rs`; whose part it takes, by the tests of [`Share::of`].
    /// Whether permit and person still stand is asked when it is put to those that wait: the same question as of all of them.
    ///
    /// # Errors
    /// What is wrong with permit or job.
    pub(crate) fn is_permitted(&self, submission: &Submission) -> Result<(Leave, Share), Refusal> {
        let look = || {
            let permit = document::open::<PermitBody>(&submission.permit)?.trusting(&self.policy.access_bodies)?;
            let job = Job::verify(&submission.job)?;
            let stranger = || Refusal::PersonNotInPermit { person: job.body().person.clone() };
            let share = Share::of(&permit, job.signer()).ok_or_else(stranger)?;
            Ok((Leave::under(&permit, &job), share))
        };
        look().inspect_err(|why| match why {
            Refusal::UntrustedKey { .. } | Refusal::PersonNotInPermit { .. } => self.count_stranger(),
            why => self.count_damaged(&Stop::Refused(why.clone())),
        })
    }

    /// Counts a job of somebody whom no trusted permit names.
    fn count_stranger(&self) {
        self.told(self.audit().count(Counted::Strangers, self.clock()));
    }

    /// Counts a document that came and that nobody had signed as it is, or that cannot be read.
    ///
    /// # Security
    /// The hub relays all of them, so that a byte that it changed shows here. Watched by `a_byte_that_the_hub_changed_is_refused_and_logged`
    /// in `spe-host/cli/tests/it/flipped.rs`.
    pub(crate) fn count_damaged(&self, stop: &Stop) {
        if let Stop::Refused(Refusal::BadSignature { .. } | Refusal::Malformed { .. } | Refusal::TooLarge { .. }) = stop
        {
            self.told(self.audit().count(Counted::Damaged, self.clock()));
        }
    }

    fn told(&self, told: Result<Told, Fault>) {
        match told {
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
