//! Keys: the identity of data access bodies, researchers and nodes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use spe_kernel::dsse::SecretKey;

use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key; the secret is written to FILE, readable by you alone, and the public key is shown
    New {
        /// Where to write the secret key; must not exist
        file: PathBuf,
    },
    /// Show the public key that belongs to a secret key file
    Show {
        /// A secret key file
        file: PathBuf,
    },
}

pub(crate) fn run(command: KeyCommand, output: Output) -> Result<()> {
    let key = match command {
        KeyCommand::New { file } => create(&file)?,
        KeyCommand::Show { file } => read(&file)?,
    };
    output.say(&serde_json::json!({ "public_key": key.public() }), || format!("{}\n", key.public()))
}

/// 32 bytes of the operating system's entropy.
pub(crate) fn entropy() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("asking the operating system for entropy")?;
    Ok(seed)
}

pub(crate) fn create(file: &Path) -> Result<SecretKey> {
    let key = SecretKey::from_seed(&entropy()?);
    spe_wire::write_secret(file, key.expose_text())?;
    Ok(key)
}

pub(crate) fn read(file: &Path) -> Result<SecretKey> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading the key file {}", file.display()))?;
    text.parse().with_context(|| format!("reading the key file {}", file.display()))
}
