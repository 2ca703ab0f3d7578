//! Keep a hub.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use spe_hub::{Evidence, Hub, Point, Record, roles::Listed};
use spe_kernel::ids::{NodeName, PersonName};
use spe_wire::pki::Role;

use crate::{
    account::{hub_operator, operator},
    agreement::{self, HubAgreementCommand},
    connect::{make_private, vacant},
    instant::instant,
    output::{Answered, Output, log, told_to_stop},
    show::Table,
};

#[derive(Subcommand)]
pub(crate) enum HubCommand {
    /// Found a federation: certificate authority, the hub's certificate, configuration
    Init {
        /// The folder to make
        dir: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443")]
        listen: SocketAddr,
        /// A name or address under which members reach the hub; may be given several times, the first is written into their invitations
        #[arg(long = "host", value_name = "HOST", required = true)]
        hosts: Vec<String>,
    },
    /// Serve researchers and nodes
    Run {
        /// The hub's folder
        dir: PathBuf,
    },
    /// Invite a member: with a folder that holds a key and its certificate, or with a token for a key that the member makes
    ///
    /// Works while the hub runs. The folder, or the token until it is used, is the membership: hand it over on a way that you both
    /// trust.
    Invite {
        /// The hub's folder
        dir: PathBuf,
        #[command(flatten)]
        who: Member,
        /// A person's roles, with commas, such as applicant,assessor@north: docs/roles.md; applicant,data-user if left out
        #[arg(long, value_delimiter = ',', conflicts_with = "node")]
        roles: Option<Vec<Listed>>,
        /// The folder to write the invitation into; must not exist
        #[arg(long, value_name = "DIR", required_unless_present = "token", conflicts_with = "token")]
        out: Option<PathBuf>,
        /// Print a line for `spe join`: the private key is made there and never leaves it
        #[arg(long)]
        token: bool,
        /// Days that the token is good for, at most 90
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=90))]
        days: u16,
    },
    /// Show a person's roles, or replace them; works while the hub runs
    Roles {
        /// The hub's folder
        dir: PathBuf,
        /// The person
        person: PersonName,
        /// All roles that the person shall have, with commas, such as applicant,assessor@north: docs/roles.md; an empty text takes all away
        #[arg(long)]
        roles: Option<Roles>,
    },
    /// What the hub has seen of the nodes' audit logs, and histories that exclude one another
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Show the fingerprint of the hub's certificate authority, to be published: with it everybody can read the register
    Fingerprint {
        /// The hub's folder
        dir: PathBuf,
    },
    /// Record a number for the activity report of Art. 59 that the hub cannot know: audits, fines, labels, publications and the like
    ///
    /// Kept for ever, and public in the report, which does not name who recorded it: that is kept at the hub. Works while the hub runs.
    Record {
        /// The hub's folder
        dir: PathBuf,
        /// The point of Art. 59(1): b, c, d, e, f, i, j or k
        #[arg(long)]
        point: Point,
        /// What was counted, such as "accuracy" of labels or "administrative fines, EUR"; it names no person
        #[arg(long, value_name = "TEXT")]
        of: String,
        /// How many, or how much; below 0 to correct what was recorded before
        #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
        count: i64,
        /// When it was, such as 2027-01-31T00:00:00Z: it counts in the period that has this time; now if left out
        #[arg(long, value_name = "TIME", value_parser = instant)]
        at: Option<Timestamp>,
    },
    /// Show what was done at the hub's own machine with members, agreements and the activity report: when, what, under which account
    ///
    /// It is kept for ever, and nobody else is given it.
    Log {
        /// The hub's folder
        dir: PathBuf,
    },
    /// Keep the participation agreements with nodes; works while the hub runs
    #[command(subcommand)]
    Agreement(HubAgreementCommand),
    /// Strike a member off the list: its certificate is refused from now on
    Dismiss {
        /// The hub's folder
        dir: PathBuf,
        #[command(flatten)]
        who: Member,
    },
}

#[derive(Subcommand)]
pub(crate) enum WitnessCommand {
    /// Show the witness's key, the last checkpoint of each node's log, and the evidence of two histories; fails if there is any
    Show {
        /// The hub's folder
        dir: PathBuf,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Member {
    /// A data holder's node of that name
    #[arg(long)]
    node: Option<NodeName>,
    /// A person of that name, as permits name the person
    #[arg(long)]
    person: Option<PersonName>,
}

/// All roles of a person, written with commas; none, if nothing is written.
#[derive(Clone)]
pub(crate) struct Roles(Vec<Listed>);

impl FromStr for Roles {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').filter(|one| !one.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Member {
    fn role(self) -> Result<Role> {
        match (self.node, self.person) {
            (Some(name), None) => Ok(Role::Node(name)),
            (None, Some(name)) => Ok(Role::Person(name)),
            _ => bail!("name a --node or a --person"),
        }
    }
}

pub(crate) fn run(command: HubCommand, output: Output) -> Result<()> {
    match command {
        HubCommand::Init { dir, listen, hosts } => {
            vacant(&dir, spe_hub::FILE, "hub")?;
            make_private(&dir)?;
            let config = spe_hub::init(&dir, &hosts, listen)?;
            output.say(&serde_json::json!({ "dir": dir, "public": config.public }), || {
                format!(
                    "hub in {}, reached at {}; run it with: spe hub run {}\n",
                    dir.display(),
                    config.public,
                    dir.display()
                )
            })
        }
        HubCommand::Run { dir } => serve(&dir),
        HubCommand::Invite { dir, who, roles, out, token: _, days } => {
            let role = who.role()?;
            match out {
                Some(out) => invite(&dir, (&role, roles.as_deref()), &out, output),
                None => invite_by_token(&dir, (&role, roles.as_deref()), days, output),
            }
        }
        HubCommand::Roles { dir, person, roles } => {
            let by = hub_operator();
            let roles = spe_hub::roles_of(&dir, &person, roles.as_ref().map(|Roles(all)| (all.as_slice(), &by)))?;
            let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
            output.say(&serde_json::json!({ "person": person, "roles": names }), || {
                format!("{person}: {}\n", if names.is_empty() { "no role".into() } else { names.join(", ") })
            })
        }
        HubCommand::Witness(WitnessCommand::Show { dir }) => witness(&dir, output),
        HubCommand::Fingerprint { dir } => {
            let config = spe_hub::Config::read(&dir)?;
            let print = spe_wire::tls::fingerprint(&config.authority.join("ca.pem"))?;
            let said = serde_json::json!({ "hub": config.public, "ca": print });
            output.say(&said, || format!("{print}\n"))
        }
        HubCommand::Record { dir, point, of, count, at } => {
            let recorded_at = Timestamp::now();
            let record = Record { point, of, count, at: at.unwrap_or(recorded_at), recorded_at };
            let by = operator();
            spe_hub::record(&dir, &record, &by)?;
            let said =
                || format!("recorded under ({point}), {}: {} {count}, by {}\n", point.asks(), record.of, by.name);
            output.say(&record, said)
        }
        HubCommand::Log { dir } => acts(&dir, output),
        HubCommand::Agreement(command) => agreement::hub(command, output),
        HubCommand::Dismiss { dir, who } => {
            let role = who.role()?;
            spe_hub::dismiss(&dir, &role, &hub_operator())?;
            output.say(&serde_json::json!({ "dismissed": role }), || format!("{role} is no longer a member\n"))
        }
    }
}

fn invite(dir: &Path, (role, roles): (&Role, Option<&[Listed]>), out: &Path, output: Output) -> Result<()> {
    if out.exists() {
        bail!("{} exists already; choose another folder", out.display());
    }
    let bundle = spe_hub::invite(dir, role, roles, &hub_operator())?;
    std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o700))?;
    move_folder(&bundle, out)
        .with_context(|| format!("moving the invitation to {}; it is in {}", out.display(), bundle.display()))?;
    output.say(&serde_json::json!({ "member": role, "invitation": out }), || {
        format!("invitation for {role}: {}\n", out.display())
    })
}

/// What was done at the hub's machine.
fn acts(dir: &Path, output: Output) -> Result<()> {
    let all = spe_hub::operated(dir)?;
    output.say(&all, || {
        let mut table = Table::new(["entry", "at", "account", "what"]);
        for act in &all {
            let at = act.at.map_or_else(|| "–".into(), |at| at.to_string());
            table.row([act.entry.to_string(), at, act.account.clone(), act.did.clone()]);
        }
        table.render()
    })
}

/// What was seen, and what excludes it.
fn witness(dir: &Path, output: Output) -> Result<()> {
    let ((key, seen), evidence) = (spe_hub::seen(dir)?, spe_hub::evidence(dir)?);
    let logs: Vec<_> = seen
        .iter()
        .map(|(node, size, checkpoint)| serde_json::json!({ "node": node, "size": size, "checkpoint": checkpoint }))
        .collect();
    output.say(&serde_json::json!({ "witness_key": key, "logs": logs, "evidence": evidence }), || {
        let mut text = format!("witness key {key}\n");
        for (node, size, checkpoint) in &seen {
            text.push_str(&format!("\nnode {node}: {size} entries\n{checkpoint}"));
        }
        for one in &evidence {
            text.push_str(&format!(
                "\n◀ node {} showed at {} a log that is {}\nseen before:\n{}\nshown then:\n{}",
                one.node, one.at, one.kind, one.seen, one.shown
            ));
        }
        text
    })?;
    // A fork is proof, a shorter log the reason why the node was stopped.
    let worst = evidence.iter().find(|one| one.kind == "forked").or(evidence.first());
    worst.map_or(Ok(()), |Evidence { node, kind, .. }| {
        let what = match kind.as_str() {
            "shorter" => "was shown shorter than it had been: an old copy was put back, or its end is lost",
            _ => "has two histories",
        };
        Err(Answered(format!("the log of node {node} {what}")).into())
    })
}

fn invite_by_token(dir: &Path, (role, roles): (&Role, Option<&[Listed]>), days: u16, output: Output) -> Result<()> {
    let until = Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days));
    let invitation = spe_hub::invite_by_token(dir, role, roles, until, &hub_operator())?;
    let line = invitation.expose_text();
    output.say(&serde_json::json!({ "member": role, "invitation": line, "until": until }), || format!("{line}\n"))
}

/// Moves a folder of plain files, also to another file system; permissions stay.
fn move_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
        done => return done,
    }
    make_private(to).map_err(std::io::Error::other)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    std::fs::remove_dir_all(from)
}

fn serve(dir: &Path) -> Result<()> {
    log();
    let config = spe_hub::Config::read(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(async {
        let listener = spe_wire::listen(config.listen).await?;
        tracing::info!(listen = %config.listen, public = config.public, "the hub is here");
        Hub::open(config)?.serve(listener, told_to_stop()).await?;
        Ok(())
    })
}
