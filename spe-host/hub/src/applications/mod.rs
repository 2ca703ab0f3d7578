//! Applications: submitted once, a part for each node, decided by each node's data access body (Arts. 67(3), 68(5)).
//!
//! Everything is in the log of governance, and added to it in one transaction each. How an application stands is worked out from
//! the log and the time ([`dossier`]): a term that is over needs no process that notices it.

mod acts;
mod dossier;
mod files;
mod part;
mod permits;
mod provided;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    application::{Application, ApplicationBody},
    disclosure::Catalogue,
    ids::{ApplicationId, DatasetName, NodeName, PersonName},
    refusal::Refusal,
};
use spe_wire::governance::{ApplicationLine, ApplicationView};

pub(crate) use self::{
    acts::{complete, decide, notify, withdraw},
    dossier::Dossier,
    files::{Files, Lost, tell_unreadable},
    part::Part,
    permits::{lines_given, may_be_given, told},
    provided::{answered, passed_on},
};
use crate::{
    roles::{Caller, PersonRole},
    stop::Stop,
    store::{
        governance::{self, Event, What},
        nodes,
    },
};

/// What the hub's ids of applications begin with.
const ID_PREFIX: &str = "application-";

/// What one person may submit in all: the register keeps every application.
const APPLICATIONS_PER_PERSON_MAX: i64 = 50;

/// Accepts an application, and gives each node its part. The same bytes again give the same application.
///
/// Refuses what the Regulation forbids, another person's application, data that no node offers, and another text under a number
/// that the person used before.
pub(crate) fn submit(
    db: &Connection,
    caller: Caller,
    envelope: Vec<u8>,
    now: Timestamp,
) -> Result<ApplicationId, Stop> {
    let person = caller.person()?;
    let application = Application::verify(&envelope)?;
    let id = id_of(&application)?;
    own(&person, &application)?;
    if !governance::of(db, id.as_str())?.is_empty() {
        return Ok(id);
    }
    new_number(db, &person, application.body())?;
    let submitted = governance::submitted_by(db, &person)?;
    if submitted >= APPLICATIONS_PER_PERSON_MAX {
        let what = format!("submit more than {APPLICATIONS_PER_PERSON_MAX} applications; the hub's operator can help");
        return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
    }
    let parts = parts(application.body(), &nodes::all(db)?)?;
    let event = |what, node, body| Event { at: now, what, subject: id.to_string(), node, person: person.clone(), body };
    governance::append(db, &event(What::Submitted, None, envelope))?;
    for (node, datasets) in parts {
        governance::append(db, &event(What::Part, Some(node), serde_json::to_vec(&datasets)?))?;
    }
    Ok(id)
}

fn id_of(application: &Application) -> Result<ApplicationId, Refusal> {
    let short: String = application.digest().hex().chars().take(16).collect();
    let wrong =
        |e: spe_kernel::ids::IdError| Refusal::Malformed { document: "the application".into(), why: e.to_string() };
    format!("{ID_PREFIX}{short}").parse().map_err(wrong)
}

/// Who submits it is the person whose key signed it.
fn own(person: &PersonName, application: &Application) -> Result<(), Refusal> {
    let signer = Some(application.signer());
    if application.body().persons.iter().any(|one| one.key == signer && one.name == *person) {
        return Ok(());
    }
    let number = &application.body().number;
    let what = format!(
        "submit application {number}: it is signed with {}, which is not the key that it has for {person} under [[persons]]",
        application.signer()
    );
    Err(Refusal::NotAllowed { who: person.to_string(), what })
}

fn new_number(db: &Connection, person: &PersonName, body: &ApplicationBody) -> Result<(), Stop> {
    let all = Files::all(db)?;
    if all.dossiers.iter().any(|one| one.person == *person && one.application.body().number == body.number) {
        let what = format!("apply under the number {} again with another text: choose another number", body.number);
        return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
    }
    Ok(())
}

/// The nodes that offer what is applied for, and what of it.
fn parts(body: &ApplicationBody, known: &[Catalogue]) -> Result<BTreeMap<NodeName, Vec<DatasetName>>, Refusal> {
    let mut parts: BTreeMap<NodeName, Vec<DatasetName>> = BTreeMap::new();
    for data in &body.data {
        let offers = |node: &&Catalogue| node.datasets.iter().any(|offer| offer.schema.name == data.dataset);
        let having: Vec<_> =
            known.iter().filter(offers).map(|node| &node.node).filter(|node| data.is_at(node)).collect();
        if having.is_empty() {
            return Err(Refusal::DatasetUnknown { dataset: data.dataset.clone() });
        }
        if let Some(missing) = data.nodes.iter().find(|node| !having.contains(node)) {
            return Err(Refusal::NotFound { what: format!("dataset {} at node {missing}", data.dataset) });
        }
        for node in having {
            let datasets = parts.entry(node.clone()).or_default();
            if !datasets.contains(&data.dataset) {
                datasets.push(data.dataset.clone());
            }
        }
    }
    Ok(parts)
}

/// What the caller may see of an application: all of one's own; the parts of one's nodes; everything as an auditor.
fn sight(dossier: &Dossier, person: &PersonName, caller: &Seer) -> Vec<NodeName> {
    let all = caller.auditor || dossier.person == *person;
    let seen = dossier.parts.iter().map(|part| &part.node).filter(|node| all || caller.nodes.contains(node));
    seen.cloned().collect()
}

/// What a caller may see beyond the own.
struct Seer {
    auditor: bool,
    nodes: Vec<NodeName>,
}

impl Seer {
    fn of(caller: &Caller) -> Self {
        Self { auditor: caller.is(PersonRole::Auditor), nodes: caller.nodes() }
    }
}

/// The applications that the caller may see, the newest first; then those that cannot be read.
pub(crate) fn list(db: &Connection, caller: Caller, now: Timestamp) -> Result<Vec<ApplicationLine>, Stop> {
    let (seer, person) = (Seer::of(&caller), caller.person()?);
    let files = Files::all(db)?;
    let lines = files.dossiers.iter().rev().filter_map(|dossier| {
        let seen = sight(dossier, &person, &seer);
        (!seen.is_empty()).then(|| dossier.line(&seen, now))
    });
    let lost = files.lost.iter().filter_map(|lost| lost.line(&person, &seer.nodes, seer.auditor));
    Ok(lines.chain(lost).collect())
}

/// One of them.
pub(crate) fn show(
    db: &Connection,
    caller: Caller,
    id: &ApplicationId,
    now: Timestamp,
) -> Result<ApplicationView, Stop> {
    let (seer, person) = (Seer::of(&caller), caller.person()?);
    let dossier = Dossier::read(db, id)?;
    let seen = sight(&dossier, &person, &seer);
    if seen.is_empty() { Err(unknown(id).into()) } else { Ok(dossier.view(&seen, now)) }
}

/// To whoever may not see it, it does not exist. Who names it by the applicant's number is told which name is meant.
fn unknown(id: &ApplicationId) -> Refusal {
    let meant = if id.as_str().starts_with(ID_PREFIX) {
        ""
    } else {
        " (the hub's id is meant, `application-…`: `spe application list` has it beside the applicant's number)"
    };
    Refusal::NotFound { what: format!("application {id}{meant}") }
}
