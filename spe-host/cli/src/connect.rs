//! A person's way to the hub: the folder that `spe hub invite` wrote, with the person's signing key in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use spe_kernel::{
    dsse::{PublicKey, SecretKey},
    ids::{Digest, PersonName},
    refusal::Refusal,
};
use spe_wire::{ConnectError, Connection, HubClient, pki::Role};

use crate::{exit::Refused, key};

/// Where the connection is described, in a member's folder.
pub(crate) const CONNECTION: &str = "connection.toml";
/// Where a person's or node's signing key is.
pub(crate) const SIGNING_KEY: &str = "signing.key";

#[derive(Args)]
pub(crate) struct Profile {
    /// Your folder: an invitation from `spe hub invite --person`, with your `signing.key` in it
    #[arg(long = "as", value_name = "DIR", env = "SPE_PROFILE")]
    folder: PathBuf,
}

impl Profile {
    /// That of a folder which may be left out on the command line.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn connection(&self) -> Result<Connection> {
        let connection = Connection::read(&self.folder.join(CONNECTION));
        connection
            .with_context(|| format!("{} is not a member's folder; `spe hub invite` makes one", self.folder.display()))
    }

    /// Who this is.
    pub(crate) fn person(&self) -> Result<PersonName> {
        match self.connection()?.member {
            Role::Person(name) => Ok(name),
            other => bail!("{} belongs to {other}; a person's invitation is needed", self.folder.display()),
        }
    }

    /// The key with which the hub, as witness, cosigns the nodes' logs, where the invitation says it.
    pub(crate) fn witness(&self) -> Result<Option<PublicKey>> {
        Ok(self.connection()?.witness)
    }

    /// A file in the profile's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The person's signing key.
    pub(crate) fn signing_key(&self) -> Result<SecretKey> {
        let file = self.folder.join(SIGNING_KEY);
        let advice = || {
            format!(
                "put your key there, whose public half your permit names, or make one: spe key new {}",
                file.display()
            )
        };
        key::read(&file).with_context(advice)
    }

    pub(crate) async fn connect(&self) -> Result<HubClient> {
        Ok(HubClient::connect(&self.connection()?).await?)
    }
}

/// Connects without a certificate to the hub at `host:port` whose authority has the fingerprint `ca`.
pub(crate) async fn stranger(hub: &str, ca: Digest) -> Result<HubClient> {
    HubClient::stranger(hub, ca).await.map_err(|error| match error {
        // No file: the address, as it was given.
        ConnectError::File(wrong) => Refused::wrong(wrong.to_string()),
        ConnectError::Refused(Refusal::NotAllowed { who, what }) => Refused::untrusted(format!("{who} may not {what}")),
        refused @ ConnectError::Refused(_) => refused.into(),
    })
}

/// Makes a folder, and its parents, that only its owner can enter.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("making {}", folder.display()))
}

/// Whether `init` may make its folder there: it is not there yet, or empty.
///
/// # Errors
/// What is there; `kind` is what a folder with the file `marker` is.
pub(crate) fn vacant(folder: &Path, marker: &str, kind: &str) -> Result<()> {
    let place = folder.display();
    if folder.join(marker).exists() {
        bail!("{place} is a {kind} already, and is left as it is: use it, or name another folder for another {kind}");
    }
    match std::fs::read_dir(folder) {
        Ok(mut files) => match files.next() {
            None => Ok(()),
            Some(_) => bail!(
                "{place} is there already and is no {kind}: name a folder that is new or empty. If an `init` was interrupted there, \
                 remove it first"
            ),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{place} cannot be made a {kind}; name another folder")),
    }
}

/// Runs `task` on a small runtime: a client has little to do.
pub(crate) fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}

/// Reads a file, naming it when it cannot be read.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}
