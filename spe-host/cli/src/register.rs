//! The public register and the activity report, for everybody.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use spe_kernel::ids::Digest;
use spe_wire::{
    HubClient,
    governance::{Activity, Entry, Indicator, Period, Register, Unreadable},
};

use crate::{
    application::{AS_TOLD, standing},
    connect::{Profile, block_on, stranger},
    exit::Refused,
    instant::instant,
    output::{Output, tame},
    show::Table,
};

#[derive(Subcommand)]
pub(crate) enum RegisterCommand {
    /// Show the register
    List(Reader),
    /// Write the register as files for a web server: register.json, applications.csv, results.csv
    Export {
        /// The folder to write into
        dir: PathBuf,
        #[command(flatten)]
        reader: Reader,
    },
}

#[derive(Subcommand)]
pub(crate) enum ReportCommand {
    /// Show the activity report of Art. 59: what the hub's log knows; what it cannot know is "not recorded"
    Activity {
        /// From this instant on, such as 2027-01-01T00:00:00Z; from the beginning if left out
        #[arg(long, value_name = "TIME", value_parser = instant)]
        from: Option<Timestamp>,
        /// Until before this instant, such as 2028-01-01T00:00:00Z; until now if left out
        #[arg(long, value_name = "TIME", value_parser = instant)]
        until: Option<Timestamp>,
        /// Also write it as CSV
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        #[command(flatten)]
        reader: Reader,
    },
}

/// Everybody may read: with a member's folder, or with the hub's address and the fingerprint of its authority.
#[derive(Args)]
pub(crate) struct Reader {
    /// Your folder, if you are a member
    #[arg(long = "as", value_name = "DIR", env = "SPE_PROFILE")]
    folder: Option<PathBuf>,
    /// The hub's host:port: no member's folder is needed then, or used
    #[arg(long, value_name = "HOST:PORT", requires = "ca")]
    hub: Option<String>,
    /// Fingerprint of the hub's certificate authority, which the hub's operator publishes (`spe hub fingerprint`)
    #[arg(long, value_name = "FINGERPRINT", requires = "hub")]
    ca: Option<Digest>,
}

impl Reader {
    async fn connect(&self) -> Result<HubClient> {
        match (&self.folder, &self.hub, self.ca) {
            (_, Some(hub), Some(ca)) => stranger(hub, ca).await,
            (Some(folder), ..) => Profile::of(folder).connect().await,
            _ => {
                let how = "name a hub: --hub HOST:PORT with --ca FINGERPRINT, or a member's folder with --as DIR";
                Err(Refused::wrong(how))
            }
        }
    }
}

pub(crate) fn run(command: &RegisterCommand, output: Output) -> Result<()> {
    match command {
        RegisterCommand::List(reader) => {
            let register = block_on(async { Ok(reader.connect().await?.register().await?) })?;
            output.say(&register, || text(&register))
        }
        RegisterCommand::Export { dir, reader } => {
            let register = block_on(async { Ok(reader.connect().await?.register().await?) })?;
            std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
            write(&dir.join("register.json"), &(serde_json::to_string_pretty(&register)? + "\n"))?;
            write(&dir.join("applications.csv"), &applications(&register)?)?;
            write(&dir.join("results.csv"), &results(&register))?;
            output.say(&serde_json::json!({ "dir": dir, "entries": register.entries.len() }), || {
                format!("applications written to {}: {}\n", dir.display(), register.entries.len())
            })
        }
    }
}

pub(crate) fn report(command: &ReportCommand, output: Output) -> Result<()> {
    let ReportCommand::Activity { from, until, csv, reader } = command;
    let period = Period { from: *from, until: *until };
    let activity = block_on(async { Ok(reader.connect().await?.activity(period).await?) })?;
    if let Some(file) = csv {
        write(file, &indicators(&activity))?;
    }
    output.say(&activity, || {
        let mut table = Table::new(["Art. 59(1)", "what", "of", "number"]);
        for Indicator { point, name, of, value } in &activity.indicators {
            let value = value.clone().unwrap_or_else(|| NOT_RECORDED.into());
            table.row([point.clone(), name.clone(), of.clone(), value]);
        }
        table.render() + "what is not recorded, the hub's operator may add: spe hub record\n"
    })
}

const NOT_RECORDED: &str = "not recorded";

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn text(register: &Register) -> String {
    let mut table =
        Table::new(["hub's id", "applicant", "purposes", "node", "status", "permit", "standing", "reasons"]);
    for (entry, purposes) in register.entries.iter().map(|entry| (entry, points(entry))) {
        for part in &entry.parts {
            table.row([
                entry.application.to_string(),
                entry.applicant.clone(),
                purposes.clone(),
                part.node.to_string(),
                part.outcome.map_or_else(|| part.status.to_string(), |outcome| format!("{outcome:?}").to_lowercase()),
                part.permit.as_ref().map_or_else(|| "–".into(), ToString::to_string),
                standing(part.standing.as_ref(), register.at),
                part.reasons.join("; "),
            ]);
        }
    }
    let mut lost: String = register.unreadable.iter().map(unreadable).collect();
    if let Some(left_out) = register.left_out {
        lost.push_str(&format!(
            "{} applications and results, the oldest or largest, are not in it: ask the hub's operator\n",
            left_out
        ));
    }
    let published = register.entries.iter().flat_map(|entry| &entry.results).chain(&register.other_results).count();
    let results = format!("{published} results published; `spe register export` writes them\n");
    format!("{}{AS_TOLD}{results}{}", table.render(), tame(&lost))
}

/// What is missing, and why.
fn unreadable(Unreadable { about, entries }: &Unreadable) -> String {
    let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
    format!("UNREADABLE: entry {} of the hub's log, about {about}: it is missing here\n", entries.join(", "))
}

fn points(entry: &Entry) -> String {
    entry.purposes.iter().map(|purpose| purpose.0.point()).collect::<Vec<_>>().join(" ")
}

/// Lines of CSV (RFC 4180). A cell that a spreadsheet would take for a formula begins with an apostrophe.
#[derive(Default)]
struct Csv(String);

impl Csv {
    fn line<const N: usize>(&mut self, cells: [&str; N]) {
        let cell = |text: &&str| {
            let guard = if text.starts_with(['=', '+', '@', '\t', '\r']) { "'" } else { "" };
            format!("\"{guard}{}\"", text.replace('"', "\"\""))
        };
        self.0.push_str(&cells.iter().map(cell).collect::<Vec<_>>().join(","));
        self.0.push_str("\r\n");
    }
}

fn applications(register: &Register) -> Result<String> {
    let mut csv = Csv::default();
    csv.line([
        "application",
        "article",
        "applicant",
        "applicant_body",
        "purposes",
        "categories",
        "description",
        "submitted_at",
        "node",
        "datasets",
        "status",
        "outcome",
        "decided_at",
        "reasons",
        "permit",
        "valid_from",
        "valid_until",
        "results_due",
        "standing",
        "since",
        "replaced_by",
        "revoked_at",
        "revoked_under",
    ]);
    let named = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let instant = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    for entry in &register.entries {
        for part in &entry.parts {
            let standing = part.standing.as_ref();
            let revoked = standing.and_then(|one| one.revocation.as_ref());
            let datasets: Vec<_> = part.datasets.iter().map(|dataset| dataset.as_str()).collect();
            let categories: Vec<_> = entry.categories.iter().map(|category| category.point()).collect();
            csv.line([
                entry.application.as_str(),
                &entry.article.to_string(),
                &entry.applicant,
                &named(serde_json::to_value(entry.applicant_body)?),
                &points(entry),
                &categories.join(" "),
                &entry.description,
                &entry.submitted_at.to_string(),
                part.node.as_str(),
                &datasets.join(" "),
                &part.status.to_string(),
                &named(serde_json::to_value(part.outcome)?),
                &instant(part.decided_at),
                &part.reasons.join("; "),
                part.permit.as_ref().map_or("", |permit| permit.as_str()),
                &instant(part.valid_from),
                &instant(part.valid_until),
                &entry.results_due.map(|day| day.to_string()).unwrap_or_default(),
                &standing.map(|one| one.state.to_string()).unwrap_or_default(),
                &instant(standing.map(|one| one.since)),
                standing.and_then(|one| one.replaced_by.as_ref()).map_or("", |permit| permit.as_str()),
                &instant(revoked.map(|one| one.effective_at)),
                revoked.map_or("", |one| one.reason.as_str()),
            ]);
        }
    }
    Ok(csv.0)
}

/// One line for each estimate; those that the plan suppresses have no number.
fn results(register: &Register) -> String {
    let mut csv = Csv::default();
    csv.line([
        "job",
        "permit",
        "dataset",
        "published_at",
        "coverage",
        "statistic",
        "unit",
        "label",
        "value",
        "low",
        "high",
    ]);
    let all = register.entries.iter().flat_map(|entry| &entry.results).chain(&register.other_results);
    for result in all {
        for statistic in &result.statistics {
            for estimate in &statistic.estimates {
                let number = |value: f64| if estimate.suppressed { String::new() } else { value.to_string() };
                csv.line([
                    result.job.as_str(),
                    result.permit.as_str(),
                    result.dataset.as_str(),
                    &result.published_at.to_string(),
                    &result.coverage,
                    &statistic.name,
                    &statistic.unit,
                    &estimate.label,
                    &number(estimate.value),
                    &number(estimate.low),
                    &number(estimate.high),
                ]);
            }
        }
    }
    csv.0
}

fn indicators(activity: &Activity) -> String {
    let mut csv = Csv::default();
    csv.line(["article_59_1_point", "what", "of", "number"]);
    for Indicator { point, name, of, value } in &activity.indicators {
        csv.line([point, name, of, value.as_deref().unwrap_or(NOT_RECORDED)]);
    }
    csv.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: text of an applicant that becomes a formula in a spreadsheet, or another cell.
    #[test]
    fn a_cell_stays_one_cell_and_no_formula() {
        let mut csv = Csv::default();
        csv.line(["=1+1", "a\",\"b", "plain"]);
        assert_eq!(csv.0, "\"'=1+1\",\"a\"\",\"\"b\",\"plain\"\r\n");
    }
}
