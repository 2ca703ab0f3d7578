//! Answers made on the one lawful way, with numbers that a test chooses: a lying node has the same types as an honest one.

use spe_kernel::{
    audit::{self, AuditLog},
    disclosure::{Confidential, Draw, DrawnOutput, Released},
    dsse::SecretKey,
    fault::Fault,
    federation::{mechanism, nominal_scale},
    ids::{Digest, NodeName},
    ledger::{AnswerKey, Charge, Entry, Event, Journal, Ledger, Reserving, Total},
    permit::PermitId,
    plan::Plan,
};

/// A journal that forgets: these tests are about the hub.
struct Nowhere;

impl Journal for Nowhere {
    fn totals(&mut self) -> Result<Vec<Total>, Fault> {
        Ok(Vec::new())
    }
    fn find(&mut self, _: &AnswerKey) -> Result<Option<Entry>, Fault> {
        Ok(None)
    }
    fn bought(&mut self, _: Digest) -> Result<bool, Fault> {
        Ok(false)
    }
    fn append(&mut self, _: &Event<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

impl AuditLog for Nowhere {
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
}

impl<'a> Claim<'a> {
    /// The truth: `people` people.
    pub(crate) fn honest(node: &'a crate::federation::Node, plan: &'a Plan, people: i128) -> Self {
        Self { node: &node.name, signer: &node.key, plan, people, scale: 1.0, cells: 1 }
    }

    pub(crate) fn release(&self) -> Released {
        let planned = &self.plan.outputs()[0];
        let key = AnswerKey {
            plan: self.plan.digest(),
            dataset: self.plan.dataset().clone(),
            snapshot: Digest::of(b"snapshot"),
        };
        let cap = "rho=100".parse().unwrap();
        let charge = Charge {
            key,
            permit: PermitId { number: "permit-1".parse().unwrap(), issuer: self.signer.public() },
            job: Digest::of(b"job"),
            loss: self.plan.loss(),
            dataset_cap: cap,
            permit_cap: cap,
        };
        let mut ledger = Ledger::open(Nowhere).unwrap();
        let Ok(Reserving::Paid(paid)) = ledger.reserve(&charge) else { panic!("a fresh ledger refused a charge") };
        let sums = vec![vec![self.people << planned.grid_bits; self.cells]];
        let scale = self.scale * nominal_scale(planned);
        let drawn = DrawnOutput { mechanism: mechanism(self.plan.measure()), scale, noise: vec![0; self.cells] };
        let noised = Confidential::seal(sums).noise(paid, Draw::new(self.plan.digest(), vec![drawn])).unwrap();
        audit::append(&mut Nowhere, ledger.commit(noised, self.node, self.signer).unwrap()).unwrap()
    }
}
