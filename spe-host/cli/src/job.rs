//! Submit and follow jobs.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use spe_kernel::{
    disclosure::{Mechanism, Stage},
    federation::{NodeReport, Outcome},
    ids::{Digest, JobId},
    refusal::Refusal,
};
use spe_wire::{
    HubClient,
    view::{JobLine, Rounds, State, View},
};

use crate::{
    audit::Receipted,
    certificate, charged,
    connect::{Profile, block_on},
    fitted,
    output::{Output, Shown, Waits, tame},
    page,
    show::{self, Reading, Table},
    submit::{SubmitArgs, submit},
    verify::{self, Checked},
};

#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Ask a question: sign it, send module and question to the hub, and wait for the answer
    ///
    /// The price is known before: --dry-run shows it with the error to expect, and asks nothing. The same question again is
    /// free and has the same answer.
    Submit(Box<SubmitArgs>),
    /// Follow a job until it is final
    Watch(OneJob),
    /// Show how a job stands, with the statistics merged so far
    Result {
        #[command(flatten)]
        one: OneJob,
        /// Also write the result as a page with charts, for a browser
        #[arg(long, value_name = "FILE")]
        page: Option<PathBuf>,
        /// Also write each node's signed answer, and the receipt that it is in the node's audit log, into this folder
        #[arg(long, value_name = "DIR")]
        receipts: Option<PathBuf>,
    },
    /// Show what a job's answers cost and mean, for whoever must answer for them
    ///
    /// The certificate is made here from the job as you signed it and the answers as the nodes signed them; the hub is not
    /// believed. docs/operations.md explains each field.
    Certificate {
        #[command(flatten)]
        one: OneJob,
        /// Write the certificate there, as JSON
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Cancel a job that is not complete; what was charged stays charged, and is answered when it is asked again
    Cancel(OneJob),
    /// Make the merged statistics of a complete job public, in the hub's register (Art. 61(4))
    Publish(OneJob),
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

pub(crate) fn run(command: JobCommand, output: Output) -> Result<()> {
    match command {
        JobCommand::Submit(args) => block_on(submit(*args, output)),
        JobCommand::Watch(OneJob { job, profile }) => block_on(async {
            let hub = profile.connect().await?;
            let view = follow(&hub, &job, |view| view.state.is_final(), output).await?;
            conclude(&hub, &profile, view, Kept::default(), output).await
        }),
        JobCommand::Result { one: OneJob { job, profile }, page, receipts } => block_on(async {
            let hub = profile.connect().await?;
            let view = hub.view(&job).await?;
            conclude(&hub, &profile, view, Kept { page, receipts }, output).await
        }),
        JobCommand::Certificate { one: OneJob { job, profile }, out } => block_on(async {
            let hub = profile.connect().await?;
            let mut view = hub.view(&job).await?;
            let checked = verify::check(&hub, &profile, &mut view).await?;
            certificate::show(&view, checked, out, output)
        }),
        JobCommand::Cancel(OneJob { job, profile }) => {
            block_on(async { show_view(&profile.connect().await?.cancel(&job).await?, None, output) })
        }
        JobCommand::Publish(OneJob { job, profile }) => block_on(async {
            profile.connect().await?.publish(&job).await?;
            let said = serde_json::json!({ "published": job });
            output.say(&said, || format!("the result of {job} is in the public register\n"))
        }),
        JobCommand::List { profile } => list(&profile, output),
    }
}

/// Watches a job until it is `done`.
pub(crate) async fn follow(hub: &HubClient, job: &JobId, done: impl Fn(&View) -> bool, output: Output) -> Result<View> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("  {spinner} {msg} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut views = hub.watch(job).await?;
    let (mut last, mut said) = (None, String::new());
    while let Some(view) = views.next().await? {
        let line = line(&view);
        bar.set_message(line.clone());
        if !terminal && !output.json && line != said {
            eprintln!("{line}");
            said = line;
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
    let rounds = view.rounds.map(|r| format!("{} · ", rounds_text(r))).unwrap_or_default();
    tame(&format!("job {}: {rounds}{}", view.job, nodes.join(" · ")))
}

fn rounds_text(Rounds { done, of }: Rounds) -> String {
    format!("{done} of {of} rounds")
}

/// What is written to files beside showing it.
#[derive(Default)]
pub(crate) struct Kept {
    page: Option<PathBuf>,
    receipts: Option<PathBuf>,
}

/// Checks the hub's merge against the nodes' signatures, shows the view, and fails when every node refused.
pub(crate) async fn conclude(
    hub: &HubClient,
    profile: &Profile,
    mut view: View,
    kept: Kept,
    output: Output,
) -> Result<()> {
    let checked = verify::check(hub, profile, &mut view).await?;
    if let Some(file) = kept.page {
        write_page(&file, &view, &checked)?;
    }
    if let Some(folder) = kept.receipts {
        write_receipts(&folder, &checked)?;
    }
    show_view(&view, Some(checked), output)?;
    let refusal =
        view.nodes.iter().find_map(|n| if let Outcome::Refused { why, .. } = &n.outcome { Some(why) } else { None });
    match refusal {
        Some(why) if view.answered == 0 && view.state == State::Complete => Err(Shown(why.clone()).into()),
        _ if view.answered == 0 && view.state == State::Waiting => Err(no_answer_yet(&view)),
        _ => Ok(()),
    }
}

/// What the nodes do from which an answer is still expected; or that none of them can be reached.
fn no_answer_yet(view: &View) -> anyhow::Error {
    if view.nodes.iter().any(|n| matches!(n.outcome, Outcome::Working { .. })) {
        let expected: Vec<_> = view.nodes.iter().filter_map(expected).collect();
        return Waits(format!("{}; follow it with: spe job watch {}", expected.join(", "), view.job)).into();
    }
    let what =
        format!("every node that was asked (job {0} waits for them; follow it with: spe job watch {0})", view.job);
    Shown(Refusal::Unavailable { what }).into()
}

/// Of a node that has neither answered nor refused.
fn expected(NodeReport { node, outcome }: &NodeReport) -> Option<String> {
    let does = match outcome {
        Outcome::Working { stage: None } => "has been asked",
        Outcome::Working { stage: Some(Stage::Admitted) } => "has admitted it",
        Outcome::Working { stage: Some(Stage::Running) } => "is running it",
        Outcome::Working { stage: Some(Stage::AwaitsApproval | Stage::AwaitsRelease) } => "waits for an officer",
        Outcome::Working { stage: Some(Stage::AwaitsTwoSignatures) } => "waits for two officers",
        Outcome::Working { stage: Some(Stage::AwaitsSecondSignature) } => "waits for a second officer",
        Outcome::Offline => "cannot be reached now",
        Outcome::Answered { .. } | Outcome::Refused { .. } | Outcome::Invalid { .. } => return None,
    };
    Some(format!("{node} {does}"))
}

fn least(checked: &Checked) -> Option<u32> {
    match checked {
        Checked::Signed(evidence) => Some(evidence.plan().suppress_below()),
        Checked::Unknown => None,
    }
}

fn write_page(file: &std::path::Path, view: &View, checked: &Checked) -> Result<()> {
    let question = format!("Dataset {}, {}", view.dataset, coverage(view));
    let section = page::Section { question: &question, view, exact: Vec::new(), least: least(checked) };
    let title = format!("Result of {}", view.job);
    let notice = if is_exact(view) { page::NOTICE_EXACT } else { page::NOTICE };
    std::fs::write(file, page::render(&title, notice, &[section]))
        .with_context(|| format!("writing {}", file.display()))
}

fn show_view(view: &View, checked: Option<Checked>, output: Output) -> Result<()> {
    output.say(view, || {
        let mut text = format!("job {} · {} · plan {} · {}", view.job, view.dataset, view.plan.short(), coverage(view));
        text.push_str(&view.rounds.map(|r| format!(" · {}", rounds_text(r))).unwrap_or_default());
        text.push('\n');
        if view.overlap > 1 {
            text.push_str(&format!(
                "one person may be at {} nodes and bears the loss of {} that many times: each node charges {}\n",
                view.overlap, view.loss, view.charge
            ));
        }
        let reading =
            Reading { least: checked.as_ref().and_then(least), rounds: view.rounds.is_some(), ..Reading::default() };
        if let Some(parameters) = &view.parameters {
            text.push_str(&format!("\n{}\n", fitted::text(parameters, view.rounds)));
            text.push_str("noisy sums of the last round, which the module made the parameters of:\n");
        }
        for statistic in &view.statistics {
            text.push_str(&format!("\n{}", show::statistic(statistic, reading)));
        }
        text.push_str(&format!("\n{}{}", show::nodes(&view.nodes), charged::text(view)));
        text.push_str(&said_of_check(checked.as_ref()));
        if view.state == State::Cancelled {
            text.push_str("cancelled\n");
        }
        text
    })
}

fn is_exact(view: &View) -> bool {
    view.statistics.iter().any(|statistic| statistic.mechanism == Mechanism::Exact)
}

/// How many nodes answered, or that none will: every one refused.
fn coverage(view: &View) -> String {
    if refused_by_all(view) { "refused by all".into() } else { view.coverage.clone() }
}

fn refused_by_all(view: &View) -> bool {
    let refused = |n: &NodeReport| matches!(n.outcome, Outcome::Refused { .. });
    view.state == State::Complete && !view.nodes.is_empty() && view.nodes.iter().all(refused)
}

fn said_of_check(checked: Option<&Checked>) -> String {
    match checked {
        None => String::new(),
        Some(Checked::Unknown) => "  not checked: this profile has not submitted the job\n".into(),
        Some(Checked::Signed(evidence)) if evidence.answers.is_empty() => String::new(),
        Some(Checked::Signed(evidence)) => {
            let rounds = if evidence.plan().state().is_empty() { "" } else { ", and the rounds computed again" };
            let mut text = format!(
                "  checked: merged here from {} answers, each signed by its node{rounds}\n",
                evidence.answers.len()
            );
            if evidence.plan().mechanism() == Mechanism::Exact {
                text.push_str(&format!("  {}\n", show::EXACT));
            }
            text.push_str(&said_of_receipts(evidence));
            if evidence.new_keys > 0 {
                text.push_str(&format!(
                    "  {} of the nodes' keys are new to you; compare known-nodes.toml with their operators\n",
                    evidence.new_keys
                ));
            }
            text
        }
    }
}

/// Which answers are in their nodes' audit logs; a receipt that does not hold was an error already.
fn said_of_receipts(evidence: &verify::Evidence) -> String {
    let lacking = |what: &str, is: fn(&Receipted) -> bool| {
        let nodes: BTreeSet<_> =
            evidence.answers.iter().filter(|s| is(&s.receipt)).map(|s| s.answer.node.to_string()).collect();
        let nodes: Vec<_> = nodes.into_iter().collect();
        if nodes.is_empty() { String::new() } else { format!("  WARNING: {what}: {}\n", nodes.join(", ")) }
    };
    let missing = lacking("no receipt that the answer is in the node's audit log", |r| matches!(r, Receipted::Missing));
    let unseen = lacking("in the node's audit log, but no witness is known to have seen it there", |r| {
        matches!(r, Receipted::Logged(_))
    });
    if missing.is_empty() && unseen.is_empty() {
        return "  receipts: every answer is in its node's audit log, and the hub has seen it there\n".into();
    }
    missing + &unseen
}

/// Keeps each answer with its receipt, for `spe audit verify --receipt`.
fn write_receipts(folder: &std::path::Path, checked: &Checked) -> Result<()> {
    let Checked::Signed(evidence) = checked else {
        bail!("the job was not submitted from this profile, so its answers are not known here")
    };
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for verify::Signed { envelope, answer, receipt, .. } in &evidence.answers {
        let name = format!("{}-{}", answer.node, answer.round);
        let write = |ending: &str, bytes: &[u8]| {
            let file = folder.join(format!("{name}.{ending}"));
            std::fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))
        };
        write("answer.json", envelope)?;
        receipt.text().map_or(Ok(()), |text| write("tlog-proof", text.as_bytes()))?;
    }
    Ok(())
}

fn list(profile: &Profile, output: Output) -> Result<()> {
    let (jobs, refused) = block_on(async {
        let hub = profile.connect().await?;
        let jobs = hub.jobs().await?;
        let mut refused = BTreeSet::new();
        // A line does not tell refused from invalid; the job itself does.
        for job in jobs.iter().filter(|job| job.state == State::Complete && job.answered == 0) {
            if hub.view(&job.id).await.is_ok_and(|view| refused_by_all(&view)) {
                refused.insert(job.id.clone());
            }
        }
        Ok((jobs, refused))
    })?;
    let asked: Vec<_> = jobs.iter().map(|job| (job, asked_here(profile, job))).collect();
    let json = |(job, asked): &(&JobLine, Option<_>)| -> Result<serde_json::Value> {
        let mut line = serde_json::to_value(job)?;
        if let (Some(fields), Some((plan, module))) = (line.as_object_mut(), asked) {
            fields.insert("plan".into(), serde_json::to_value(plan)?);
            fields.insert("module".into(), serde_json::to_value(module)?);
        }
        Ok(line)
    };
    let said = asked.iter().map(json).collect::<Result<Vec<_>>>()?;
    output.say(&said, || {
        let mut table = Table::new(["job", "dataset", "plan", "module", "submitted", "state", "answered", "rounds"]);
        for (job, asked) in &asked {
            let (plan, module) = asked.map_or_else(Default::default, |(plan, module)| (plan.short(), module.short()));
            table.row([
                job.id.to_string(),
                job.dataset.to_string(),
                plan,
                module,
                job.submitted_at.to_string(),
                state_text(job.state).into(),
                answered_text(job, refused.contains(&job.id)),
                job.rounds.map(|Rounds { done, of }| format!("{done} of {of}")).unwrap_or_default(),
            ]);
        }
        table.render()
    })
}

/// What was asked, plan and module: known of the jobs that were signed here.
fn asked_here(profile: &Profile, job: &JobLine) -> Option<(Digest, Digest)> {
    let signed = verify::signed_here(profile, &job.id).ok().flatten()?;
    Some((signed.body().plan.digest(), signed.body().plan.module()))
}

/// The person's jobs that asked the question of this plan, as far as they were signed here and the hub lists them.
pub(crate) async fn asked_before(hub: &HubClient, profile: &Profile, plan: Digest) -> Result<Vec<JobLine>> {
    let same = |job: &JobLine| asked_here(profile, job).is_some_and(|(asked, _)| asked == plan);
    Ok(hub.jobs().await?.into_iter().filter(same).collect())
}

fn answered_text(job: &JobLine, refused_by_all: bool) -> String {
    if refused_by_all { "refused by all".into() } else { format!("{} of {}", job.answered, job.asked) }
}

const fn state_text(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Partial => "partial",
        State::Complete => "complete",
        State::Cancelled => "cancelled",
    }
}
