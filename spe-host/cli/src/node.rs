//! Keep a data holder's node.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use spe_kernel::{Timestamp, admission::NodePolicy, dsse::PublicKey, ids::PermitNumber, revocation::Revocation};
use spe_node::{
    attend::attend,
    config::{FILE, NodeConfig},
    desk::{self as node_desk, Ask, Told},
    journal::{LogFiles, PermitReport, Records, Release, Stays},
    site::Site,
};
use spe_wire::{Connection, pki::Role, write_public};

use crate::{
    agreement::{self, NodeAgreementCommand},
    connect::{CONNECTION, SIGNING_KEY, make_private, vacant},
    desk::{self, DeskCommand},
    exit::Refused,
    incident::{self, IncidentCommand},
    join::{self, JoinArgs},
    key,
    misses::{self, MissesArgs},
    optout::{self, OptoutCommand},
    output::Output,
    selftest::{self, SelftestArgs},
    show::Table,
};

/// The sample policy, which `init` starts from.
const POLICY: &str = include_str!("../../../policies/node/default.toml");

#[derive(Subcommand)]
pub(crate) enum NodeCommand {
    /// Join a federation with a node's invitation; `spe node init --connection DIR` then makes the node
    Join(JoinArgs),
    /// Keep the participation agreement with the hub, also while the node runs
    #[command(subcommand)]
    Agreement(NodeAgreementCommand),
    /// Make a node's folder: configuration, policy and signing key
    Init {
        /// The folder to make
        dir: PathBuf,
        /// The invitation: the folder that `spe hub invite --node` wrote, or `spe node join` made
        #[arg(long, value_name = "DIR")]
        connection: PathBuf,
        /// The way to the key holder: the folder that `spe keyholder invite` wrote
        #[arg(long, value_name = "DIR")]
        keyholder: PathBuf,
        /// Public key of a data access body whose permits the node accepts; may be given several times
        #[arg(long = "access-body", value_name = "KEY")]
        access_bodies: Vec<PublicKey>,
        /// Serve without having measured the machine with `spe node selftest`: for trying things out. The policy says so
        #[arg(long)]
        unmeasured: bool,
    },
    /// Serve the hub: dial out, take jobs, answer
    Run {
        /// The node's folder
        dir: PathBuf,
    },
    /// Try hostile guests against this program on this machine, and measure how fast it is; about a minute
    Selftest(SelftestArgs),
    /// Write a copy of the ledger, while the node is stopped; a restored old copy forgets charges, so keep it for disaster only
    Backup {
        /// The node's folder
        dir: PathBuf,
        /// The copy; must not exist
        out: PathBuf,
    },
    /// Decide about what waits for an officer of the node, also while it runs
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Record incidents and the reports on them that are due after 24 hours, 72 hours and a month; also while the node runs
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Keep the register of opt-outs (Art. 71), also while the node runs
    #[command(subcommand)]
    Optout(OptoutCommand),
    /// List the permits that jobs came under, or of which the hub told, all versions, and how each stands; also while the node runs
    Permits {
        /// The node's folder
        dir: PathBuf,
    },
    /// List the runs that were late, while the node is stopped; let a dataset go on after too many of them
    Misses(MissesArgs),
    /// List what left the node, while it is stopped; `spe audit verify` checks the log
    Releases {
        /// The node's folder
        dir: PathBuf,
    },
    /// Erase who a person was whom the audit log only knows by a tag, while the node is stopped; the log still verifies. Says what stays,
    /// and why
    ForgetPerson {
        /// The node's folder
        dir: PathBuf,
        /// The person's name, as permits have it
        #[arg(long)]
        name: String,
        /// Only the person of that key, where several have the name
        #[arg(long, value_name = "KEY")]
        key: Option<PublicKey>,
    },
}

pub(crate) fn run(command: NodeCommand, output: Output) -> Result<()> {
    match command {
        NodeCommand::Agreement(command) => agreement::node(command, output),
        NodeCommand::Join(args) => join::run(&args, output),
        NodeCommand::Init { dir, connection, keyholder, access_bodies, unmeasured } => {
            init(&dir, (&connection, &keyholder), (access_bodies, unmeasured), output)
        }
        NodeCommand::Run { dir } => serve(&dir),
        NodeCommand::Selftest(args) => selftest::run(&args, output),
        NodeCommand::Backup { dir, out } => {
            Records::open(&NodeConfig::read(&dir)?.ledger_file())?.copy_to(&out)?;
            output.say(&serde_json::json!({ "copy": out }), || format!("ledger copied to {}\n", out.display()))
        }
        NodeCommand::Desk(command) => desk::run(command, output),
        NodeCommand::Incident(command) => incident::run(command, output),
        NodeCommand::Optout(command) => optout::run(command, output),
        NodeCommand::Permits { dir } => permits(&dir, output),
        NodeCommand::Misses(args) => misses::run(&args, output),
        NodeCommand::Releases { dir } => releases(&dir, output),
        NodeCommand::ForgetPerson { dir, name, key } => forget(&dir, &name, key, output),
    }
}

/// What was granted, amended and renewed as the node came to know it, with the times when it was in force.
fn permits(dir: &Path, output: Output) -> Result<()> {
    let config = NodeConfig::read(dir)?;
    let reports = match node_desk::ask(&config.data_dir, &Ask::Permits)? {
        Some(Told::Permits(reports)) => reports,
        Some(Told::Failed(why)) => bail!("{why}"),
        Some(other) => bail!("the node answered something else: {other:?}"),
        None => permits_of_a_stopped_node(&config)?,
    };
    output.say(&reports, || {
        let mut table = Table::new(["line", "permit", "standing", "active from", "until", "first seen", "last seen"]);
        for r in &reports {
            let [line, number, standing] = [&r.line, &r.number, &r.standing].map(String::clone);
            let [from, until, first, last] =
                [&r.active_from, &r.active_until, &r.first_seen_at, &r.last_seen_at].map(String::clone);
            table.row([line, number, standing, from, until, first, last]);
        }
        table.render()
    })
}

/// From its records alone: it can be asked while its key holder is away.
fn permits_of_a_stopped_node(config: &NodeConfig) -> Result<Vec<PermitReport>> {
    let file = config.ledger_file();
    if !file.exists() {
        bail!("{} does not exist: the node has not run yet", file.display());
    }
    let (policy, records): (NodePolicy, _) = (spe_node::config::read_toml(&config.policy_file)?, Records::open(&file)?);
    // As the node itself reckons what has ended.
    let now = records.latest_entry_at()?.unwrap_or(Timestamp::MIN).max(Timestamp::now());
    let envelopes = records.revocations()?;
    let known: Vec<_> = envelopes.iter().filter_map(|e| Revocation::verify(e, &policy.access_bodies).ok()).collect();
    let revoked = |issuer: PublicKey, numbers: &[PermitNumber]| {
        let named = |r: &&Revocation| r.line().is_some_and(|l| l.issuer == issuer && numbers.contains(&l.number));
        known.iter().filter(named).map(|r| r.body().since(now)).min()
    };
    Ok(records.permits(revoked, now)?)
}

/// What left, and where in the audit log that is told.
fn releases(dir: &Path, output: Output) -> Result<()> {
    let file = NodeConfig::read(dir)?.ledger_file();
    if !file.exists() {
        bail!("{} does not exist: the node has not run yet", file.display());
    }
    let releases = Records::open(&file)?.releases()?;
    let json = |r: &Release| {
        serde_json::json!({ "index": r.index, "released_at": r.released_at, "plan": r.key.plan, "dataset": r.key.dataset,
            "snapshot": r.key.snapshot, "round": r.key.round, "answer": r.answer })
    };
    output.say(&releases.iter().map(json).collect::<Vec<_>>(), || {
        let mut table = Table::new(["entry", "released", "plan", "dataset", "round", "answer"]);
        for Release { index, released_at, key, answer, .. } in &releases {
            let (plan, dataset, round) = (key.plan.short(), key.dataset.to_string(), key.round.to_string());
            table.row([index.to_string(), released_at.clone(), plan, dataset, round, answer.short()]);
        }
        table.render()
    })
}

/// Erases who a person was; the log only knows a tag, and still verifies.
fn forget(dir: &Path, name: &str, person_key: Option<PublicKey>, output: Output) -> Result<()> {
    let config = NodeConfig::read(dir)?;
    let records = Records::open(&config.ledger_file())?;
    let forgotten = records.forget(name, person_key, &crate::account::account(), Timestamp::now())?;
    if forgotten.tags.is_empty() && forgotten.erased == 0 && forgotten.stays.is_empty() {
        return Err(Refused::missing(format!("the node knows no person of the name {name:?}")));
    }
    records.publish(&LogFiles::new(&config.log_dir(), &config.name), &key::read(&config.signing_key_file)?, true)?;
    output.say(&forgotten, || {
        let mut text = match forgotten.tags.as_slice() {
            [] => format!("no entry of the log is about {name}\n"),
            tags => {
                let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
                format!("{name} was {}; nobody can tell any more\n", tags.join(", "))
            }
        };
        if forgotten.erased > 0 {
            text.push_str(&format!("erased: {} signed exclusions that are over\n", forgotten.erased));
        }
        for Stays { number, what, why } in &forgotten.stays {
            text.push_str(&format!("stays: {number} {what}: {why}\n"));
        }
        text
    })
}

/// What a node's child process runs: `spe compile-module`.
pub(crate) fn compile_child() -> ! {
    spe_sandbox::compile_child()
}

/// What `init --unmeasured` adds to the policy.
const UNMEASURED: &str = "
[release]
# Nobody measured this machine, as --unmeasured asked for: a module could be late for one person on purpose, and tell by it.
unmeasured = true
";

fn init(
    dir: &Path,
    (invitation, keyholder): (&Path, &Path),
    (access_bodies, unmeasured): (Vec<PublicKey>, bool),
    output: Output,
) -> Result<()> {
    let name = match Connection::read(&invitation.join(CONNECTION))?.member {
        Role::Node(name) => name,
        other => bail!("{} is an invitation for {other}, not for a node", invitation.display()),
    };
    vacant(dir, FILE, "node")?;
    let connection_file = invitation.canonicalize()?.join(CONNECTION);
    let keyholder_file = keyholder.join(CONNECTION);
    match Connection::read(&keyholder_file)?.member {
        Role::Node(known) if known == name => {}
        other => bail!("{} is an invitation for {other}, not for node {name}", keyholder.display()),
    }
    let keyholder_file = keyholder_file.canonicalize()?;
    let keys: Vec<String> = access_bodies.iter().map(|k| format!("\"{k}\"")).collect();
    let policy = POLICY.replacen("access_bodies = []", &format!("access_bodies = [{}]", keys.join(", ")), 1);
    let policy = if unmeasured { policy.replacen("\n[release]\n", UNMEASURED, 1) } else { policy };
    toml::from_str::<NodePolicy>(&policy).context("the policy that would be written")?;
    let config = NodeConfig {
        name: name.clone(),
        data_dir: "data".into(),
        connection_file,
        signing_key_file: SIGNING_KEY.into(),
        keyholder_file,
        policy_file: "policy.toml".into(),
        rules_file: Some("rules.cedar".into()),
        log_retention_days: spe_kernel::audit::RETENTION_DAYS_MIN,
        workers: 0,
        datasets: std::collections::BTreeMap::new(),
    };
    make_private(&dir.join("data/vault"))?;
    key::create(&dir.join(SIGNING_KEY))?;
    write_public(&dir.join("policy.toml"), &policy)?;
    write_public(&dir.join("rules.cedar"), spe_node::rules::OPEN)?;
    // Last: a folder with this file is a node.
    write_public(&dir.join(FILE), &toml::to_string_pretty(&config)?)?;
    output.say(&serde_json::json!({ "node": name, "dir": dir }), || {
        let measure = format!("\nbefore it serves, measure this machine: spe node selftest {} --adopt", dir.display());
        let measure = if unmeasured { "" } else { measure.as_str() };
        format!(
            "node {name} in {}: read policy.toml, then bring data in with: spe data ingest{measure}\n",
            dir.display()
        )
    })
}

/// How long to wait before the key holder is asked again.
const KEYHOLDER_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// Opens the node; waits as long as its key holder is away, for without keys it has nothing to serve.
fn open(dir: &Path, compiler: (PathBuf, Vec<std::ffi::OsString>)) -> Result<Site> {
    let mut told = None;
    loop {
        let site = Site::open(dir, compiler.clone())?;
        let Some(why) = site.waits_for_keys().map(ToString::to_string) else { return Ok(site) };
        if told.as_ref() != Some(&why) {
            tracing::warn!("waiting for the key holder: {why}");
            told = Some(why);
        }
        drop(site);
        std::thread::sleep(KEYHOLDER_PAUSE);
    }
}

fn serve(dir: &Path) -> Result<()> {
    crate::output::log();
    let compiler = (std::env::current_exe()?, vec!["compile-module".into()]);
    let site = Arc::new(open(dir, compiler)?);
    spe_node::keys::watch(&site);
    if site.policy.release.unmeasured {
        tracing::warn!(
            "unmeasured = true: a module could be late for one person on purpose; `spe node selftest DIR --adopt` closes that"
        );
    }
    let config = NodeConfig::read(dir)?;
    let (connection, data) = (Connection::read(&config.connection_file)?, config.data_dir);
    tracing::info!(node = %site.name, hub = connection.hub, workers = site.workers, "starting");
    // A node that cannot write shows what it has all the same, and refuses what it would have to log.
    if let Err(fault) = site.log_start() {
        tracing::error!("{fault}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = attend(Arc::clone(&site), connection, crate::output::told_to_stop()) => Ok(ended?),
            closed = spe_node::desk::serve(Arc::clone(&site), data) => Ok::<_, anyhow::Error>(closed?),
            () = spe_node::ending::keep_ending(Arc::clone(&site), spe_node::ending::EVERY) => Ok(()),
        }
    })?;
    site.log_stop();
    Ok(())
}
