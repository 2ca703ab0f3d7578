//! A node's datasets, as its jobs see them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use spe_kernel::{
    dataset::DatasetSchema,
    fault::Fault,
    ids::{DatasetName, Digest},
    plan::Plan,
};

use crate::{
    optout::Cohort,
    scan::{PartitionScan, Scan, ScanSizes, parts},
    snapshot::{self, Current, SnapshotFile},
};

/// The vault of one node: the current snapshot of each dataset, fixed when the vault was opened.
pub struct Vault {
    datasets: BTreeMap<DatasetName, Dataset>,
    sizes: ScanSizes,
}

/// The current snapshot of a dataset.
pub struct Dataset {
    pub(crate) schema: DatasetSchema,
    pub(crate) digest: Digest,
    pub(crate) partitions: usize,
    pub(crate) dir: PathBuf,
    /// Where all its snapshots are, and its register of opt-outs.
    pub(crate) home: PathBuf,
    /// Keeps an ingest from removing the snapshot under a running job.
    pub(crate) _held: File,
}

impl Vault {
    /// Opens the vault in `dir`. To see a later ingest, open it again.
    ///
    /// # Errors
    /// The directory or a dataset's snapshot cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let fault =
            |path: &Path, e: std::io::Error| Fault::new("opening the vault", format!("{}: {e}", path.display()));
        let mut datasets = BTreeMap::new();
        // DataFusion names files by URL, which must be absolute.
        let dir = &dir.canonicalize().map_err(|e| fault(dir, e))?;
        for entry in fs::read_dir(dir).map_err(|e| fault(dir, e))? {
            let home = entry.map_err(|e| fault(dir, e))?.path();
            if !home.is_dir() {
                continue;
            }
            if let Some(Current { file, dir, held }) = snapshot::current(&home).map_err(|e| fault(&home, e))? {
                let SnapshotFile { schema, digest, partitions, .. } = file;
                let dataset = Dataset { schema, digest, partitions, dir, home, _held: held };
                datasets.insert(dataset.schema.name.clone(), dataset);
            }
        }
        Ok(Self { datasets, sizes: ScanSizes::default() })
    }

    /// The same vault, scanned in other portions.
    #[must_use]
    pub fn with_sizes(self, sizes: ScanSizes) -> Self {
        Self { sizes, ..self }
    }

    /// All datasets, by name.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.datasets.values()
    }

    /// The dataset of that name.
    pub fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.datasets.get(name)
    }

    /// The records that `plan` reads, in independent parts: each may be taken on another thread, in any order.
    ///
    /// Every data subject of the cohort appears exactly once, with all their rows, also when a filter leaves none. With a unit
    /// of [`Unit::Blocks`](spe_kernel::manifest::Unit::Blocks), what appears in their place are exactly so many blocks: block
    /// ⌊l · p / 2⁶⁴⌋ of l has the rows of all its data subjects whose pseudonyms begin with the 64-bit number p, in order of
    /// pseudonym, and is cut to `max_rows` as a whole. A block of nobody appears without rows.
    ///
    /// # Errors
    /// A dataset, table, column or filter that the vault does not have; `admit` has checked them before. A cohort of another dataset.
    pub fn scan(&self, plan: &Plan, cohort: &Cohort) -> Result<Vec<PartitionScan>, Fault> {
        let dataset = self.dataset(plan.dataset());
        let dataset = dataset.ok_or_else(|| Fault::new("scanning", format!("no dataset {}", plan.dataset())))?;
        if cohort.dataset != dataset.schema.name {
            return Err(Fault::new("scanning", format!("the cohort is one of dataset {}", cohort.dataset)));
        }
        let scan = Scan::new(dataset, plan, cohort, self.sizes)?;
        Ok(parts(plan.unit(), dataset.partitions).into_iter().map(|part| scan.part(part)).collect())
    }
}

impl Dataset {
    /// The public schema.
    pub const fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// The snapshot's digest; keyed, so that it says nothing about the data.
    pub const fn snapshot(&self) -> Digest {
        self.digest
    }
}
