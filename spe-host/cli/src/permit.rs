//! Data permits: sign and show.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use spe_kernel::{
    dsse::PublicKey,
    permit::{Modules, PermitBody},
};

use crate::{key, output::Output};

#[derive(Subcommand)]
pub(crate) enum PermitCommand {
    /// Sign a permit as a data access body
    ///
    /// DRAFT is a TOML file as in policies/permits/; docs/permit-format.md explains each field.
    Sign {
        /// The permit to sign, as TOML
        draft: PathBuf,
        /// The data access body's secret key file
        #[arg(long)]
        key: PathBuf,
        /// Where to write the signed permit
        #[arg(long, short)]
        out: PathBuf,
    },
    /// Check a signed permit's signature and show what it allows
    Show {
        /// The signed permit
        file: PathBuf,
    },
}

pub(crate) fn run(command: PermitCommand, output: Output) -> Result<()> {
    match command {
        PermitCommand::Sign { draft, key, out } => sign(&draft, &key, &out, output),
        PermitCommand::Show { file } => show(&file, output),
    }
}

fn sign(draft: &Path, key: &Path, out: &Path, output: Output) -> Result<()> {
    let body: PermitBody = spe_node::config::read_toml(draft)?;
    let envelope = body.sign(&key::read(key)?);
    // The same checks as at a node, so that no permit is signed that no node would read.
    PermitBody::read(&envelope).with_context(|| format!("{} is not a permit that can be signed", draft.display()))?;
    if out.exists() {
        bail!("{} exists already; choose another name, a permit is never overwritten", out.display());
    }
    std::fs::write(out, envelope).with_context(|| format!("writing {}", out.display()))?;
    output.say(&serde_json::json!({ "permit": body.number, "file": out }), || {
        format!("permit {} signed: {}\n", body.number, out.display())
    })
}

/// Reads a signed permit, naming the file when it is none.
pub(crate) fn read(envelope: &[u8], file: &Path) -> Result<(PermitBody, PublicKey)> {
    PermitBody::read(envelope)
        .with_context(|| format!("{} is not a signed permit (`spe permit sign` makes one)", file.display()))
}

fn show(file: &Path, output: Output) -> Result<()> {
    let envelope = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let (body, signer) = read(&envelope, file)?;
    output.say(&serde_json::json!({ "permit": body, "signed_by": signer }), || text(&body, &signer.to_string()))
}

fn text(body: &PermitBody, signer: &str) -> String {
    let persons = body.persons.iter().map(|p| format!("{} ({})", p.name, p.key)).collect::<Vec<_>>().join(", ");
    let purposes = body.purposes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let data =
        body.data.iter().map(|d| format!("{}: {}", d.dataset, d.columns.join(", "))).collect::<Vec<_>>().join("; ");
    let modules = match &body.modules {
        Modules::Any => "any".to_owned(),
        Modules::Only(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!(
        "permit     {}\nissuer     {} (signed by {signer})\nvalid      {} to {}\npersons    {persons}\npurposes   {purposes}\n\
         data       {data}\nmodules    {modules}\nloss cap   {} at each node and dataset\n\
         The signature is good. Whether a node trusts the signer is in that node's policy.\n",
        body.number, body.issuer, body.valid_from, body.valid_until, body.loss_cap
    )
}
