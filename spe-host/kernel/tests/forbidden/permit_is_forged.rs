//~ E0451
//! A permit that nobody signed.
use spe_kernel::permit::{Permit, PermitBody};

fn forge(body: PermitBody) -> Permit {
    Permit { body }
}

fn main() {}
