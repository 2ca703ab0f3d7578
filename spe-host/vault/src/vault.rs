//! A node's datasets, as its jobs see them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use spe_kernel::{
    dataset::DatasetSchema,
    fault::Fault,
    ids::{DatasetName, Digest},
    keys::{KeyError, KeySource, Scheme},
    plan::Plan,
};

use crate::{
    optout::Cohort,
    scan::{PartitionScan, Scan, ScanSizes, parts},
    seal::{Lock, Seal},
    snapshot::{self, Current, KeyName, SnapshotFile},
};

/// The vault of one node: the current snapshot of each dataset, fixed when the vault was opened.
pub struct Vault {
    datasets: BTreeMap<DatasetName, Dataset>,
    sealed: BTreeMap<DatasetName, KeyError>,
    sizes: ScanSizes,
}

/// The current snapshot of a dataset.
pub struct Dataset {
    pub(crate) schema: DatasetSchema,
    pub(crate) digest: Digest,
    pub(crate) partitions: usize,
    pub(crate) dir: PathBuf,
    pub(crate) pseudonyms: Scheme,
    data_key: u32,
    pub(crate) lock: Arc<Lock>,
    /// Where all its snapshots are, and its register of opt-outs.
    pub(crate) home: PathBuf,
    /// Keeps an ingest from removing the snapshot under a running job.
    pub(crate) _held: File,
}

/// A dataset as it is shown without any key.
pub struct Listed {
    /// The public schema.
    pub schema: DatasetSchema,
    /// The snapshot's digest.
    pub snapshot: Digest,
    /// The version of the data key that seals it.
    pub data_key: u32,
}

/// The current snapshot of each dataset in `dir`, with its folder.
fn currents(dir: &Path) -> Result<Vec<(PathBuf, Current)>, Fault> {
    let fault = |path: &Path, e: std::io::Error| Fault::new("opening the vault", format!("{}: {e}", path.display()));
    // DataFusion names files by URL, which must be absolute.
    let dir = &dir.canonicalize().map_err(|e| fault(dir, e))?;
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| fault(dir, e))? {
        let home = entry.map_err(|e| fault(dir, e))?.path();
        if home.is_dir()
            && let Some(current) = snapshot::current(&home).map_err(|e| fault(&home, e))?
        {
            all.push((home, current));
        }
    }
    Ok(all)
}

impl Vault {
    /// Opens the vault in `dir`, with a key of `keys` for each dataset. To see a later ingest, open it again.
    ///
    /// # Errors
    /// The directory or a dataset's snapshot cannot be read. A dataset without its key is none: it is in [`Self::sealed`], and the
    /// others are there.
    pub fn open(dir: &Path, keys: &dyn KeySource) -> Result<Self, Fault> {
        let (mut datasets, mut sealed) = (BTreeMap::new(), BTreeMap::new());
        for (home, current) in currents(dir)? {
            let name = current.file.schema.name.clone();
            match Dataset::unlock(home, current, keys) {
                Ok(dataset) => drop(datasets.insert(name, dataset)),
                Err(why) => drop(sealed.insert(name, why)),
            }
        }
        Ok(Self { datasets, sealed, sizes: ScanSizes::default() })
    }

    /// What is in the vault, by name, without any key.
    ///
    /// # Errors
    /// The directory or a dataset's snapshot cannot be read.
    pub fn list(dir: &Path) -> Result<Vec<Listed>, Fault> {
        let listed = |(_, Current { file, .. }): (_, Current)| {
            let data_key = file.data_key.version;
            Listed { schema: file.schema, snapshot: file.digest, data_key }
        };
        let mut all: Vec<Listed> = currents(dir)?.into_iter().map(listed).collect();
        all.sort_by(|a, b| a.schema.name.cmp(&b.schema.name));
        Ok(all)
    }

    /// The datasets that are there and cannot be read, and why.
    pub fn sealed(&self) -> impl Iterator<Item = (&DatasetName, &KeyError)> {
        self.sealed.iter()
    }

    /// Asks for every key again, and takes away what is no longer given: those datasets are gone from here on, also for a job that is
    /// reading. A key holder that is away changes nothing.
    pub fn recheck(&self, keys: &dyn KeySource) -> Vec<(DatasetName, KeyError)> {
        let refused = |dataset: &Dataset| match keys.data_key(&dataset.schema.name, dataset.data_key) {
            Ok(_) | Err(KeyError::Away(_)) => None,
            Err(why) => {
                dataset.lock.forget();
                Some((dataset.schema.name.clone(), why))
            }
        };
        self.datasets().filter_map(refused).collect()
    }

    /// The same vault, scanned in other portions.
    #[must_use]
    pub fn with_sizes(self, sizes: ScanSizes) -> Self {
        Self { sizes, ..self }
    }

    /// All datasets, by name.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.datasets.values().filter(|dataset| dataset.lock.seal().is_some())
    }

    /// The dataset of that name.
    pub fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.datasets.get(name).filter(|dataset| dataset.lock.seal().is_some())
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
    fn unlock(home: PathBuf, Current { file, dir, held }: Current, keys: &dyn KeySource) -> Result<Self, KeyError> {
        let SnapshotFile { schema, digest, partitions, pseudonyms, data_key, .. } = file;
        let key = keys.data_key(&schema.name, data_key.version)?;
        if KeyName::of(&key, &schema) != data_key {
            let why = format!(
                "the key holder has another data key of version {} than the files were sealed with: restore its backup",
                data_key.version
            );
            return Err(KeyError::Refused(why));
        }
        let lock = Arc::new(Lock::new(Seal::of(&key, &schema.name)));
        let pseudonyms = Scheme { version: pseudonyms.version, check: pseudonyms.check };
        Ok(Self { schema, digest, partitions, dir, pseudonyms, data_key: data_key.version, lock, home, _held: held })
    }

    /// The public schema.
    pub const fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// The snapshot's digest; keyed, so that it says nothing about the data.
    pub const fn snapshot(&self) -> Digest {
        self.digest
    }
}
