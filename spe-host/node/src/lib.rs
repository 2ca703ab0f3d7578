//! A data holder's node: it dials out to the hub, takes jobs, and decides alone (**sovereign**).
//!
//! [`run::run`] is the corridor: the way of one job, read from top to bottom.

pub mod attend;
pub mod config;
pub mod journal;
pub mod map;
pub mod rounds;
pub mod run;
pub mod selftest;
pub mod site;
