//! What there is to ask, and what asking may still cost.

use anyhow::Result;
use clap::Args;
use spe_kernel::{ids::DatasetName, refusal::Refusal, units::Loss};
use spe_wire::NodeCatalogue;

use crate::{
    connect::{Profile, block_on},
    output::Output,
    show::Table,
};

#[derive(Args)]
pub(crate) struct BudgetArgs {
    #[command(flatten)]
    profile: Profile,
    /// Show this dataset only, with its tables and columns
    dataset: Option<DatasetName>,
}

pub(crate) fn run(args: &BudgetArgs, output: Output) -> Result<()> {
    let nodes = block_on(async { Ok(args.profile.connect().await?.browse().await?.collect().await?) })?;
    if let Some(dataset) = &args.dataset
        && nodes.iter().all(|n| n.catalogue.datasets.iter().all(|o| o.schema.name != *dataset))
    {
        return Err(Refusal::NotFound { what: format!("dataset {dataset}; without a name all are listed: it") }.into());
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
    Loss::from_pico(budget.measure(), budget.pico().saturating_sub(spent.pico()))
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
    format!("\n{} — {}\n{}", offer.schema.name, offer.schema.title, table.render())
}
