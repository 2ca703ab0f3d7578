//! A journal in memory that may fail, and charges for it.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::LazyLock};

use jiff::Timestamp;
use spe_kernel::{
    disclosure::{ANSWER_TYPE, Answer, Confidential, Draw, DrawnOutput, Fresh, Mechanism, OutputSums},
    dsse::{self, PublicKey, SecretKey},
    fault::Fault,
    ids::Digest,
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reservation, Reserving, Total},
    permit::PermitId,
    plan::Release,
    refusal::Stop,
    units::{Loss, Measure},
};

/// What the disk holds for one round of one question.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// With the first round only.
    pub(crate) charge: Option<Charge>,
    pub(crate) state: Vec<f64>,
    pub(crate) leaves_at: Timestamp,
    pub(crate) answer: Option<Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) rounds: BTreeMap<AnswerKey, Stored>,
    /// Fails the next append before (`Some(false)`) or after (`Some(true)`) it became durable.
    pub(crate) fail: Option<bool>,
}

impl Disk {
    pub(crate) fn charges(&self) -> impl Iterator<Item = &Charge> {
        self.rounds.values().filter_map(|stored| stored.charge.as_ref())
    }

    pub(crate) fn spent(&self, of: impl Fn(&Charge) -> bool) -> Loss {
        let charges = self.charges().filter(|charge| of(charge));
        charges.fold(Loss::zero(Measure::Zcdp), |sum, charge| sum.plus(charge.loss).unwrap())
    }
}

#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Disk>>);

impl Memory {
    pub(crate) fn stored(&self, key: &AnswerKey) -> Option<Stored> {
        self.0.borrow().rounds.get(key).cloned()
    }
}

impl Journal for Memory {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        let mut sums: BTreeMap<_, (Loss, u64)> = BTreeMap::new();
        for charge in self.0.borrow().charges() {
            let name = (charge.key.dataset.clone(), charge.permit.clone());
            let (sum, exact) = sums.get(&name).map_or((Ok(charge.loss), 0), |(sum, n)| (sum.plus(charge.loss), *n));
            sums.insert(name, (sum.unwrap(), exact + u64::from(charge.release == Release::ExactTables)));
        }
        let total = |((dataset, permit), (spent, exact_tables))| Total { dataset, permit, spent, exact_tables };
        Ok(sums.into_iter().map(total).collect())
    }

    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        Ok(self.stored(key).map(|stored| stored.answer.map_or(Entry::Open, Entry::Answered)))
    }

    fn leaves_at(&mut self, key: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        Ok(self.stored(key).map(|stored| stored.leaves_at))
    }

    fn paid_by(&mut self, charge: &Charge) -> Result<bool, Fault> {
        let paid = self.stored(&charge.key.at_round(0)).and_then(|stored| stored.charge);
        Ok(paid.is_some_and(|paid| paid.permit == charge.permit && paid.person == charge.person))
    }

    fn state(&mut self, key: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        Ok(self.stored(key).map(|stored| stored.state))
    }

    fn bought(&mut self, job: Digest) -> Result<bool, Fault> {
        Ok(self.0.borrow().charges().any(|charge| charge.job == job))
    }

    fn append(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let mut disk = self.0.borrow_mut();
        let fail = disk.fail.take();
        if fail == Some(false) {
            return Err(Fault::new("test", "the disk failed before the event"));
        }
        let mut begin = |key: &AnswerKey, charge, state, leaves_at| {
            let new = disk.rounds.insert(key.clone(), Stored { charge, state, leaves_at, answer: None }).is_none();
            assert!(new, "the same question was charged, or the same round begun, twice");
        };
        match event {
            Event::Reserved(charge) => begin(&charge.key, Some((*charge).clone()), Vec::new(), charge.leaves_at),
            Event::Began { key, state, leaves_at } => begin(key, None, state.to_vec(), *leaves_at),
            Event::Committed { key, envelope } => {
                let slot = &mut disk.rounds.get_mut(*key).expect("committed without a charge").answer;
                assert!(slot.replace(envelope.to_vec()).is_none(), "a second answer to the same question");
            }
        }
        if fail.is_some() { Err(Fault::new("test", "the disk failed after the event")) } else { Ok(()) }
    }
}

pub(crate) fn key(question: u8) -> AnswerKey {
    AnswerKey { plan: Digest::of(&[question]), dataset: "care".parse().unwrap(), snapshot: Digest::of(b"s"), round: 0 }
}

pub(crate) fn permit_id(permit: u8) -> PermitId {
    static ISSUER: LazyLock<PublicKey> = LazyLock::new(|| SecretKey::from_seed(&[1; 32]).public());
    PermitId { number: format!("p{permit}").parse().unwrap(), issuer: *ISSUER }
}

/// So many 10⁻¹² ρ, and as many 10⁻¹⁸ of δ.
pub(crate) fn rho(pico: u64) -> Loss {
    Loss::from_pico(Measure::Zcdp, pico).with_delta_atto(pico)
}

pub(crate) fn charge(question: u8, permit: u8, loss: Loss) -> Charge {
    Charge {
        key: key(question),
        permit: permit_id(permit),
        person: "ada".parse().unwrap(),
        job: Digest::of(&[question, 1]),
        loss,
        dataset_cap: rho(1_000),
        permit_cap: rho(600),
        overlap: 1,
        subjects_max: 10_000,
        leaves_at: Timestamp::UNIX_EPOCH,
        release: Release::Noisy,
    }
}

pub(crate) fn drawn(noise: Fresh) -> DrawnOutput {
    DrawnOutput { mechanism: Mechanism::DiscreteGaussian, scale: 1.0, sensitivity: 1, noise }
}

pub(crate) fn commit(ledger: &mut Ledger<Memory>, paid: Reservation, noise: i128) -> Result<(), Fault> {
    let draw = Draw::new(paid.key().plan, vec![drawn(Fresh::Cells(vec![noise]))]);
    let noised = Confidential::seal(vec![OutputSums::Cells(vec![0])]).noise(paid, draw)?;
    ledger.commit(noised, &"north".parse().unwrap(), &SecretKey::from_seed(&[3; 32])).map(drop)
}

pub(crate) fn answer(memory: &Memory, key: &AnswerKey) -> Answer {
    let envelope = memory.stored(key).and_then(|stored| stored.answer).expect("an answer");
    serde_json::from_slice(&dsse::verify(&envelope, ANSWER_TYPE, "the answer").unwrap().payload).unwrap()
}

pub(crate) fn paid(reserving: Result<Reserving, Stop>) -> Reservation {
    match reserving {
        Ok(Reserving::Paid(paid)) => paid,
        Ok(Reserving::Answered(_)) => panic!("answered before"),
        Err(stop) => panic!("{stop:?}"),
    }
}
