//! How an application stands: worked out from what is in the log.

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    application::Application,
    fault::Fault,
    ids::{ApplicationId, DatasetName, NodeName, PersonName},
    permit::{PermitId, Version},
};
use spe_wire::governance::{ApplicationLine, ApplicationView, DueView, PartOutcome, PartView, PermitState};

use super::{
    files::{Files, Revocations},
    part::{Part, text},
};
use crate::{
    stop::Stop,
    store::governance::{Event, What},
};

/// An application with all that happened to it.
pub(crate) struct Dossier {
    pub(crate) id: ApplicationId,
    pub(crate) person: PersonName,
    pub(crate) submitted_at: Timestamp,
    pub(crate) application: Application,
    envelope: Vec<u8>,
    additions: Vec<Vec<u8>>,
    withdrawn: bool,
    pub(crate) parts: Vec<Part>,
}

impl Dossier {
    /// The application of that id.
    pub(crate) fn read(db: &Connection, id: &ApplicationId) -> Result<Self, Stop> {
        Files::one(db, id)
    }

    pub(super) fn begin(event: &Event) -> Result<Self, Stop> {
        Ok(Self {
            id: event.subject.parse().map_err(Fault::while_("reading the log of governance"))?,
            person: event.person.clone(),
            submitted_at: event.at,
            application: Application::verify(&event.body)?,
            envelope: event.body.clone(),
            additions: Vec::new(),
            withdrawn: false,
            parts: Vec::new(),
        })
    }

    /// Takes in what happened. It was allowed when it was written; a move that is none is a fault of the log.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), Stop> {
        let Event { at, what, node, body, .. } = event;
        if *what == What::Part {
            let node = node.clone().ok_or_else(|| Fault::new("reading the log of governance", "a part of no node"))?;
            let datasets = serde_json::from_slice(body)?;
            self.parts.push(Part::new(self.application.body(), self.submitted_at, node, datasets)?);
            return Ok(());
        }
        let about = self.parts.iter_mut().filter(|part| node.as_ref().is_none_or(|node| part.node == *node));
        for part in about {
            part.apply(*at, *what, body)?;
        }
        match what {
            What::Added => self.additions.push(body.clone()),
            What::Withdrawn => self.withdrawn = true,
            _ => {}
        }
        Ok(())
    }

    /// Says how the permits stand: a line may go over several parts, and a revocation may name any permit of it.
    pub(super) fn settle(&mut self, revocations: &Revocations) {
        let given: Vec<(PermitId, Version)> = self.parts.iter().flat_map(Part::given_permits).collect();
        self.parts.iter_mut().for_each(|part| part.settle(&given, revocations));
    }

    /// A part by its node.
    pub(crate) fn part(&self, node: &NodeName) -> Option<&Part> {
        self.parts.iter().find(|part| part.node == *node)
    }

    /// Where it went to: each node, with each dataset there.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = (&NodeName, &DatasetName)> + Clone {
        self.parts.iter().flat_map(|part| part.datasets.iter().map(|dataset| (&part.node, dataset)))
    }

    /// One line of it, as far as those nodes go.
    pub(crate) fn line(&self, seen: &[NodeName], now: Timestamp) -> ApplicationLine {
        let parts: Vec<_> = self.seen(seen).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut standings = parts.iter().filter_map(|part| part.standing(now));
        let due: Vec<DueView> = parts.iter().filter_map(|part| part.due(now)).collect();
        ApplicationLine {
            id: self.id.clone(),
            number: Some(self.application.body().number.clone()),
            person: self.person.clone(),
            submitted_at: self.submitted_at,
            granted: count(parts.iter().filter(|part| part.outcome(now) == Some(PartOutcome::Granted)).count()),
            in_force: count(parts.iter().filter(|part| part.is_in_force(now)).count()),
            parts: count(parts.len()),
            overdue: count(due.iter().filter(|due| due.overdue).count()),
            due: due.iter().map(|due| due.last_day).min(),
            unreadable: standings.find(|one| !one.unreadable.is_empty()).map(|one| one.unreadable).unwrap_or_default(),
        }
    }

    fn seen<'a>(&'a self, seen: &'a [NodeName]) -> impl Iterator<Item = &'a Part> {
        self.parts.iter().filter(|part| seen.contains(&part.node))
    }

    /// All of it, as far as those nodes go.
    pub(crate) fn view(&self, seen: &[NodeName], now: Timestamp) -> ApplicationView {
        let parts: Vec<PartView> = self.seen(seen).map(|part| part.view(now)).collect();
        ApplicationView {
            id: self.id.clone(),
            number: self.application.body().number.clone(),
            person: self.person.clone(),
            submitted_at: self.submitted_at,
            envelope: text(&self.envelope),
            additions: self.additions.iter().map(|one| text(one)).collect(),
            withdrawn: self.withdrawn,
            coverage: coverage(&parts),
            parts,
        }
    }
}

/// The parts together, in words that hide nothing: `granted at 2 of 3 nodes (a, c); refused at b; revoked at c`.
fn coverage(parts: &[PartView]) -> String {
    let at = |of: &dyn Fn(&PartView) -> bool| {
        parts.iter().filter(|part| of(part)).map(|part| part.node.as_str()).collect::<Vec<_>>().join(", ")
    };
    let granted = parts.iter().filter(|part| part.outcome == Some(PartOutcome::Granted)).count();
    let mut said = vec![format!("granted at {granted} of {} nodes", parts.len())];
    if granted > 0 && granted < parts.len() {
        let nodes = at(&|part| part.outcome == Some(PartOutcome::Granted));
        said = vec![format!("granted at {granted} of {} nodes ({nodes})", parts.len())];
    }
    let is = |part: &PartView, state| part.standing.as_ref().is_some_and(|standing| standing.state == state);
    let others = [
        ("refused at", at(&|part| part.outcome == Some(PartOutcome::Refused))),
        ("not completed in time at", at(&|part| part.outcome == Some(PartOutcome::Lapsed))),
        ("open at", at(&|part| !part.status.is_final())),
        ("revoked at", at(&|part| is(part, PermitState::Revoked))),
        ("expired at", at(&|part| is(part, PermitState::Expired))),
        ("replaced by another part's permit at", at(&|part| is(part, PermitState::Replaced))),
        ("standing unknown at", at(&|part| is(part, PermitState::Unknown))),
    ];
    said.extend(others.iter().filter(|(_, nodes)| !nodes.is_empty()).map(|(word, nodes)| format!("{word} {nodes}")));
    said.join("; ")
}
