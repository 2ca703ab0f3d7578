//! How long a revocation takes to stop what runs: guests that loop for hours at three nodes, over mutual TLS, from the moment when the data
//! access body's revocation is handed in at the hub until every node's end of the job is told to the researcher. Answers leave when
//! they are ready (`hold = "slot"`): where they wait for a deadline, the end is told at the deadline, and the machine is free at once.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{path::Path, time::Instant};

use spe_benches::{Error, Federation, Researcher, quantile};
use spe_kernel::{
    disclosure::Stage,
    document,
    dsse::SecretKey,
    federation::Outcome,
    plan::{Choices, Plan},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::{Connection, HubClient};

const REVOCATIONS: u32 = 20;
const NODES: usize = 3;

fn main() -> Result<(), Error> {
    let federation = Federation::of_three(&["years.coins", "years.mdvis"])?;
    federation.spe(&["hub", "invite", "hub", "--person", "vera", "--roles", "assessor@north", "--out", "assessor"])?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(revoke(&federation))
}

async fn revoke(federation: &Federation) -> Result<(), Error> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/evil/modules/spinner.wasm");
    let wasm = std::fs::read(file)?;
    let inspection = spe_sandbox::inspect(&wasm)?;
    let ada = Researcher::of(federation).await?;
    ada.hub.put_module(wasm).await?;
    let assessor = HubClient::connect(&Connection::read(&federation.path("assessor/connection.toml"))?).await?;
    let key: SecretKey = std::fs::read_to_string(federation.path("access-body.key"))?.parse()?;
    let mut times = Vec::new();
    for attempt in 0..REVOCATIONS {
        // Each has a permit of its own: what is revoked stays revoked.
        let number = format!("bench-{attempt}");
        let choices = Choices { attempt, fuel_per_subject: 100_000_000_000, ..Choices::new("rho=0.1".parse()?) };
        let plan = Plan::new(&inspection.manifest, inspection.digest, &ada.schema, &choices)?;
        let job = ada.hub.submit(ada.job_under(&number, federation.permit(&number)?, plan)?).await?;
        let mut views = ada.hub.watch(&job).await?;
        let mut asked = None;
        while let Some(view) = views.next().await? {
            let running = |outcome: &Outcome| matches!(outcome, Outcome::Working { stage: Some(Stage::Running) });
            let revoked =
                |outcome: &Outcome| matches!(outcome, Outcome::Refused { why: Refusal::PermitRevoked { .. }, .. });
            let all = |is: &dyn Fn(&Outcome) -> bool| view.nodes.iter().filter(|n| is(&n.outcome)).count() == NODES;
            if asked.is_none() && all(&running) {
                let now = jiff::Timestamp::now();
                let body = RevocationBody {
                    format: "spe.revocation/1".into(),
                    issuer: "bench".into(),
                    issued_at: now,
                    effective_at: now,
                    reason: "to measure".into(),
                    target: Target::Permit(number.parse()?),
                };
                asked = Some(Instant::now());
                assessor.revoke(document::sign(&body, &key)).await?;
            }
            if let Some(asked) = asked.filter(|_| all(&revoked)) {
                times.push(asked.elapsed());
                break;
            }
        }
    }
    println!(
        "revocation handed in -> stopped and told at {NODES} nodes: median {:?}, worst {:?} of {}",
        quantile(&mut times, 0.5),
        quantile(&mut times, 1.0),
        times.len()
    );
    if times.len() == usize::try_from(REVOCATIONS)? { Ok(()) } else { Err("not every run was stopped".into()) }
}
