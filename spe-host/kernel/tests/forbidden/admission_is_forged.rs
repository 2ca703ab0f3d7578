//~ E0451
//! A job that was never checked against its permit.
use spe_kernel::{admission::Admitted, job::Job, ledger::Charge};

fn forge(job: Job, charge: Charge, of_another_job: Admitted) -> Admitted {
    Admitted { job, charge, ..of_another_job }
}

fn main() {}
