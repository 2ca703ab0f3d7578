//! What there is to ask, what asking may still cost, and which ledger suits a dataset.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use spe_kernel::{ids::DatasetName, refusal::Refusal, units::Loss};
use spe_wire::NodeCatalogue;

use crate::{
    advise::{self, AdviseArgs},
    connect::{Profile, block_on},
    exit::Refused,
    output::Output,
    show::Table,
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BudgetArgs {
    #[command(subcommand)]
    command: Option<BudgetCommand>,
    #[command(flatten)]
    profile: Option<Profile>,
    /// Show this dataset only, with its tables and columns
    dataset: Option<DatasetName>,
}

#[derive(Subcommand)]
enum BudgetCommand {
    /// Compare the two kinds of ledger before a dataset is registered: which has less noise for so many questions?
    ///
    /// Nothing is asked of anybody. A dataset is accounted in rho (Gaussian noise) or in epsilon (Laplace noise) for ever.
    Advise(AdviseArgs),
}

pub(crate) fn run(args: &BudgetArgs, output: Output) -> Result<()> {
    if let Some(BudgetCommand::Advise(args)) = &args.command {
        return advise::run(args, output);
    }
    let profile = args.profile.as_ref().context("name your folder: --as DIR, or SPE_PROFILE=DIR")?;
    let nodes = block_on(async { Ok(profile.connect().await?.browse().await?.collect().await?) })?;
    if let Some(dataset) = &args.dataset
        && nodes.iter().all(|n| n.catalogue.datasets.iter().all(|o| o.schema.name != *dataset))
    {
        if nodes.iter().all(|node| !node.online) {
            return Err(Refused::waits("no node is connected yet, so no dataset is known; try again in some seconds"));
        }
        return Err(Refusal::NotFound { what: format!("dataset {dataset} (without a name all are listed)") }.into());
    }
    let wanted = |name: &DatasetName| args.dataset.as_ref().is_none_or(|d| d == name);
    let lines = nodes.iter().flat_map(|node| {
        node.catalogue.datasets.iter().filter(|o| wanted(&o.schema.name)).map(move |offer| (node, offer))
    });
    let json: Vec<_> = lines.clone().map(|(node, offer)| {
        serde_json::json!({ "node": node.node, "online": node.online, "dataset": offer.schema.name, "budget": offer.budget,
            "spent": offer.spent, "left": left(offer.budget, offer.spent), "snapshot": offer.snapshot,
            "schema": args.dataset.as_ref().map(|_| &offer.schema) })
    }).collect();
    output.say(&json, || {
        let mut table = Table::new(["dataset", "node", "", "budget", "spent", "left"]);
        for (node, offer) in lines {
            let online = if node.online { "online" } else { "offline" };
            table.row([
                offer.schema.name.to_string(),
                node.node.to_string(),
                online.into(),
                offer.budget.to_string(),
                offer.spent.to_string(),
                left(offer.budget, offer.spent).to_string(),
            ]);
        }
        table.render() + &columns(&nodes, args.dataset.as_ref())
    })
}

/// What is left, for display: nothing is ever decided by it.
fn left(budget: Loss, spent: Loss) -> Loss {
    let amount = Loss::from_pico(budget.measure(), budget.pico().saturating_sub(spent.pico()));
    amount.with_delta_atto(budget.delta_atto().saturating_sub(spent.delta_atto()))
}

fn columns(nodes: &[NodeCatalogue], dataset: Option<&DatasetName>) -> String {
    let offers = nodes.iter().flat_map(|n| &n.catalogue.datasets);
    let Some(offer) = offers.into_iter().find(|o| Some(&o.schema.name) == dataset) else { return String::new() };
    let mut table = Table::new(["column", "type", "meaning"]);
    for schema in &offer.schema.tables {
        for column in &schema.columns {
            let kind = serde_json::to_value(&column.kind).unwrap_or_default();
            let bounds = kind
                .get("values")
                .map(ToString::to_string)
                .or_else(|| Some(format!("{} to {}", kind.get("min")?, kind.get("max")?)));
            let kind = format!("{} {}", column.kind.name(), bounds.unwrap_or_default());
            table.row([format!("{}.{}", schema.name, column.name), kind.trim().to_owned(), column.description.clone()]);
        }
    }
    let overlap = match offer.schema.overlap {
        1 => "nobody is at two nodes".to_owned(),
        m => format!("one person may be at {m} nodes, and every charge is {m} times the loss asked"),
    };
    format!(
        "\n{} — {}\nat most {} people at one node; {overlap}\n{}",
        offer.schema.name,
        offer.schema.title,
        offer.schema.subjects_max,
        table.render()
    )
}
