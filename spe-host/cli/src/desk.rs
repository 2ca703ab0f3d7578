//! The officers' desk of a node: what waits for a person, and that person's verdict.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use spe_kernel::{
    document,
    ids::{Digest, PersonName},
    officer::{Matter, VERDICT_FORMAT, VerdictBody},
    permit::PermitId,
    revocation::{RevocationBody, Target},
};
use spe_node::{
    config::NodeConfig,
    desk::{self, Ask, Told},
    journal::{Ending, Pending},
    site::Site,
    tables::EarlierTables,
};
use spe_sandbox::inspect;

use crate::{
    account::operator,
    connect,
    exit::Refused,
    governance::{is_dated, revoked},
    key,
    output::Output,
    waiting,
};

#[derive(Subcommand)]
pub(crate) enum DeskCommand {
    /// List what waits for an officer
    List {
        /// The node's folder
        dir: PathBuf,
        /// A module that something which waits is about: its parameters are shown by name; may be given several times
        #[arg(long = "module", value_name = "FILE")]
        modules: Vec<PathBuf>,
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
    /// What is decided about: the first characters of its digest, as `spe node desk list` shows it
    matter: String,
    /// Who decides: an officer, as the node's policy.toml names them
    #[arg(long, value_name = "NAME")]
    officer: PersonName,
    /// The officer's secret key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Why; needed to refuse
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) fn run(command: DeskCommand, output: Output) -> Result<()> {
    match command {
        DeskCommand::List { dir, modules } => {
            let mut all = pending(&dir)?;
            all.iter_mut().try_for_each(|one| compare(&dir, one))?;
            let known = modules.iter().map(|file| parameters(file)).collect::<Result<Vec<_>>>()?;
            all.iter_mut().for_each(|one| name_parameters(&mut one.about, &known));
            output.say(&all, || waiting::text(&all))
        }
        DeskCommand::Approve(args) => decide(&args, true, output),
        DeskCommand::Refuse(args) if args.reason.trim().is_empty() => {
            Err(Refused::wrong("say why with --reason: whoever asked is told"))
        }
        DeskCommand::Refuse(args) => decide(&args, false, output),
        DeskCommand::Endings { dir, out } => endings(&dir, out.as_deref(), output),
        DeskCommand::Revoke { dir, revocation } => revoke(&dir, &revocation, output),
    }
}

fn revoke(dir: &Path, file: &Path, output: Output) -> Result<()> {
    let envelope = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let revocation = document::open::<RevocationBody>(envelope.as_bytes())
        .with_context(|| format!("{} is not a signed revocation (`spe revocation sign` makes one)", file.display()))?;
    let body = revocation.body();
    is_dated(body)?;
    let known = match &body.target {
        Target::Permit(number) => is_known(dir, number.as_str(), &revocation.signer().to_string())?,
        Target::Person(_) => true,
    };
    match ask(dir, Ask::Revoke { who: Some(operator()), revocation: envelope })? {
        Told::Revoked => {}
        other => return unexpected(other),
    }
    let (effective_at, now) = (body.effective_at, Timestamp::now());
    output.say(&json!({ "revoked": true, "effective_at": effective_at, "known": known }), || {
        let done = if body.since(now) > now {
            format!("revocation {} recorded at this node: it takes effect at {effective_at}\n", revoked(body))
        } else {
            format!("revocation {} holds at this node: nothing runs under it any more\n", revoked(body))
        };
        let strange = "WARNING: this node knows no permit of that number from this issuer: check the number (`spe node permits`); one \
                       that comes later is revoked as well\n";
        done + if known { "" } else { strange }
    })
}

/// Whether the node has seen a permit of that number from that issuer, or one of its line.
fn is_known(dir: &Path, number: &str, issuer: &str) -> Result<bool> {
    match ask(dir, Ask::Permits)? {
        Told::Permits(seen) => Ok(seen.iter().any(|p| p.issuer == issuer && (p.number == number || p.line == number))),
        other => unexpected(other),
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

/// Adds what an exact table is to be compared with, as it is now: another may have been bought since it waits.
fn compare(dir: &Path, one: &mut Pending) -> Result<()> {
    let is_exact =
        |about: &Value| about.get("plan").and_then(|plan| plan.get("release")) == Some(&json!("exact_tables"));
    let (true, Value::Object(about)) = (is_exact(&one.about), &mut one.about) else { return Ok(()) };
    let EarlierTables { in_all, newest } = match ask(dir, Ask::EarlierTables { matter: one.matter })? {
        Told::EarlierTables(tables) => tables,
        other => return unexpected(other),
    };
    about.insert("earlier_exact_tables_in_all".into(), json!(in_all));
    about.insert("earlier_exact_tables".into(), json!(newest));
    Ok(())
}

/// A module's digest, and the names of its parameters.
fn parameters(file: &Path) -> Result<(Digest, Vec<String>)> {
    let wasm = connect::read(file)?;
    let manifest = inspect(&wasm).with_context(|| format!("{} is no analysis module", file.display()))?.manifest;
    Ok((Digest::of(&wasm), manifest.params.into_iter().map(|param| param.name).collect()))
}

/// Names the parameters of the plan of each module that is known: a plan has numbers, in the order of the module's manifest.
fn name_parameters(about: &mut Value, known: &[(Digest, Vec<String>)]) {
    let Some(plan) = about.get_mut("plan").and_then(Value::as_object_mut) else { return };
    let module = plan.get("module").cloned();
    let Some((_, names)) = known.iter().find(|(digest, _)| module == Some(json!(digest))) else { return };
    let Some(params) = plan.get_mut("params") else { return };
    let numbers = params.as_array().cloned().unwrap_or_default();
    *params = names.iter().cloned().zip(numbers).collect::<serde_json::Map<_, _>>().into();
}

fn decide(args: &VerdictArgs, allowed: bool, output: Output) -> Result<()> {
    let matter = find(&pending(&args.dir)?, &args.matter, &args.dir)?;
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
        Told::Decided(_) => output.say(&json!({ "matter": matter, "allowed": allowed }), || {
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
    for Ending { line, number, certificate, .. } in &endings {
        if let (Some(out), Some(certificate)) = (out, certificate) {
            let line: PermitId = line.parse().map_err(|why| anyhow!("{line:?}: {why}"))?;
            keep(&out.join(file_name(&line, *number)), certificate)?;
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
        if endings.is_empty() {
            "nothing has been deleted for an ended permit yet: that happens within a minute of its end\n".into()
        } else {
            endings.iter().map(text).collect()
        }
    })
}

/// The name of the file of a line's end of that number. No permit's number has a `+`, and two issuers may give the same one.
fn file_name(line: &PermitId, number: u32) -> String {
    let issuer = Digest::of(line.issuer.to_string().as_bytes());
    format!("{}+{}+{number}.deletion.json", line.number, issuer.short())
}

/// Writes a certificate where nothing is yet; the same again changes nothing.
fn keep(file: &Path, certificate: &str) -> Result<()> {
    let writing = || format!("writing {}", file.display());
    match File::create_new(file) {
        Ok(mut new) => new.write_all(certificate.as_bytes()).with_context(writing),
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            ensure!(
                std::fs::read(file).with_context(writing)? == certificate.as_bytes(),
                "{} is there and holds something else, which is left alone: move it away, or name another folder",
                file.display()
            );
            Ok(())
        }
        Err(why) => Err(why).with_context(writing),
    }
}

/// The one thing that waits in `dir` and whose digest begins so.
fn find(waiting: &[Pending], digest: &str, dir: &Path) -> Result<Matter> {
    let digest = digest.trim_start_matches("blake3:");
    let list = format!("`spe node desk list {}` shows what waits", dir.display());
    if digest.is_empty() {
        return Err(Refused::wrong(format!(
            "what is decided about is named by the first characters of its digest: {list}"
        )));
    }
    let begins = |p: &&Pending| p.matter.digest().to_string().trim_start_matches("blake3:").starts_with(digest);
    let mut found = waiting.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.matter),
        (None, _) => Err(Refused::missing(format!("nothing that waits here begins with {digest:?}: {list}"))),
        (Some(_), Some(_)) => {
            Err(Refused::wrong(format!("several things that wait begin with {digest:?}; give more characters: {list}")))
        }
    }
}

pub(crate) fn name(matter: Matter) -> String {
    match matter {
        Matter::Run(digest) => format!("run {}", digest.short()),
        Matter::Release(digest) => format!("release {}", digest.short()),
    }
}

#[cfg(test)]
mod tests {
    use spe_kernel::dsse::SecretKey;

    use super::*;

    /// What would be a bug: a number that an officer reads under another parameter's name, or of another module.
    #[test]
    fn parameters_have_the_names_of_the_very_module() {
        let (of, other) = (Digest::of(b"module"), Digest::of(b"other"));
        let mut about = json!({ "plan": { "module": of, "params": [0.5, 18.0] } });
        let as_it_was = about.clone();
        name_parameters(&mut about, &[(other, vec!["a".into(), "b".into()])]);
        assert_eq!(about, as_it_was);
        name_parameters(&mut about, &[(of, vec!["rate".into(), "min_age".into()])]);
        assert_eq!(about["plan"]["params"], json!({ "rate": 0.5, "min_age": 18.0 }));
    }

    /// What would be a bug: two certificates in one file, of which one is lost.
    #[test]
    fn each_end_of_each_line_has_a_file_of_its_own() {
        let line = |number: &str, issuer: u8| PermitId {
            number: number.parse().expect("a number"),
            issuer: SecretKey::from_seed(&[issuer; 32]).public(),
        };
        let ends = [
            (line("p-1", 1), 1),
            (line("p-1", 1), 2),
            (line("p-1-2", 1), 1),
            (line("p-1.2", 1), 1),
            (line("p-1", 2), 1),
        ];
        let names: std::collections::BTreeSet<_> = ends.iter().map(|(line, number)| file_name(line, *number)).collect();
        assert_eq!(names.len(), ends.len(), "{names:?}");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("one.deletion.json");
        keep(&file, "first").expect("a new file");
        keep(&file, "first").expect("the same again");
        let why = keep(&file, "second").expect_err("a certificate was overwritten").to_string();
        assert!(why.contains("one.deletion.json") && why.contains("another folder"), "{why}");
        assert_eq!(std::fs::read(&file).expect("it is there"), b"first");
    }
}
