//! How an agreement stands, in words and as JSON: each change with both signatures.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use spe_kernel::{
    agreement::{Act, Agreement, Change, Party, Standing, odrl},
    ids::Digest,
};

use crate::output::{Output, tame};

/// Under which account at the hub's machine a statement was made, by its digest.
pub(super) type Accounts = BTreeMap<Digest, String>;

/// In one line.
pub(super) fn standing(standing: &Standing) -> String {
    let line = match standing {
        Standing::Open => "nothing was agreed on yet".into(),
        Standing::Live { terms } => format!("live, on the terms {}", terms.short()),
        Standing::NotYet { from } => format!("begins at {from}"),
        Standing::Over { until } => format!("over since {until}"),
        Standing::Suspended { by, at, reason } => format!("suspended by {by} at {at}: {reason}"),
        Standing::Terminated { by, at, reason } => format!("ended by {by} at {at}: {reason}"),
    };
    tame(&line)
}

/// The hub's latest offer, if the node has not accepted it.
pub(super) fn offered(agreement: &Agreement) -> Option<Digest> {
    let latest = agreement.latest_offer()?.digest();
    agreement.accepted().is_none_or(|known| known.digest() != latest).then_some(latest)
}

/// How it stands at `now`, a line; where several stops are in force, a line each.
pub(super) fn stands(agreement: &Agreement, now: Timestamp) -> String {
    let stops = agreement.stops();
    let all = if stops.is_empty() { vec![agreement.standing(now)] } else { stops };
    all.iter().map(|one| standing(one) + "\n").collect()
}

/// All changes, oldest first.
pub(super) fn changes(agreement: &Agreement, accounts: &Accounts) -> Vec<Value> {
    let change = |Change { by, statement, second }: Change<'_>| {
        let (body, document) = (statement.body(), statement.digest());
        let second = second.map(|second| {
            json!({ "act": second.body().act.name(), "at": second.body().signed_at, "document": second.digest(),
                "signer": second.signer() })
        });
        let (terms, sha256) = match body.act {
            Act::Offer { terms, terms_sha256, .. } => (Some(terms), terms_sha256),
            _ => (None, None),
        };
        json!({ "act": body.act.name(), "by": agreement.name(by), "account": accounts.get(&document), "at": body.signed_at,
            "reason": body.act.reason(), "terms": terms, "terms_sha256": sha256, "document": document, "signer": statement.signer(), "second": second })
    };
    agreement.changes().into_iter().map(change).collect()
}

/// The same in words, a line each.
pub(super) fn lines(agreement: &Agreement, accounts: &Accounts) -> String {
    agreement.changes().into_iter().map(|change| tame(&line(agreement, accounts, change)) + "\n").collect()
}

fn line(agreement: &Agreement, accounts: &Accounts, Change { by, statement, second }: Change<'_>) -> String {
    let body = statement.body();
    let (did, signed) = match &body.act {
        Act::Offer { terms, .. } => (format!("offered the terms {}", terms.short()), "accepted"),
        Act::Suspend { reason, .. } => (format!("suspended it ({reason})"), "countersigned"),
        Act::Resume { .. } => ("resumed it".to_owned(), "countersigned"),
        Act::Terminate { reason, .. } => (format!("ended it ({reason})"), "countersigned"),
        // They are second signatures, and no changes.
        Act::Accept { .. } | Act::Countersign { .. } => return String::new(),
    };
    let account = accounts.get(&statement.digest()).map_or_else(String::new, |account| format!(" ({account})"));
    let other = agreement.name(if by == Party::Hub { Party::Node } else { Party::Hub });
    let second = match second {
        Some(second) => format!("{signed} by {other} at {}", second.body().signed_at),
        None => format!("not yet {signed} by {other}"),
    };
    format!("{}: {}{account} {did}; {second}", body.signed_at, agreement.name(by))
}

/// As ODRL, as it stands at `now`.
pub(super) fn say_odrl(agreement: &Agreement, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let policy = odrl(agreement, now)?;
    let text = serde_json::to_string_pretty(&policy)?;
    output.say(&policy, || text + "\n")
}
