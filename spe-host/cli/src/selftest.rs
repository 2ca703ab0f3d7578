//! `spe node selftest`: hostile guests against this program, on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use spe_kernel::{admission::NodePolicy, pace::Pace};
use spe_node::{
    config::{NodeConfig, read_toml},
    selftest::{self, Progress, Report, Verdict, machine::SAFETY},
};
use spe_vault::Vault;

use crate::{connect::make_private, key, output::Output};

#[derive(Args)]
pub(crate) struct SelftestArgs {
    /// A node's folder: is its policy true of this machine, and does every job give enough time to read its datasets?
    ///
    /// Its records are read, to see how long that takes, and nothing is written or told of them. The node may run meanwhile, but
    /// makes the figures worse.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A folder that is removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name: String = key::entropy()?.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = std::env::temp_dir().join(format!("spe-selftest-{name}"));
        make_private(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) fn run(args: &SelftestArgs, output: Output) -> Result<()> {
    let scratch = Scratch::new()?;
    let compiler = (std::env::current_exe()?, vec!["compile-module".into()]);
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("  {wide_bar} {pos}/{len} {msg}")?);
    let report = selftest::run(&scratch.0, &compiler, |progress| match progress {
        Progress::Attack { name, of, .. } => {
            bar.set_length(u64::try_from(of).unwrap_or_default() + 1);
            bar.set_message(name);
        }
        Progress::Over(_) => bar.inc(1),
        Progress::Measuring => bar.set_message("measuring the machine"),
    });
    bar.finish_and_clear();
    let report = report?;
    let doubts = args.dir.as_deref().map(|dir| doubts(dir, &report)).transpose()?;
    let pace = args.dir.as_deref().map(policy).transpose()?.map_or_else(Pace::default, |policy| policy.release);
    let proposal = toml::to_string(&report.machine.proposal(&pace))?;
    output.say(&json(&report, &proposal, doubts.as_deref()), || text(&report, &proposal, doubts.as_deref()))?;
    let leaks = report.verdicts.iter().filter(|verdict| !verdict.held).count();
    drop(scratch);
    match leaks {
        0 => Ok(()),
        // The answer says it all; a second document after it would not be JSON any more.
        _ if output.json => std::process::exit(1),
        leaks => {
            bail!("{leaks} of {} attacks gave something away: do not serve from this machine", report.verdicts.len())
        }
    }
}

fn policy(dir: &Path) -> Result<NodePolicy> {
    Ok(read_toml(&NodeConfig::read(dir)?.policy_file)?)
}

/// In what the node's policy promises more than the machine gives.
fn doubts(dir: &Path, report: &Report) -> Result<Vec<String>> {
    let pace = policy(dir)?.release;
    let vault = Vault::open(&NodeConfig::read(dir)?.vault_dir())?;
    let mut doubts = report.machine.contradicts(&pace);
    doubts.extend(selftest::machine::unread(&vault, &pace).context("reading the node's datasets")?);
    Ok(doubts)
}

fn json(report: &Report, proposal: &str, doubts: Option<&[String]>) -> serde_json::Value {
    let verdict = |v: &Verdict| serde_json::json!({ "attack": v.attack, "tries": v.tries, "expected": v.expected, "seen": v.seen, "held": v.held });
    let machine = &report.machine;
    let rates: serde_json::Map<_, _> =
        machine.fuel_per_second.iter().map(|(toil, rate)| ((*toil).to_owned(), (*rate).into())).collect();
    serde_json::json!({
        "held": report.verdicts.iter().all(|v| v.held),
        "attacks": report.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "measured": {
            "fuel_per_second": rates, "subject_micros": machine.subject_micros, "memory_micros": machine.memory_micros,
            "row_nanos": machine.row_nanos, "job_ms": machine.job_ms,
        },
        "release": proposal, "safety": SAFETY, "doubts": doubts,
    })
}

fn text(report: &Report, proposal: &str, doubts: Option<&[String]>) -> String {
    let mut text = format!("{:<18}{:<30}{:<14}{}\n", "attack", "expected", "verdict", "seen");
    for Verdict { attack, expected, seen, held, .. } in &report.verdicts {
        let verdict = if *held { "held" } else { "NOT HELD" };
        text.push_str(&format!("{attack:<18}{expected:<30}{verdict:<14}{seen}\n"));
    }
    let machine = &report.machine;
    text.push_str("\nmeasured on one thread, the slowest of several:\n");
    for (toil, rate) in &machine.fuel_per_second {
        text.push_str(&format!("  {rate:>13.0} fuel a second: {toil}\n"));
    }
    text.push_str(&format!(
        "  {:>13.1} µs a data subject besides fuel, and {:.1} µs more if it writes to all its memory\n  {:>13.0} ns a row\n  {:>13.0} ms a job\n",
        machine.subject_micros, machine.memory_micros, machine.row_nanos, machine.job_ms
    ));
    text.push_str(&format!("\nfor policy.toml, with a safety factor of {SAFETY}:\n\n[release]\n{proposal}"));
    match doubts {
        None => {}
        Some([]) => text.push_str("\nthe node's policy is true of this machine\n"),
        Some(doubts) => {
            text.push_str("\nthe node's policy says that this machine is faster than it is: late jobs will be refused, and that tells\n");
            doubts.iter().for_each(|doubt| text.push_str(&format!("  {doubt}\n")));
        }
    }
    text
}
