//! Tests of the law.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::type_complexity,
    reason = "tests fail by panicking"
)]

mod admission;
mod agreement;
mod disclosure;
mod disk;
mod exact;
mod federation;
mod fixture;
mod forbidden;
mod gate;
mod governance;
mod ledger;
mod line;
mod manifest;
mod optout;
mod pace;
mod permit;
mod person;
mod procedure;
mod schemas;
mod scopes;
