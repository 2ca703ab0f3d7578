//! Look at a module as a node would, and rehearse it on made-up people.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use spe_kernel::{
    manifest::{Axes, Groups, Kind, Manifest, Unit},
    plan::{FUEL_DEFAULT, MEMORY_DEFAULT_BYTES},
};
use spe_vault::Declaration;

use crate::{
    connect,
    output::Output,
    rehearse::{Rehearsal, Script},
    show::Table,
    submit::{named_number, once},
};

#[derive(Subcommand)]
pub(crate) enum ModuleCommand {
    /// Make every check that a node makes before it compiles a module, show what the module asks and gives, and rehearse it
    ///
    /// With --schema the module also runs, in a sandbox on this machine, on made-up people within the declared bounds: how many
    /// runs fail or say nothing, and how much fuel they take. No data, no noise, and nobody is asked.
    Check(CheckArgs),
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The module
    file: PathBuf,
    /// Rehearse it for the dataset of this declaration (docs/dataset-format.md)
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// A parameter of the module: NAME=<number>
    #[arg(long, value_parser = named_number, requires = "schema")]
    param: Vec<(String, f64)>,
    /// Fuel for one data subject
    #[arg(long, default_value_t = FUEL_DEFAULT, requires = "schema")]
    fuel: u64,
    /// Memory of the module in bytes
    #[arg(long, default_value_t = MEMORY_DEFAULT_BYTES, requires = "schema")]
    memory: u64,
}

pub(crate) fn run(command: ModuleCommand, output: Output) -> Result<()> {
    let ModuleCommand::Check(CheckArgs { file, schema, param, fuel, memory }) = command;
    let wasm = connect::read(&file)?;
    let inspection = spe_sandbox::inspect(&wasm)?;
    let params = once("--param", param)?;
    let rehearsal = match schema {
        None => None,
        Some(file) => {
            let declaration = Declaration::read(&file)?;
            let (wasm, inspection, schema) = (&wasm, &inspection, declaration.schema());
            Some(Script { wasm, inspection, schema, params, fuel, memory }.rehearse()?)
        }
    };
    let said = serde_json::json!({
        "digest": inspection.digest, "size_bytes": inspection.size_bytes, "memory_bytes": inspection.memory_bytes, "manifest": inspection.manifest,
        "imports": inspection.imports, "exports": inspection.exports, "rehearsal": rehearsal,
    });
    output.say(&said, || {
        format!(
            "{} {} is a good module\ndigest   {}\nsize     {} bytes\nmemory   {} bytes at the start\nimports  {}\n{}{}",
            inspection.manifest.name,
            inspection.manifest.version,
            inspection.digest,
            inspection.size_bytes,
            inspection.memory_bytes,
            if inspection.imports.is_empty() { "none".into() } else { inspection.imports.join(", ") },
            text(&inspection.manifest),
            rehearsal.as_ref().map(Rehearsal::text).unwrap_or_default(),
        )
    })
}

fn text(manifest: &Manifest) -> String {
    let mut reads = Table::new(["reads", "columns", "rows at most", "filter"]);
    for input in &manifest.inputs {
        let columns = input.columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        reads.row([
            input.table.to_string(),
            columns,
            input.max_rows.to_string(),
            input.filter.clone().unwrap_or_default(),
        ]);
    }
    let mut gives = Table::new(["gives", "kind", "of", "unit"]);
    for output in &manifest.outputs {
        let kind = output.kind.name().replace('_', " ");
        gives.row([output.name.clone(), kind, detail(&output.kind), output.unit.clone()]);
    }
    let mut takes = Table::new(["takes", "from", "to", "default"]);
    for param in &manifest.params {
        let default = param.default.map_or_else(|| "must be given".into(), |d| d.to_string());
        takes.row([param.name.clone(), param.min.to_string(), param.max.to_string(), default]);
    }
    let params = if manifest.params.is_empty() { String::new() } else { takes.render() };
    let unit = match manifest.unit {
        Unit::Subject => String::new(),
        Unit::Blocks(blocks) => format!("sees {blocks} blocks of people, not single ones\n"),
    };
    let rounds = manifest.rounds.as_ref().map_or_else(String::new, |r| {
        format!(
            "runs {} rounds unless told otherwise, at most {}; {} numbers go from one to the next\n",
            r.default,
            r.max,
            r.state.len()
        )
    });
    format!("{}{}{params}{unit}{rounds}", reads.render(), gives.render())
}

/// What a kind is bounded by.
fn detail(kind: &Kind) -> String {
    match kind {
        Kind::Count => String::new(),
        Kind::Sum(b) | Kind::Mean(b) | Kind::Variance(b) => format!("{} to {}", b.lower(), b.upper()),
        Kind::Histogram(axes) => groups(axes),
        Kind::GroupedMean(axes, b) => format!("{} to {}, by {}", b.lower(), b.upper(), groups(axes)),
        Kind::Quantiles { bins, at } => {
            format!("{} quantiles from {} bins, {} to {}", at.len(), bins.bins(), bins.first(), bins.last())
        }
        Kind::VectorSum { labels, norm } => format!("{} numbers of norm {norm}", labels.len()),
        Kind::Survival(edges) => format!("{} intervals, 0 to {}", edges.bins(), edges.last()),
        Kind::Keys(keys) => format!("at most {} keys, {} a person", keys.released_max, keys.per_subject),
        Kind::BlockMean(coordinates) => format!("{} numbers a block", coordinates.len()),
    }
}

fn groups(axes: &Axes) -> String {
    let axis = |axis: &spe_kernel::manifest::Axis| match &axis.groups {
        Groups::Categories(list) => format!("{} categories", list.len()),
        Groups::Bins(edges) => format!("{} bins", edges.bins()),
    };
    let many = if axes.per_subject > 1 { format!(", {} a person", axes.per_subject) } else { String::new() };
    axes.axes.iter().map(axis).collect::<Vec<_>>().join(" × ") + &many
}
