//! Models that are fitted in rounds: what a person contributes to a `vector_sum` of norm 1, and what becomes of the
//! sum.
//!
//! They need one output only, because every vector counts its person as well: a part of its length, the same for
//! everyone, is spent on that.

pub mod descent;
pub mod lloyd;
