//! How long a revocation takes at three nodes over mutual TLS, from the moment when it is handed in at the hub until each node's word is with
//! the researcher: of a permit, and of a person.
//!
//! Where answers leave when they are ready (`hold = "slot"`), until guests that loop for hours have ended. At the pace that nodes are shipped
//! with (`hold = "deadline"`) the end of what was charged is told when its answer would have left: there, until what waits behind it is
//! refused, and until a job is that is submitted afterwards.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use spe_benches::{Error, Federation, Pace, Researcher, quantile};
use spe_kernel::{
    disclosure::Stage,
    document,
    dsse::SecretKey,
    federation::Outcome,
    ids::JobId,
    manifest::Manifest,
    plan::{Choices, Plan},
    refusal::Refusal,
    revocation::{ExcludedPerson, RevocationBody, Target},
};
use spe_wire::{Connection, HubClient};

const NODES: usize = 3;
/// What the median may take.
const BOUND: Duration = Duration::from_secs(1);
/// A person is excluded for so long, and asks again in the next attempt.
const EXCLUDED: SignedDuration = SignedDuration::from_secs(4);
/// Fuel that nobody waits for, and fuel whose deadline is some seconds away.
const HOURS: u64 = 100_000_000_000;
const SECONDS: u64 = 10_000;

/// What is taken back.
#[derive(Debug, Clone, Copy)]
enum Of {
    Permit,
    Person,
}

fn main() -> Result<(), Error> {
    let mut all = Vec::new();
    for (pace, attempts) in [(Pace::Slot, 20), (Pace::Shipped, 10)] {
        let federation = Federation::of_three_at(pace, &["years.coins", "years.mdvis"])?;
        let roles = ["--person", "vera", "--roles", "assessor@north", "--out", "assessor"];
        federation.spe(&[&["hub", "invite", "hub"], &roles[..]].concat())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        all.extend(runtime.block_on(measure(&federation, pace, attempts))?);
    }
    let late: Vec<_> = all.into_iter().filter(|(_, median)| *median > BOUND).collect();
    if late.is_empty() { Ok(()) } else { Err(format!("more than {BOUND:?}: {late:?}").into()) }
}

/// Each of what is measured, with its median.
async fn measure(federation: &Federation, pace: Pace, attempts: u32) -> Result<Vec<(String, Duration)>, Error> {
    let bench = Bench::of(federation).await?;
    let mut medians = Vec::new();
    for (first, of) in [(0, Of::Permit), (1_000, Of::Person)] {
        let mut kinds: Vec<(&str, Vec<Duration>)> = Vec::new();
        for attempt in first..first + attempts {
            let times = match pace {
                Pace::Slot => bench.stopped(of, attempt).await?,
                Pace::Shipped => bench.refused(of, attempt).await?,
            };
            for (what, took) in times {
                match kinds.iter_mut().find(|(known, _)| *known == what) {
                    Some((_, all)) => all.push(took),
                    None => kinds.push((what, vec![took])),
                }
            }
        }
        for (what, mut times) in kinds {
            let (median, worst) = (quantile(&mut times, 0.5), quantile(&mut times, 1.0));
            let what = format!("{pace:?}, {of:?}: {what}");
            println!("{what} at {NODES} nodes: median {median:?}, worst {worst:?} of {}", times.len());
            medians.push((what, median));
        }
    }
    Ok(medians)
}

/// A federation with a module that loops, a researcher, and the data access body.
struct Bench<'a> {
    federation: &'a Federation,
    ada: Researcher,
    assessor: HubClient,
    key: SecretKey,
    manifest: Manifest,
    module: spe_kernel::ids::Digest,
}

impl<'a> Bench<'a> {
    async fn of(federation: &'a Federation) -> Result<Self, Error> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/evil/modules/spinner.wasm");
        let wasm = std::fs::read(file)?;
        let inspection = spe_sandbox::inspect(&wasm)?;
        let ada = Researcher::of(federation).await?;
        ada.hub.put_module(wasm).await?;
        let assessor = HubClient::connect(&Connection::read(&federation.path("assessor/connection.toml"))?).await?;
        let key = std::fs::read_to_string(federation.path("access-body.key"))?.parse()?;
        Ok(Self { federation, ada, assessor, key, manifest: inspection.manifest, module: inspection.digest })
    }

    /// A job under the permit of that number, which is its own: what is revoked stays revoked.
    async fn ask(&self, number: &str, permit: &[u8], attempt: u32, fuel_per_subject: u64) -> Result<JobId, Error> {
        let choices = Choices { attempt, fuel_per_subject, ..Choices::new("rho=0.01".parse()?) };
        let plan = Plan::new(&self.manifest, self.module, &self.ada.schema, &choices)?;
        Ok(self.ada.hub.submit(self.ada.job_under(number, permit.to_vec(), plan)?).await?)
    }

    /// Waits until every node's outcome of the job is such.
    async fn until(&self, job: &JobId, is: impl Fn(&Outcome) -> bool) -> Result<(), Error> {
        let mut views = self.ada.hub.watch(job).await?;
        while let Some(view) = views.next().await? {
            if view.nodes.iter().filter(|node| is(&node.outcome)).count() == NODES {
                return Ok(());
            }
        }
        Err("it was told another end".into())
    }

    async fn revoke(&self, of: Of, number: &str) -> Result<(), Error> {
        let now = Timestamp::now();
        let target = match of {
            Of::Permit => Target::Permit(number.parse()?),
            Of::Person => {
                Target::Person(ExcludedPerson { name: "ada".parse()?, identity: None, until: now + EXCLUDED })
            }
        };
        let body = RevocationBody {
            format: "spe.revocation/1".into(),
            issuer: "bench".into(),
            issued_at: now,
            effective_at: now,
            reason: "to measure".into(),
            target,
        };
        self.assessor.revoke(document::sign(&body, &self.key)).await?;
        Ok(())
    }

    /// Until the person is excluded no more.
    async fn pause(&self, of: Of) {
        if let Of::Person = of {
            tokio::time::sleep(EXCLUDED.unsigned_abs()).await;
        }
    }

    async fn stopped(&self, of: Of, attempt: u32) -> Result<Vec<(&'static str, Duration)>, Error> {
        let number = format!("bench-{attempt}");
        let job = self.ask(&number, &self.federation.permit(&number)?, attempt, HOURS).await?;
        self.until(&job, is_running).await?;
        let begun = Instant::now();
        self.revoke(of, &number).await?;
        self.until(&job, is_over).await?;
        let took = begun.elapsed();
        self.pause(of).await;
        Ok(vec![("what ran is stopped and told", took)])
    }

    async fn refused(&self, of: Of, attempt: u32) -> Result<Vec<(&'static str, Duration)>, Error> {
        let number = format!("bench-{attempt}");
        let permit = self.federation.permit(&number)?;
        let held = self.ask(&number, &permit, attempt, SECONDS).await?;
        self.until(&held, is_running).await?;
        let waiting = self.ask(&number, &permit, attempt + 2_000, SECONDS).await?;
        let begun = Instant::now();
        self.revoke(of, &number).await?;
        self.until(&waiting, is_over).await?;
        let waited = begun.elapsed();
        let begun = Instant::now();
        let new = self.ask(&number, &permit, attempt + 4_000, SECONDS).await?;
        self.until(&new, is_over).await?;
        let refused = begun.elapsed();
        self.until(&held, is_over).await?;
        self.pause(of).await;
        Ok(vec![("what waits is refused", waited), ("what is new is refused", refused)])
    }
}

fn is_running(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Working { stage: Some(Stage::Running) })
}

fn is_over(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { why: Refusal::PermitRevoked { .. } | Refusal::PersonExcluded { .. }, .. })
}
