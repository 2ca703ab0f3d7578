//! What one node holds: its data, its sandbox, its ledger, its policy and its name.

use std::sync::{Mutex, MutexGuard};

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
use spe_sandbox::Sandbox;
use spe_vault::Vault;

use crate::journal::Records;

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

impl Site {
    /// Opens the ledger in `records` and joins the rooms.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    #[expect(clippy::too_many_arguments, reason = "the one place where a node is put together")]
    pub fn new(
        name: NodeName,
        key: SecretKey,
        policy: NodePolicy,
        vault: Vault,
        sandbox: Sandbox,
        workers: usize,
        budgets: Vec<(DatasetName, Loss)>,
        records: Records,
    ) -> Result<Self, Fault> {
        let ledger = Mutex::new(Ledger::open(records.clone())?);
        Ok(Self { name, key, policy, vault, sandbox, workers, budgets, ledger, records })
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
        let held = self.vault.datasets().iter().find(|d| d.schema.name == *dataset).ok_or_else(unknown)?;
        let (_, budget) = self.budgets.iter().find(|(name, _)| name == dataset).ok_or_else(unknown)?;
        let spent = self.ledger()?.spent(dataset, *budget);
        Ok(Offer { schema: held.schema.clone(), snapshot: held.snapshot, budget: *budget, spent })
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
