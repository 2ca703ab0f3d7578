//! What was granted is there: the term after a positive decision ends.

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    document,
    fault::Fault,
    ids::{JobId, NodeName},
    permit::{Article, PermitBody},
};

use super::{Dossier, permits};
use crate::{
    stop::Stop,
    store::{
        governance::{self, Event, What},
        jobs, nodes,
    },
};

/// Notes that `node` has the permit that entry `number` of the log gave for its part, if it offers the data: then a job can be asked there
/// (Art. 68(7)). A data request is over with its answer ([`answered`]).
///
/// What cannot be read is left out: the term goes on.
pub(crate) fn passed_on(db: &Connection, node: &NodeName, number: i64, now: Timestamp) -> Result<(), Stop> {
    let Some((_, Ok(decision))) = governance::next(db, node, number.saturating_sub(1))? else { return Ok(()) };
    let theirs = decision.what == What::Decision && decision.node.as_ref() == Some(node);
    if !theirs || governance::happened(db, &decision.subject, What::Provided, node)? {
        return Ok(());
    }
    let dossier = decision.subject.parse().ok().and_then(|id| Dossier::read(db, &id).ok());
    let Some(permit) = dossier.as_ref().and_then(|one| one.part(node)?.permit()) else { return Ok(()) };
    if permit.article == Article::Permit && offers(db, node, permit)? {
        note(db, node, &decision.subject, permit, now)?;
    }
    Ok(())
}

/// Notes that `node` has answered `job`, if that is asked under an approved data request (Art. 69).
pub(crate) fn answered(db: &Connection, node: &NodeName, job: &JobId, now: Timestamp) -> Result<(), Stop> {
    let Ok(permit) = document::open::<PermitBody>(&jobs::permit(db, job)?) else { return Ok(()) };
    if permit.body().article != Article::Request {
        return Ok(());
    }
    let Some(subject) = permits::given_on(db, node, permit.digest())? else { return Ok(()) };
    if governance::happened(db, &subject, What::Provided, node)? {
        return Ok(());
    }
    note(db, node, &subject, permit.body(), now)
}

/// Whether the node has all the data there that the permit is for.
fn offers(db: &Connection, node: &NodeName, permit: &PermitBody) -> Result<bool, Stop> {
    let known = nodes::all(db)?;
    let Some(catalogue) = known.iter().find(|one| one.node == *node) else { return Ok(false) };
    let mut wanted = permit.data.iter().filter(|data| data.is_at(node));
    Ok(wanted.all(|data| catalogue.datasets.iter().any(|offer| offer.schema.name == data.dataset)))
}

fn note(db: &Connection, node: &NodeName, subject: &str, permit: &PermitBody, now: Timestamp) -> Result<(), Stop> {
    let person = node.as_str().parse().map_err(Fault::while_("naming a party"))?;
    let (subject, body) = (subject.to_owned(), permit.number.to_string().into_bytes());
    governance::append(db, &Event { at: now, what: What::Provided, subject, node: Some(node.clone()), person, body })
}
