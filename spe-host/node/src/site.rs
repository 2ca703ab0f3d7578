//! What one node holds: its data, its sandbox, its ledger, its policy and its name.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;
use spe_identity::Issuers;
use spe_kernel::{
    admission::NodePolicy,
    dataset::Offer,
    disclosure::{Catalogue, Draw},
    document,
    dsse::SecretKey,
    fault::Fault,
    ids::{DatasetName, Digest, NodeName},
    job::Job,
    keys::{KeyError, KeySource},
    ledger::Ledger,
    optout::AsOf,
    permit::{Permit, PermitBody, Version},
    plan::Plan,
    refusal::{Refusal, Stop},
    units::Loss,
};
use spe_sandbox::{Compiler, Sandbox};
use spe_vault::{Cohort, Vault};
use spe_wire::FileError;
use tokio::sync::{Notify, watch};

use crate::{
    audit,
    clock::Clock,
    config::{FILE, NodeConfig, Served, read_toml},
    journal::{LogFiles, Records},
    keys::Holder,
    leave::Leave,
    rounds::Lately,
    rules::Rules,
    selftest::machine,
    standing::Standing,
};

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file that the operator wrote.
    #[error(transparent)]
    Config(#[from] FileError),
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
    /// The operator's further rules.
    pub rules: Rules,
    /// Proves who persons are.
    pub people: Issuers,
    /// The data.
    pub vault: Vault,
    /// Where its keys come from.
    pub keys: Arc<dyn KeySource>,
    /// The engine.
    pub sandbox: Sandbox,
    /// Threads that map data subjects.
    pub workers: usize,
    /// Draws noise for a plan: [`spe_release::draw`], and nothing else outside of tests.
    pub noise: fn(&Plan) -> Result<Draw, Fault>,
    /// All loss that each dataset's population will ever bear here.
    pub budgets: Vec<(DatasetName, Loss)>,
    /// What the next round of a job need not check again.
    pub(crate) lately: Lately,
    pub(crate) vault_dir: PathBuf,
    pub(crate) log_files: LogFiles,
    pub(crate) policy_digest: Digest,
    clock: Clock,
    ledger: Mutex<Ledger<Records>>,
    records: Records,
    pub(crate) standing: Standing,
    /// One asks the witness at a time: what it sees must grow.
    pub(crate) witnessing: tokio::sync::Mutex<()>,
    stirred: watch::Sender<()>,
    /// A dataset is gone, and the hub does not know yet.
    pub(crate) withdrawn: Notify,
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
        let keys = Holder::open(&NodeConfig::read(folder)?.keyholder_file)?;
        Self::open_with(folder, compiler, Arc::new(keys))
    }

    /// The same with keys from elsewhere. A dataset whose key is not given is not served; the others are.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        folder: &Path,
        compiler: (PathBuf, Vec<OsString>),
        keys: Arc<dyn KeySource>,
    ) -> Result<Self, OpenError> {
        let config = NodeConfig::read(folder)?;
        let policy: NodePolicy = read_toml(&config.policy_file)?;
        let (here, memory) = (machine::description(), policy.guest_memory_bytes_max);
        let vouched = policy.release.vouched(&here, memory, &folder.to_string_lossy());
        vouched.map_err(FileError::at(&config.policy_file))?;
        let beside = config.policy_file.parent().unwrap_or(folder);
        let people = Issuers::open(&policy.people, beside).map_err(FileError::at(&config.policy_file))?;
        let rules = Rules::of(config.rules_file.as_deref())?;
        let secret = std::fs::read_to_string(&config.signing_key_file);
        let secret = secret.map_err(FileError::at(&config.signing_key_file))?;
        let key: SecretKey = secret.parse().map_err(FileError::at(&config.signing_key_file))?;
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
        let files = [Some(&config.policy_file), config.rules_file.as_ref()];
        let files: Vec<_> = files.into_iter().flatten().map(|f| std::fs::read(f).unwrap_or_default()).collect();
        let policy_digest = audit::policy_digest(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (vault_dir, log_files) = (config.vault_dir(), LogFiles::new(&config.log_dir(), &config.name));
        let records = Records::open(&config.ledger_file())?;
        let clock = Clock::not_before(records.latest_entry_at()?.unwrap_or(Timestamp::MIN));
        // The operator is told at once of a log that is from the future.
        clock.now();
        let ledger = Ledger::open(records.clone())?;
        let vault = Vault::open(&config.vault_dir(), &*keys)?;
        let for_good = |(_, why): &(&DatasetName, &KeyError)| !matches!(why, KeyError::Away(_));
        for (dataset, why) in vault.sealed().filter(for_good) {
            tracing::error!(%dataset, "not served: {why}");
        }
        let budgets = budgets(folder, config.datasets, &vault, &ledger)?;
        let ledger = Mutex::new(ledger);
        let noise = spe_release::draw;
        let standing = Standing::open(&records, &policy.access_bodies)?;
        let (stirred, _) = watch::channel(());
        Ok(Self {
            name: config.name,
            key,
            policy,
            people,
            rules,
            vault,
            keys,
            sandbox,
            workers,
            noise,
            budgets,
            lately: Lately::default(),
            vault_dir,
            log_files,
            policy_digest,
            clock,
            ledger,
            records,
            standing,
            witnessing: tokio::sync::Mutex::default(),
            stirred,
            withdrawn: Notify::new(),
        })
    }

    /// Why keys are missing that may be there later: the key holder is away.
    pub fn waits_for_keys(&self) -> Option<&KeyError> {
        self.vault.sealed().map(|(_, why)| why).find(|why| matches!(why, KeyError::Away(_)))
    }

    /// What time it is for all that ends: permits, revocations, agreements. Never earlier than the audit log's latest entry when the node was
    /// opened, nor than it was before.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the system's clock shows, for all that is compared with other clocks or waited for: logins, the age of jobs, when answers leave.
    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Nothing, if permit and person stand, both by the clock and by the time that never goes back: an exclusion whose end only the latter has
    /// passed holds still.
    ///
    /// # Errors
    /// [`Refusal::PermitExpired`], [`Refusal::PermitRevoked`] or [`Refusal::PersonExcluded`].
    pub(crate) fn stands(&self, leave: &Leave) -> Result<(), Refusal> {
        [self.clock(), self.now()].into_iter().try_for_each(|at| self.standing.check(leave, at))
    }

    /// The ledger, for one step.
    ///
    /// # Errors
    /// A panic while the ledger was held: its memory may differ from the journal, so the node must be restarted.
    pub fn ledger(&self) -> Result<MutexGuard<'_, Ledger<Records>>, Fault> {
        self.ledger.lock().map_err(|_| Fault::new("using the ledger", "an earlier step panicked; restart the node"))
    }

    /// What the node keeps.
    pub(crate) const fn records(&self) -> &Records {
        &self.records
    }

    /// Tells whoever waits for officers or data access bodies that one of them has decided something.
    pub(crate) fn stir(&self) {
        self.stirred.send_replace(());
    }

    /// Changes when an officer or a data access body decides something.
    pub(crate) fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
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

    /// Keeps the permit among those that were seen here.
    ///
    /// # Errors
    /// [`Refusal::PermitReplaced`] where another of its line has taken its place; [`Refusal::Unlawful`] where its line may not have it;
    /// [`Refusal::PermitNumberTaken`] where another document has its number.
    pub fn see(&self, permit: &Permit) -> Result<(), Stop> {
        let now = self.now();
        let revoked = |numbers: &[_]| self.standing.revoked_since(permit.id().issuer, numbers, now);
        let standing = self.audit().see(permit, revoked, now)?;
        Ok(standing.in_force(&permit.body().number).map(drop)?)
    }

    /// Keeps a permit of which the hub tells, so that the one that it replaces holds no longer here from then on. It may begin later. What
    /// runs goes on.
    ///
    /// # Errors
    /// One that no trusted data access body signed, whose number another has, or that its line may not have.
    pub fn learn(&self, envelope: &[u8]) -> Result<(), Stop> {
        let permit = document::open::<PermitBody>(envelope)?.trusting(&self.policy.access_bodies)?;
        let (line, version) = Version::opened(&permit);
        if self.audit().learn(&line, &version, self.now())? {
            tracing::info!(number = %version.number, line = %line.number, "a permit was given");
            // It may have been revoked before it was known of which line it is.
            self.learn_standing()?;
        }
        Ok(())
    }

    /// Whose records `job` may read under `permit`, and which of them: theirs who had not opted out of its purpose when the permit was
    /// issued, unless the permit has an exception, within the permit's time ranges.
    ///
    /// # Errors
    /// A register of opt-outs that cannot be relied on: no job on the dataset runs.
    pub fn cohort(&self, permit: &Permit, job: &Job) -> Result<Cohort, Stop> {
        let dataset = job.body().plan.dataset();
        let held = self.vault.dataset(dataset).ok_or_else(|| Refusal::DatasetUnknown { dataset: dataset.clone() })?;
        let windows = permit.body().windows(held.schema(), &self.name)?;
        // `admit` refused the exception where this node's policy does.
        let cohort = match permit.body().opt_out_exception {
            Some(_) => self.vault.cohort_of_everybody(dataset)?,
            None => self.vault.cohort(dataset, AsOf::of(permit, job, held.schema()))?,
        };
        Ok(cohort.within(windows))
    }

    /// All that this node offers.
    ///
    /// # Errors
    /// The ledger's own.
    pub fn catalogue(&self) -> Result<Catalogue, Stop> {
        let readable = self.budgets.iter().filter(|(dataset, _)| self.vault.dataset(dataset).is_some());
        let offers = readable.map(|(dataset, _)| self.offer(dataset));
        let (node, key) = (self.name.clone(), self.key.public());
        let access_bodies = self.policy.access_bodies.clone();
        Ok(Catalogue { node, key, access_bodies, datasets: offers.collect::<Result<_, _>>()? })
    }
}

/// The served datasets, each of which must be in the vault and accounted as before.
fn budgets(
    folder: &Path,
    served: BTreeMap<DatasetName, Served>,
    vault: &Vault,
    ledger: &Ledger<Records>,
) -> Result<Vec<(DatasetName, Loss)>, FileError> {
    let wrong = |why: String| FileError::at(&folder.join(FILE))(why);
    for (name, Served { budget }) in &served {
        if vault.dataset(name).is_none() && vault.sealed().all(|(sealed, _)| sealed != name) {
            let held: Vec<_> = vault.datasets().map(|d| d.schema().name.to_string()).collect();
            return Err(wrong(format!(
                "[datasets.\"{name}\"] is not in the vault, which holds {held:?}: ingest it, or remove the entry"
            )));
        }
        if i64::try_from(budget.pico()).is_err() {
            return Err(wrong(format!("[datasets.\"{name}\"] a budget of {budget} is more than a ledger can add up")));
        }
        let before = ledger.spent(name, *budget).measure();
        if before != budget.measure() {
            let parameter = before.parameter();
            return Err(wrong(format!(
                "[datasets.\"{name}\"] was always accounted in {parameter}; its budget must be {parameter}=<decimal>"
            )));
        }
    }
    Ok(served.into_iter().map(|(name, served)| (name, served.budget)).collect())
}
