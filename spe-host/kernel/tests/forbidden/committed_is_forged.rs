//~ E0451
//! A `Committed` made by hand would be logged and leave without a charge.
use spe_kernel::{disclosure::Committed, ledger::AnswerKey};

fn forge(key: AnswerKey) -> Committed {
    Committed { key, envelope: b"42".to_vec() }
}

fn main() {}
