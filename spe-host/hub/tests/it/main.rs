//! Integration tests of the hub, over real loopback TLS, with fake nodes that tell the truth or lie.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod agreements;
mod answers;
mod applications;
mod enrolment;
mod federation;
mod fit;
mod jobs;
mod liars;
mod limits;
mod members;
mod papers;
mod permits;
mod register;
mod restart;
mod roles;
mod rounds;
mod rounds_ending;
mod standing;
mod terms;
mod unreadable;
mod upgrade;
mod witness;
