//! One binary for all integration tests of the vault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod blocks;
mod declaration;
mod filters;
mod ingest;
mod optout;
mod property;
mod refused;
mod refused_rows;
mod rotation;
mod scan;
mod sealed;
mod snapshots;
mod support;
mod windows;
