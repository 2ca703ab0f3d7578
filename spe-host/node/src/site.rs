//! What one node holds: its data, its sandbox, its ledger, its policy and its name.

use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use jiff::Timestamp;
use spe_kernel::{
    admission::NodePolicy,
    dataset::Offer,
    disclosure::Catalogue,
    dsse::SecretKey,
    fault::Fault,
    ids::{DatasetName, NodeName},
    ledger::Ledger,
    refusal::{Refusal, Stop},
    units::Loss,
};
use spe_sandbox::{Compiler, Sandbox};
use spe_vault::Vault;

use crate::{
    config::{ConfigError, NodeConfig, read_toml},
    journal::Records,
};

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file that the operator wrote.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What the node keeps.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A node's rooms, opened once.
pub struct Site {
    /// The node's name.
    pub name: NodeName,
    /// Signs its answers.
    pub key: SecretKey,
    /// The operator's rules.
    pub policy: NodePolicy,
    /// The data.
    pub vault: Vault,
    /// The engine.
    pub sandbox: Sandbox,
    /// Threads that map data subjects.
    pub workers: usize,
    /// All loss that each dataset's population will ever bear here.
    pub budgets: Vec<(DatasetName, Loss)>,
    ledger: Mutex<Ledger<Records>>,
    records: Records,
}

/// Time and memory that compiling one module may take.
const COMPILE_SECONDS_MAX: u32 = 30;
const COMPILE_MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Separates the cache's key from the other uses of the node's secret.
const CACHE_KEY_CONTEXT: &str = "spe 2026-01-01 seal of compiled modules";

impl Site {
    /// Opens the node in `folder`. `compiler` is the program, with its arguments, that calls [`spe_sandbox::compile_child`].
    ///
    /// # Errors
    /// Which file is wrong, and what is expected; or what cannot be opened.
    pub fn open(folder: &Path, compiler: (PathBuf, Vec<OsString>)) -> Result<Self, OpenError> {
        let config = NodeConfig::read(folder)?;
        let policy: NodePolicy = read_toml(&config.policy_file)?;
        let secret = std::fs::read_to_string(&config.signing_key_file);
        let secret = secret.map_err(|e| ConfigError::new(&config.signing_key_file, e))?;
        let key: SecretKey = secret.parse().map_err(|e| ConfigError::new(&config.signing_key_file, e))?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = if config.workers == 0 { cores } else { config.workers };
        let sandbox = Sandbox::new(spe_sandbox::Config {
            cache_dir: config.compiled_dir(),
            cache_key: blake3::derive_key(CACHE_KEY_CONTEXT, secret.trim().as_bytes()),
            compiler: Compiler {
                program: compiler.0,
                args: compiler.1,
                seconds_max: COMPILE_SECONDS_MAX,
                memory_bytes_max: COMPILE_MEMORY_BYTES_MAX,
            },
            workers_max: u32::try_from(workers).unwrap_or(u32::MAX),
            memory_bytes_max: policy.guest_memory_bytes_max,
        })?;
        let records = Records::open(&config.ledger_file())?;
        let ledger = Mutex::new(Ledger::open(records.clone())?);
        let vault = Vault::open(&config.vault_dir())?;
        let budgets = config.datasets.into_iter().map(|(name, served)| (name, served.budget)).collect();
        Ok(Self { name: config.name, key, policy, vault, sandbox, workers, budgets, ledger, records })
    }

    /// The instant that permits are checked at.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The ledger, for one step.
    ///
    /// # Errors
    /// A panic while the ledger was held: its memory may differ from the journal, so the node must be restarted.
    pub fn ledger(&self) -> Result<MutexGuard<'_, Ledger<Records>>, Fault> {
        self.ledger.lock().map_err(|_| Fault::new("using the ledger", "an earlier step panicked; restart the node"))
    }

    /// The audit log.
    pub fn audit(&self) -> Records {
        self.records.clone()
    }

    /// This node's part of `dataset`.
    ///
    /// # Errors
    /// [`Refusal::DatasetUnknown`].
    pub fn offer(&self, dataset: &DatasetName) -> Result<Offer, Stop> {
        let unknown = || Refusal::DatasetUnknown { dataset: dataset.clone() };
        let held = self.vault.dataset(dataset).ok_or_else(unknown)?;
        let (_, budget) = self.budgets.iter().find(|(name, _)| name == dataset).ok_or_else(unknown)?;
        let spent = self.ledger()?.spent(dataset, *budget);
        Ok(Offer { schema: held.schema().clone(), snapshot: held.snapshot(), budget: *budget, spent })
    }

    /// All that this node offers.
    ///
    /// # Errors
    /// The ledger's own.
    pub fn catalogue(&self) -> Result<Catalogue, Stop> {
        let offers = self.budgets.iter().map(|(dataset, _)| self.offer(dataset));
        Ok(Catalogue { node: self.name.clone(), key: self.key.public(), datasets: offers.collect::<Result<_, _>>()? })
    }
}
