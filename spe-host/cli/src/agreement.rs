//! Participation agreements: the hub's side and the node's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use jiff::Timestamp;
use spe_hub::Move;
use spe_kernel::{
    agreement::{Act, Agreement, Standing},
    document::Opened,
    ids::{Digest, NodeName},
    refusal::{Refusal, Stop},
};
use spe_node::{
    agreement::{Book, FOLDER},
    config::NodeConfig,
};
use spe_wire::{Connection, HubClient};

use crate::{
    connect::{self, block_on},
    key,
    output::Output,
    show::Table,
};

#[derive(Subcommand)]
pub(crate) enum HubAgreementCommand {
    /// Show how the agreement with each node stands
    List {
        /// The hub's folder
        dir: PathBuf,
    },
    /// Print the terms that a node is offered when it first comes
    Terms,
    /// Offer a node other terms; they are agreed on when the node accepts
    Offer {
        /// The hub's folder
        dir: PathBuf,
        /// The node
        node: NodeName,
        /// The text of the terms
        #[arg(long)]
        terms: PathBuf,
        /// When the participation ends
        #[arg(long)]
        until: Option<Timestamp>,
    },
    /// Suspend a node's participation: its jobs wait
    Suspend(Stated),
    /// Resume what the hub suspended
    Resume {
        /// The hub's folder
        dir: PathBuf,
        /// The node
        node: NodeName,
    },
    /// End a node's participation
    Terminate(Stated),
}

#[derive(clap::Args)]
pub(crate) struct Stated {
    /// The hub's folder
    dir: PathBuf,
    /// The node
    node: NodeName,
    /// Why; the node is told
    #[arg(long)]
    reason: String,
}

#[derive(Subcommand)]
pub(crate) enum NodeAgreementCommand {
    /// Show how the agreement with the hub stands
    Show {
        /// The node's folder
        dir: PathBuf,
    },
    /// Accept the hub's latest offer, also while the node runs; the first one is accepted when the node first connects
    Accept {
        /// The node's folder
        dir: PathBuf,
    },
    /// Suspend the participation: the node refuses jobs at once
    Suspend {
        /// The node's folder
        dir: PathBuf,
        /// Why; the hub is told
        #[arg(long)]
        reason: String,
    },
    /// Resume what the node suspended
    Resume {
        /// The node's folder
        dir: PathBuf,
    },
    /// End the participation: the node refuses jobs at once
    Terminate {
        /// The node's folder
        dir: PathBuf,
        /// Why; the hub is told
        #[arg(long)]
        reason: String,
    },
}

pub(crate) fn hub(command: HubAgreementCommand, output: Output) -> Result<()> {
    let (dir, node, step) = match command {
        HubAgreementCommand::List { dir } => return list(&dir, output),
        HubAgreementCommand::Terms => {
            let digest = Digest::of(spe_hub::TERMS.as_bytes());
            let said = serde_json::json!({ "terms": spe_hub::TERMS, "digest": digest });
            return output.say(&said, || format!("{}\n# digest {digest}\n", spe_hub::TERMS));
        }
        HubAgreementCommand::Offer { dir, node, terms, until } => {
            let terms = Digest::of(&connect::read(&terms)?);
            (dir, node, Move::Offer { terms, until })
        }
        HubAgreementCommand::Suspend(Stated { dir, node, reason }) => (dir, node, Move::Suspend(reason)),
        HubAgreementCommand::Resume { dir, node } => (dir, node, Move::Resume),
        HubAgreementCommand::Terminate(Stated { dir, node, reason }) => (dir, node, Move::Terminate(reason)),
    };
    let standing = spe_hub::agree(&dir, &node, step)?;
    output.say(&serde_json::json!({ "node": node, "agreement": standing }), || format!("{node}: {}\n", text(&standing)))
}

fn list(dir: &Path, output: Output) -> Result<()> {
    let all = spe_hub::agreements(dir)?;
    let said: Vec<_> = all.iter().map(|(node, how)| serde_json::json!({ "node": node, "agreement": how })).collect();
    output.say(&said, || {
        let mut table = Table::new(["node", "agreement"]);
        for (node, standing) in &all {
            table.row([node.to_string(), text(standing)]);
        }
        table.render()
    })
}

fn text(standing: &Standing) -> String {
    match standing {
        Standing::Open => "nothing was agreed on yet".into(),
        Standing::Live { terms } => format!("live, on the terms {}", terms.short()),
        Standing::NotYet { from } => format!("begins at {from}"),
        Standing::Over { until } => format!("over since {until}"),
        Standing::Suspended { by, reason } => format!("suspended by {by}: {reason}"),
        Standing::Terminated { by, reason } => format!("ended by {by}: {reason}"),
    }
}

pub(crate) fn node(command: NodeAgreementCommand, output: Output) -> Result<()> {
    match command {
        NodeAgreementCommand::Show { dir } => with_book(&dir, |book, _| said(&lawful(book.read())?, None, output)),
        NodeAgreementCommand::Accept { dir } => state(&dir, output, |agreement| {
            let offer = agreement.latest_offer().map(Opened::digest).ok_or_else(nothing)?;
            Ok(Act::Accept { offer })
        }),
        NodeAgreementCommand::Suspend { dir, reason } => {
            state(&dir, output, |agreement| Ok(Act::Suspend { offer: agreed(agreement)?, reason }))
        }
        NodeAgreementCommand::Resume { dir } => {
            state(&dir, output, |agreement| Ok(Act::Resume { offer: agreed(agreement)? }))
        }
        NodeAgreementCommand::Terminate { dir, reason } => {
            state(&dir, output, |agreement| Ok(Act::Terminate { offer: agreed(agreement)?, reason }))
        }
    }
}

fn nothing() -> Refusal {
    Refusal::NotFound { what: "an agreement with the hub".into() }
}

fn agreed(agreement: &Agreement) -> Result<Digest, Refusal> {
    agreement.accepted().map(Opened::digest).ok_or_else(nothing)
}

fn lawful<T>(done: Result<T, Stop>) -> Result<T> {
    done.map_err(|stop| match stop {
        Stop::Refused(refusal) => refusal.into(),
        Stop::Failed(fault) => fault.into(),
    })
}

fn with_book<T>(dir: &Path, use_it: impl FnOnce(&Book<'_>, &Connection) -> Result<T>) -> Result<T> {
    let config = NodeConfig::read(dir)?;
    let connection = Connection::read(&config.connection_file)?;
    let hub = connection.witness.context("the invitation names no key of the hub; ask for a new one")?;
    let (key, folder) = (key::read(&config.signing_key_file)?, config.data_dir.join(FOLDER));
    use_it(&Book::new(&folder, (&config.name, &key), hub), &connection)
}

/// Makes a statement, which counts here at once, and tells the hub if it can be reached; else the node tells it when it next connects.
fn state(dir: &Path, output: Output, act: impl FnOnce(&Agreement) -> Result<Act, Refusal>) -> Result<()> {
    with_book(dir, |book, connection| {
        let act = act(&lawful(book.read())?)?;
        let agreement = lawful(book.state(act, Timestamp::now()))?;
        let told = block_on(async { lawful(book.exchange(&HubClient::connect(connection).await?).await) });
        said(&agreement, Some(told.err()), output)
    })
}

fn said(agreement: &Agreement, told: Option<Option<anyhow::Error>>, output: Output) -> Result<()> {
    let standing = agreement.standing(Timestamp::now());
    let offered = agreement.latest_offer().map(Opened::digest);
    let other = offered.filter(|offer| agreement.accepted().is_none_or(|known| known.digest() != *offer));
    let json =
        serde_json::json!({ "agreement": standing, "offered": other, "hub_told": told.as_ref().map(Option::is_none) });
    output.say(&json, || {
        let mut lines = format!("{}\n", text(&standing));
        if other.is_some() {
            lines.push_str("the hub offers other terms: spe node agreement accept\n");
        }
        if let Some(Some(why)) = told {
            lines.push_str(&format!("the hub could not be told now, the node will tell it: {why:#}\n"));
        }
        lines
    })
}
