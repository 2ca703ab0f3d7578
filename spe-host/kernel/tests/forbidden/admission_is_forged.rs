//~ E0451
//! A job that was never checked against its permit.
use spe_kernel::{admission::Admitted, job::Job, ledger::Charge};

fn forge(job: Job, charge: Charge) -> Admitted {
    Admitted { job, charge }
}

fn main() {}
