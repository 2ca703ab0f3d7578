//~ E0451
//! A reservation that nobody paid for.
use spe_kernel::{ledger::{AnswerKey, Reservation}, units::Loss};

fn forge(key: AnswerKey, loss: Loss) -> Reservation {
    Reservation { key, loss }
}

fn main() {}
