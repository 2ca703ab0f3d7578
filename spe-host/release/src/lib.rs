//! The release engine: what one data subject may add to a sum, and the noise that pays for telling it.
//!
//! The only door to opendp, of which two things are used: exact discrete samplers and their privacy maps. Clamping,
//! quantising, clipping and summing are ours, in integers (**exact**).
//!
//! ```text
//! Contribution → share (clamp, quantise; may be wrong) → clip (the law) → i128 sums ─┐
//! Plan → scale (smallest that the planned loss buys) → draw, before any record ─────────┴→ Confidential::noise
//! ```
//!
//! The privacy proof rests on [`clip`](clip::clip), on integer addition and on opendp. No float is part of it.

pub mod block_mean;
pub mod clip;
pub mod count;
pub mod gaussian;
pub mod grouped_mean;
pub mod histogram;
pub mod keys;
pub mod laplace;
pub mod mean;
pub mod quantiles;
pub mod sum;
pub mod survival;
pub mod variance;
pub mod vector_sum;

mod accumulator;
mod draw;
mod share;

pub use accumulator::Accumulator;
pub use draw::{draw, noise};
