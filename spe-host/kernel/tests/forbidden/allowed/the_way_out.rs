//! The twin of the forbidden: the one way out does compile.
use spe_kernel::{
    audit::{self, AuditLog},
    disclosure::{Confidential, Draw, MayLeave, Sums},
    dsse::SecretKey,
    fault::Fault,
    gate::Cleared,
    ids::NodeName,
    ledger::{Journal, Ledger, Reservation},
    officer::Verdict,
};

fn leave(_: &impl MayLeave) {}

fn out<J: Journal>(sums: Confidential<Sums>, paid: Reservation, draw: Draw, ledger: &mut Ledger<J>, log: &mut impl AuditLog, node: &NodeName, key: &SecretKey, verdict: &Verdict) -> Result<(), Fault> {
    let sums = sums.map(|sums| sums);
    let committed = ledger.commit(sums.noise(paid, draw)?, node, key)?;
    let cleared = Cleared::by_officer(committed, verdict).map_err(|_| Fault::new("checking", "refused"))?;
    leave(&audit::append(log, cleared)?);
    Ok(())
}

fn main() {
    let _ = Confidential::seal(7);
}
