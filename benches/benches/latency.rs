//! From submitting a signed job to the merged result, over three node processes on a small dataset: median of 50.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{path::Path, time::Instant};

use spe_benches::{Error, Federation, Researcher, quantile};
use spe_kernel::plan::{Choices, Plan};

const JOBS: u32 = 50;

fn main() -> Result<(), Error> {
    let federation = Federation::of_three(&["years.coins", "years.mdvis"])?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(&federation))
}

async fn ask(federation: &Federation) -> Result<(), Error> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/modules");
    let wasm = std::fs::read(modules.join("visits-by-coinsurance.wasm"))?;
    let inspection = spe_sandbox::inspect(&wasm)?;
    let ada = Researcher::of(federation).await?;
    ada.hub.put_module(wasm).await?;
    let mut times = Vec::new();
    for attempt in 0..=JOBS {
        let choices = Choices { attempt, ..Choices::new("rho=0.01".parse()?) };
        let job = ada.job(Plan::new(&inspection.manifest, inspection.digest, &ada.schema, &choices)?)?;
        let begin = Instant::now();
        let job = ada.hub.submit(job).await?;
        let mut views = ada.hub.watch(&job).await?;
        while let Some(view) = views.next().await? {
            if view.answered == 3 {
                break;
            }
        }
        // The first job compiles the module.
        if attempt > 0 {
            times.push(begin.elapsed())
        } else {
            println!("first job, module compiled at each node: {:?}", begin.elapsed())
        }
    }
    println!(
        "submit to merged result, three nodes, 5912 people: median {:?}, p95 {:?} of {JOBS}",
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.95)
    );
    Ok(())
}
