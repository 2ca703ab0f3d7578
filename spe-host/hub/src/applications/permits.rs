//! The permits that were given: each number once, and which nodes are told of which.

use std::collections::BTreeMap;

use rusqlite::Connection;
use spe_kernel::{
    document::{self, Opened},
    ids::{Digest, NodeName},
    permit::{PermitBody, PermitId, Version},
    refusal::Refusal,
};
use spe_wire::Assignment;

use super::part::Filed;
use crate::{
    stop::Stop,
    store::governance::{self, Event, Unreadable, What},
};

/// A permit, as it was signed and opened.
type Given = (Vec<u8>, Opened<PermitBody>);

/// The permit of an entry of the log; none, if it gives none.
fn opened(event: &Event) -> Result<Option<Given>, Stop> {
    let filed: Filed = serde_json::from_slice(&event.body)?;
    let Some(envelope) = filed.permit.map(String::into_bytes) else { return Ok(None) };
    let permit = document::open(&envelope)?;
    Ok(Some((envelope, permit)))
}

/// The same, for nodes: they take none that does not open.
fn of(event: &Event) -> Option<Given> {
    opened(event).unwrap_or_else(|stop| {
        tracing::warn!(application = event.subject, "a decision in the log of governance is left out: {stop}");
        None
    })
}

/// Every permit that was given, oldest first, and the entries that may have given others.
fn given(db: &Connection) -> Result<(Vec<Opened<PermitBody>>, Vec<Unreadable>), Stop> {
    let (decided, unreadable) = governance::opened(db, What::Decision, opened)?;
    Ok((decided.into_iter().flatten().map(|(_, permit)| permit).collect(), unreadable))
}

/// Refuses a permit whose number its issuer has given to another document.
///
/// # Security
/// While a decision cannot be read no number is known to be free, and no permit is taken that was not given before. Watched by
/// `an_entry_that_cannot_be_read_takes_its_own_application_and_no_other`.
pub(super) fn one_number(db: &Connection, permit: &Opened<PermitBody>) -> Result<(), Stop> {
    let number = &permit.body().number;
    let (given, unreadable) = given(db)?;
    let known = given.iter().find(|one| one.signer() == permit.signer() && one.body().number == *number);
    match (known, unreadable.first()) {
        (Some(known), _) if known.digest() != permit.digest() => {
            Err(Refusal::PermitNumberTaken { number: number.clone() }.into())
        }
        (None, Some(entry)) => {
            let what = format!(
                "be given now: entry {} of the hub's log may have given its number to another, and cannot be read; ask the hub's operator, \
                 who puts `hub.sqlite` back from a copy (docs/governance.md)",
                entry.number
            );
            Err(Refusal::NotAllowed { who: format!("permit {number}"), what }.into())
        }
        _ => Ok(()),
    }
}

/// Whether a decision gave that permit, or one that amends or renews it; or may have, as one cannot be read.
pub(crate) fn may_be_given(db: &Connection, PermitId { number, issuer }: &PermitId) -> Result<bool, Stop> {
    let (given, unreadable) = given(db)?;
    let names = |body: &PermitBody| body.number == *number || body.original == *number;
    Ok(!unreadable.is_empty() || given.iter().any(|permit| permit.signer() == *issuer && names(permit.body())))
}

/// The application on which the permit of that digest was given for the part of `node`.
pub(super) fn given_on(db: &Connection, node: &NodeName, permit: Digest) -> Result<Option<String>, Stop> {
    let mut decided = governance::readable(db, What::Decision)?.into_iter();
    let gives = |event: &Event| {
        event.node.as_ref() == Some(node) && of(event).is_some_and(|(_, given)| given.digest() == permit)
    };
    Ok(decided.find(gives).map(|event| event.subject))
}

/// The line of each permit that was given.
pub(crate) fn lines_given(db: &Connection) -> Result<BTreeMap<PermitId, PermitId>, Stop> {
    let mut lines = BTreeMap::new();
    for permit in given(db)?.0 {
        let (line, version) = Version::opened(&permit);
        lines.entry(PermitId { number: version.number, issuer: permit.signer() }).or_insert(line);
    }
    Ok(lines)
}

/// What `node` is to be told next of the log after entry `after`, and up to which entry that is all: revocations, permits given for its
/// parts of applications, and those that take the place of one of these, also where they leave the node out. What is passed over stays
/// so, and is not looked at again.
pub(crate) fn told(db: &Connection, node: &NodeName, after: i64) -> Result<(i64, Vec<Assignment>), Stop> {
    let mut after = after;
    while let Some((number, entry)) = governance::next(db, node, after)? {
        after = number;
        let event = match entry {
            Ok(event) => event,
            Err(unreadable) => {
                tracing::warn!(%node, "a node is not told of it: {unreadable}");
                continue;
            }
        };
        let told = match event.what {
            What::Revoked => vec![Assignment::Revoke { envelope: event.body }],
            _ => concerning(db, node, &event)?,
        };
        if !told.is_empty() {
            return Ok((after, told));
        }
    }
    Ok((after, Vec::new()))
}

/// The permits that `node` is told of when that decision was made.
///
/// # Security
/// With the first permit of a line that a node is given come all that the line had before: a revocation may name any of them. Watched by
/// `a_node_that_joins_a_line_later_is_told_all_of_it`.
fn concerning(db: &Connection, node: &NodeName, decision: &Event) -> Result<Vec<Assignment>, Stop> {
    let Some((envelope, permit)) = of(decision) else { return Ok(Vec::new()) };
    let before = before(db, decision, &Version::opened(&permit).0)?;
    let has_the_line = before.iter().any(|(of, _)| of.as_ref() == Some(node));
    let mut told: Vec<_> = match decision.node.as_ref() == Some(node) {
        _ if has_the_line => vec![envelope],
        true => before.into_iter().map(|(_, envelope)| envelope).chain([envelope]).collect(),
        false => Vec::new(),
    };
    // One decision on several parts is an entry for each.
    told.dedup();
    Ok(told.into_iter().map(|envelope| Assignment::Permit { envelope }).collect())
}

/// A permit as it was signed, and the node that it was given for.
type Earlier = (Option<NodeName>, Vec<u8>);

/// The permits of `line` that were given before that decision on the same application, and for whose part each.
fn before(db: &Connection, decision: &Event, line: &PermitId) -> Result<Vec<Earlier>, Stop> {
    let all = governance::of(db, &decision.subject)?.into_iter().filter_map(|(_, entry)| entry.ok());
    let decisions = all.filter(|one| one.what == What::Decision);
    let earlier = decisions.take_while(|one| (&one.node, &one.body) != (&decision.node, &decision.body));
    let given = earlier.filter_map(|one| {
        let (envelope, permit) = of(&one)?;
        (Version::opened(&permit).0 == *line).then_some((one.node, envelope))
    });
    Ok(given.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    /// What would be a bug: a stream that reads again, whenever it is stirred, all that there was nothing to tell of.
    #[test]
    fn what_is_passed_over_is_not_looked_at_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let db = store::open(&dir.path().join("hub.sqlite")).expect("a store");
        let node: NodeName = "north".parse().expect("a name");
        for what in [What::Part, What::Decision] {
            let (subject, person) = ("application-1".into(), "kim".parse().expect("a name"));
            let event = Event {
                at: "2026-03-02T09:00:00Z".parse().expect("a time"),
                what,
                subject,
                node: Some(node.clone()),
                person,
                body: b"{}".to_vec(),
            };
            governance::append(&db, &event).expect("an entry");
        }
        assert_eq!(told(&db, &node, 0).expect("the log is read"), (2, Vec::new()));
    }
}
