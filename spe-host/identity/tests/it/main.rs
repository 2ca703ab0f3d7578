//! Who a person is: every check on a login, fed with real tokens and forged ones.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod config;
mod development;
mod login;
mod openssl;
mod refused;
mod rotation;
mod support;
