//! The officers' desk of a node: what waits for a person, and that person's verdict.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use spe_kernel::{
    ids::PersonName,
    officer::{Matter, VERDICT_FORMAT, VerdictBody},
};
use spe_node::{
    config::NodeConfig,
    desk::{self, Ask, Told},
    journal::{Ending, Pending},
    site::Site,
};

use crate::{key, output::Output, waiting};

#[derive(Subcommand)]
pub(crate) enum DeskCommand {
    /// List what waits for an officer
    List {
        /// The node's folder
        dir: PathBuf,
    },
    /// Let a job run, or an answer leave
    Approve(VerdictArgs),
    /// Decide against it; whoever asked is told the reason
    Refuse(VerdictArgs),
    /// List the permits that ended here, and certify that what they brought is deleted
    Endings {
        /// The node's folder
        dir: PathBuf,
        /// Write each signed certificate to a file of this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// End a permit, or exclude a person, at this node: what runs is stopped at once
    Revoke {
        /// The node's folder
        dir: PathBuf,
        /// The revocation, signed by a data access body that the node trusts
        revocation: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct VerdictArgs {
    /// The node's folder
    dir: PathBuf,
    /// What is decided about: the first characters of its digest, as `list` shows it
    matter: String,
    /// Who decides, as the node's policy names them
    #[arg(long)]
    officer: PersonName,
    /// The officer's secret key file
    #[arg(long)]
    key: PathBuf,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
}

pub(crate) fn run(command: DeskCommand, output: Output) -> Result<()> {
    match command {
        DeskCommand::List { dir } => {
            let all = pending(&dir)?;
            output.say(&all, || waiting::text(&all))
        }
        DeskCommand::Approve(args) => decide(&args, true, output),
        DeskCommand::Refuse(args) if args.reason.is_empty() => {
            bail!("say why with --reason: whoever asked is told")
        }
        DeskCommand::Refuse(args) => decide(&args, false, output),
        DeskCommand::Endings { dir, out } => endings(&dir, out.as_deref(), output),
        DeskCommand::Revoke { dir, revocation } => {
            let envelope = std::fs::read_to_string(&revocation);
            let envelope = envelope.with_context(|| format!("reading {}", revocation.display()))?;
            match ask(&dir, Ask::Revoke { revocation: envelope })? {
                Told::Revoked => output.say(&serde_json::json!({ "revoked": true }), || {
                    "revoked at this node: nothing runs under it any more\n".into()
                }),
                other => unexpected(other),
            }
        }
    }
}

/// Asks the node that runs on `dir`, or does it in the folder of one that does not.
fn ask(dir: &Path, ask: Ask) -> Result<Told> {
    let data = NodeConfig::read(dir)?.data_dir;
    if let Some(told) = desk::ask(&data, &ask)? {
        return Ok(told);
    }
    let compiler = (std::env::current_exe()?, vec!["compile-module".into()]);
    Ok(desk::act(&Site::open(dir, compiler)?, ask))
}

fn unexpected<T>(told: Told) -> Result<T> {
    match told {
        Told::Refused(refusal) => Err(refusal.into()),
        Told::Failed(why) => bail!("{why}"),
        other => bail!("the node answered something else: {other:?}"),
    }
}

fn pending(dir: &Path) -> Result<Vec<Pending>> {
    match ask(dir, Ask::Waiting)? {
        Told::Waiting(waiting) => Ok(waiting),
        other => unexpected(other),
    }
}

fn decide(args: &VerdictArgs, allowed: bool, output: Output) -> Result<()> {
    let matter = find(&pending(&args.dir)?, &args.matter)?;
    let body = VerdictBody {
        format: VERDICT_FORMAT.into(),
        node: NodeConfig::read(&args.dir)?.name,
        matter,
        allowed,
        reason: args.reason.clone(),
        officer: args.officer.clone(),
        decided_at: Timestamp::now(),
    };
    let verdict = String::from_utf8(body.sign(&key::read(&args.key)?))?;
    match ask(&args.dir, Ask::Decide { verdict })? {
        Told::Decided(_) => output.say(&serde_json::json!({ "matter": matter, "allowed": allowed }), || {
            let decided = if allowed { "approved" } else { "refused" };
            format!("{} {decided} by {}\n", name(matter), args.officer)
        }),
        other => unexpected(other),
    }
}

fn endings(dir: &Path, out: Option<&Path>, output: Output) -> Result<()> {
    let endings = match ask(dir, Ask::Endings)? {
        Told::Endings(endings) => endings,
        other => return unexpected(other),
    };
    if let Some(out) = out {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    }
    for Ending { line, number: time, certificate, .. } in &endings {
        if let (Some(out), Some(certificate)) = (out, certificate) {
            let number = line.split(' ').next().unwrap_or_default();
            let again = if *time > 1 { format!("-{time}") } else { String::new() };
            let file = out.join(format!("{number}{again}.deletion.json"));
            std::fs::write(&file, certificate).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    output.say(&endings, || {
        let text = |Ending { line, ended_at, certificate, .. }: &Ending| {
            let gone = if certificate.is_some() {
                "what it brought is deleted, certified"
            } else {
                "nothing was left to delete"
            };
            format!("{line}   {ended_at}   {gone}\n")
        };
        if endings.is_empty() { "no permit has ended here\n".into() } else { endings.iter().map(text).collect() }
    })
}

/// The one thing that waits and whose digest begins so.
fn find(waiting: &[Pending], digest: &str) -> Result<Matter> {
    let digest = digest.trim_start_matches("blake3:");
    let begins = |p: &&Pending| p.matter.digest().to_string().trim_start_matches("blake3:").starts_with(digest);
    let mut found = waiting.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.matter),
        (None, _) => bail!("nothing that waits here begins with {digest:?}; `spe node desk list` shows what waits"),
        (Some(_), Some(_)) => bail!("several things that wait begin with {digest:?}; give more characters"),
    }
}

pub(crate) fn name(matter: Matter) -> String {
    match matter {
        Matter::Run(digest) => format!("run {}", digest.short()),
        Matter::Release(digest) => format!("release {}", digest.short()),
    }
}
