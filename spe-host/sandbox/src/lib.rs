//! The sandbox: the only door to the WebAssembly engine.
//!
//! Guest code is malicious from its first instruction. It is checked without running it ([`inspect`]), compiled in a
//! process of its own with limits on time and memory ([`compile_child`]), and run once for each data subject in a
//! fresh instance ([`Worker`]), so that **guest-blind** holds: what a guest gives for one data subject is a function of
//! the module, the plan, the public state of the round and that data subject's record, and of nothing else.
//!
//! ```text
//! bytes ── inspect ── compile (or cache) ── probe: spe_input, spe_start ── ApprovedModule ── Worker ── Contribution
//!
//! between rounds: ApprovedModule ── update, on public numbers ── state ── with_state ── ApprovedModule
//! ```
//!
//! # Privacy
//! Everything up to [`ApprovedModule`] happens before any record is read, and between rounds a fresh instance sees public
//! numbers only, so that refusals are **data-blind**. After it, a guest's failure is a
//! [`spe_kernel::record::Contribution::Failed`], which nobody can tell from any other contribution.

mod approved;
mod cache;
mod child;
mod compile;
mod engine;
mod guest;
mod inspect;
mod interrupt;
mod layout;
mod refused;
mod sandbox;
mod seats;
mod terms;
mod trusted;
mod update;
mod wasi;
mod worker;

pub use approved::ApprovedModule;
pub use child::compile_child;
pub use compile::Compiler;
pub use inspect::{FUNCTIONS_MAX, GLOBALS_MAX, Inspection, ModuleError, TABLE_ELEMENTS_MAX, TABLES_MAX, inspect};
pub use interrupt::Interrupt;
pub use sandbox::{Config, Sandbox};
pub use worker::Worker;
