//! The permits that were given: each number once, and which nodes are told of which.

use rusqlite::Connection;
use spe_kernel::{
    document::{self, Opened},
    ids::NodeName,
    permit::{PermitBody, PermitId, Version},
    refusal::Refusal,
};
use spe_wire::Assignment;

use super::part::Filed;
use crate::{
    stop::Stop,
    store::governance::{self, Event, What},
};

/// A permit, as it was signed and opened.
type Given = (Vec<u8>, Opened<PermitBody>);

/// The permit of an entry of the log; none, if it gives none, or one that does not open: no node takes that either.
fn of(event: &Event) -> Option<Given> {
    let given = || -> Result<Option<Given>, Stop> {
        let filed: Filed = serde_json::from_slice(&event.body)?;
        let Some(envelope) = filed.permit.map(String::into_bytes) else { return Ok(None) };
        let permit = document::open(&envelope)?;
        Ok(Some((envelope, permit)))
    };
    given().unwrap_or_else(|stop| {
        tracing::warn!(application = event.subject, "a decision in the log of governance is left out: {stop}");
        None
    })
}

/// Refuses a permit whose number its issuer has given to another document.
pub(super) fn one_number(db: &Connection, permit: &Opened<PermitBody>) -> Result<(), Stop> {
    let number = &permit.body().number;
    let given = governance::every(db, What::Decision)?;
    let same = |given: &Opened<PermitBody>| (given.signer(), &given.body().number) == (permit.signer(), number);
    if given.iter().filter_map(of).any(|(_, given)| same(&given) && given.digest() != permit.digest()) {
        return Err(Refusal::PermitNumberTaken { number: number.clone() }.into());
    }
    Ok(())
}

/// Whether a decision gave that permit, or one that amends or renews it.
pub(crate) fn is_given(db: &Connection, PermitId { number, issuer }: &PermitId) -> Result<bool, Stop> {
    let given = governance::every(db, What::Decision)?;
    let names = |body: &PermitBody| body.number == *number || body.original == *number;
    Ok(given.iter().filter_map(of).any(|(_, permit)| permit.signer() == *issuer && names(permit.body())))
}

/// The line of the permit of that number; one that was never decided here is a line of its own.
pub(crate) fn line_of(db: &Connection, permit: PermitId) -> Result<PermitId, Stop> {
    let given = governance::every(db, What::Decision)?;
    let is = |given: &Opened<PermitBody>| given.signer() == permit.issuer && given.body().number == permit.number;
    let line = given.iter().filter_map(of).find(|(_, given)| is(given)).map(|(_, given)| Version::opened(&given).0);
    Ok(line.unwrap_or(permit))
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
