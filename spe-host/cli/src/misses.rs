//! `spe node misses`: which runs were late, and letting a dataset go on after too many of them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use spe_kernel::ids::DatasetName;
use spe_node::{
    config::NodeConfig,
    journal::{Miss, Records},
};

use crate::{exit::Refused, output::Output, show::Table};

#[derive(Args)]
pub(crate) struct MissesArgs {
    /// The node's folder; the node is stopped
    dir: PathBuf,
    /// Let this dataset go on: its late runs count no more. Look first at who asked them, and at `spe node selftest`
    #[arg(long, value_name = "DATASET", requires = "reason")]
    resume: Option<DatasetName>,
    /// Why; kept with the late runs
    #[arg(long, requires = "resume")]
    reason: Option<String>,
}

pub(crate) fn run(args: &MissesArgs, output: Output) -> Result<()> {
    let config = NodeConfig::read(&args.dir)?;
    let file = config.ledger_file();
    ensure!(file.exists(), "{} does not exist: the node has not run yet", file.display());
    let records = Records::open(&file)?;
    if let (Some(dataset), Some(reason)) = (&args.resume, &args.reason) {
        if reason.trim().is_empty() {
            let empty = "--reason is empty: say what was looked at, and why the dataset may go on";
            return Err(Refused::wrong(empty));
        }
        let resumed =
            records.resume(dataset, reason, &crate::account::account()).context("letting the dataset go on")?;
        let said = json!({ "dataset": dataset, "misses": resumed, "reason": reason.trim() });
        return output.say(&said, || format!("dataset {dataset} goes on; {resumed} late runs count no more\n"));
    }
    let misses = records.all_misses()?;
    let json = |m: &Miss| {
        json!({ "number": m.number, "missed_at": m.missed_at, "dataset": m.dataset, "plan": m.plan, "round": m.round,
            "permit": m.permit, "person": m.person, "resumed": m.resumed })
    };
    output.say(&misses.iter().map(json).collect::<Vec<_>>(), || {
        let mut table = Table::new(["", "late", "dataset", "plan", "round", "person", "permit", "gone on, because"]);
        for Miss { number, missed_at, dataset, plan, round, permit, person, resumed } in &misses {
            let resumed = resumed.clone().unwrap_or_default();
            let plan = plan.short();
            let (number, round) = (number.to_string(), round.to_string());
            table.row([
                number,
                missed_at.to_string(),
                dataset.to_string(),
                plan,
                round,
                person.clone(),
                permit.clone(),
                resumed,
            ]);
        }
        table.render()
    })
}
