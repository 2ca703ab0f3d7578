//! Whose records a job may read.

use std::sync::Arc;

use spe_kernel::{
    category::Categories,
    fault::Fault,
    ids::{DatasetName, Digest},
    optout::{AsOf, excluded},
    permit::Windows,
};

use super::{file::head, read};
use crate::{pseudonym::Pseudonym, vault::Vault};

/// A snapshot of a dataset without those who had opted out: proof that the register was read. No `Debug`.
///
/// Made only by [`Vault::cohort`]; no scan without one.
pub struct Cohort {
    pub(crate) dataset: DatasetName,
    /// Ascending, each once: who is left out if all their rows are of the categories beside them, which are all of them for whoever is left
    /// out in any case.
    pub(crate) excluded: Arc<[(Pseudonym, Categories)]>,
    /// To what the rows of each table are cut.
    pub(crate) windows: Windows,
    digest: Digest,
    register: Digest,
}

impl Cohort {
    /// Identifies the data that is scanned: the snapshot's own digest when nobody is left out. It stands in answers, so that answers about
    /// two cohorts are never taken for one (**same-answer**).
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Digest of the head of the register of opt-outs, as it was read for this cohort.
    pub const fn register(&self) -> Digest {
        self.register
    }

    /// The same people, and of their rows only those within the time ranges of a permit.
    ///
    /// # Privacy
    /// The cut is a function of permit and public schema, and part of the digest. Who has no row left is still a data subject, without rows.
    /// Watched by `cli/tests/it/scopes.rs`.
    #[must_use]
    pub fn within(self, windows: Windows) -> Self {
        Self { digest: windows.digest(self.digest), windows, ..self }
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
        let (history, _) = read(&held.home, dataset).map_err(Fault::while_("choosing a cohort"))?;
        if history.header().pseudonyms != held.pseudonyms {
            let why = "the register of opt-outs is about the pseudonyms of a newer snapshot: restart the node, which then serves it";
            return Err(Fault::new("choosing a cohort", why));
        }
        let excluded = excluded(history.entries(), as_of, &held.schema);
        let digest = excluded.cohort(held.digest);
        let everywhere = excluded.subjects().iter().map(|subject| (*subject, Categories::ALL));
        let mut excluded: Vec<_> = everywhere.chain(excluded.elsewhere().iter().copied()).collect();
        excluded.sort_unstable_by_key(|(subject, _)| *subject);
        Ok(Cohort {
            dataset: dataset.clone(),
            excluded: excluded.into(),
            windows: Windows::default(),
            digest,
            register: Digest::of(&history.head()),
        })
    }

    /// All data subjects of `dataset`, those who opted out among them: for permits with an exception under Art. 71(4) that this node
    /// accepts, and for nothing else.
    ///
    /// # Errors
    /// No such dataset; a register that is missing, though nobody is left out by it.
    pub fn cohort_of_everybody(&self, dataset: &DatasetName) -> Result<Cohort, Fault> {
        let held = self.dataset(dataset);
        let held = held.ok_or_else(|| Fault::new("choosing a cohort", format!("no dataset {dataset}")))?;
        let register = head(&held.home).map_err(Fault::while_("choosing a cohort"))?;
        Ok(Cohort {
            dataset: dataset.clone(),
            excluded: [].into(),
            windows: Windows::default(),
            digest: held.digest,
            register,
        })
    }
}
