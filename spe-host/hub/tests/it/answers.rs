//! Answers made on the one lawful way, with numbers that a test chooses: a lying node has the same types as an honest one.

use jiff::Timestamp;
use spe_kernel::{
    audit::{self, AuditLog},
    disclosure::{Committed, Confidential, Draw, DrawnOutput, Fresh, OutputSums, Released},
    dsse::SecretKey,
    fault::Fault,
    federation::{mechanism, nominal_scale},
    gate::{ByTwo, Cleared},
    ids::{Digest, NodeName, PersonName},
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reserving, Total},
    officer::{Matter, Officer, VERDICT_FORMAT, Verdict, VerdictBody},
    permit::PermitId,
    plan::Plan,
};

/// A journal that forgets all but that the rounds before this one were answered: these tests are about the hub.
struct Before(u32);

impl Journal for Before {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        Ok(Vec::new())
    }
    fn find(&mut self, key: &AnswerKey) -> Result<Option<Entry>, Fault> {
        Ok((key.round < self.0).then(|| Entry::Answered(Vec::new())))
    }
    fn leaves_at(&mut self, _: &AnswerKey) -> Result<Option<Timestamp>, Fault> {
        Ok(None)
    }
    fn paid_by(&mut self, _: &Charge) -> Result<bool, Fault> {
        Ok(true)
    }
    fn state(&mut self, _: &AnswerKey) -> Result<Option<Vec<f64>>, Fault> {
        Ok(None)
    }
    fn bought(&mut self, _: Digest) -> Result<bool, Fault> {
        Ok(false)
    }
    fn append(&mut self, _: &Event<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

impl AuditLog for Before {
    fn record(&mut self, _: &AnswerKey, _: Digest) -> Result<(), Fault> {
        Ok(())
    }
}

/// What an answer says.
pub(crate) struct Claim<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) signer: &'a SecretKey,
    pub(crate) plan: &'a Plan,
    pub(crate) people: i128,
    /// Times the noise scale that the plan's loss buys.
    pub(crate) scale: f64,
    pub(crate) cells: usize,
    pub(crate) round: u32,
    /// What the round ran on.
    pub(crate) state: &'a [f64],
}

impl<'a> Claim<'a> {
    /// The truth: `people` people.
    pub(crate) fn honest(node: &'a crate::federation::Node, plan: &'a Plan, people: i128) -> Self {
        Self { node: &node.name, signer: &node.key, plan, people, scale: 1.0, cells: 1, round: 0, state: &[] }
    }

    pub(crate) fn release(&self) -> Released {
        let planned = &self.plan.outputs()[0];
        let cap = "rho=100".parse().unwrap();
        let charge = Charge {
            key: AnswerKey {
                plan: self.plan.digest(),
                dataset: self.plan.dataset().clone(),
                snapshot: Digest::of(b"snapshot"),
                round: 0,
            },
            permit: PermitId { number: "permit-1".parse().unwrap(), issuer: self.signer.public() },
            person: "anna".parse().unwrap(),
            job: Digest::of(b"job"),
            loss: self.plan.charge(),
            dataset_cap: cap,
            permit_cap: cap,
            overlap: self.plan.overlap(),
            subjects_max: 1_000,
            leaves_at: Timestamp::UNIX_EPOCH,
            release: self.plan.release(),
        };
        let mut ledger = Ledger::open(Before(self.round)).unwrap();
        let reserving = match self.round {
            0 => ledger.reserve(&charge, self.state),
            // A lying node answers rounds that there are not.
            round => ledger.begin(&charge, round, round + 1, self.state),
        };
        let Ok(Reserving::Paid(paid)) = reserving else { panic!("a fresh ledger refused a charge") };
        let sums = vec![OutputSums::Cells(vec![self.people << planned.grid_bits; self.cells])];
        let drawn = DrawnOutput {
            mechanism: mechanism(self.plan.measure()),
            scale: self.scale * nominal_scale(planned),
            sensitivity: planned.sensitivity(),
            noise: Fresh::Cells(vec![0; self.cells]),
        };
        let noised = Confidential::seal(sums).noise(paid, Draw::new(self.plan.digest(), vec![drawn])).unwrap();
        audit::append(&mut Before(0), waved_through(ledger.commit(noised, self.node, self.signer).unwrap(), self.node))
            .unwrap()
    }
}

/// A lying node has three officers who agree to everything.
fn waved_through(committed: Committed, node: &NodeName) -> Cleared {
    let agrees = |name: &str, seed: u8, matter: Matter| {
        let (key, officer): (_, PersonName) = (SecretKey::from_seed(&[seed; 32]), name.parse().unwrap());
        let body = VerdictBody {
            format: VERDICT_FORMAT.into(),
            node: node.clone(),
            matter,
            allowed: true,
            reason: String::new(),
            officer: officer.clone(),
            decided_at: Timestamp::UNIX_EPOCH,
        };
        let officers = [Officer { name: officer, key: key.public(), duties: vec![matter.duty()] }];
        Verdict::verify(&body.sign(&key), node, &officers).unwrap()
    };
    let (release, anna) = (Matter::Release(committed.digest()), SecretKey::from_seed(&[11; 32]).public());
    let verdicts = [agrees("olaf", 9, release), agrees("olga", 10, release)];
    let approval = agrees("oda", 12, Matter::Run(Digest::of(b"job")));
    let asked_by = (&"anna".parse().unwrap(), anna);
    let agreed = ByTwo::of(committed.digest(), &verdicts, asked_by, &approval).unwrap().unwrap();
    Cleared::by_two_officers(committed, &agreed).unwrap()
}
