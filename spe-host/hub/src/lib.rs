//! The hub of a federation: it keeps members, catalogues and modules, carries jobs to nodes, and merges what they release.
//!
//! It is trusted with nothing but what was released: no data, no WebAssembly, no noise; it cannot forge a job, a permit or
//! an answer, because each is signed by its author and checked where it is used. What it decides is who may call, which
//! nodes a job goes to, which answers are answers, and when a round is over. Everything that it has acknowledged survives a
//! restart.

mod activity;
mod agreements;
mod applications;
mod calendar;
mod config;
mod enrolment;
mod hub;
mod intake;
mod operators;
mod patience;
mod presence;
mod records;
mod register;
pub mod roles;
mod service;
mod sparing;
mod stop;
mod store;
mod turns;
pub mod view;
mod witness;

pub use agreements::{Kept, TERMS, agree, agreement, agreements};
pub use calendar::Calendar;
pub use config::{CONFIG_FILE as FILE, Config};
pub use enrolment::{dismiss, init, invite, invite_by_token, roles_of};
pub use hub::Hub;
pub use operators::{Operated, Operator, operated};
pub use patience::{Clock, Winder};
pub use records::{Point, Record, record};
pub use stop::NotDone;
pub use store::witness::Evidence;
pub use witness::{evidence, seen};
