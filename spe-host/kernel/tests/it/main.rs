//! Tests of the law.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod admission;
mod disclosure;
mod disk;
mod federation;
mod fixture;
mod forbidden;
mod ledger;
mod manifest;
