//~ E0451
//! An exact table does not leave on anybody's word that two officers signed.
use spe_kernel::{disclosure::Committed, gate::{ByTwo, Cleared}, refusal::Refusal};

fn leave(committed: Committed) -> Result<Cleared, Refusal> {
    let answer = committed.digest();
    Cleared::by_two_officers(committed, &ByTwo { answer })
}

fn main() {}
