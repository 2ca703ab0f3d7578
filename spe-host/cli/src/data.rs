//! Bring data into a node.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use spe_kernel::{
    ids::{DatasetName, TableName},
    keys::{KeyError, KeySource},
    units::Loss,
};
use spe_node::config::{FILE, NodeConfig, Served};
use spe_node::keys::Holder;
use spe_vault::{Declaration, Ingest, Ingested, Listed, Progress, Source, Vault, reencrypt};

use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// Read CSV or Parquet files with a declared schema, pseudonymise, drop identifiers, sort by data subject, and serve the result
    ///
    /// Bad input is refused with file, line, column and reason, and leaves nothing behind. A node that runs serves the new
    /// snapshot after its next start.
    Ingest(IngestArgs),
    /// Encrypt a dataset's files anew with the key holder's newest data key, after `spe keyholder rotate --data-key`
    ///
    /// The snapshot stays the same, and so do its answers. A node that runs uses the new files after its next start.
    Reencrypt {
        /// The node's folder
        dir: PathBuf,
        /// The dataset
        dataset: DatasetName,
    },
    /// List the datasets of a node
    List {
        /// The node's folder
        dir: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct IngestArgs {
    /// The node's folder
    dir: PathBuf,
    /// The dataset's declaration (docs/dataset-format.md)
    #[arg(long)]
    declaration: PathBuf,
    /// A file of a table: TABLE=FILE, ending in .csv or .parquet; may be given several times
    #[arg(long = "table", value_parser = table, required = true)]
    tables: Vec<(TableName, PathBuf)>,
    /// Take only these rows, for example: 'site in ("1", "2")' (docs/filter.md)
    #[arg(long = "where", value_name = "FILTER")]
    rows: Option<String>,
    /// All privacy loss that the dataset's population will ever bear at this node; kept if the dataset is served already
    #[arg(long)]
    budget: Option<Loss>,
}

fn table(text: &str) -> Result<(TableName, PathBuf), String> {
    let (table, file) = text.split_once('=').ok_or("expected TABLE=FILE")?;
    Ok((table.parse().map_err(|e| format!("{e}"))?, file.into()))
}

pub(crate) fn run(command: DataCommand, output: Output) -> Result<()> {
    match command {
        DataCommand::Ingest(args) => ingest(&args, output),
        DataCommand::Reencrypt { dir, dataset } => encrypt_anew(&dir, &dataset, output),
        DataCommand::List { dir } => list(&dir, output),
    }
}

fn ingest(args: &IngestArgs, output: Output) -> Result<()> {
    let mut config = NodeConfig::read(&args.dir)?;
    let declaration = Declaration::read(&args.declaration)?;
    let name = declaration.schema().name.clone();
    let served = config.datasets.get(&name).map(|served| served.budget);
    if let (Some(served), Some(asked)) = (served, args.budget)
        && served != asked
    {
        bail!(
            "dataset {name} has the budget {served} already; leave --budget out, or change it in {FILE}: raising it weakens what was promised"
        );
    }
    let mut files: Vec<_> = args.tables.iter().map(|(_, file)| file).collect();
    files.sort();
    if let Some((file, _)) = files.iter().zip(files.iter().skip(1)).find(|(a, b)| a == b) {
        bail!("{} is given twice: its rows would count twice", file.display());
    }
    let budget = served.or(args.budget);
    let budget = budget
        .context("a new dataset needs --budget: all privacy loss that its population will ever bear, e.g. rho=2")?;
    let keys = Holder::open(&config.keyholder_file)?;
    let source = |(table, file): &(TableName, PathBuf)| Source {
        table: table.clone(),
        file: file.clone(),
        rows: args.rows.clone(),
    };
    let sources: Vec<_> = args.tables.iter().map(source).collect();
    let vault = config.vault_dir();
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("  {spinner} {msg} {elapsed}")?);
    let ingested = Ingest::new(&declaration, &sources, &keys, &vault).run(|progress| match progress {
        Progress::Read { rows } => bar.set_message(format!("{rows} rows read")),
        Progress::Sorted { done, of } => bar.set_message(format!("{done} of {of} partitions sorted")),
    });
    bar.finish_and_clear();
    let ingested = ingested?;
    if config.datasets.insert(name, Served { budget }).is_none() {
        serve(&args.dir, &ingested, budget)?;
    }
    report(&ingested, budget, output)
}

/// Adds the dataset to `node.toml`, whose other lines and comments stay as they are.
fn serve(dir: &Path, ingested: &Ingested, budget: Loss) -> Result<()> {
    use std::io::Write;
    let file = dir.join(FILE);
    let mut open =
        std::fs::OpenOptions::new().append(true).open(&file).with_context(|| format!("opening {}", file.display()))?;
    let lines = format!("\n[datasets.\"{}\"]\nbudget = \"{budget}\"\n", ingested.dataset);
    open.write_all(lines.as_bytes())
        .and_then(|()| open.sync_all())
        .with_context(|| format!("writing {}", file.display()))
}

fn report(ingested: &Ingested, budget: Loss, output: Output) -> Result<()> {
    let altered: Vec<_> = ingested
        .altered
        .iter()
        .map(|a| serde_json::json!({ "table": a.table, "column": a.column, "values": a.values }))
        .collect();
    let said = serde_json::json!({
        "dataset": ingested.dataset, "snapshot": ingested.snapshot, "rows_read": ingested.rows_read, "rows_kept": ingested.rows_kept,
        "subjects": ingested.subjects, "subjects_before": ingested.subjects_before, "budget": budget, "altered": altered,
    });
    output.say(&said, || {
        let before = ingested.subjects_before.map(|n| format!(" ({n} before)")).unwrap_or_default();
        let mut text = format!(
            "dataset {}: {} of {} rows, {} data subjects{before}, snapshot {}, budget {budget}\n\
             a node that runs serves it after its next start\n",
            ingested.dataset,
            ingested.rows_kept,
            ingested.rows_read,
            ingested.subjects,
            ingested.snapshot.short()
        );
        for a in &ingested.altered {
            text.push_str(&format!(
                "{} values of {}.{} were outside their bounds and changed as declared\n",
                a.values, a.table, a.column
            ));
        }
        text
    })
}

fn encrypt_anew(dir: &Path, dataset: &DatasetName, output: Output) -> Result<()> {
    let config = NodeConfig::read(dir)?;
    let keys = Holder::open(&config.keyholder_file)?;
    let (before, now) = reencrypt(&config.vault_dir(), dataset, &keys)?;
    let said = serde_json::json!({ "dataset": dataset, "data_key_before": before, "data_key": now });
    output.say(&said, || {
        format!(
            "dataset {dataset}: encrypted with data key {now}, before with {before}; a node that runs uses the new files after its next start\n"
        )
    })
}

fn list(dir: &Path, output: Output) -> Result<()> {
    let config = NodeConfig::read(dir)?;
    let listed = Vault::list(&config.vault_dir())?;
    let mut holder = Holder::open(&config.keyholder_file).map_err(|why| why.to_string());
    let keyed: Vec<_> = listed.iter().map(|one| (one, keys(&mut holder, one))).collect();
    let line = |(Listed { schema, snapshot, .. }, (keys, _)): &(&Listed, (&str, String))| {
        let budget = config.datasets.get(&schema.name).map(|served| served.budget);
        serde_json::json!({ "dataset": schema.name, "title": schema.title, "snapshot": snapshot, "budget": budget, "keys": keys })
    };
    let lines: Vec<_> = keyed.iter().map(line).collect();
    output.say(&lines, || {
        let text = |(Listed { schema, snapshot, .. }, (_, keys)): &(&Listed, (&str, String))| {
            let budget = config.datasets.get(&schema.name).map(|served| served.budget.to_string());
            let budget = budget.unwrap_or_else(|| "not served".into());
            format!("{} — {}, snapshot {}, budget {budget}{keys}\n", schema.name, schema.title, snapshot.short())
        };
        keyed.iter().map(text).collect()
    })
}

/// Whether the key holder still gives the dataset's keys: for programs, and for people. One that is away, or of which this node has no file
/// yet, is asked no more, and the list is shown without it.
///
/// A key is asked for to see whether it is given, and dropped: a key holder tells a node nothing else about keys, so that nobody learns from
/// it what they may not use.
fn keys(holder: &mut Result<Holder, String>, listed: &Listed) -> (&'static str, String) {
    let unknown = |why: &str| ("unknown", format!("; whether its keys are given is unknown: {why}"));
    let asked = match holder {
        Ok(holder) => holder.data_key(&listed.schema.name, listed.data_key).map(drop),
        Err(why) => return unknown(why),
    };
    match asked {
        Ok(()) => ("given", String::new()),
        Err(KeyError::Gone(_)) => {
            ("destroyed", "; its KEYS ARE DESTROYED: nobody can read it any more, and it is not served".into())
        }
        Err(KeyError::Refused(_)) => {
            ("refused", "; the key holder refuses its keys to this node, so it is not served".into())
        }
        Err(KeyError::Away(why)) => {
            let unknown = unknown(&why);
            *holder = Err(why);
            unknown
        }
    }
}
