//~ E0063
//! A job that names nobody has nobody to answer for it.
use spe_kernel::{Timestamp, ids::PermitNumber, job::{JOB_FORMAT, JobBody, Purpose}, plan::Plan};

fn ask(permit: PermitNumber, purpose: Purpose, signed_at: Timestamp, plan: Plan) -> JobBody {
    JobBody { format: JOB_FORMAT.into(), permit, purpose, nodes: vec![], signed_at, plan, identity: None }
}

fn main() {}
