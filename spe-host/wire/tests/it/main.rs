//! Integration tests of the wire, over real loopback TLS.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod door;
mod generated;
mod hostile;
mod request;
mod rounds;
mod seats;
mod silence;
mod stub;
mod tls;
