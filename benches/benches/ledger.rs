//! Durable reservations a second, and how fast a ledger of a million charges opens.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Instant;

use spe_benches::{Error, quantile};
use spe_kernel::{
    dsse::SecretKey,
    ids::Digest,
    ledger::{AnswerKey, Charge, Ledger},
    permit::PermitId,
    units::{Loss, Measure},
};
use spe_node::journal::Records;

const RESERVATIONS: i64 = 2_000;
const ENTRIES: i64 = 1_000_000;

fn charge(number: i64) -> Result<Charge, Error> {
    let loss = |pico| Loss::from_pico(Measure::Zcdp, pico);
    Ok(Charge {
        key: AnswerKey {
            plan: Digest::of(&number.to_le_bytes()),
            dataset: "bench".parse()?,
            snapshot: Digest::of(b""),
            round: 0,
        },
        permit: PermitId { number: "bench".parse()?, issuer: SecretKey::from_seed(&[1; 32]).public() },
        person: "ada".parse()?,
        job: Digest::of(&number.to_be_bytes()),
        loss: loss(1),
        dataset_cap: loss(u64::MAX),
        permit_cap: loss(u64::MAX),
        overlap: 1,
        subjects_max: 1_000_000,
        leaves_at: jiff::Timestamp::UNIX_EPOCH,
        release: spe_kernel::plan::Release::Noisy,
    })
}

fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir_in(std::env::var_os("SPE_BENCH_DIR").unwrap_or(".".into()))?;
    let file = dir.path().join("ledger.sqlite");
    let mut ledger = Ledger::open(Records::open(&file)?)?;
    let mut times = Vec::new();
    let start = Instant::now();
    for number in 0..RESERVATIONS {
        let charge = charge(number)?;
        let begin = Instant::now();
        ledger.reserve(&charge, &[]).map_err(|stop| format!("{stop:?}"))?;
        times.push(begin.elapsed());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "durable reservations: {:.0} a second, one after the other; median {:?}, p99 {:?}",
        2_000.0 / seconds,
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
    drop(ledger);
    rusqlite::Connection::open(&file)?.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO charge (plan, dataset, snapshot, permit, job, measure, pico)
         SELECT randomblob(32), 'bench', x'00', ?2, randomblob(32), 'rho', 1 FROM n",
        (ENTRIES - RESERVATIONS, charge(0)?.permit.to_string()),
    )?;
    let begin = Instant::now();
    Ledger::open(Records::open(&file)?)?;
    println!("opening a ledger of {ENTRIES} charges: {:?}", begin.elapsed());
    Ok(())
}
