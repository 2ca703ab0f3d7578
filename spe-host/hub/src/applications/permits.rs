//! The permits that were given: each number once, and which nodes are told of which.

use rusqlite::Connection;
use spe_kernel::{
    document::{self, Opened},
    ids::NodeName,
    permit::{PermitBody, PermitId, Version},
    refusal::Refusal,
};
use spe_wire::Assignment;

use super::dossier::Filed;
use crate::{
    stop::Stop,
    store::governance::{self, Event, What},
};

/// A permit, as it was signed and opened.
type Given = (Vec<u8>, Opened<PermitBody>);

/// The permit of an entry of the log; none, if it gives none.
fn of(event: &Event) -> Result<Option<Given>, Stop> {
    if event.what != What::Decision {
        return Ok(None);
    }
    let filed: Filed = serde_json::from_slice(&event.body)?;
    let Some(envelope) = filed.permit.map(String::into_bytes) else { return Ok(None) };
    let permit = document::open(&envelope)?;
    Ok(Some((envelope, permit)))
}

/// Refuses a permit whose number its issuer has given to another document.
pub(super) fn one_number(db: &Connection, permit: &Opened<PermitBody>) -> Result<(), Stop> {
    let number = &permit.body().number;
    for event in governance::all(db)? {
        if let Some((_, given)) = of(&event)?
            && (given.signer(), &given.body().number) == (permit.signer(), number)
            && given.digest() != permit.digest()
        {
            return Err(Refusal::PermitNumberTaken { number: number.clone() }.into());
        }
    }
    Ok(())
}

/// What `node` is to be told of the log after entry `after`, and the number of that: revocations, permits given for its parts of
/// applications, and those that take the place of one of these, also where they leave the node out.
pub(crate) fn told(db: &Connection, node: &NodeName, after: i64) -> Result<Option<(i64, Assignment)>, Stop> {
    let mut after = after;
    while let Some((number, event)) = governance::next(db, node, after)? {
        after = number;
        if event.what == What::Revoked {
            return Ok(Some((number, Assignment::Revoke { envelope: event.body })));
        }
        let Some((envelope, permit)) = of(&event)? else { continue };
        if event.node.as_ref() == Some(node) || lines(db, node, &event.subject)?.contains(&Version::opened(&permit).0) {
            return Ok(Some((number, Assignment::Permit { envelope })));
        }
    }
    Ok(None)
}

/// The lines of the permits that `node` was given on an application.
fn lines(db: &Connection, node: &NodeName, application: &str) -> Result<Vec<PermitId>, Stop> {
    let mut lines = Vec::new();
    for event in governance::of(db, application)?.iter().filter(|event| event.node.as_ref() == Some(node)) {
        lines.extend(of(event)?.map(|(_, permit)| Version::opened(&permit).0));
    }
    Ok(lines)
}
