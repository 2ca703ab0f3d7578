//~ E0451
//! A permit that nobody signed.
use spe_kernel::{dsse::PublicKey, permit::{Permit, PermitBody}};

fn forge(body: PermitBody, issuer: PublicKey) -> Permit {
    Permit { body, issuer }
}

fn main() {}
