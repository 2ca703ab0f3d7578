//! Incidents at a node, and the reports on them that are due.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;
use spe_kernel::{
    audit::Who,
    incident::{Deadline, Incident, Standing, Step, Taken},
    refusal::Stop,
};
use spe_node::{
    config::NodeConfig,
    desk::{self, Ask, Told},
    journal::Records,
};

use crate::{account::operator, instant::instant, output::Output, show::Table};

#[derive(Subcommand)]
pub(crate) enum IncidentCommand {
    /// Record that an incident became known: the three reports on it are due from then on
    Open {
        /// The node's folder
        dir: PathBuf,
        /// What happened, in words; kept with the node's records for ever, so name no person
        #[arg(long, value_name = "TEXT")]
        what: String,
        /// When it became known, such as 2027-01-31T10:00:00Z; now if left out
        #[arg(long, value_name = "TIME", value_parser = instant)]
        known_at: Option<Timestamp>,
    },
    /// Record what was done about it, or that a report was sent
    Update {
        /// The node's folder
        dir: PathBuf,
        /// The incident's number, as `spe node incident list` shows it
        number: u32,
        /// What was done, in words that name no person
        #[arg(long, value_name = "TEXT")]
        what: String,
        /// The report that was sent: early-warning, detailed-report or final-report
        #[arg(long, value_name = "REPORT", value_parser = report)]
        sent: Option<Step>,
        /// When, such as 2027-01-31T10:00:00Z; now if left out
        #[arg(long, value_name = "TIME", value_parser = instant)]
        at: Option<Timestamp>,
    },
    /// End it, after its final report, or because it turned out to be none
    Close {
        /// The node's folder
        dir: PathBuf,
        /// The incident's number, as `spe node incident list` shows it
        number: u32,
        /// What came of it, in words that name no person
        #[arg(long, value_name = "TEXT")]
        what: String,
        /// It was no incident: reports that were not sent are not due any more
        #[arg(long)]
        no_incident: bool,
    },
    /// List incidents, and which report is due when
    List {
        /// The node's folder
        dir: PathBuf,
    },
}

fn report(text: &str) -> Result<Step, String> {
    let named = Step::REPORTS.into_iter().find(|report| report.to_string() == text);
    named.ok_or_else(|| format!("one of {} is meant", Step::REPORTS.map(|report| report.to_string()).join(", ")))
}

pub(crate) fn run(command: IncidentCommand, output: Output) -> Result<()> {
    let now = Timestamp::now();
    let taken = |step, at: Option<Timestamp>, text| Taken { step, at: at.unwrap_or(now), text };
    let (dir, number, taken) = match command {
        IncidentCommand::Open { dir, what, known_at } => (dir, None, taken(Step::Opened, known_at, what)),
        IncidentCommand::Update { dir, number, what, sent, at } => {
            (dir, Some(number), taken(sent.unwrap_or(Step::Noted), at, what))
        }
        IncidentCommand::Close { dir, number, what, no_incident } => {
            let step = if no_incident { Step::Dismissed } else { Step::Closed };
            (dir, Some(number), taken(step, None, what))
        }
        IncidentCommand::List { dir } => return list(&dir, output),
    };
    let ask = Ask::Incident { who: operator(), number, taken };
    match told(&dir, ask)? {
        Told::Incident(incident) => output.say(&exported(&incident), || text(&incident)),
        other => desk_said(other),
    }
}

fn list(dir: &Path, output: Output) -> Result<()> {
    match told(dir, Ask::Incidents)? {
        Told::Incidents(all) => output.say(&all.iter().map(exported).collect::<Vec<_>>(), || {
            if all.is_empty() { "no incident was recorded\n".into() } else { all.iter().map(text).collect() }
        }),
        other => desk_said(other),
    }
}

/// Asks the node that runs; of one that does not, only its records are opened, for its incident may be why.
fn told(dir: &Path, ask: Ask) -> Result<Told> {
    let config = NodeConfig::read(dir)?;
    if let Some(told) = desk::ask(&config.data_dir, &ask)? {
        return Ok(told);
    }
    let file = config.ledger_file();
    ensure!(file.parent().is_some_and(Path::exists), "{} has no records: is it a node?", dir.display());
    let records = Records::open(&file)?;
    match ask {
        Ask::Incident { who, number, taken } => {
            let recorded = records.record_incident(&Who::Person(who), number, taken);
            recorded.map(Told::Incident).map_err(|stop| match stop {
                Stop::Refused(refusal) => refusal.into(),
                Stop::Failed(fault) => fault.into(),
            })
        }
        _ => Ok(Told::Incidents(records.incidents()?)),
    }
}

fn desk_said(told: Told) -> Result<()> {
    match told {
        Told::Refused(refusal) => Err(refusal.into()),
        Told::Failed(why) => bail!("{why}"),
        other => bail!("the node answered something else: {other:?}"),
    }
}

fn exported(incident: &Incident) -> serde_json::Value {
    json!({ "number": incident.number, "known_at": incident.known_at, "ended_at": incident.ended_at(), "steps": incident.steps,
        "deadlines": incident.deadlines(Timestamp::now()) })
}

fn text(incident: &Incident) -> String {
    let Incident { number, known_at, steps } = incident;
    let ended = incident.ended_at().map_or_else(|| "open".into(), |at| format!("ended at {at:.0}"));
    let mut reports = Table::new(["report", "due", "standing"]);
    for deadline in incident.deadlines(Timestamp::now()) {
        reports.row([deadline.report.to_string(), format!("{:.0}", deadline.due), standing(&deadline)]);
    }
    let mut done = Table::new(["at", "step", "what"]);
    for Taken { step, at, text } in steps {
        done.row([format!("{at:.0}"), step.to_string(), text.replace('\n', " ")]);
    }
    format!("incident {number}, known since {known_at:.0}, {ended}\n{}{}", reports.render(), done.render())
}

fn standing(deadline: &Deadline) -> String {
    let minutes = deadline.minutes_left.unsigned_abs();
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let span = match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    };
    match deadline.standing {
        Standing::Sent => "sent in time".into(),
        Standing::SentLate => format!("sent {span} too late"),
        Standing::Due => format!("{span} left"),
        Standing::Overdue => format!("OVERDUE by {span}"),
        Standing::NotDue => "not due any more".into(),
    }
}
