//! How good answers are, on real data, through the whole engine: ingest, sandbox, clip, sums, noise, ledger, merge.
//!
//! `benches/utility/fetch` gets the data. `SPE_BENCH_ONLY` names the parts to run, of `means`, `regression`, `clusters` and
//! `mechanisms`.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use spe_benches::Error;

mod ask;
mod clusters;
mod data;
mod gaussian;
mod means;
mod mechanisms;
mod oracle;
mod place;
mod regression;
mod score;

/// The ε that are asked for.
const EPSILONS: [f64; 4] = [0.1, 0.5, 1.0, 2.0];

fn main() -> Result<(), Error> {
    let only = std::env::var("SPE_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| one == part);
    let (place, oracle) = (place::Place::new()?, oracle::Oracle::read()?);
    if wanted("means") {
        means::run(&place)?;
    }
    if wanted("regression") {
        regression::run(&place, &oracle)?;
    }
    if wanted("clusters") {
        clusters::run(&place, &oracle)?;
    }
    if wanted("mechanisms") {
        mechanisms::run(&place)?;
    }
    Ok(())
}
