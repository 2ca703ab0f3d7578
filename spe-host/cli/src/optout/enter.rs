//! Entering what persons have decided.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use spe_kernel::{
    category::Category,
    job::Purpose,
    optout::{Channel, Choice, Clock, Decision, Scope, Subject},
};
use spe_vault::{Register, Vault};

use super::{At, Person, torn, word};
use crate::{account, exit::Refused, output::Output};

#[derive(Args)]
pub(crate) struct ChoiceArgs {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    persons: Person,
    /// Only for this purpose of Art. 53(1); may be given several times; for everything if left out
    #[arg(long = "purpose", value_name = "P")]
    purposes: Vec<Purpose>,
    /// Only data of this category, a point of Art. 51(1): a to q; may be given several times; any data if left out
    #[arg(long = "category", value_name = "C")]
    categories: Vec<Category>,
    /// Since when it holds, such as 2027-01-31T00:00:00Z; now if left out. It never reaches back before its entry
    #[arg(long, value_name = "TIME", value_parser = crate::instant::instant)]
    effective: Option<Timestamp>,
    /// How the choice came, such as "web form" or "letter"; nothing about the person
    #[arg(long, value_name = "TEXT", default_value = "intake desk")]
    source: Channel,
    /// The clock was ahead when the last entry was made, and is right now
    #[arg(long)]
    clock_was_ahead: bool,
}

/// A source that says who it was would stand in the register for ever.
fn check_source(named: &[Vec<String>], source: &Channel) -> Result<()> {
    let values = named.iter().flatten().map(|value| value.trim());
    if values.filter(|value| value.len() >= 4).any(|value| source.as_str().contains(value)) {
        let why = "the source contains a person's id: it says how the choice came, and nothing about the person";
        return Err(Refused::wrong(why));
    }
    Ok(())
}

/// `spe node optout add` and `withdraw`.
pub(super) fn enter(args: &ChoiceArgs, choice: Choice, output: Output) -> Result<()> {
    let register = args.at.register()?;
    let named = args.persons.named()?;
    check_source(&named, &args.source)?;
    let subjects = args.at.subjects(&register, &named)?;
    let clock = || match Timestamp::now() {
        now if args.clock_was_ahead => Clock::WasAhead(now),
        now => Clock::Says(now),
    };
    let scope = Scope::of(&args.purposes, &args.categories);
    let channel = args.source.clone().entered_by(&account::operator().name);
    let decision = Decision { choice, scope, effective_at: args.effective, channel };
    let undeclared = undeclared(args)?;
    let strangers = match choice {
        Choice::OptsOut => 0,
        Choice::ComesBack => strangers(&args.at, &register, &named)?,
    };
    let recorded = register.record(&subjects, &decision, clock).map_err(advised)?;
    let (first, last) = recorded.numbers;
    let said = json!({ "dataset": args.at.dataset, "persons": subjects.len(), "entries": [first, last], "choice": word(choice),
        "scope": decision.scope.to_string(), "recorded_at": recorded.recorded_at, "effective_at": recorded.effective_at,
        "without_entry": strangers, "receipt": recorded.chain, "torn_bytes_dropped": recorded.torn_bytes });
    if strangers > 0 {
        eprintln!(
            "WARNING: {strangers} of these had no entry in the register of dataset {}, so there was nothing to take back: check the id, an opt-out \
             under another spelling still holds",
            args.at.dataset
        );
    }
    output.say(&said, || {
        let who = if subjects.len() == 1 { "1 person".into() } else { format!("{} persons", subjects.len()) };
        let what = match choice {
            Choice::OptsOut => "opted out of",
            Choice::ComesBack => "came back for",
        };
        let since = recorded.recorded_at.max(recorded.effective_at);
        format!(
            "{who} {what} {}, dataset {}: entry {first} to {last}, receipt {}\nit counts for permits issued from {since} on; earlier ones are not affected\n{undeclared}{}",
            in_words(&decision.scope), args.at.dataset, recorded.chain.short(), torn(recorded.torn_bytes, "was cut off")
        )
    })
}

/// How many of those persons the register has no entry of: nobody can tell a slip of the pen from a person.
fn strangers(at: &At, register: &Register, named: &[Vec<String>]) -> Result<usize> {
    let history = register.read()?;
    let entered: BTreeSet<Subject> = history.entries().iter().map(|entry| entry.subject).collect();
    let versions = at.by_version(register, &history, named)?;
    let known = |person: &usize| versions.iter().any(|of| of.get(*person).is_some_and(|one| entered.contains(one)));
    Ok((0..named.len()).filter(|person| !known(person)).count())
}

/// What a choice is about.
fn in_words(scope: &Scope) -> String {
    let text = scope.to_string();
    match text.split_once(':') {
        Some((purposes, points)) => format!("{purposes} with data of Art. 51(1), points {points}"),
        None => text,
    }
}

/// That a choice by category is about more than it seems: tables may be of any category where the data holder declared none.
fn undeclared(args: &ChoiceArgs) -> Result<String> {
    if args.categories.is_empty() {
        return Ok(String::new());
    }
    let listed = Vault::list(&args.at.config()?.vault_dir())?;
    let held = listed.iter().find(|listed| listed.schema.name == args.at.dataset);
    let tables = held.iter().flat_map(|held| &held.schema.tables).filter(|table| table.category.is_none());
    Ok(match tables.map(|table| table.name.as_str()).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        names => format!(
            "no category is declared of table {}, which may be of any: there it counts too (`category` in docs/dataset-format.md)\n",
            names.join(", ")
        ),
    })
}

/// A clock that is behind can be explained.
fn advised(error: spe_vault::RegisterError) -> anyhow::Error {
    let is_clock = matches!(error, spe_vault::RegisterError::Clock(_));
    let error = anyhow::Error::from(error);
    if is_clock {
        return error
            .context("nothing was entered; if the clock was ahead then and is right now, say --clock-was-ahead");
    }
    error
}
