//! The operator's rules: check them, and try them on golden cases.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use spe_node::rules::{
    Rules, SCHEMA,
    golden::{self, Tried},
};

use crate::output::{Answered, Output};

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a node's rules (Cedar) against what they can speak about
    Check {
        /// The rules, as in policies/rules/
        rules: PathBuf,
    },
    /// Try rules on golden cases; fails when a decision is not the expected one
    Test {
        /// Files of cases, or folders of them, as in policies/golden/
        #[arg(required = true)]
        cases: Vec<PathBuf>,
    },
    /// Show what rules can speak about
    Schema,
}

pub(crate) fn run(command: PolicyCommand, output: Output) -> Result<()> {
    match command {
        PolicyCommand::Check { rules } => {
            Rules::read(&rules)?;
            output.say(&serde_json::json!({ "rules": rules, "valid": true }), || format!("{}: good\n", rules.display()))
        }
        PolicyCommand::Test { cases } => test(&cases, output),
        PolicyCommand::Schema => output.say(&serde_json::json!({ "schema": SCHEMA }), || SCHEMA.into()),
    }
}

fn test(cases: &[PathBuf], output: Output) -> Result<()> {
    let mut tried = Vec::new();
    for file in files(cases)? {
        let of_file = golden::run(&file)?;
        tried.push((file, of_file));
    }
    let wrong = tried.iter().flat_map(|(_, cases)| cases).filter(|case| case.wrong.is_some()).count();
    let json: Vec<_> = tried.iter().flat_map(|(file, cases)| cases.iter().map(move |case| line(file, case))).collect();
    output.say(&json, || tried.iter().map(|(file, cases)| text(file, cases)).collect())?;
    if wrong > 0 {
        return Err(Answered(format!("{wrong} of {} decisions are not the expected ones", json.len())).into());
    }
    Ok(())
}

fn line(file: &Path, Tried { name, wrong }: &Tried) -> serde_json::Value {
    serde_json::json!({ "file": file, "case": name, "wrong": wrong })
}

fn text(file: &Path, cases: &[Tried]) -> String {
    let mut text = format!("{}\n", file.display());
    for Tried { name, wrong } in cases {
        text += &wrong.as_ref().map_or_else(|| format!("  ok    {name}\n"), |why| format!("  WRONG {name}: {why}\n"));
    }
    text
}

/// The files themselves, and the TOML files of folders, in order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
            let mut inside = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            inside.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
            inside.sort();
            files.append(&mut inside);
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        bail!("no file of cases there; policies/golden/ has samples");
    }
    Ok(files)
}
