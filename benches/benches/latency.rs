//! From submitting a signed job to the merged result, over three node processes on a small dataset: median of 50.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{path::Path, time::Instant};

use spe_benches::{Error, Federation, quantile};
use spe_kernel::{
    dsse::SecretKey,
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::{Choices, Plan},
};
use spe_wire::{Connection, HubClient, Submission};

const JOBS: u32 = 50;

fn main() -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut federation = Federation::found("rand-hie", &["years.coins", "years.mdvis"])?;
    let data = root.join("examples/data").canonicalize()?;
    for (node, sites) in
        [("north", "site in (\"1\", \"2\")"), ("middle", "site in (\"3\", \"4\")"), ("south", "site in (\"5\", \"6\")")]
    {
        federation.node(node, &data.join("rand-hie.toml"), &data.join("randhie.csv"), Some(sites))?;
    }
    federation.wait(3)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(&federation, &root))
}

async fn ask(federation: &Federation, root: &Path) -> Result<(), Error> {
    let wasm = std::fs::read(root.join("examples/modules/visits-by-coinsurance.wasm"))?;
    let inspection = spe_sandbox::inspect(&wasm)?;
    let hub = HubClient::connect(&Connection::read(&federation.path("researcher/connection.toml"))?).await?;
    let nodes = hub.browse().await?.collect().await?;
    let schema = &nodes.first().and_then(|n| n.catalogue.datasets.first()).ok_or("no dataset")?.schema;
    let signer: SecretKey = std::fs::read_to_string(federation.path("researcher/signing.key"))?.parse()?;
    let permit = std::fs::read(federation.path("permit.json"))?;
    hub.put_module(wasm).await?;
    let mut times = Vec::new();
    for attempt in 0..=JOBS {
        let choices = Choices { attempt, ..Choices::new("rho=0.01".parse()?) };
        let plan = Plan::new(&inspection.manifest, inspection.digest, schema, &choices)?;
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: "bench".parse()?,
            person: "ada".parse()?,
            purpose: Purpose::Policymaking,
            nodes: vec![],
            signed_at: jiff::Timestamp::now(),
            plan,
        };
        let begin = Instant::now();
        let job = hub.submit(Submission { job: body.sign(&signer), permit: permit.clone() }).await?;
        let mut views = hub.watch(&job).await?;
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
