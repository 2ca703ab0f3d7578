//! `spe node selftest`: hostile guests against this program, on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use spe_kernel::admission::NodePolicy;
use spe_node::{
    config::{NodeConfig, read_toml},
    selftest::{
        self, Progress, Report, Verdict,
        machine::{self, Guests, Machine, SAFETY},
    },
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

/// The sample policy, for who has none yet.
const POLICY: &str = include_str!("../../../policies/node/default.toml");

pub(crate) fn run(args: &SelftestArgs, output: Output) -> Result<()> {
    let policy: NodePolicy = match &args.dir {
        Some(dir) => read_toml(&NodeConfig::read(dir)?.policy_file)?,
        None => toml::from_str(POLICY)?,
    };
    let report = attack(policy.guest_memory_bytes_max)?;
    let doubts = args.dir.as_deref().map(|dir| doubts(dir, &policy, &report)).transpose()?;
    let found = Found { report: &report, policy: &policy, doubts: doubts.as_deref() };
    output.say(&found.json()?, || found.text())?;
    match report.verdicts.iter().filter(|verdict| !verdict.held).count() {
        0 => Ok(()),
        // The answer says it all; a second document after it would not be JSON any more.
        _ if output.json => std::process::exit(1),
        leaks => {
            bail!("{leaks} of {} attacks gave something away: do not serve from this machine", report.verdicts.len())
        }
    }
}

fn attack(guest_memory_bytes: u64) -> Result<Report> {
    let scratch = Scratch::new()?;
    let compiler = (std::env::current_exe()?, vec!["compile-module".into()]);
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("  {wide_bar} {pos}/{len} {msg}")?);
    let report = selftest::run(&scratch.0, &compiler, guest_memory_bytes, |progress| match progress {
        Progress::Attack { name, of, .. } => {
            bar.set_length(u64::try_from(of).unwrap_or_default() + 1);
            bar.set_message(name);
        }
        Progress::Over(_) => bar.inc(1),
        Progress::Measuring => bar.set_message("measuring the machine"),
    });
    bar.finish_and_clear();
    Ok(report?)
}

/// In what the node's policy promises more than the machine gives.
fn doubts(dir: &Path, policy: &NodePolicy, report: &Report) -> Result<Vec<String>> {
    let vault = Vault::open(&NodeConfig::read(dir)?.vault_dir())?;
    let mut doubts = report.machine.contradicts(&policy.release);
    doubts.extend(machine::unread(&vault, &policy.release).context("reading the node's datasets")?);
    Ok(doubts)
}

/// What there is to say.
struct Found<'a> {
    report: &'a Report,
    policy: &'a NodePolicy,
    doubts: Option<&'a [String]>,
}

impl Found<'_> {
    fn release(&self, guests: &Guests) -> Result<String> {
        Ok(toml::to_string(&self.report.machine.proposal(guests, &self.policy.release))?)
    }

    fn json(&self) -> Result<Value> {
        let verdict = |v: &Verdict| json!({ "attack": v.attack, "tries": v.tries, "expected": v.expected, "seen": v.seen, "held": v.held });
        let Machine { largest, small, row_nanos, job_ms } = &self.report.machine;
        let guests = |g: &Guests| -> Result<Value> {
            let rates: serde_json::Map<_, _> =
                g.fuel_per_second.iter().map(|(toil, rate)| ((*toil).to_owned(), (*rate).into())).collect();
            Ok(json!({ "memory_bytes": g.memory_bytes, "fuel_per_second": rates, "subject_micros": g.subject_micros,
                "page_nanos": g.page_nanos, "release": self.release(g)? }))
        };
        Ok(json!({
            "held": self.report.verdicts.iter().all(|v| v.held),
            "attacks": self.report.verdicts.iter().map(verdict).collect::<Vec<_>>(),
            "measured": { "guests": [guests(largest)?, guests(small)?], "row_nanos": row_nanos, "job_ms": job_ms },
            "safety": SAFETY, "doubts": self.doubts,
        }))
    }

    fn text(&self) -> String {
        let mut text = format!("{:<18}{:<26}{:<12}{}\n", "attack", "expected", "verdict", "seen");
        for Verdict { attack, expected, seen, held, .. } in &self.report.verdicts {
            let verdict = if *held { "held" } else { "NOT HELD" };
            text.push_str(&format!("{attack:<18}{expected:<26}{verdict:<12}{seen}\n"));
        }
        text.push_str(&self.measured());
        match self.doubts {
            None => {}
            Some([]) => text.push_str("\nthe node's policy is true of this machine\n"),
            Some(doubts) => {
                text.push_str("\nthe node's policy says that this machine is faster than it is. Whoever makes a job late sees it refused:\n");
                doubts.iter().for_each(|doubt| text.push_str(&format!("  {doubt}\n")));
            }
        }
        text
    }

    fn measured(&self) -> String {
        let Machine { largest, small, row_nanos, job_ms } = &self.report.machine;
        let mib = |g: &Guests| format!("{} MiB", g.memory_bytes >> 20);
        let mut text = format!(
            "\nmeasured on one thread, the slowest of several\n{:<44}{:>14}{:>14}\n",
            "guests with",
            mib(largest),
            mib(small)
        );
        let mut line = |what: &str, a: f64, b: f64| text.push_str(&format!("  {what:<42}{a:>14.0}{b:>14.0}\n"));
        for ((toil, a), (_, b)) in largest.fuel_per_second.iter().zip(&small.fuel_per_second) {
            line(&format!("fuel a second: {toil}"), *a, *b);
        }
        line("µs a data subject besides fuel", largest.subject_micros, small.subject_micros);
        line("ns for each 4 KiB that it writes to", largest.page_nanos, small.page_nanos);
        line("ns a row", *row_nanos, *row_nanos);
        line("ms a job", *job_ms, *job_ms);
        let release = |guests: &Guests| self.release(guests).unwrap_or_default();
        text.push_str(&format!(
            "\nfor policy.toml, with a safety factor of {SAFETY}, while guest_memory_bytes_max = {}:\n\n[release]\n{}",
            largest.memory_bytes,
            release(largest)
        ));
        if small.memory_bytes < largest.memory_bytes {
            text.push_str(&format!(
                "\nwith guest_memory_bytes_max = {}, which most modules need less than, answers leave earlier:\n\n[release]\n{}",
                small.memory_bytes,
                release(small)
            ));
        }
        text
    }
}
