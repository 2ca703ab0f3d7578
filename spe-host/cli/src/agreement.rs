//! Participation agreements: the hub's side and the node's.

mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use jiff::Timestamp;
use spe_kernel::{
    agreement::{Agreement, Move, Party, Terms},
    document::Opened,
    dsse::SecretKey,
    ids::NodeName,
    refusal::{Refusal, Stop},
};
use spe_node::{
    agreement::{Book, FOLDER},
    config::NodeConfig,
    desk,
    journal::{LogFiles, Records},
};
use spe_wire::{Connection, HubClient};

use self::show::{Accounts, standing};
use crate::{
    account::{account, operator},
    connect::{self, block_on},
    exit::Refused,
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
    /// Show each change of the agreement with a node: both signatures, and who did it here
    Show {
        /// The hub's folder
        dir: PathBuf,
        /// The node
        node: NodeName,
        /// Print it as an ODRL 2.2 Agreement (JSON-LD), for dataspaces; the signed statements count, not this
        #[arg(long)]
        odrl: bool,
        /// The text of the terms: fails if what was agreed on, or else what is offered, is another
        #[arg(long)]
        terms: Option<PathBuf>,
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
        #[arg(long, value_parser = crate::instant::instant)]
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
    /// Show how the agreement with the hub stands, and each change with both signatures
    Show {
        /// The node's folder
        dir: PathBuf,
        /// Print it as an ODRL 2.2 Agreement (JSON-LD), for dataspaces; the signed statements count, not this
        #[arg(long)]
        odrl: bool,
        /// The text of the terms: fails if what was agreed on, or else what is offered, is another
        #[arg(long)]
        terms: Option<PathBuf>,
    },
    /// Accept the hub's latest offer, also while the node runs; the first one is accepted when the node first connects
    Accept {
        /// The node's folder
        dir: PathBuf,
        /// The text of the terms: fails if the offer's are another
        #[arg(long)]
        terms: Option<PathBuf>,
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
        HubAgreementCommand::Show { dir, node, odrl, terms } => return show(&dir, &node, (odrl, terms), output),
        HubAgreementCommand::Terms => {
            let terms = Terms::of(spe_hub::TERMS.as_bytes());
            let (digest, sha256) = (terms.blake3(), terms.sha256());
            let said = serde_json::json!({ "terms": spe_hub::TERMS, "digest": digest, "sha256": sha256 });
            // Byte by byte: `sha256sum` of it is what is agreed on.
            return output.say(&said, || spe_hub::TERMS.to_owned());
        }
        HubAgreementCommand::Offer { dir, node, terms, until } => {
            let text = connect::read(&terms)?;
            if std::str::from_utf8(&text).map_or(true, |text| text.trim().is_empty()) {
                return Err(Refused::wrong(format!("{} is no text that can be agreed on", terms.display())));
            }
            let terms = Terms::of(&text);
            (dir, node, Move::Offer { terms, until })
        }
        HubAgreementCommand::Suspend(Stated { dir, node, reason }) => (dir, node, Move::Suspend(reason)),
        HubAgreementCommand::Resume { dir, node } => (dir, node, Move::Resume),
        HubAgreementCommand::Terminate(Stated { dir, node, reason }) => (dir, node, Move::Terminate(reason)),
    };
    spe_hub::agree(&dir, &node, step, &operator())?;
    show(&dir, &node, (false, None), output)
}

fn show(dir: &Path, node: &NodeName, (odrl, terms): (bool, Option<PathBuf>), output: Output) -> Result<()> {
    let spe_hub::Kept { agreement, accounts, at } = spe_hub::agreement(dir, node)?;
    compare(&agreement, terms.as_deref())?;
    if odrl {
        return show::say_odrl(&agreement, at, output);
    }
    let how = agreement.standing(at);
    let changes = show::changes(&agreement, &accounts);
    let json =
        serde_json::json!({ "node": node, "agreement": how, "offered": show::offered(&agreement), "changes": changes });
    output.say(&json, || format!("{node}: {}{}", show::stands(&agreement, at), show::lines(&agreement, &accounts)))
}

/// Nothing, if that text is of what was agreed on, or else of what is offered; or if there is no text.
fn compare(agreement: &Agreement, text: Option<&Path>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    let nothing = || Refusal::NotFound { what: format!("an agreement with node {}", agreement.node()) };
    let offer = agreement.accepted().or(agreement.latest_offer()).ok_or_else(nothing)?;
    Ok(Terms::of(&connect::read(text)?).are_those_of(offer)?)
}

fn list(dir: &Path, output: Output) -> Result<()> {
    let all = spe_hub::agreements(dir)?;
    let line = |(node, how): &(NodeName, Result<_, Refusal>)| match how {
        Ok(how) => serde_json::json!({ "node": node, "agreement": how }),
        Err(why) => serde_json::json!({ "node": node, "agreement": null, "refusal": why }),
    };
    let said: Vec<_> = all.iter().map(line).collect();
    output.say(&said, || {
        let mut table = Table::new(["node", "agreement"]);
        for (node, how) in &all {
            table.row([node.to_string(), how.as_ref().map_or_else(|why| format!("UNREADABLE: {why}"), standing)]);
        }
        table.render()
    })
}

pub(crate) fn node(command: NodeAgreementCommand, output: Output) -> Result<()> {
    match command {
        NodeAgreementCommand::Show { dir, odrl, terms } => with_book(&dir, |book, _| {
            let agreement = lawful(book.read())?;
            compare(&agreement, terms.as_deref())?;
            if odrl {
                show::say_odrl(&agreement, Timestamp::now(), output)
            } else {
                said(&dir, &agreement, None, output)
            }
        }),
        NodeAgreementCommand::Accept { dir, terms } => {
            let terms = terms.map(|text| connect::read(&text)).transpose()?.map(|text| Terms::of(&text));
            state(&dir, output, Move::Accept { terms })
        }
        NodeAgreementCommand::Suspend { dir, reason } => state(&dir, output, Move::Suspend(reason)),
        NodeAgreementCommand::Resume { dir } => state(&dir, output, Move::Resume),
        NodeAgreementCommand::Terminate { dir, reason } => state(&dir, output, Move::Terminate(reason)),
    }
}

fn lawful<T>(done: Result<T, Stop>) -> Result<T> {
    done.map_err(|stop| match stop {
        Stop::Refused(refusal) => refusal.into(),
        Stop::Failed(fault) => fault.into(),
    })
}

/// A node's folder, as far as its agreement needs it.
struct Place<'a> {
    config: &'a NodeConfig,
    connection: &'a Connection,
    key: &'a SecretKey,
}

fn with_book<T>(dir: &Path, use_it: impl FnOnce(&Book<'_>, &Place<'_>) -> Result<T>) -> Result<T> {
    let config = NodeConfig::read(dir)?;
    let connection = Connection::read(&config.connection_file)?;
    let hub = connection.witness.context("the invitation names no key of the hub; ask for a new one")?;
    let (key, folder) = (key::read(&config.signing_key_file)?, config.data_dir.join(FOLDER));
    let place = Place { config: &config, connection: &connection, key: &key };
    use_it(&Book::new(&folder, (&config.name, &key), hub), &place)
}

/// Makes a statement, which counts here at once, and tells the hub if it can be reached; else the node tells it when it next connects.
///
/// What is accepted or resumed is the hub's latest word: that is heard first. Who suspends or ends waits for nobody.
fn state(dir: &Path, output: Output, step: Move) -> Result<()> {
    with_book(dir, |book, place| {
        let client = || HubClient::connect(place.connection);
        let latest = |agreement: &Agreement| agreement.latest_offer().map(Opened::digest);
        let known = latest(&lawful(book.read())?);
        if matches!(step, Move::Accept { .. } | Move::Resume) {
            // Of a hub that cannot be reached, what it has stated before counts.
            if let Ok(stated) = block_on(async { Ok(client().await?.agree(Vec::new()).await?) }) {
                lawful(book.hear(&stated))?;
            }
        }
        let now = Timestamp::now();
        let decide = |agreement: &Agreement| match (&step, latest(agreement)) {
            (Move::Accept { terms: None }, Some(offer)) if known != Some(offer) => Err(unseen(agreement)),
            _ => agreement.decide(Party::Node, step, now),
        };
        lawful(book.state(decide, &account(), now))?;
        let told = block_on(async { lawful(book.exchange(&client().await?).await) });
        write_down(book, place).context("what was stated counts; the node will write it into its audit log")?;
        said(dir, &lawful(book.read())?, Some(told.err()), output)
    })
}

/// Nobody accepts what came just now without having looked at it.
fn unseen(agreement: &Agreement) -> Refusal {
    let why = "the hub has offered anew just now: look at it with `spe node agreement show`, and accept again, best with --terms FILE";
    Refusal::NothingToState { node: agreement.node().clone(), why: why.into() }
}

/// Has the audit log tell of it. A node that runs holds its log alone, and does so itself.
fn write_down(book: &Book<'_>, place: &Place<'_>) -> Result<()> {
    let Place { config, key, .. } = place;
    if desk::is_open(&config.data_dir)? {
        return Ok(());
    }
    let records = Records::open(&config.ledger_file())?;
    if lawful(book.log(&records))? {
        records.publish(&LogFiles::new(&config.log_dir(), &config.name), key, true)?;
    }
    Ok(())
}

fn said(dir: &Path, agreement: &Agreement, told: Option<Option<anyhow::Error>>, output: Output) -> Result<()> {
    let (now, nobody) = (Timestamp::now(), Accounts::new());
    let other = show::offered(agreement);
    let json = serde_json::json!({ "agreement": agreement.standing(now), "offered": other, "hub_told": told.as_ref().map(Option::is_none),
        "changes": show::changes(agreement, &nobody) });
    output.say(&json, || {
        let mut lines = format!("{}{}", show::stands(agreement, now), show::lines(agreement, &nobody));
        if other.is_some() {
            lines.push_str(&format!("the hub offers anew: spe node agreement accept {} --terms FILE\n", dir.display()));
        }
        if let Some(Some(why)) = told {
            lines.push_str(&format!("the hub could not be told now, the node will tell it: {why:#}\n"));
        }
        lines
    })
}
