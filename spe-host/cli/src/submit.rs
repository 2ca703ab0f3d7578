//! Ask a question: sign it, send module and job to the hub, and wait for the answer.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use spe_kernel::{
    dataset::DatasetSchema,
    exact::PEOPLE_DEFAULT,
    federation::Outcome,
    ids::{DatasetName, NodeName},
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::{Choices, FUEL_DEFAULT, MEMORY_DEFAULT_BYTES, Plan, Release},
    refusal::Refusal,
    units::Loss,
};
use spe_wire::{NodeCatalogue, Submission, view::View};

use crate::{
    connect::{self, Profile, SIGNING_KEY},
    job::{Kept, asked_before, conclude, follow},
    known::{self, Known},
    login,
    output::Output,
    preview,
    rehearse::{Rehearsal, Script},
    verify,
};

#[derive(Args)]
pub(crate) struct SubmitArgs {
    /// The module to run
    module: PathBuf,
    #[command(flatten)]
    profile: Profile,
    /// The signed data permit
    #[arg(long)]
    permit: PathBuf,
    /// The dataset to ask
    #[arg(long)]
    dataset: DatasetName,
    /// What for: a purpose of Art. 53(1) that the permit covers
    #[arg(long)]
    purpose: Purpose,
    /// Privacy loss at each node, over all rounds, split over the outputs that --output-loss does not name: rho=<decimal> or
    /// epsilon=<decimal>, and ,delta=<decimal> after it where keys are asked for
    #[arg(long)]
    loss: Loss,
    /// Privacy loss of one output: NAME=rho=<decimal>
    #[arg(long, value_parser = named_loss)]
    output_loss: Vec<(String, Loss)>,
    /// A parameter of the module: NAME=<number>
    #[arg(long, value_parser = named_number)]
    param: Vec<(String, f64)>,
    /// Rounds of a module that has rounds; its own number if left out
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Show no noisy count below N, and no mean over fewer people
    #[arg(long, value_name = "N", default_value_t = 0)]
    suppress_below: u32,
    /// Ask for an exact table of people instead of noisy numbers: NOT differentially private. Nodes that release any have officers read the
    /// module's source before it runs, and two sign for the table; cells about fewer people than --suppress-below (10) are suppressed
    #[arg(long)]
    exact: bool,
    /// Ask this node only; may be given several times
    #[arg(long)]
    node: Vec<NodeName>,
    /// Ask the same question anew, for a new charge, with a number that was not used before
    #[arg(long, default_value_t = 0)]
    attempt: u32,
    /// Fuel for one data subject: answers wait until all could have been spent, so ask for what the module needs (`spe module check
    /// --schema`)
    #[arg(long, default_value_t = FUEL_DEFAULT)]
    fuel: u64,
    /// Memory of the module in bytes: answers wait for it too
    #[arg(long, default_value_t = MEMORY_DEFAULT_BYTES)]
    memory: u64,
    /// Show price, error to expect and time, rehearse the module on made-up people, and ask nothing
    #[arg(long)]
    dry_run: bool,
    /// Submit it even if no made-up person's run ends with that fuel: every answer would be a default, and is charged
    #[arg(long)]
    anyway: bool,
    /// Do not wait for the answer
    #[arg(long)]
    detach: bool,
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(String, T), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.parse().map_err(|e: T::Err| e.to_string())?))
}

/// Each name once: the last of two would win silently.
pub(crate) fn once<T>(option: &str, given: Vec<(String, T)>) -> Result<BTreeMap<String, T>> {
    let count = given.len();
    let map: BTreeMap<_, _> = given.into_iter().collect();
    if map.len() == count { Ok(map) } else { bail!("{option} names something twice") }
}

fn named_loss(text: &str) -> Result<(String, Loss), String> {
    named(text)
}

pub(crate) fn named_number(text: &str) -> Result<(String, f64), String> {
    named(text)
}

pub(crate) async fn submit(args: SubmitArgs, output: Output) -> Result<()> {
    let wasm = connect::read(&args.module)?;
    let inspection = spe_sandbox::inspect(&wasm).with_context(|| args.module.display().to_string())?;
    let permit = connect::read(&args.permit)?;
    let opened = crate::permit::opened(&permit, &args.permit)?;
    let permit_body = opened.body();
    let hub = args.profile.connect().await?;
    let nodes = hub.browse().await?.collect().await?;
    let schema = schema(&nodes, &args.dataset)?;
    let choices = Choices {
        losses: once("--output-loss", args.output_loss)?,
        rounds: args.rounds,
        suppress_below: match args.suppress_below {
            0 if args.exact => PEOPLE_DEFAULT,
            given => given,
        },
        release: if args.exact { Release::ExactTables } else { Release::Noisy },
        params: once("--param", args.param)?,
        fuel_per_subject: args.fuel,
        memory_bytes_max: args.memory,
        attempt: args.attempt,
        ..Choices::new(args.loss)
    };
    let plan = Plan::new(&inspection.manifest, inspection.digest, schema, &choices);
    let plan = plan.map_err(|e| Refusal::PlanUnfit { why: e.0 })?;
    let plan_digest = plan.digest();
    let (key, signed_at) = (args.profile.signing_key()?, Timestamp::now());
    let proof = login::proof(&args.profile.file(SIGNING_KEY), key.public(), signed_at)?;
    let (token, identity) = proof.unzip();
    let job = JobBody {
        format: JOB_FORMAT.into(),
        permit: permit_body.number.clone(),
        person: args.profile.person()?,
        purpose: args.purpose,
        nodes: args.node,
        signed_at,
        plan,
        identity: token,
    };
    let signed = job.sign(&key);
    let script = Script {
        wasm: &wasm,
        inspection: &inspection,
        schema,
        params: choices.params,
        fuel: args.fuel,
        memory: args.memory,
    };
    let rehearsal = script.rehearse().map_err(|e| format!("{e:#}"));
    if args.dry_run {
        let known = Known { before: asked_before(&hub, &args.profile, plan_digest).await?, rehearsal };
        return preview::show((&signed, identity), &permit, &nodes, schema, known, output);
    }
    if let Some(refusal) = rehearsal.as_ref().ok().and_then(Rehearsal::starved).filter(|_| !args.anyway) {
        return Err(refusal.into());
    }
    eprint!("{}", known::warning(&rehearsal));
    hub.put_module(wasm.clone()).await?;
    let id = hub.submit(Submission { job: signed.clone(), permit }).await?;
    verify::remember(&args.profile, &id, &signed, &wasm, schema)?;
    if args.detach {
        return output
            .say(&serde_json::json!({ "job": id }), || format!("job {id}; follow it with: spe job watch {id}\n"));
    }
    // Who is offline is not waited for here: what there is, is shown, and `spe job watch` waits on.
    let nobody_works = |view: &View| view.nodes.iter().all(|n| !matches!(n.outcome, Outcome::Working { .. }));
    let view = follow(&hub, &id, |view| view.state.is_final() || nobody_works(view), output).await?;
    conclude(&hub, &args.profile, view, Kept::default(), output).await
}

fn schema<'a>(nodes: &'a [NodeCatalogue], dataset: &DatasetName) -> Result<&'a DatasetSchema> {
    let offers = || nodes.iter().flat_map(|n| &n.catalogue.datasets);
    if let Some(offer) = offers().find(|o| o.schema.name == *dataset) {
        return Ok(&offer.schema);
    }
    let mut known: Vec<_> = offers().map(|o| o.schema.name.to_string()).collect();
    known.sort();
    known.dedup();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(Refusal::NotFound { what: format!("dataset {dataset} (there is: {known})") }.into())
}
