//! Keep a data holder's node.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use spe_kernel::{admission::NodePolicy, dsse::PublicKey};
use spe_node::{
    attend::attend,
    config::{FILE, NodeConfig},
    journal::{Records, Release},
    site::Site,
};
use spe_wire::{Connection, pki::Role, write_public, write_secret};

use crate::{
    connect::{CONNECTION, SIGNING_KEY, make_private},
    key,
    optout::{self, OptoutCommand},
    output::Output,
    selftest::{self, SelftestArgs},
    show::Table,
};

/// The sample policy, which `init` starts from.
const POLICY: &str = include_str!("../../../policies/node/default.toml");

#[derive(Subcommand)]
pub(crate) enum NodeCommand {
    /// Make a node's folder: configuration, policy, signing key and pseudonym key
    Init {
        /// The folder to make
        dir: PathBuf,
        /// The invitation: the folder that `spe hub invite --node` wrote
        #[arg(long)]
        connection: PathBuf,
        /// Public key of a data access body whose permits the node accepts; may be given several times
        #[arg(long = "access-body", value_name = "KEY")]
        access_bodies: Vec<PublicKey>,
    },
    /// Serve the hub: dial out, take jobs, answer
    Run {
        /// The node's folder
        dir: PathBuf,
    },
    /// Try hostile guests against this program on this machine, and measure how fast it is; less than a minute
    Selftest(SelftestArgs),
    /// Write a copy of the ledger, while the node is stopped; a restored old copy forgets charges, so keep it for disaster only
    Backup {
        /// The node's folder
        dir: PathBuf,
        /// The copy; must not exist
        out: PathBuf,
    },
    /// Keep the register of opt-outs (Art. 71), also while the node runs
    #[command(subcommand)]
    Optout(OptoutCommand),
    /// List what left the node, while it is stopped, and check that no line of the log was changed
    Releases {
        /// The node's folder
        dir: PathBuf,
    },
}

pub(crate) fn run(command: NodeCommand, output: Output) -> Result<()> {
    match command {
        NodeCommand::Init { dir, connection, access_bodies } => init(&dir, &connection, access_bodies, output),
        NodeCommand::Run { dir } => serve(&dir),
        NodeCommand::Selftest(args) => selftest::run(&args, output),
        NodeCommand::Backup { dir, out } => {
            Records::open(&NodeConfig::read(&dir)?.ledger_file())?.copy_to(&out)?;
            output.say(&serde_json::json!({ "copy": out }), || format!("ledger copied to {}\n", out.display()))
        }
        NodeCommand::Optout(command) => optout::run(command, output),
        NodeCommand::Releases { dir } => releases(&dir, output),
    }
}

/// The audit log. Each line is chained to the one before it, so that a line that was changed, taken out or put in shows.
fn releases(dir: &Path, output: Output) -> Result<()> {
    let file = NodeConfig::read(dir)?.ledger_file();
    if !file.exists() {
        bail!("{} does not exist: the node has not run yet", file.display());
    }
    let releases = Records::open(&file)?.releases()?;
    let json = |r: &Release| {
        serde_json::json!({ "position": r.position, "released_at": r.released_at, "plan": r.key.plan, "dataset": r.key.dataset,
            "snapshot": r.key.snapshot, "round": r.key.round, "answer": r.answer, "chain": r.chain, "chain_holds": r.holds })
    };
    let said: Vec<_> = releases.iter().map(json).collect();
    output.say(&said, || {
        let mut table = Table::new(["", "released", "plan", "dataset", "round", "answer", "chain", ""]);
        for Release { position, released_at, key, answer, chain, holds } in &releases {
            table.row([
                position.to_string(),
                released_at.clone(),
                key.plan.short(),
                key.dataset.to_string(),
                key.round.to_string(),
                answer.short(),
                chain.short(),
                if *holds { String::new() } else { "◀ the chain is broken".into() },
            ]);
        }
        table.render()
    })?;
    match releases.iter().find(|r| !r.holds) {
        Some(broken) => bail!("{}: line {} of the audit log was changed", file.display(), broken.position),
        None => Ok(()),
    }
}

/// What a node's child process runs: `spe compile-module`.
pub(crate) fn compile_child() -> ! {
    spe_sandbox::compile_child()
}

fn init(dir: &Path, invitation: &Path, access_bodies: Vec<PublicKey>, output: Output) -> Result<()> {
    let name = match Connection::read(&invitation.join(CONNECTION))?.member {
        Role::Node(name) => name,
        other => bail!("{} is an invitation for {other}, not for a node", invitation.display()),
    };
    if dir.join(FILE).exists() {
        bail!("{} is a node already", dir.display());
    }
    let connection_file = invitation.canonicalize()?.join(CONNECTION);
    let keys: Vec<String> = access_bodies.iter().map(|k| format!("\"{k}\"")).collect();
    let policy = POLICY.replacen("access_bodies = []", &format!("access_bodies = [{}]", keys.join(", ")), 1);
    toml::from_str::<NodePolicy>(&policy).context("the policy that would be written")?;
    let config = NodeConfig {
        name: name.clone(),
        data_dir: "data".into(),
        connection_file,
        signing_key_file: SIGNING_KEY.into(),
        pseudonym_key_file: "pseudonym.key".into(),
        policy_file: "policy.toml".into(),
        workers: 0,
        datasets: std::collections::BTreeMap::new(),
    };
    make_private(&dir.join("data/vault"))?;
    key::create(&dir.join(SIGNING_KEY))?;
    write_secret(&dir.join("pseudonym.key"), key::entropy()?)?;
    write_public(&dir.join("policy.toml"), &policy)?;
    // Last: a folder with this file is a node.
    write_public(&dir.join(FILE), &toml::to_string_pretty(&config)?)?;
    output.say(&serde_json::json!({ "node": name, "dir": dir }), || {
        format!("node {name} in {}: read policy.toml, then bring data in with: spe data ingest\n", dir.display())
    })
}

fn serve(dir: &Path) -> Result<()> {
    crate::output::log();
    let compiler = (std::env::current_exe()?, vec!["compile-module".into()]);
    let site = Arc::new(Site::open(dir, compiler)?);
    let connection = Connection::read(&NodeConfig::read(dir)?.connection_file)?;
    tracing::info!(node = %site.name, hub = connection.hub, workers = site.workers, "starting");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(attend(site, connection, crate::output::told_to_stop()))?;
    Ok(())
}
