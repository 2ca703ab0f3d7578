//~ E0451
//! A reservation that nobody paid for.
use spe_kernel::{certificate::Certificate, ids::Digest, ledger::{AnswerKey, Reservation}, units::Loss};

fn forge(key: AnswerKey, loss: Loss, state: Digest, certificate: Certificate) -> Reservation {
    Reservation { key, loss, state, certificate }
}

fn main() {}
