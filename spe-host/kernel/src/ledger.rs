//! The privacy ledger: decides here, durable through a [`Journal`]. It knows requests only, never records.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    certificate::{Certificate, Spent},
    disclosure::{ANSWER_TYPE, Committed, Noised},
    dsse::{self, SecretKey},
    fault::Fault,
    ids::{DatasetName, Digest, NodeName, PersonName},
    permit::PermitId,
    plan::Release,
    refusal::{Refusal, Stop},
    rounds::state_digest,
    units::Loss,
};

/// What identifies an answer: a round of a plan over a snapshot of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AnswerKey {
    /// Digest of the plan.
    pub plan: Digest,
    /// The dataset.
    pub dataset: DatasetName,
    /// Digest of the dataset's snapshot.
    pub snapshot: Digest,
    /// The round, from 0; always 0 without rounds.
    pub round: u32,
}

impl AnswerKey {
    /// Another round of the same.
    #[must_use]
    pub fn at_round(&self, round: u32) -> Self {
        Self { round, ..self.clone() }
    }
}

/// A charge to be reserved: what for, how much, and the caps that apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// What is bought: the first round, and with it all others.
    pub key: AnswerKey,
    /// The permit under which it is bought.
    pub permit: PermitId,
    /// Who buys it: nobody else goes on with its rounds.
    pub person: PersonName,
    /// Digest of the signed job.
    pub job: Digest,
    /// The price.
    pub loss: Loss,
    /// All loss that the dataset's population will ever bear.
    pub dataset_cap: Loss,
    /// All loss that the permit allows on this dataset.
    pub permit_cap: Loss,
    /// At how many nodes one person may be; the price bears it.
    pub overlap: u32,
    /// At most so many data subjects are at one node: decides at which δ losses are reported.
    pub subjects_max: u32,
    /// Whatever comes of it leaves no sooner, not even after a crash: durable with it.
    pub leaves_at: Timestamp,
    /// How the answer leaves: no ε is certified for a dataset of which exact tables were bought.
    pub release: Release,
}

/// Proof that a charge is durable, good for one round. Consumed by `noise`; dropping it leaves the charge spent (**pay-first**).
///
/// Not `Clone`: it cannot be used twice.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is a charge without an answer"]
pub struct Reservation {
    key: AnswerKey,
    loss: Loss,
    state: Digest,
    certificate: Certificate,
}

impl Reservation {
    /// What was bought.
    pub const fn key(&self) -> &AnswerKey {
        &self.key
    }

    /// What was paid: all with the first round, nothing with later ones.
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// Digest of the state that this round runs on.
    pub const fn state(&self) -> Digest {
        self.state
    }

    /// What it cost, and what that means.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// What the journal holds for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A charge without an answer.
    Open,
    /// The signed answer.
    Answered(Vec<u8>),
}

/// A sum of charges in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The dataset.
    pub dataset: DatasetName,
    /// The permit.
    pub permit: PermitId,
    /// All its charges on that dataset, answered or open.
    pub spent: Loss,
    /// How many of them were for exact tables.
    pub exact_tables: u64,
}

/// A change of the ledger.
#[derive(Debug)]
pub enum Event<'a> {
    /// A charge, and the beginning of the first round.
    Reserved(&'a Charge),
    /// The beginning of a later round, on a state of public numbers.
    Began {
        /// The round's key.
        key: &'a AnswerKey,
        /// Its state.
        state: &'a [f64],
        /// Whatever comes of it leaves no sooner.
        leaves_at: Timestamp,
    },
    /// Loss and answer become final together.
    Committed {
        /// The charge's key.
        key: &'a AnswerKey,
        /// The signed answer.
        envelope: &'a [u8],
    },
}

/// Durable storage of the ledger. When `append` returns `Ok`, the event has survived a power cut.
pub trait Journal {
    /// The sums of all charges, by dataset and permit.
    ///
    /// # Errors
    /// The storage's own.
    fn totals(&mut self) -> Result<Vec<Total>, Fault>;
    /// What is stored for `key`.
    ///
    /// # Errors
    /// The storage's own.
    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault>;
    /// When what comes of `key` leaves, as it was known before anything was read.
    ///
    /// # Errors
    /// The storage's own.
    fn leaves_at(&mut self, key: &AnswerKey) -> Result<Option<Timestamp>, Fault>;
    /// Whether the charge of that key was made under the permit of `charge`, and by its person.
    ///
    /// # Errors
    /// The storage's own.
    fn paid_by(&mut self, charge: &Charge) -> Result<bool, Fault>;
    /// The state that a later round began with.
    ///
    /// # Errors
    /// The storage's own.
    fn state(&mut self, key: &AnswerKey) -> Result<Option<Vec<f64>>, Fault>;
    /// Whether a charge was ever made for the signed job of that digest.
    ///
    /// # Errors
    /// The storage's own.
    fn bought(&mut self, job: Digest) -> Result<bool, Fault>;
    /// Stores `event`, all or nothing.
    ///
    /// # Errors
    /// The storage's own; the event may or may not have become durable.
    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault>;
}

/// The privacy ledger of one node: the only place where loss is spent.
///
/// # Privacy
/// A filter, not an odometer (Feldman & Zrnic, NeurIPS 2021): a charge is accepted only if the sum stays within the caps,
/// and before anything is read. An [`Entry::Open`] is spent: it counts in [`Journal::totals`] like any other.
/// Watched by the model test in `kernel/tests/it/ledger.rs` and by the kill test of the node.
pub struct Ledger<J> {
    journal: J,
    by_dataset: HashMap<DatasetName, Loss>,
    by_permit: HashMap<(DatasetName, PermitId), Loss>,
    exact_tables: HashMap<DatasetName, u64>,
    /// After a failed append memory and journal may differ; the ledger refuses to go on.
    broken: bool,
}

/// What came of asking to reserve.
pub enum Reserving {
    /// The charge is durable.
    Paid(Reservation),
    /// The same question was answered before; here it is again, free.
    Answered(Committed),
}

impl<J: Journal> Ledger<J> {
    /// Reads the state from the journal.
    ///
    /// # Errors
    /// The journal's own, or charges that cannot be added up.
    pub fn open(mut journal: J) -> Result<Self, Fault> {
        let totals = journal.totals()?;
        let (by_dataset, by_permit) = (HashMap::new(), HashMap::new());
        let mut ledger = Self { journal, by_dataset, by_permit, exact_tables: HashMap::new(), broken: false };
        for Total { dataset, permit, spent, exact_tables } in totals {
            let sum = ledger.spent(&dataset, spent).plus(spent).map_err(Fault::while_("adding up the ledger"))?;
            ledger.by_dataset.insert(dataset.clone(), sum);
            ledger.count_exact(&dataset, exact_tables);
            ledger.by_permit.insert((dataset, permit), spent);
        }
        Ok(ledger)
    }

    /// What was spent on `dataset`, in the measure of `like`.
    pub fn spent(&self, dataset: &DatasetName, like: Loss) -> Loss {
        self.by_dataset.get(dataset).copied().unwrap_or(Loss::zero(like.measure()))
    }

    /// The stored answer of `key`, if there is one.
    ///
    /// # Errors
    /// [`Refusal::Interrupted`] for a charge whose answer was lost with the process that computed it.
    pub fn recall(&mut self, key: &AnswerKey) -> Result<Option<Committed>, Stop> {
        match self.journal.find(key)? {
            None => Ok(None),
            Some(Entry::Answered(envelope)) => Ok(Some(Committed { key: key.clone(), envelope })),
            Some(Entry::Open) => Err(Refusal::Interrupted { plan: key.plan }.into()),
        }
    }

    /// Makes `charge` durable, or says why not. The same key is never charged twice. `state` is what the first round runs on;
    /// nothing without rounds.
    ///
    /// # Errors
    /// A refusal when a cap would be exceeded or the same job was interrupted; the journal's faults.
    pub fn reserve(&mut self, charge: &Charge, state: &[f64]) -> Result<Reserving, Stop> {
        self.check_sound()?;
        if let Some(committed) = self.recall(&charge.key)? {
            return Ok(Reserving::Answered(committed));
        }
        // The data has changed since. Asking it again is the researcher's decision, not that of whoever kept the job.
        if self.journal.bought(charge.job)? {
            return Err(Refusal::JobSpent.into());
        }
        let (dataset_sum, permit_sum) = self.decide(charge)?;
        let before = self.spent(&charge.key.dataset, charge.dataset_cap);
        self.apply(&Event::Reserved(charge))?;
        let exact_tables = self.count_exact(&charge.key.dataset, u64::from(charge.release == Release::ExactTables));
        let certificate = Certificate::of(charge, Spent { before, after: dataset_sum, exact_tables });
        let Charge { key, permit, loss, .. } = charge.clone();
        self.by_dataset.insert(key.dataset.clone(), dataset_sum);
        self.by_permit.insert((key.dataset.clone(), permit), permit_sum);
        Ok(Reserving::Paid(Reservation { key, loss, state: state_digest(state), certificate }))
    }

    /// Begins a later round of `charge` on `state`, or gives its answer again. The charge was made with the first round, and is
    /// good for all `rounds` of the plan that it names.
    ///
    /// # Security
    /// What was answered is anybody's who may ask the same (**same-answer**). What comes next is the payer's to choose: whoever else
    /// holds a permit for this plan could use up its rounds on states of their own. Watched by
    /// `only_who_paid_goes_on_with_the_rounds` in `kernel/tests/it/ledger.rs`.
    ///
    /// # Errors
    /// A round that does not follow an answered one, that somebody else paid for, or that was interrupted; the journal's faults.
    pub fn begin(&mut self, charge: &Charge, round: u32, rounds: u32, state: &[f64]) -> Result<Reserving, Stop> {
        self.check_sound()?;
        let key = charge.key.at_round(round);
        if let Some(committed) = self.recall(&key)? {
            return Ok(Reserving::Answered(committed));
        }
        let follows = match round.checked_sub(1).filter(|_| round < rounds) {
            Some(last) => matches!(self.journal.find(&charge.key.at_round(last))?, Some(Entry::Answered(_))),
            None => false,
        };
        if !follows {
            return Err(Refusal::RoundOutOfTurn { round }.into());
        }
        if !self.journal.paid_by(charge)? {
            return Err(Refusal::RoundOfAnother { round }.into());
        }
        self.apply(&Event::Began { key: &key, state, leaves_at: charge.leaves_at })?;
        let (free, spent) = (Loss::zero(charge.loss.measure()), self.spent(&key.dataset, charge.dataset_cap));
        let exact_tables = self.count_exact(&key.dataset, 0);
        let certificate = Certificate::of(charge, Spent { before: spent, after: spent, exact_tables });
        Ok(Reserving::Paid(Reservation { key, loss: free, state: state_digest(state), certificate }))
    }

    /// When what comes of `key` leaves, be it an answer or that there is none; nothing if it was never charged.
    ///
    /// # Errors
    /// The journal's own.
    pub fn leaves_at(&mut self, key: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        self.journal.leaves_at(key)
    }

    /// The state that a later round began with.
    ///
    /// # Errors
    /// The journal's own.
    pub fn state(&mut self, key: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        self.journal.state(key)
    }

    /// Adds to the exact tables that were bought of `dataset`; how many there are.
    fn count_exact(&mut self, dataset: &DatasetName, more: u64) -> u64 {
        let count = self.exact_tables.entry(dataset.clone()).or_default();
        *count = count.saturating_add(more);
        *count
    }

    fn check_sound(&self) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::new("reserving", "an earlier append failed; restart the node"));
        }
        Ok(())
    }

    /// The sums after `charge`, if both caps allow it.
    ///
    /// # Errors
    /// Which cap does not.
    pub fn decide(&self, charge: &Charge) -> Result<(Loss, Loss), Refusal> {
        let Charge { key, permit, loss, dataset_cap, permit_cap, .. } = charge;
        let spent = self.spent(&key.dataset, *dataset_cap);
        let spent_permit = self.by_permit.get(&(key.dataset.clone(), permit.clone())).copied();
        let spent_permit = spent_permit.unwrap_or(Loss::zero(permit_cap.measure()));
        delta_allowed(*loss, *dataset_cap, "the dataset's budget")?;
        delta_allowed(*loss, *permit_cap, "the permit's loss_cap")?;
        let within = |spent: Loss, cap: Loss| spent.plus(*loss).ok().filter(|sum| sum.fits(cap));
        let dataset = key.dataset.clone();
        let dataset_sum = within(spent, *dataset_cap).ok_or(Refusal::DatasetLossExhausted {
            dataset,
            asked: *loss,
            spent,
            cap: *dataset_cap,
        })?;
        let permit_sum = within(spent_permit, *permit_cap).ok_or(Refusal::PermitLossExhausted {
            asked: *loss,
            spent: spent_permit,
            cap: *permit_cap,
        })?;
        Ok((dataset_sum, permit_sum))
    }

    /// Makes loss and answer final in one event, and the answer `node`'s by its signature.
    ///
    /// # Errors
    /// The journal's own; the charge stays spent.
    pub fn commit(&mut self, noised: Noised, node: &NodeName, signer: &SecretKey) -> Result<Committed, Fault> {
        let (paid, answer) = noised.into_answer(node.clone());
        let payload = serde_json::to_vec(&answer).map_err(Fault::while_("writing the answer"))?;
        let envelope = dsse::sign(ANSWER_TYPE, &payload, signer);
        self.apply(&Event::Committed { key: &paid.key, envelope: &envelope })?;
        Ok(Committed { key: paid.key, envelope })
    }

    fn apply(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let applied = self.journal.append(event);
        self.broken |= applied.is_err();
        applied
    }
}

/// Whether `cap` has room for the δ of `loss`, were nothing spent: where it never has, "ask for less" is no advice.
///
/// # Errors
/// [`Refusal::DeltaNotAllowed`], in the name of whose cap it is.
pub(crate) fn delta_allowed(loss: Loss, cap: Loss, by: &str) -> Result<(), Refusal> {
    if loss.measure() == cap.measure() && loss.delta_atto() > cap.delta_atto() {
        return Err(Refusal::DeltaNotAllowed { by: by.into(), allowed: cap.delta_text() });
    }
    Ok(())
}
