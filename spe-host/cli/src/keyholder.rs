//! Keep a key holder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use spe_kernel::{
    deletion::{Deletion, DeletionBody},
    dsse::PublicKey,
    ids::{DatasetName, NodeName},
};
use spe_keyholder::{Config, Ordered, Rotated, Store, Which};
use spe_wire::write_public;

use crate::{
    account::operator,
    connect::{self, make_private, vacant},
    exit::Refused,
    output::{Output, log, told_to_stop},
    show::Table,
};

/// Hours of requests that `log` shows.
const HOURS_SHOWN: u32 = 1_000;

#[derive(Subcommand)]
pub(crate) enum KeyholderCommand {
    /// Found a key holder: its own certificate authority, its key for deletion certificates, an empty store
    ///
    /// The public key that is shown checks deletion certificates: give it to the data access body.
    Init {
        /// The folder to make; on another machine than any node's, or at least of another user
        dir: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7444")]
        listen: SocketAddr,
        /// A name or address under which nodes reach the key holder; may be given several times, the first is written into their invitations
        #[arg(long = "host", value_name = "HOST", required = true)]
        hosts: Vec<String>,
    },
    /// Let a node in, and write its way here into a folder for `spe node init --keyholder`; works while the key holder runs
    ///
    /// The folder is the right to this node's keys: hand it over on a way that you both trust. A node that is invited again has to use the
    /// new folder: the certificate in the earlier one is refused from then on.
    Invite {
        /// The key holder's folder
        dir: PathBuf,
        /// The node, as the hub knows it
        #[arg(long)]
        node: NodeName,
        /// The folder to write the invitation into; must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Refuse a node from now on; its keys stay
    Dismiss {
        /// The key holder's folder
        dir: PathBuf,
        /// The node
        #[arg(long)]
        node: NodeName,
    },
    /// Serve nodes
    Run {
        /// The key holder's folder
        dir: PathBuf,
    },
    /// List nodes, datasets and versions of keys; never a key
    List {
        /// The key holder's folder
        dir: PathBuf,
    },
    /// Show who asked what, by the hour; identifiers are never logged
    Log {
        /// The key holder's folder
        dir: PathBuf,
        /// Show instead what was done at this machine with nodes and keys, and under which account
        #[arg(long)]
        operators: bool,
    },
    /// Make a newer version of a dataset's keys; the older ones stay until they are destroyed
    Rotate(RotateArgs),
    /// Destroy keys for ever, and with them what they sealed; writes a signed deletion certificate
    ///
    /// Shows what it makes unusable, and asks for the dataset's name. A node that runs drops the dataset within seconds. Backups of the
    /// key holder's folder are yours to destroy.
    Destroy(DestroyArgs),
    /// List the deletion certificates, or write them to a folder
    Certificates {
        /// The key holder's folder
        dir: PathBuf,
        /// The folder to write them into, one file each
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Check a deletion certificate: nothing else is needed for it than the key holder's public key
    Verify {
        /// The certificate
        certificate: PathBuf,
        /// The public key that `spe keyholder init` showed
        #[arg(long)]
        key: PublicKey,
    },
    /// Take over the pseudonym key that a node kept in a file before there were key holders
    Import {
        /// The key holder's folder
        dir: PathBuf,
        /// The node
        #[arg(long)]
        node: NodeName,
        /// The dataset
        #[arg(long)]
        dataset: DatasetName,
        /// The node's old file of 32 bytes; destroy it afterwards
        #[arg(long, value_name = "FILE")]
        pseudonym_key: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct RotateArgs {
    /// The key holder's folder
    dir: PathBuf,
    /// The dataset, at every node that has keys of it
    dataset: DatasetName,
    /// At this node only
    #[arg(long)]
    node: Option<NodeName>,
    #[command(flatten)]
    what: What,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// What files are sealed with: the next ingest uses it, or `spe data reencrypt`
    #[arg(long)]
    data_key: bool,
    /// What makes pseudonyms: the next ingest uses it, and carries opt-outs over
    #[arg(long)]
    pseudonyms: bool,
}

#[derive(Args)]
pub(crate) struct DestroyArgs {
    /// The key holder's folder
    dir: PathBuf,
    /// The node
    node: NodeName,
    /// The dataset
    dataset: DatasetName,
    /// Only this version of the data key, which is not the newest; everything if left out
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Who orders it, by function, such as "data protection officer"; stands in the certificate
    #[arg(long, value_name = "WHO")]
    by: String,
    /// Why, such as "the permits have expired"; stands in the certificate
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where to write the certificate; without it, `spe keyholder certificates` writes it later
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Do not ask for the dataset's name: for scripts
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(command: KeyholderCommand, output: Output) -> Result<()> {
    match command {
        KeyholderCommand::Init { dir, listen, hosts } => init(&dir, listen, &hosts, output),
        KeyholderCommand::Invite { dir, node, out } => {
            if out.exists() {
                bail!("{} exists already; choose another folder", out.display());
            }
            make_private(&out)?;
            spe_keyholder::invite(&dir, &node, &out, &operator())?;
            output.say(&json!({ "node": node, "invitation": out }), || {
                format!("invitation for node {node}: {}\n", out.display())
            })
        }
        KeyholderCommand::Dismiss { dir, node } => {
            spe_keyholder::dismiss(&dir, &node, &operator())?;
            output
                .say(&json!({ "dismissed": node }), || format!("node {node} is given no key any more; its keys stay\n"))
        }
        KeyholderCommand::Run { dir } => serve(&dir),
        KeyholderCommand::List { dir } => list(&dir, output),
        KeyholderCommand::Log { dir, operators: false } => requests(&dir, output),
        KeyholderCommand::Log { dir, operators: true } => acts(&dir, output),
        KeyholderCommand::Rotate(args) => rotate(&args, output),
        KeyholderCommand::Destroy(args) => destroy(&args, output),
        KeyholderCommand::Certificates { dir, out } => certificates(&dir, out.as_deref(), output),
        KeyholderCommand::Verify { certificate, key } => verify(&certificate, key, output),
        KeyholderCommand::Import { dir, node, dataset, pseudonym_key } => {
            spe_keyholder::import(&dir, &node, &dataset, &pseudonym_key, &operator())?;
            output.say(&json!({ "node": node, "dataset": dataset }), || {
                format!("taken over; destroy {} now\n", pseudonym_key.display())
            })
        }
    }
}

fn init(dir: &Path, listen: SocketAddr, hosts: &[String], output: Output) -> Result<()> {
    vacant(dir, spe_keyholder::FILE, "key holder")?;
    make_private(dir)?;
    let (config, key) = spe_keyholder::init(dir, hosts, listen)?;
    output.say(&json!({ "dir": dir, "public": config.public, "public_key": key }), || {
        format!(
            "key holder in {}, reached at {}; run it with: spe keyholder run {}\nits deletion certificates are checked with {key}\n",
            dir.display(),
            config.public,
            dir.display()
        )
    })
}

fn serve(dir: &Path) -> Result<()> {
    log();
    let config = Config::read(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    Ok(runtime.block_on(spe_keyholder::serve(&config, told_to_stop()))?)
}

fn list(dir: &Path, output: Output) -> Result<()> {
    let all = Store::open(dir)?.list()?;
    output.say(&all, || {
        let mut table = Table::new(["node", "dataset", "key", "version", "made", "destroyed", "id"]);
        for dataset in &all {
            let node = if dataset.invited { dataset.node.clone() } else { format!("{} (dismissed)", dataset.node) };
            for key in &dataset.keys {
                let destroyed = key.destroyed_at.clone().unwrap_or_default();
                let (version, id) = (key.version.to_string(), key.id.short());
                let (name, kind, made) = (dataset.dataset.clone(), key.kind.clone(), key.made_at.clone());
                table.row([node.clone(), name, kind, version, made, destroyed, id]);
            }
        }
        table.render()
    })
}

fn requests(dir: &Path, output: Output) -> Result<()> {
    let all = Store::open(dir)?.requests(HOURS_SHOWN)?;
    output.say(&all, || {
        let mut table = Table::new(["hour", "node", "dataset", "asked for", "requests", "items"]);
        for asked in &all {
            let (hour, node, dataset) = (asked.hour.clone(), asked.node.clone(), asked.dataset.clone());
            table.row([hour, node, dataset, asked.what.clone(), asked.times.to_string(), asked.items.to_string()]);
        }
        table.render()
    })
}

fn acts(dir: &Path, output: Output) -> Result<()> {
    let all = Store::open(dir)?.acts()?;
    output.say(&all, || {
        let mut table = Table::new(["at", "account", "did", "node", "dataset", "keys"]);
        for act in &all {
            let (at, account, did) = (act.at.clone(), act.account.clone(), act.did.clone());
            table.row([at, account, did, act.node.clone(), act.dataset.clone(), act.what.clone()]);
        }
        table.render()
    })
}

fn rotate(args: &RotateArgs, output: Output) -> Result<()> {
    let (what, word, then) = if args.what.data_key {
        (Rotated::DataKey, "data key", "the next ingest, or `spe data reencrypt`, uses it; then destroy the older one")
    } else {
        (Rotated::Pseudonyms, "pseudonym key", "the next ingest uses it and carries opt-outs over")
    };
    let made = Store::open(&args.dir)?.rotate(&args.dataset, args.node.as_ref(), what, &operator())?;
    let said: Vec<_> = made.iter().map(|(node, version)| json!({ "node": node, "version": version })).collect();
    output.say(&said, || {
        let line = |(node, version): &(NodeName, u32)| format!("node {node}: {word} {version} of {}\n", args.dataset);
        format!("{}{then}\n", made.iter().map(line).collect::<String>())
    })
}

fn destroy(args: &DestroyArgs, output: Output) -> Result<()> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        bail!("{} exists already; nothing was destroyed: choose another name for the certificate", out.display());
    }
    if !args.yes {
        confirm(args)?;
    }
    let which = args.version.map_or(Which::All, Which::DataKey);
    let ordered = Ordered { by: args.by.clone(), reason: args.reason.clone() };
    let envelope = spe_keyholder::destroy(&args.dir, &args.node, &args.dataset, which, ordered, &operator())?;
    if let Some(out) = &args.out {
        write_public(out, &String::from_utf8(envelope.clone())?)?;
    }
    let certificate: serde_json::Value = serde_json::from_slice(&envelope)?;
    let said =
        json!({ "node": args.node, "dataset": args.dataset, "version": args.version, "certificate": certificate });
    output.say(&said, || {
        let what = args.version.map_or_else(|| "all keys".into(), |version| format!("data key {version}"));
        let written = args.out.as_ref().map(|out| format!("; certificate in {}", out.display())).unwrap_or_default();
        format!("{what} of dataset {} at node {} destroyed{written}\n", args.dataset, args.node)
    })
}

/// Says what is about to be lost, and has the dataset's name typed.
fn confirm(args: &DestroyArgs) -> Result<()> {
    let DestroyArgs { dir, node, dataset, version, .. } = args;
    let all = Store::open(dir)?.list()?;
    let of_dataset = all.iter().find(|keys| keys.node == node.as_str() && keys.dataset == dataset.as_str());
    let left = of_dataset.iter().flat_map(|keys| &keys.keys).filter(|key| key.destroyed_at.is_none());
    let left: Vec<_> = left.filter(|key| version.is_none_or(|n| key.kind == "data" && key.version == n)).collect();
    if left.is_empty() {
        let place = dir.display();
        return Err(Refused::missing(format!(
            "node {node} has no such key of dataset {dataset} left: `spe keyholder list {place}` shows all keys, `spe keyholder certificates \
             {place} --out FOLDER` writes the certificates of those that were destroyed"
        )));
    }
    let keys: Vec<_> = left.iter().map(|key| format!("{} {}", key.kind, key.version)).collect();
    let lost = match version {
        Some(_) => "copies and backups of the dataset that are still sealed with it",
        None => "the dataset in every copy and backup, its register of opt-outs, and the dataset's name at this node",
    };
    eprint!(
        "This destroys {} of dataset {dataset} at node {node}, and nobody can undo it.\nUnusable afterwards: {lost}.\n\
         Answers that were released stay, and so do the node's ledger and audit log.\nType the dataset's name to go on: ",
        keys.join(", ")
    );
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() == dataset.as_str() {
        return Ok(());
    }
    bail!("nothing was destroyed: {dataset} was not typed; a script says --yes")
}

fn certificates(dir: &Path, out: Option<&Path>, output: Output) -> Result<()> {
    let all = Store::open(dir)?.certificates()?;
    if let Some(out) = out {
        make_private(out)?;
        for (certificate, number) in all.iter().zip(1..) {
            let file = out.join(format!("{number}-{}-{}.json", certificate.node, certificate.dataset));
            write_public(&file, &String::from_utf8(certificate.envelope.clone())?)?;
        }
    }
    let said: Vec<serde_json::Value> =
        all.iter().map(|c| serde_json::from_slice(&c.envelope)).collect::<Result<_, _>>()?;
    output.say(&said, || {
        all.iter().map(|certificate| format!("{} at {}\n", certificate.dataset, certificate.node)).collect()
    })
}

fn verify(file: &Path, key: PublicKey, output: Output) -> Result<()> {
    let deletion = Deletion::verify(&connect::read(file)?, &[key]);
    let deletion = deletion.with_context(|| format!("{} proves nothing", file.display()))?;
    let body = deletion.body();
    output.say(body, || shown(body))
}

fn shown(body: &DeletionBody) -> String {
    let what = body.dataset.as_ref().map(|dataset| format!(" of dataset {dataset}")).unwrap_or_default();
    let mut text = format!(
        "the signature holds: deleted at {}{what} at node {}, ordered by {}: {}\n",
        body.deleted_at, body.node, body.by, body.reason
    );
    for gone in &body.deleted {
        let kind = serde_json::to_value(gone.kind).unwrap_or_default();
        let version = gone.version.map(|version| format!(" {version}")).unwrap_or_default();
        text.push_str(&format!("  {}{version}, {}\n", kind.as_str().unwrap_or_default(), gone.id));
    }
    text
}
