//! The law of `spe`: what may be disclosed, to whom, and at what price.
//!
//! No I/O, no async, no clock and no big dependency lives here; the doors (`sandbox`, `vault`, `release`, `wire`)
//! depend on this crate and never on each other. The invariants that code and tests refer to by name — **one-exit**,
//! **pay-first**, **same-answer**, **guest-blind**, **data-blind refusal**, **exact**, **sovereign**,
//! **subject-blind guest**, **disjoint**, **data-blind time** — are written in `docs/architecture.md`.

pub mod admission;
pub mod audit;
pub mod certificate;
pub mod conversion;
pub mod dataset;
pub mod disclosure;
pub mod dsse;
pub mod fault;
pub mod federation;
pub mod filter;
pub mod ids;
pub mod job;
pub mod ledger;
pub mod manifest;
pub mod optout;
pub mod pace;
pub mod permit;
pub mod plan;
pub mod record;
pub mod refusal;
pub mod rounds;
pub mod statistic;
pub mod units;
