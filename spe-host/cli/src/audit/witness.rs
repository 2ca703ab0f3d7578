//! A witness that needs nothing but files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    dsse::PublicKey,
    ids::NodeName,
    receipt::{log_key, node_of_origin, witness_key},
    tlog::{SignedCheckpoint, TreeHash},
};
use spe_node::journal::{LogFiles, check_files, root_in};

use crate::{connect::read, key, output::Output};

#[derive(Args)]
pub(crate) struct WitnessArgs {
    /// The log's checkpoint; its tiles are beside it
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// The node's public key
    #[arg(long, value_name = "KEY")]
    node_key: PublicKey,
    /// What this witness has seen so far; made at the first time
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// The witness's secret key file (`spe key new`)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// What a witness remembers of a log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    origin: String,
    size: u64,
    root: TreeHash,
    checkpoint: String,
}

/// The node whose log is in a folder.
pub(super) fn node_of(folder: &Path) -> Result<NodeName> {
    let note = String::from_utf8(read(&folder.join("checkpoint"))?).context("the checkpoint is not text")?;
    Ok(node_of_origin(note.lines().next().unwrap_or_default())?)
}

pub(super) fn run(args: &WitnessArgs, output: Output) -> Result<()> {
    let folder = args.checkpoint.parent().unwrap_or(Path::new(""));
    let node = node_of(folder)?;
    let files = LogFiles::new(folder, &node);
    let checked = check_files(&files, args.node_key)?;
    if let Some(first) = checked.findings.first() {
        bail!("the log does not hold, and is not cosigned: {first}");
    }
    let note = String::from_utf8(read(&args.checkpoint)?).context("the checkpoint is not text")?;
    let signed = SignedCheckpoint::open(&note, &log_key(&node, args.node_key)?)?;
    let (size, root) = signed.tree();
    if args.state.exists() {
        let seen: Seen =
            serde_json::from_slice(&read(&args.state)?).with_context(|| format!("reading {}", args.state.display()))?;
        ensure!(seen.origin == signed.checkpoint().origin, "{} is about {}", args.state.display(), seen.origin);
        ensure!(
            size >= seen.size,
            "NOT COSIGNED: the log has {size} entries, and had {}: an old copy was put back",
            seen.size
        );
        ensure!(
            root_in(&files, args.node_key, seen.size)? == Some(seen.root),
            "NOT COSIGNED: the log has another history than the one that was seen; {} has the checkpoint that proves it",
            args.state.display()
        );
    }
    let secret = key::read(&args.key)?;
    let witness = witness_key(secret.public())?;
    let time = u64::try_from(Timestamp::now().as_second()).context("the clock is before 1970")?;
    let line = signed.cosign(witness.name(), &secret, time)?;
    let seen = Seen { origin: signed.checkpoint().origin.clone(), size, root, checkpoint: note };
    let part = args.state.with_extension("part");
    std::fs::write(&part, serde_json::to_vec_pretty(&seen)?).with_context(|| format!("writing {}", part.display()))?;
    std::fs::rename(&part, &args.state).with_context(|| format!("writing {}", args.state.display()))?;
    output.say(
        &serde_json::json!({ "origin": seen.origin, "size": size, "witness": witness.vkey(), "cosignature": line }),
        || line.clone(),
    )
}
