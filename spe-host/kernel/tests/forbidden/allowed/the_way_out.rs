//! The twin of the forbidden: the one way out does compile.
use spe_kernel::{
    audit::{self, AuditLog},
    disclosure::{Committed, Confidential, Draw, MayLeave, Sums},
    dsse::SecretKey,
    exact::ExactGrant,
    fault::Fault,
    gate::{ByTwo, Cleared, Examined},
    ids::NodeName,
    ledger::{Journal, Ledger, Reservation},
    officer::Verdict,
};

fn leave(_: &impl MayLeave) {}

fn out<J: Journal>(sums: Confidential<Sums>, paid: Reservation, draw: Draw, ledger: &mut Ledger<J>, log: &mut impl AuditLog, node: &NodeName, key: &SecretKey, examined: &Examined, verdict: &Verdict) -> Result<(), Fault> {
    let sums = sums.map(|sums| sums);
    let committed = ledger.commit(sums.noise(paid, draw)?, node, key)?;
    let cleared = Cleared::by_officer(committed, examined, verdict).map_err(|_| Fault::new("checking", "refused"))?;
    leave(&audit::append(log, cleared)?);
    Ok(())
}

fn out_by_two(committed: Committed, agreed: &ByTwo, log: &mut impl AuditLog) -> Result<(), Fault> {
    let cleared = Cleared::by_two_officers(committed, agreed).map_err(|_| Fault::new("checking", "refused"))?;
    leave(&audit::append(log, cleared)?);
    Ok(())
}

fn exact(granted: &ExactGrant) -> Draw {
    Draw::exact(granted)
}

fn main() {
    let _ = Confidential::seal(7);
}
