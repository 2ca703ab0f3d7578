//~ E0451
//! An answer that nobody answers for does not come to the log.
use spe_kernel::{audit::{self, AuditLog}, disclosure::Committed, gate::Cleared};

fn leave(log: &mut impl AuditLog, committed: Committed) {
    let _ = audit::append(log, Cleared { committed });
}

fn main() {}
