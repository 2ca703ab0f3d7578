//! The whole of `spe`, as its users meet it: real processes, real TLS, real data, real crashes.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod commands;
mod corridor;
mod federation;
mod kinds;
mod place;
mod samples;
