//! The way of an application: submitted to the hub, decided by each node's data access body.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use spe_kernel::{
    application::{Application, Term},
    document::{Document, sign},
    ids::{ApplicationId, NodeName},
    notice::{NoticeBody, Step, SupplementBody},
};
use spe_wire::{
    HubClient, Ruling,
    governance::{
        Actor, ApplicationLine, ApplicationView, DueView, PartView, PermitStanding, PermitState, RevocationView,
    },
};

use crate::{
    connect::{self, Profile, block_on},
    exit::Refused,
    key,
    output::Output,
    show::Table,
};

#[derive(Subcommand)]
pub(crate) enum WayCommand {
    /// Submit a signed application: every node whose data it is for gets its part (Art. 67(3)). The same file again changes nothing
    Submit {
        /// The signed application
        file: PathBuf,
        #[command(flatten)]
        profile: Profile,
    },
    /// List your applications, or those with a part of your nodes
    List {
        #[command(flatten)]
        profile: Profile,
    },
    /// Show how an application stands at each node, and what is due when
    Status {
        #[command(flatten)]
        one: One,
        /// Write the signed permit that was given, for jobs; with --node where several were
        #[arg(long, value_name = "FILE")]
        permit_out: Option<PathBuf>,
        /// The node whose permit is meant
        #[arg(long, requires = "permit_out")]
        node: Option<NodeName>,
        /// Write the application as its applicant signed it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Tell the applicant that the application is complete, as a data access body: it is assessed now
    Accept(NoticeArgs),
    /// Ask the applicant for what is missing, as a data access body: four weeks, or there is no permit (Art. 68(4))
    RequestInfo {
        #[command(flatten)]
        notice: NoticeArgs,
        /// What is missing; may be given several times
        #[arg(long, value_name = "TEXT", required = true)]
        missing: Vec<String>,
    },
    /// Prolong the term for the decision, once, as a data access body (Art. 68(4), (6))
    Prolong {
        #[command(flatten)]
        notice: NoticeArgs,
        /// Why; the applicant is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Hand in a data access body's signed decision, with the permit that a positive one gives
    Decide {
        #[command(flatten)]
        one: One,
        /// The signed decision: `spe decision sign`
        decision: PathBuf,
        /// The signed permit of a positive decision: `spe permit sign`
        #[arg(long, value_name = "FILE")]
        permit: Option<PathBuf>,
    },
    /// Add what a data access body asked for
    Complete {
        #[command(flatten)]
        one: One,
        /// An answer; may be given several times
        #[arg(long, value_name = "TEXT", required = true)]
        answer: Vec<String>,
    },
    /// Take an application back, as far as it is not decided
    Withdraw(One),
}

#[derive(Args)]
pub(crate) struct One {
    /// The hub's id of the application, `application-…`: `spe application list` has it beside the applicant's own number
    id: ApplicationId,
    #[command(flatten)]
    profile: Profile,
}

#[derive(Args)]
pub(crate) struct NoticeArgs {
    #[command(flatten)]
    one: One,
    /// The node whose part it is about; may be given several times
    #[arg(long = "node", value_name = "NODE", required = true)]
    nodes: Vec<NodeName>,
    /// The data access body's secret key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The data access body's name, for people: its key is what counts
    #[arg(long, value_name = "NAME")]
    issuer: String,
}

pub(crate) fn run(command: WayCommand, output: Output) -> Result<()> {
    block_on(async {
        match command {
            WayCommand::Submit { file, profile } => {
                let hub = profile.connect().await?;
                let id = hub.apply(connect::read(&file)?).await?;
                show(&hub.application(&id).await?, output)
            }
            WayCommand::List { profile } => list(&profile.connect().await?.applications().await?, output),
            WayCommand::Status { one, permit_out, node, out } => {
                let view = one.profile.connect().await?.application(&one.id).await?;
                write(out.as_deref(), view.envelope.as_bytes())?;
                if let Some(file) = permit_out {
                    write(Some(&file), permit(&view, node.as_ref())?.as_bytes())?;
                }
                show(&view, output)
            }
            WayCommand::Accept(notice) => notify(notice, Step::Complete, output).await,
            WayCommand::RequestInfo { notice, missing } => {
                notify(notice, Step::InformationNeeded { missing }, output).await
            }
            WayCommand::Prolong { notice, reason } => notify(notice, Step::Prolonged { reason }, output).await,
            WayCommand::Decide { one, decision, permit } => {
                let permit = permit.as_deref().map(connect::read).transpose()?;
                let ruling = Ruling { decision: connect::read(&decision)?, permit };
                show(&one.profile.connect().await?.decide(&one.id, ruling).await?, output)
            }
            WayCommand::Complete { one, answer } => complete(&one, answer, output).await,
            WayCommand::Withdraw(one) => show(&one.profile.connect().await?.withdraw(&one.id).await?, output),
        }
    })
}

/// The very text that was applied with, as the hub shows it.
async fn open(hub: &HubClient, id: &ApplicationId) -> Result<Application> {
    let view = hub.application(id).await?;
    Application::verify(view.envelope.as_bytes()).context("the application that the hub shows")
}

async fn notify(args: NoticeArgs, step: Step, output: Output) -> Result<()> {
    let NoticeArgs { one, nodes, key, issuer } = args;
    let hub = one.profile.connect().await?;
    let application = open(&hub, &one.id).await?;
    let notice = NoticeBody {
        format: NoticeBody::FORMAT.into(),
        application: application.body().number.clone(),
        application_digest: application.digest(),
        nodes,
        issuer,
        issued_at: Timestamp::now(),
        step,
    };
    notice.check()?;
    show(&hub.notify(&one.id, sign(&notice, &key::read(&key)?)).await?, output)
}

async fn complete(one: &One, answers: Vec<String>, output: Output) -> Result<()> {
    let hub = one.profile.connect().await?;
    let application = open(&hub, &one.id).await?;
    let supplement = SupplementBody {
        format: SupplementBody::FORMAT.into(),
        application: application.body().number.clone(),
        application_digest: application.digest(),
        signed_at: Timestamp::now(),
        answers,
    };
    show(&hub.complete(&one.id, sign(&supplement, &one.profile.signing_key()?)).await?, output)
}

/// The one permit that was given, or the one of that node.
fn permit<'a>(view: &'a ApplicationView, node: Option<&NodeName>) -> Result<&'a str> {
    let meant = |part: &&PartView| node.is_none_or(|node| part.node == *node);
    if let (Some(node), None) = (node, view.parts.iter().find(meant)) {
        return Err(Refused::missing(format!("{} has no part of node {node}: {}", view.id, view.coverage)));
    }
    let mut given: Vec<&str> =
        view.parts.iter().filter(meant).filter_map(|part| part.permit_envelope.as_deref()).collect();
    given.dedup();
    match given.as_slice() {
        [one] => Ok(one),
        [] => Err(Refused::missing(format!("no permit was given for {} yet: {}", view.id, view.coverage))),
        _ => {
            let several =
                format!("several permits were given for {}; name a node with --node: {}", view.id, view.coverage);
            Err(Refused::wrong(several))
        }
    }
}

fn write(file: Option<&Path>, bytes: &[u8]) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

fn list(lines: &[ApplicationLine], output: Output) -> Result<()> {
    output.say(&lines, || {
        let mut table = Table::new([
            "hub's id",
            "applicant's number",
            "of",
            "submitted",
            "granted",
            "in force",
            "parts",
            "overdue",
            "due",
        ]);
        for line in lines {
            table.row([
                line.id.to_string(),
                line.number.as_ref().map_or_else(|| unreadable(line), ToString::to_string),
                line.person.to_string(),
                line.submitted_at.to_string(),
                line.granted.to_string(),
                if line.unreadable.is_empty() { line.in_force.to_string() } else { "unknown".into() },
                line.parts.to_string(),
                line.overdue.to_string(),
                line.due.map_or_else(|| "–".into(), |due| due.to_string()),
            ]);
        }
        table.render()
    })
}

fn unreadable(line: &ApplicationLine) -> String {
    format!("UNREADABLE: {}", lost(&line.unreadable))
}

/// What the hub cannot read of its log.
fn lost(entries: &[i64]) -> String {
    let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
    format!("entry {} of the hub's log cannot be read; ask its operator", entries.join(", "))
}

fn show(view: &ApplicationView, output: Output) -> Result<()> {
    output.say(view, || {
        let mut table = Table::new(["node", "status", "outcome", "permit", "standing", "due", ""]);
        for part in &view.parts {
            table.row([
                part.node.to_string(),
                part.status.to_string(),
                part.outcome.map_or_else(|| "–".into(), |outcome| format!("{outcome:?}").to_lowercase()),
                part.permit.as_ref().map_or_else(|| "–".into(), ToString::to_string),
                standing(part.standing.as_ref(), Timestamp::now()),
                due(part.due.as_ref(), part.outcome.is_some()),
                part.reasons.join("; "),
            ]);
        }
        let told = if view.parts.iter().any(|part| part.standing.is_some()) { AS_TOLD } else { "" };
        format!(
            "{} at the hub, which commands name; {} of {}, which decisions, permits and notices name\nsubmitted {}\n{}\n{}{told}",
            view.id,
            view.number,
            view.person,
            view.submitted_at,
            view.coverage,
            table.render()
        )
    })
}

/// Below a list of permits and how they stand.
pub(crate) const AS_TOLD: &str = "standing: as far as the hub was told; what was revoked at a node's own desk, only that node knows (`spe node permits`)\n";

/// How a permit stands, in words.
pub(crate) fn standing(standing: Option<&PermitStanding>, now: Timestamp) -> String {
    let Some(PermitStanding { state, since, replaced_by, revocation, unreadable }) = standing else {
        return "–".into();
    };
    if *state == PermitState::Unknown {
        return format!("{state}: {}", lost(unreadable));
    }
    let from = |at: &Timestamp| if *at > now { format!("from {at} on") } else { format!("since {at}") };
    let by = replaced_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let why = |RevocationView { reason, .. }: &RevocationView| {
        if reason.is_empty() { String::new() } else { format!(": {reason}") }
    };
    match revocation {
        Some(revoked) if *state == PermitState::Revoked => format!("{state} {}{}", from(since), why(revoked)),
        Some(later) => {
            format!("{state}{by} {}; REVOKED {}{}", from(since), from(&later.effective_at), why(later))
        }
        None => format!("{state}{by} {}", from(since)),
    }
}

/// Who is to do what, until when.
fn due(due: Option<&DueView>, is_granted: bool) -> String {
    let Some(due) = due else { return "–".into() };
    let who = match (due.who, is_granted) {
        (Actor::Applicant, _) => "the applicant",
        (Actor::AccessBody, false) => "the access body",
        (Actor::AccessBody, true) if due.article == Term::Data.article() => "the access body makes the data available",
        (Actor::AccessBody, true) => "the access body gives the answer",
    };
    let late = if due.overdue { "OVERDUE: " } else { "" };
    format!("{late}{who}, by {} ({})", due.last_day, due.article)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: an applicant who waits for the data, and reads that a decision is due.
    #[test]
    fn what_is_due_is_said() {
        let term = |who, term: Term, overdue| DueView {
            last_day: "2026-05-12".parse().expect("a day"),
            article: term.article().into(),
            who,
            overdue,
        };
        let decision = Term::Decision(spe_kernel::application::Track::Request);
        for (view, is_granted, said) in [
            (term(Actor::AccessBody, decision, false), false, "the access body, by 2026-05-12 (Art. 69)"),
            (term(Actor::Applicant, Term::Completion, false), false, "the applicant, by 2026-05-12 (Art. 68(4))"),
            (
                term(Actor::AccessBody, Term::Data, true),
                true,
                "OVERDUE: the access body makes the data available, by 2026-05-12 (Art. 68(7))",
            ),
            (
                term(Actor::AccessBody, Term::Answer, false),
                true,
                "the access body gives the answer, by 2026-05-12 (Art. 69)",
            ),
        ] {
            assert_eq!(due(Some(&view), is_granted), said);
        }
        assert_eq!(due(None, true), "–");
    }
}
