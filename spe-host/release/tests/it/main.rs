//! The release engine's tests: bounds by brute force, sums by properties, noise by statistics.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::type_complexity,
    reason = "tests"
)]

mod audit;
mod conversion;
mod coverage;
mod figures;
mod goodness;
mod path;
mod plans;
mod proofs;
mod scale;
mod sensitivity;
mod statistics;
mod sums;
mod upstream;
mod zeroed;
