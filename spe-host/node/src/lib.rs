//! A data holder's node: it dials out to the hub, takes jobs, and decides alone (**sovereign**).
//!
//! [`run::run`] is the corridor: the way of one job, read from top to bottom.

pub mod agreement;
pub mod attend;
mod audit;
mod clock;
pub mod config;
pub mod desk;
pub mod ending;
mod gate;
pub mod journal;
pub mod keys;
mod leave;
pub mod map;
mod officers;
pub mod rounds;
pub mod rules;
pub mod run;
pub mod selftest;
pub mod site;
mod standing;
pub mod tables;
mod witness;
