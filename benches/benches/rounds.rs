//! A logistic regression in ten rounds over three node processes and a hub, all over mutual TLS, on a small dataset: how long a round and
//! the whole take. Answers leave when they are ready (`hold = "slot"`, slots of 1 ms): what is measured is the machine, not the waiting.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{collections::BTreeMap, path::Path, time::Instant};

use spe_benches::{Error, Federation, Researcher, quantile};
use spe_kernel::plan::{Choices, Plan};
use spe_wire::view::State;

const JOBS: u32 = 20;
const ROUNDS: u32 = 10;

fn main() -> Result<(), Error> {
    let columns = ["coins", "female", "xage", "disea", "mhi", "mdvis", "totadm"].map(|c| format!("years.{c}"));
    let federation = Federation::of_three(&columns.each_ref().map(String::as_str))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(&federation))
}

async fn ask(federation: &Federation) -> Result<(), Error> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/modules");
    let wasm = std::fs::read(modules.join("regression.wasm"))?;
    let inspection = spe_sandbox::inspect(&wasm)?;
    let ada = Researcher::of(federation).await?;
    ada.hub.put_module(wasm).await?;
    let (mut rounds, mut totals) = (Vec::new(), Vec::new());
    for attempt in 0..=JOBS {
        let params = BTreeMap::from([("family".to_owned(), 1.0)]);
        let choices = Choices { attempt, rounds: Some(ROUNDS), params, ..Choices::new("rho=0.4".parse()?) };
        let job = ada.job(Plan::new(&inspection.manifest, inspection.digest, &ada.schema, &choices)?)?;
        let begin = Instant::now();
        let job = ada.hub.submit(job).await?;
        let mut views = ada.hub.watch(&job).await?;
        let (mut last, mut seen) = (begin, Vec::new());
        while let Some(view) = views.next().await? {
            let done = view.rounds.map_or(0, |rounds| usize::try_from(rounds.done).unwrap_or(0));
            while seen.len() < done {
                seen.push(last.elapsed());
                last = Instant::now();
            }
            if view.state == State::Complete {
                if view.answered != 3 || done != usize::try_from(ROUNDS)? {
                    return Err(format!("not all answered: {view:?}").into());
                }
                break;
            }
        }
        // The first job compiles the module; the first round of each job is charged.
        if attempt > 0 {
            totals.push(begin.elapsed());
            rounds.extend(seen.into_iter().skip(1));
        } else {
            println!("first job, module compiled at each node: {:?}", begin.elapsed());
        }
    }
    println!(
        "a round after the first, three nodes, 5912 people: median {:?}, p95 {:?} of {}",
        quantile(&mut rounds, 0.5),
        quantile(&mut rounds, 0.95),
        rounds.len()
    );
    println!(
        "submit to last state, {ROUNDS} rounds: median {:?}, p95 {:?} of {JOBS}",
        quantile(&mut totals, 0.5),
        quantile(&mut totals, 0.95)
    );
    Ok(())
}
