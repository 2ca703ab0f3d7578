//! The law of `spe`: what may be disclosed, to whom, and at what price.
//!
//! No I/O, no async, no clock and no big dependency lives here; the doors (`sandbox`, `vault`, `release`, `wire`)
//! depend on this crate and never on each other. The invariants that code and tests refer to by name — **one-exit**,
//! **pay-first**, **same-answer**, **guest-blind**, **data-blind refusal**, **exact**, **sovereign**,
//! **subject-blind guest**, **disjoint**, **data-blind time** — are written in `docs/architecture.md`.

/// An instant, as permits, jobs and charges have it.
pub use jiff::Timestamp;

pub mod admission;
pub mod agreement;
pub mod application;
pub mod audit;
pub mod category;
pub mod certificate;
pub mod conversion;
pub mod dataset;
pub mod decision;
pub mod deletion;
pub mod disclosure;
pub mod document;
pub mod dsse;
pub mod exact;
pub mod fault;
pub mod federation;
pub mod filter;
pub mod gate;
pub mod ids;
pub mod incident;
pub mod job;
pub mod keys;
pub mod ledger;
pub mod manifest;
pub mod notice;
pub mod officer;
pub mod onward;
pub mod optout;
pub mod pace;
pub mod permit;
pub mod person;
pub mod plan;
pub mod purpose;
pub mod receipt;
pub mod record;
pub mod refusal;
pub mod revocation;
pub mod rounds;
pub mod schema;
pub mod sparing;
pub mod statistic;
pub mod tlog;
pub mod units;
