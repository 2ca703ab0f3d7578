//! Look at a module as a node would, without running it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use spe_kernel::manifest::Manifest;

use crate::{connect, output::Output, show::Table};

#[derive(Subcommand)]
pub(crate) enum ModuleCommand {
    /// Make every check that a node makes before it compiles a module, and show what the module asks and gives
    Check {
        /// The module
        file: PathBuf,
    },
}

pub(crate) fn run(command: ModuleCommand, output: Output) -> Result<()> {
    let ModuleCommand::Check { file } = command;
    let inspection = spe_sandbox::inspect(&connect::read(&file)?)?;
    let said = serde_json::json!({
        "digest": inspection.digest, "size_bytes": inspection.size_bytes, "manifest": inspection.manifest,
        "imports": inspection.imports, "exports": inspection.exports,
    });
    output.say(&said, || {
        format!(
            "{} {} is a good module\ndigest   {}\nsize     {} bytes\nimports  {}\n{}",
            inspection.manifest.name,
            inspection.manifest.version,
            inspection.digest,
            inspection.size_bytes,
            if inspection.imports.is_empty() { "none".into() } else { inspection.imports.join(", ") },
            text(&inspection.manifest)
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
    let mut gives = Table::new(["gives", "kind", "unit"]);
    for output in &manifest.outputs {
        gives.row([output.name.clone(), output.kind.name().replace('_', " "), output.unit.clone()]);
    }
    let mut takes = Table::new(["takes", "from", "to", "default"]);
    for param in &manifest.params {
        let default = param.default.map_or_else(|| "must be given".into(), |d| d.to_string());
        takes.row([param.name.clone(), param.min.to_string(), param.max.to_string(), default]);
    }
    let params = if manifest.params.is_empty() { String::new() } else { takes.render() };
    format!("{}{}{params}", reads.render(), gives.render())
}
