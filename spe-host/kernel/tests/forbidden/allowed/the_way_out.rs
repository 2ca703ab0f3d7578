//! The twin of the forbidden: the one way out does compile.
use spe_kernel::{
    audit::{self, AuditLog},
    disclosure::{Confidential, Draw, MayLeave, Sums},
    dsse::SecretKey,
    fault::Fault,
    ids::NodeName,
    ledger::{Journal, Ledger, Reservation},
};

fn leave(_: &impl MayLeave) {}

fn out<J: Journal>(sums: Confidential<Sums>, paid: Reservation, draw: Draw, ledger: &mut Ledger<J>, log: &mut impl AuditLog, node: &NodeName, key: &SecretKey) -> Result<(), Fault> {
    let sums = sums.map(|sums| sums);
    let committed = ledger.commit(sums.noise(paid, draw)?, node, key)?;
    leave(&audit::append(log, committed)?);
    Ok(())
}

fn main() {
    let _ = Confidential::seal(7);
}
