//! Keep a hub.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use spe_hub::Hub;
use spe_kernel::ids::{NodeName, PersonName};
use spe_wire::pki::Role;

use crate::{
    connect::make_private,
    output::{Output, log, told_to_stop},
};

#[derive(Subcommand)]
pub(crate) enum HubCommand {
    /// Found a federation: certificate authority, the hub's certificate, configuration
    Init {
        /// The folder to make
        dir: PathBuf,
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:7443")]
        listen: SocketAddr,
        /// A name or address under which members reach the hub; the first is written into their invitations
        #[arg(long = "host", required = true)]
        hosts: Vec<String>,
    },
    /// Serve researchers and nodes
    Run {
        /// The hub's folder
        dir: PathBuf,
    },
    /// Make a member's key and certificate, and list the certificate; works while the hub runs
    ///
    /// The folder is the membership: hand it over on a way that you both trust.
    Invite {
        /// The hub's folder
        dir: PathBuf,
        #[command(flatten)]
        who: Member,
        /// Where to write the invitation
        #[arg(long)]
        out: PathBuf,
    },
    /// Strike a member off the list: its certificate is refused from now on
    Dismiss {
        /// The hub's folder
        dir: PathBuf,
        #[command(flatten)]
        who: Member,
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
        HubCommand::Invite { dir, who, out } => invite(&dir, &who.role()?, &out, output),
        HubCommand::Dismiss { dir, who } => {
            let role = who.role()?;
            spe_hub::dismiss(&dir, &role)?;
            output.say(&serde_json::json!({ "dismissed": role }), || format!("{role} is no longer a member\n"))
        }
    }
}

fn invite(dir: &Path, role: &Role, out: &Path, output: Output) -> Result<()> {
    if out.exists() {
        bail!("{} exists already; choose another folder", out.display());
    }
    let bundle = spe_hub::invite(dir, role)?;
    std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o700))?;
    move_folder(&bundle, out)
        .with_context(|| format!("moving the invitation to {}; it is in {}", out.display(), bundle.display()))?;
    output.say(&serde_json::json!({ "member": role, "invitation": out }), || {
        format!("invitation for {role}: {}\n", out.display())
    })
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
