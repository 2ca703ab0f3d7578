//! `spe node selftest`: hostile guests against this program, on this machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use spe_kernel::{admission::NodePolicy, pace::Pace};
use spe_node::{
    config::{NodeConfig, read_toml},
    selftest::{
        self, Progress, Report, Verdict,
        machine::{self, Machine, SAFETY},
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
    dir: Option<PathBuf>,
    /// Put what is proposed into the node's policy, in place of its `[release]`
    #[arg(long, requires = "dir")]
    adopt: bool,
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
    let file = args.dir.as_ref().map(|dir| NodeConfig::read(dir)).transpose()?.map(|config| config.policy_file);
    let policy: NodePolicy = match &file {
        Some(file) => read_toml(file)?,
        None => toml::from_str(POLICY)?,
    };
    let [few, _] = policy.release.guests;
    let report = attack([few.memory_bytes, policy.guest_memory_bytes_max])?;
    let leaks = report.verdicts.iter().filter(|verdict| !verdict.held).count();
    let proposal = report.machine.proposal(&policy.release);
    let adopted = file.filter(|_| args.adopt && leaks == 0);
    if let Some(file) = &adopted {
        adopt(file, &proposal)?;
    }
    let serves = NodePolicy { release: if adopted.is_some() { proposal } else { policy.release }, ..policy };
    let doubts = args.dir.as_deref().map(|dir| doubts(dir, &serves, &report)).transpose()?;
    let found = Found { report: &report, proposal, adopted, doubts: doubts.as_deref() };
    output.say(&found.json()?, || found.text())?;
    let doubts = found.doubts.map_or(0, <[_]>::len);
    match (leaks, doubts) {
        (0, 0) => Ok(()),
        // The answer says it all; a second document after it would not be JSON any more.
        _ if output.json => std::process::exit(1),
        (0, doubts) => {
            bail!("the node's policy promises what this machine does not keep: {doubts} doubts, listed above")
        }
        (leaks, _) => {
            bail!("{leaks} of {} attacks gave something away: do not serve from this machine", report.verdicts.len())
        }
    }
}

/// `[release]` as a policy has it.
fn section(release: &Pace) -> Result<String> {
    Ok(toml::to_string(&BTreeMap::from([("release", release)]))?)
}

/// Replaces `[release]`, with all that belongs to it, in the policy `file`; everything else stays as it is.
fn adopt(file: &Path, release: &Pace) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']', ' ']).split('.').next() == Some("release");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let text = format!(
        "{}\n\n# Measured by `spe node selftest` on {}.\n{}",
        kept.trim_end(),
        machine::description(),
        section(release)?
    );
    toml::from_str::<NodePolicy>(&text)
        .with_context(|| format!("{}: the policy that would be written", file.display()))?;
    let scratch = file.with_extension("toml.new");
    std::fs::write(&scratch, text).with_context(|| format!("writing {}", scratch.display()))?;
    std::fs::rename(&scratch, file).with_context(|| format!("replacing {}", file.display()))
}

fn attack(guest_memory_bytes: [u64; 2]) -> Result<Report> {
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
    let config = NodeConfig::read(dir)?;
    let vault = Vault::open(&config.vault_dir(), &spe_node::keys::Holder::open(&config.keyholder_file)?)?;
    let release = &policy.release;
    let vouched = release.vouched(&machine::description(), policy.guest_memory_bytes_max, &dir.to_string_lossy());
    let mut doubts: Vec<_> = vouched.err().iter().map(ToString::to_string).collect();
    if release.unmeasured {
        doubts.push("[release] says unmeasured = true".into());
    }
    doubts.extend(report.machine.contradicts(release));
    doubts.extend(machine::unread(&vault, release).context("reading the node's datasets")?);
    Ok(doubts)
}

/// What there is to say.
struct Found<'a> {
    report: &'a Report,
    proposal: Pace,
    adopted: Option<PathBuf>,
    doubts: Option<&'a [String]>,
}

impl Found<'_> {
    fn json(&self) -> Result<Value> {
        let verdict = |v: &Verdict| json!({ "attack": v.attack, "tries": v.tries, "expected": v.expected, "seen": v.seen, "held": v.held });
        let Machine { guests, value_nanos, job_ms } = &self.report.machine;
        let guests = guests.each_ref().map(|g| {
            let rates: BTreeMap<_, _> = g.fuel_per_second.iter().copied().collect();
            json!({ "memory_bytes": g.memory_bytes, "fuel_per_second": rates, "subject_micros": g.subject_micros,
                "page_nanos": g.page_nanos })
        });
        Ok(json!({
            "held": self.report.verdicts.iter().all(|v| v.held),
            "attacks": self.report.verdicts.iter().map(verdict).collect::<Vec<_>>(),
            "machine": machine::description(), "measured": { "guests": guests, "value_nanos": value_nanos, "job_ms": job_ms },
            "safety": SAFETY, "release": section(&self.proposal)?, "adopted": self.adopted, "doubts": self.doubts,
        }))
    }

    fn text(&self) -> String {
        let mut text = format!("{:<18}{:<26}{:<12}{}\n", "attack", "expected", "verdict", "seen");
        for Verdict { attack, expected, seen, held, .. } in &self.report.verdicts {
            let verdict = if *held { "held" } else { "NOT HELD" };
            text.push_str(&format!("{attack:<18}{expected:<26}{verdict:<12}{seen}\n"));
        }
        text.push_str(&self.measured());
        let section = section(&self.proposal).unwrap_or_default();
        match &self.adopted {
            Some(file) => text.push_str(&format!(
                "\nnow in {}; a node that runs takes it up at its next start\n\n{section}",
                file.display()
            )),
            None => text.push_str(&format!(
                "\nfor policy.toml (--adopt puts it there), with a safety factor of {SAFETY}\n\n{section}"
            )),
        }
        match self.doubts {
            None => {}
            Some([]) => text.push_str("\nthe node's policy is true of this machine\n"),
            Some(doubts) => {
                text.push_str("\nthe node's policy says more of this machine than is known. Whoever makes a job late sees it refused:\n");
                doubts.iter().for_each(|doubt| text.push_str(&format!("  {doubt}\n")));
            }
        }
        text
    }

    fn measured(&self) -> String {
        let Machine { guests: [few, many], value_nanos, job_ms } = &self.report.machine;
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let mut text = format!(
            "\n{}\nmeasured on one thread, the slowest of several\n{:<44}{:>14}{:>14}\n",
            machine::description(),
            "guests with",
            mib(few.memory_bytes),
            mib(many.memory_bytes)
        );
        let mut line = |what: &str, a: f64, b: f64| text.push_str(&format!("  {what:<42}{a:>14.0}{b:>14.0}\n"));
        for ((workload, a), (_, b)) in few.fuel_per_second.iter().zip(&many.fuel_per_second) {
            line(&format!("fuel a second: {workload}"), *a, *b);
        }
        line("µs a data subject besides fuel", few.subject_micros, many.subject_micros);
        line("ns for each 4 KiB that it writes to", few.page_nanos, many.page_nanos);
        line("ns a value that is read", *value_nanos, *value_nanos);
        line("ms a job", *job_ms, *job_ms);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a proposal that cannot be pasted, or that takes other lines of the policy with it.
    #[test]
    fn what_is_adopted_is_a_policy_with_the_rest_as_it_was() {
        let file = std::env::temp_dir().join(format!("spe-adopt-{}.toml", std::process::id()));
        let release = Pace::default().measured_on("a machine", jiff::Timestamp::UNIX_EPOCH);
        for after in ["", "\n[people]\n# others\n"] {
            std::fs::write(&file, format!("{POLICY}{after}")).expect("a file");
            for _ in 0..2 {
                adopt(&file, &release).expect("adopted");
            }
            let text = std::fs::read_to_string(&file).expect("the policy");
            let policy: NodePolicy = toml::from_str(&text).expect("a policy");
            let before: NodePolicy = toml::from_str(&format!("{POLICY}{after}")).expect("a policy");
            assert_eq!(policy, NodePolicy { release, ..before });
            assert!(text.contains("# Purposes of Art. 53(1)") && text.contains(after.trim()), "other lines are gone");
        }
        std::fs::remove_file(&file).ok();
    }
}
