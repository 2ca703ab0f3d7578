//~ E0451
//! A permit that nobody signed.
use spe_kernel::{dsse::PublicKey, ids::Digest, permit::{Permit, PermitBody}};

fn forge(body: PermitBody, issuer: PublicKey, digest: Digest) -> Permit {
    Permit { body, issuer, digest }
}

fn main() {}
