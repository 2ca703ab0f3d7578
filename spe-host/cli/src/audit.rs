//! Look at, check and keep the audit log (Regulation (EU) 2025/327, Art. 73(1)(e)).

mod receipt;
mod witness;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use spe_kernel::{
    audit::{ActorId, Entry, Event, Person},
    dsse::{PublicKey, SecretKey},
    receipt::log_key,
    refusal::Stop,
};
use spe_node::{
    config::NodeConfig,
    journal::{Checked, LINES, LogFiles, Records, Rollback, check_files, entries_in},
};

use crate::{
    account::account,
    exit::Refused,
    instant::instant,
    key,
    output::{Answered, Output, tame},
    show::Table,
};

pub(crate) use receipt::{Receipted, check};

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Show what a node has logged; names of persons are known while the node is stopped
    Show(ShowArgs),
    /// Check a node's log, or a receipt that came with an answer
    ///
    /// Of a node that is stopped, everything is computed again: every hash, the files, the last cosigned checkpoint, and each charge,
    /// release and verdict against its entry. Of a node that runs, the files alone.
    Verify(VerifyArgs),
    /// Copy the log's files and its key, for auditors' tools (C2SP tlog-tiles), with all entries as one file of JSON lines
    Export {
        /// The node's folder
        dir: PathBuf,
        /// The folder to make
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Remove the bodies of old entries, while the node is stopped; their hashes stay, and entries of the last year cannot go
    Prune {
        /// The node's folder
        dir: PathBuf,
        /// Entries before this time, such as 2026-01-31T00:00:00Z
        #[arg(long, value_name = "TIME", value_parser = instant)]
        before: Timestamp,
    },
    /// Have a node go on from a ledger that is not the one that it had, while it is stopped: charges may be missing from it for good
    ///
    /// Put the right files back instead, if you can. If not, lower the budgets in node.toml first, by all that may have been spent since the copy
    /// was made ("Restoring" in docs/operations.md).
    Acknowledge {
        /// The node's folder
        dir: PathBuf,
        /// Why; kept with what was found
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Be a witness of a node's log, with files alone: remember what was seen, and cosign only what continues it
    Witness(witness::WitnessArgs),
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// The node's folder
    dir: PathBuf,
    /// Only what tells of the permit of that number
    #[arg(long, value_name = "NUMBER")]
    permit: Option<String>,
    /// Only what the person of that name did, or the one of that tag (person-…)
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Only events of that kind, such as charged, released or job-refused
    #[arg(long, value_name = "KIND", value_parser = kind)]
    event: Option<String>,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The node's folder, or one that `spe audit export` made
    #[arg(required_unless_present = "receipt")]
    dir: Option<PathBuf>,
    /// A receipt instead
    #[arg(long, value_name = "FILE", conflicts_with = "dir", requires = "node_key")]
    receipt: Option<PathBuf>,
    /// The signed answer that the receipt is for
    #[arg(long, value_name = "FILE", requires = "receipt")]
    answer: Option<PathBuf>,
    /// The signed permit under which it must have been paid for
    #[arg(long, value_name = "FILE", requires = "receipt")]
    permit: Option<PathBuf>,
    /// The node's public key; of a node's own folder it is known
    #[arg(long, value_name = "KEY")]
    node_key: Option<PublicKey>,
    /// The public key of a witness who must have cosigned the receipt, or the log of a node that is stopped
    #[arg(long, value_name = "KEY")]
    witness_key: Option<PublicKey>,
}

pub(crate) fn run(command: AuditCommand, output: Output) -> Result<()> {
    match command {
        AuditCommand::Show(args) => show(&args, output),
        AuditCommand::Verify(args) => match (&args.receipt, args.node_key) {
            (Some(file), Some(key)) => {
                let beside = (args.answer.as_deref(), args.permit.as_deref());
                receipt::verify(file, beside, (key, args.witness_key), output)
            }
            _ => verify(&args, output),
        },
        AuditCommand::Export { dir, to } => export(&dir, &to, output),
        AuditCommand::Prune { dir, before } => {
            let log = Log::of(&dir)?;
            let records = log.records.as_ref().context("the node runs; stop it first")?;
            let pruned = records.prune_log(before, log.retention_days, &account()).map_err(|stop| match stop {
                Stop::Refused(refusal) => anyhow::Error::from(refusal),
                Stop::Failed(fault) => fault.into(),
            })?;
            records.publish(&log.files, &log.key, true)?;
            output.say(&serde_json::json!({ "pruned": pruned }), || format!("{pruned} entries have no body any more\n"))
        }
        AuditCommand::Acknowledge { dir, reason } => acknowledge(&dir, &reason, output),
        AuditCommand::Witness(args) => witness::run(&args, output),
    }
}

/// A node's log, from its folder.
struct Log {
    files: LogFiles,
    key: SecretKey,
    retention_days: u32,
    /// None while the node runs.
    records: Option<Records>,
}

impl Log {
    fn of(dir: &Path) -> Result<Self> {
        let config = NodeConfig::read(dir)?;
        let file = config.ledger_file();
        ensure!(file.exists(), "{} does not exist: the node has not run yet", file.display());
        let records = match Records::open(&file) {
            Ok(records) => Some(records),
            Err(fault) if fault.to_string().contains("in use") => None,
            Err(fault) => return Err(fault.into()),
        };
        let files = LogFiles::new(&config.log_dir(), &config.name);
        let key = key::read(&config.signing_key_file)?;
        Ok(Self { files, key, retention_days: config.log_retention_days, records })
    }

    fn entries(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let Some(records) = &self.records else { return Ok(entries_in(&self.files, self.key.public())?) };
        let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut next = 0;
        loop {
            let some = records.entries(next, 1_000)?;
            let Some((last, _)) = some.last() else { return Ok(all) };
            next = last + 1;
            all.extend(some.into_iter().filter_map(|(index, body)| Some((index, body?))));
        }
    }
}

fn show(args: &ShowArgs, output: Output) -> Result<()> {
    let log = Log::of(&args.dir)?;
    if let (Some(person), None) = (&args.person, &log.records) {
        ensure!(
            ActorId::try_from(person.clone()).is_ok(),
            "the node runs, and its log itself names nobody: stop the node to find {person:?}, or give the person's tag (person-…)"
        );
    }
    let people: BTreeMap<ActorId, Person> = match &log.records {
        Some(records) => records.people()?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    let mut lines = Vec::new();
    for (index, body) in log.entries()? {
        let entry =
            Entry::parse(&body).map_err(|why| anyhow::anyhow!("entry {index}: {why}; try: spe audit verify"))?;
        let event = serde_json::to_value(&entry.event)?;
        let name = people.get(&entry.actor).map(|person| person.name.clone());
        let text = |path: &[&str]| {
            path.iter().try_fold(&event, |at, key| at.get(*key)).and_then(|v| v.as_str()).map(str::to_owned)
        };
        let kind = text(&["kind"]).unwrap_or_default();
        let is = |asked: &Option<String>, found: Option<String>| asked.is_none() || *asked == found;
        let person = is(&args.person, name.clone()) || is(&args.person, Some(entry.actor.to_string()));
        if person && is(&args.permit, text(&["permit", "number"])) && is(&args.event, Some(kind.clone())) {
            lines.push((index, entry, name, event, kind));
        }
    }
    let json: Vec<_> = lines
        .iter()
        .map(|(index, entry, name, event, _)| {
            serde_json::json!({ "index": index, "at": entry.at, "actor": entry.actor, "person": name, "event": event })
        })
        .collect();
    output.say(&json, || {
        let mut table = Table::new(["", "at", "who", "what", ""]);
        for (index, entry, name, event, kind) in &lines {
            let who = name.clone().unwrap_or_else(|| entry.actor.to_string());
            table.row([index.to_string(), entry.at.to_string(), tame(&who), kind.clone(), details(event)]);
        }
        let running = if log.records.is_none() { "the node runs: names of persons are not shown\n" } else { "" };
        format!("{}{running}", table.render())
    })
}

/// A kind of event; of what is none, which there are.
fn kind(kind: &str) -> Result<String, String> {
    // Of a kind that there is, only fields are missing.
    let why = serde_json::from_value::<Event>(serde_json::json!({ "kind": kind })).err().map(|why| why.to_string());
    match why.filter(|why| why.starts_with("unknown variant")) {
        Some(why) => Err(why.replacen("unknown variant", "no kind of event is", 1)),
        None => Ok(kind.to_owned()),
    }
}

/// Has the node go on from the ledger that it has.
fn acknowledge(dir: &Path, reason: &str, output: Output) -> Result<()> {
    if reason.trim().is_empty() {
        let empty = "--reason is empty: say what became of the ledger, and of the charges that are missing";
        return Err(Refused::wrong(empty));
    }
    let log = Log::of(dir)?;
    let records = log.records.as_ref().context("the node runs; stop it first")?;
    // What only the files show is found here too, and is an error of its own.
    let published = records.publish(&log.files, &log.key, false);
    let found = records.acknowledge_rollback(&log.files, reason, &account())?;
    if found.is_empty() {
        published.context("whether the ledger is the one that the node had could not be looked at")?;
        let nothing = "nothing was found that would have to be acknowledged: the ledger is the one that the node had";
        return Err(Refused::state(nothing));
    }
    records.publish(&log.files, &log.key, true)?;
    output.say(&serde_json::json!({ "acknowledged": found }), || {
        let found: String = found.iter().map(|why| format!("acknowledged: {}\n", tame(why))).collect();
        format!("{found}the node answers again; what was charged and is missing from its ledger it will never know\n")
    })
}

/// An event's fields in one line, digests cut short.
fn details(event: &serde_json::Value) -> String {
    let mut words = Vec::new();
    let mut open: Vec<_> = event.as_object().into_iter().flatten().rev().collect();
    while let Some((name, value)) = open.pop() {
        match value {
            serde_json::Value::Object(fields) => open.extend(fields.iter().rev()),
            serde_json::Value::Null => {}
            _ if name == "kind" => {}
            serde_json::Value::String(text) => {
                let short: String =
                    text.strip_prefix("blake3:").map_or_else(|| text.clone(), |hex| hex.chars().take(12).collect());
                words.push(format!("{name} {short}"));
            }
            other => words.push(format!("{name} {other}")),
        }
    }
    tame(&words.join(", "))
}

fn verify(args: &VerifyArgs, output: Output) -> Result<()> {
    let dir = args.dir.as_deref().context("name a node's folder, or a --receipt")?;
    let (checked, whole, rollbacks) = if dir.join(spe_node::config::FILE).exists() {
        let log = Log::of(dir)?;
        match &log.records {
            Some(records) => (records.check_log(&log.files, log.key.public())?, true, records.rollbacks()?),
            None => (check_files(&log.files, log.key.public())?, false, Vec::new()),
        }
    } else {
        let strange = || format!("{} is neither a node's folder nor what `spe audit export` wrote", dir.display());
        let node = witness::node_of(dir).with_context(strange)?;
        let unnamed = || Refused::wrong("name the node's public key with --node-key: its operator has it");
        let key = args.node_key.ok_or_else(unnamed)?;
        (check_files(&LogFiles::new(dir, &node), key)?, false, Vec::new())
    };
    if let (Some(expected), true) = (args.witness_key, checked.findings.is_empty()) {
        is_cosigned(&checked, expected, whole)?;
    }
    let open = rollbacks.iter().find(|found| found.acknowledged.is_none());
    let holds = checked.findings.is_empty() && open.is_none();
    output.say(
        &serde_json::json!({ "holds": holds, "rollbacks": rollbacks, "entries": checked.entries, "pruned": checked.pruned,
        "rows": checked.rows, "checkpoint": checked.checkpoint, "cosigned": checked.cosigned.map(|(size, _)| size),
        "whole": whole, "findings": checked.findings }),
        || said(&checked, &rollbacks, whole),
    )?;
    match (checked.findings.first(), open) {
        (None, None) => Ok(()),
        (None, Some(open)) => {
            Err(Answered(format!("the ledger is not the one that the node had: {}", open.why)).into())
        }
        (Some(first), _) => Err(Answered(format!("the audit log does not hold: {first}")).into()),
    }
}

/// Whether the witness that is asked for cosigned the log.
///
/// # Errors
/// Another one did, or none; files alone do not have what a witness signed.
fn is_cosigned(checked: &Checked, expected: PublicKey, whole: bool) -> Result<()> {
    match checked.witness {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(Refused::untrusted(format!("the log was cosigned by {found}, not by {expected}"))),
        None if whole => Err(Refused::untrusted(format!("no witness has cosigned the log yet, nor has {expected}"))),
        None => Err(Refused::wrong(
            "--witness-key: the files of a log do not have cosignatures; they are with a node that is stopped, and in receipts (--receipt)",
        )),
    }
}

/// Said below what was found.
const WHAT_TO_DO: &str = "\
what to do: leave these files as they are, and tell the data access body; `spe hub witness show`, receipts of answers and earlier exports show what
stood there. If it is a signature, compare --node-key with the node's operator first. Files of a copy may be incomplete: export it again. A node makes
its own files again from its ledger when it starts; what differs from the ledger after that was changed.
";

/// Said of an old ledger that nobody has acknowledged.
const ROLLED_BACK: &str =
    "not acknowledged, so the node answers nothing: \"Restoring\" in docs/operations.md says what to do";

fn said(checked: &Checked, rollbacks: &[Rollback], whole: bool) -> String {
    let Checked { entries, pruned, rows, checkpoint, cosigned, findings, .. } = checked;
    let mut text = format!("{entries} entries, of which {pruned} have no body any more\n");
    if let Some(size) = checkpoint {
        text.push_str(&format!("checkpoint of {size} entries, signed by the node\n"));
    }
    match cosigned {
        Some((size, time)) => {
            let at = Timestamp::from_second(i64::try_from(*time).unwrap_or(0)).unwrap_or_default();
            text.push_str(&format!("the first {size} entries were cosigned by the witness at {at}\n"));
        }
        None if whole => text.push_str("no witness has cosigned it yet\n"),
        None => {}
    }
    if whole {
        text.push_str(&format!("{rows} charges, rounds, releases and verdicts agree with it\n"));
    } else {
        text.push_str("only the files were checked; stop the node to have its ledger compared as well\n");
    }
    let mut is_open = false;
    for Rollback { found_at, why, acknowledged } in rollbacks {
        let found = format!("found at {found_at}: the ledger is not the one that the node had: {why}");
        let then =
            acknowledged.as_ref().map_or_else(|| ROLLED_BACK.to_owned(), |reason| format!("acknowledged: {reason}"));
        let mark = if acknowledged.is_none() { "◀ " } else { "" };
        text.push_str(&tame(&format!("{mark}{found}; {then}\n")));
        is_open |= acknowledged.is_none();
    }
    if findings.is_empty() && !is_open {
        text.push_str("the log holds\n");
    }
    for finding in findings {
        text.push_str(&format!("◀ {}\n", tame(finding)));
    }
    if !findings.is_empty() {
        text.push_str(WHAT_TO_DO);
    }
    text
}

/// Everything an auditor needs to check the log elsewhere.
fn export(dir: &Path, to: &Path, output: Output) -> Result<()> {
    ensure!(!to.exists(), "{} exists already; choose another folder", to.display());
    let log = Log::of(dir)?;
    if let Some(records) = &log.records {
        records.publish(&log.files, &log.key, true)?;
    }
    log.files.copy(log.key.public(), to)?;
    let vkey = log_key(log.files.node(), log.key.public())?.vkey();
    spe_wire::write_public(&to.join("log.vkey"), &format!("{vkey}\n"))?;
    let mut lines = Vec::new();
    for (_, body) in entries_in(&LogFiles::new(to, log.files.node()), log.key.public())? {
        lines.extend_from_slice(&body);
        lines.push(b'\n');
    }
    spe_wire::write_public(&to.join(LINES), &String::from_utf8(lines)?)?;
    output.say(&serde_json::json!({ "to": to, "vkey": vkey, "node_key": log.key.public() }), || {
        format!(
            "log in {}, signed by {vkey}\ncheck it with: spe audit verify {} --node-key {}\n",
            to.display(),
            to.display(),
            log.key.public()
        )
    })
}
