//! Every protection of the sandbox against a guest that tries to get around it.
//!
//! Each test says in words which other outcomes would be bugs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    missing_docs
)]

mod cache;
mod checks;
mod compiling;
mod evil;
mod fixture;
mod fuel;
mod hostile;
mod interrupt;
mod isolation;
mod record;
mod regions;
mod rounds;
mod snapshot;
mod speed;
mod wasi;
