//! Submit and follow jobs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use spe_kernel::{
    dataset::DatasetSchema,
    federation::Outcome,
    ids::{DatasetName, JobId, NodeName},
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::{Choices, FUEL_DEFAULT, MEMORY_DEFAULT_BYTES, Plan},
    refusal::Refusal,
    units::Loss,
};
use spe_wire::{
    HubClient, NodeCatalogue, Submission,
    view::{State, View},
};

use crate::{
    connect::{self, Profile, block_on},
    output::{Output, Shown, tame},
    preview,
    show::{self, Table},
    verify::{self, Checked},
};

#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Ask a question: sign it, send module and question to the hub, and wait for the answer
    ///
    /// The price is known before: --dry-run shows it with the error to expect, and asks nothing. The same question again is
    /// free and has the same answer.
    Submit(SubmitArgs),
    /// Follow a job until it is final
    Watch(OneJob),
    /// Show how a job stands, with the statistics merged so far
    Result(OneJob),
    /// Cancel a job; what was charged stays charged
    Cancel(OneJob),
    /// List your newest jobs
    List {
        #[command(flatten)]
        profile: Profile,
    },
}

#[derive(Args)]
pub(crate) struct OneJob {
    /// The job's id
    job: JobId,
    #[command(flatten)]
    profile: Profile,
}

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
    /// Privacy loss at each node, split over the outputs that --output-loss does not name: rho=<decimal> or epsilon=<decimal>
    #[arg(long)]
    loss: Loss,
    /// Privacy loss of one output: NAME=rho=<decimal>
    #[arg(long, value_parser = named_loss)]
    output_loss: Vec<(String, Loss)>,
    /// A parameter of the module: NAME=<number>
    #[arg(long, value_parser = named_number)]
    param: Vec<(String, f64)>,
    /// Ask this node only; may be given several times
    #[arg(long)]
    node: Vec<NodeName>,
    /// Ask the same question anew, for a new charge, with a number that was not used before
    #[arg(long, default_value_t = 0)]
    attempt: u32,
    /// Fuel for one data subject
    #[arg(long, default_value_t = FUEL_DEFAULT)]
    fuel: u64,
    /// Memory of the module in bytes
    #[arg(long, default_value_t = MEMORY_DEFAULT_BYTES)]
    memory: u64,
    /// Show price and error to expect, and ask nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the answer
    #[arg(long)]
    detach: bool,
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(String, T), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.parse().map_err(|e: T::Err| e.to_string())?))
}

/// Each name once: the last of two would win silently.
fn once<T>(option: &str, given: Vec<(String, T)>) -> Result<BTreeMap<String, T>> {
    let count = given.len();
    let map: BTreeMap<_, _> = given.into_iter().collect();
    if map.len() == count { Ok(map) } else { bail!("{option} names something twice") }
}

fn named_loss(text: &str) -> Result<(String, Loss), String> {
    named(text)
}

fn named_number(text: &str) -> Result<(String, f64), String> {
    named(text)
}

pub(crate) fn run(command: JobCommand, output: Output) -> Result<()> {
    match command {
        JobCommand::Submit(args) => block_on(submit(args, output)),
        JobCommand::Watch(OneJob { job, profile }) => block_on(async {
            let hub = profile.connect().await?;
            let view = follow(&hub, &job, |view| view.state.is_final(), output).await?;
            conclude(&hub, &profile, view, output).await
        }),
        JobCommand::Result(OneJob { job, profile }) => block_on(async {
            let hub = profile.connect().await?;
            let view = hub.view(&job).await?;
            conclude(&hub, &profile, view, output).await
        }),
        JobCommand::Cancel(OneJob { job, profile }) => {
            block_on(async { show_view(&profile.connect().await?.cancel(&job).await?, None, output) })
        }
        JobCommand::List { profile } => list(&profile, output),
    }
}

async fn submit(args: SubmitArgs, output: Output) -> Result<()> {
    let wasm = connect::read(&args.module)?;
    let inspection = spe_sandbox::inspect(&wasm).with_context(|| args.module.display().to_string())?;
    let permit = connect::read(&args.permit)?;
    let (permit_body, _) = crate::permit::read(&permit, &args.permit)?;
    let hub = args.profile.connect().await?;
    let nodes = hub.browse().await?.collect().await?;
    let schema = schema(&nodes, &args.dataset)?;
    let choices = Choices {
        losses: once("--output-loss", args.output_loss)?,
        params: once("--param", args.param)?,
        fuel_per_subject: args.fuel,
        memory_bytes_max: args.memory,
        attempt: args.attempt,
        ..Choices::new(args.loss)
    };
    let plan = Plan::new(&inspection.manifest, inspection.digest, schema, &choices);
    let plan = plan.map_err(|e| Refusal::PlanUnfit { why: e.0 })?;
    let job = JobBody {
        format: JOB_FORMAT.into(),
        permit: permit_body.number,
        person: args.profile.person()?,
        purpose: args.purpose,
        nodes: args.node,
        signed_at: Timestamp::now(),
        plan,
    };
    let signed = job.sign(&args.profile.signing_key()?);
    if args.dry_run {
        return preview::show(&signed, &permit, &nodes, output);
    }
    hub.put_module(wasm).await?;
    let id = hub.submit(Submission { job: signed.clone(), permit }).await?;
    verify::remember(&args.profile, &id, &signed)?;
    if args.detach {
        return output
            .say(&serde_json::json!({ "job": id }), || format!("job {id}; follow it with: spe job watch {id}\n"));
    }
    // Who is offline is not waited for here: what there is, is shown, and `spe job watch` waits on.
    let nobody_works = |view: &View| view.nodes.iter().all(|n| !matches!(n.outcome, Outcome::Working { .. }));
    let view = follow(&hub, &id, |view| view.state.is_final() || nobody_works(view), output).await?;
    conclude(&hub, &args.profile, view, output).await
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

/// Watches a job until it is `done`.
async fn follow(hub: &HubClient, job: &JobId, done: impl Fn(&View) -> bool, output: Output) -> Result<View> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("  {spinner} {msg} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut views = hub.watch(job).await?;
    let mut last = None;
    while let Some(view) = views.next().await? {
        bar.set_message(line(&view));
        if !terminal && !output.json {
            eprintln!("{}", line(&view));
        }
        let done = done(&view);
        last = Some(view);
        if done {
            break;
        }
    }
    bar.finish_and_clear();
    last.context("the hub closed the connection before it said anything of the job; try: spe job watch")
}

fn line(view: &View) -> String {
    let nodes: Vec<_> = view.nodes.iter().map(|n| format!("{} {}", n.node, show::outcome_text(&n.outcome).0)).collect();
    tame(&format!("job {}: {}", view.job, nodes.join(" · ")))
}

/// Checks the hub's merge against the nodes' signatures, shows the view, and fails when every node refused.
async fn conclude(hub: &HubClient, profile: &Profile, mut view: View, output: Output) -> Result<()> {
    let checked = verify::merge(hub, profile, &mut view).await?;
    show_view(&view, Some(checked), output)?;
    let refusal =
        view.nodes.iter().find_map(|n| if let Outcome::Refused { why } = &n.outcome { Some(why) } else { None });
    match refusal {
        Some(why) if view.answered == 0 && view.state == State::Complete => Err(Shown(why.clone()).into()),
        _ if view.answered == 0 && view.state == State::Waiting => {
            let what = format!(
                "every node that was asked (job {0} waits for them; follow it with: spe job watch {0})",
                view.job
            );
            Err(Shown(Refusal::Unavailable { what }).into())
        }
        _ => Ok(()),
    }
}

fn show_view(view: &View, checked: Option<Checked>, output: Output) -> Result<()> {
    output.say(view, || {
        let mut text = format!("job {} · {} · plan {} · {}\n", view.job, view.dataset, view.plan.short(), view.coverage);
        if view.overlap > 1 {
            text.push_str(&format!("one person may be at {} nodes and bears the loss that many times\n", view.overlap));
        }
        for statistic in &view.statistics {
            text.push_str(&format!("\n{}", show::statistic(statistic, None)));
        }
        text.push_str(&format!("\n{}", show::nodes(&view.nodes)));
        match checked {
            Some(Checked::Signed { answers: 0, .. }) | None => {}
            Some(Checked::Signed { answers, new_keys }) => {
                text.push_str(&format!("  checked: merged here from {answers} answers, each signed by its node\n"));
                if new_keys > 0 {
                    text.push_str(&format!("  {new_keys} of the nodes' keys are new to you; compare known-nodes.toml with their operators\n"));
                }
            }
            Some(Checked::Unknown) => text.push_str("  not checked: this profile has not submitted the job\n"),
        }
        if view.state == State::Cancelled {
            text.push_str("cancelled\n");
        }
        text
    })
}

fn list(profile: &Profile, output: Output) -> Result<()> {
    let jobs = block_on(async { Ok(profile.connect().await?.jobs().await?) })?;
    output.say(&jobs, || {
        let mut table = Table::new(["job", "dataset", "submitted", "answered", ""]);
        for job in &jobs {
            let answered = format!("{} of {}", job.answered, job.asked);
            let cancelled = if job.cancelled { "cancelled" } else { "" };
            table.row([
                job.id.to_string(),
                job.dataset.to_string(),
                job.submitted_at.to_string(),
                answered,
                cancelled.into(),
            ]);
        }
        table.render()
    })
}
