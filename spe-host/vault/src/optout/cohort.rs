//! Whose records a job may read.

use std::sync::Arc;

use spe_kernel::{
    fault::Fault,
    ids::{DatasetName, Digest},
    optout::{AsOf, excluded},
};

use super::read;
use crate::{pseudonym::Pseudonym, vault::Vault};

/// A snapshot of a dataset without those who had opted out: proof that the register was read. No `Debug`.
///
/// Made only by [`Vault::cohort`]; no scan without one.
pub struct Cohort {
    pub(crate) dataset: DatasetName,
    /// Ascending.
    pub(crate) excluded: Arc<[Pseudonym]>,
    digest: Digest,
}

impl Cohort {
    /// Identifies the data that is scanned: the snapshot's own digest when nobody is left out. It stands in answers, so that answers about
    /// two cohorts are never taken for one (**same-answer**).
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl Vault {
    /// The data subjects of `dataset` who had not opted out by the state of its register that `as_of` names.
    ///
    /// # Privacy
    /// Reads the register and no record. It is read anew each time: what was entered a moment ago counts.
    ///
    /// # Errors
    /// No such dataset; a register that is missing or damaged, so that nobody can tell who opted out.
    pub fn cohort(&self, dataset: &DatasetName, as_of: AsOf) -> Result<Cohort, Fault> {
        let held = self.dataset(dataset);
        let held = held.ok_or_else(|| Fault::new("choosing a cohort", format!("no dataset {dataset}")))?;
        let history = read(&held.home, dataset).map_err(Fault::while_("choosing a cohort"))?;
        let excluded = excluded(history.entries(), as_of);
        let digest = excluded.cohort(held.digest);
        Ok(Cohort { dataset: dataset.clone(), excluded: excluded.subjects().into(), digest })
    }
}
