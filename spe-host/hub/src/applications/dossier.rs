//! How an application stands: worked out from what is in the log.

use jiff::{Timestamp, civil::Date};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    application::{Application, ApplicationBody, Due, Procedure, Status, Term, Track},
    decision::{DecisionBody, Outcome, Reason},
    document::{self, Opened},
    fault::Fault,
    ids::{ApplicationId, DatasetName, NodeName, PermitNumber, PersonName},
    notice::{NoticeBody, Step},
    permit::{Article, Line, PermitBody, Version},
    purpose::ApplicantBody,
};
use spe_wire::governance::{Actor, ApplicationLine, ApplicationView, DueView, PartOutcome, PartView};

use super::unknown;
use crate::{
    stop::Stop,
    store::governance::{self, Event, What},
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

/// A node's part.
pub(crate) struct Part {
    pub(crate) node: NodeName,
    pub(crate) datasets: Vec<DatasetName>,
    pub(crate) procedure: Procedure,
    /// What was asked for, and not added yet.
    missing: Vec<String>,
    pub(crate) given: Option<Given>,
    /// The permits that were given, each in the place of the one before.
    pub(crate) line: Line,
    acts: Vec<Vec<u8>>,
}

/// What was decided, and when.
pub(crate) enum Given {
    /// A permit: the latest of its line.
    Permit { at: Timestamp, permit: Box<Opened<PermitBody>>, envelope: Vec<u8> },
    /// None.
    Nothing { at: Timestamp, reasons: Vec<Reason> },
}

/// How a decision is written in the log.
#[derive(Serialize, Deserialize)]
pub(crate) struct Filed {
    pub(crate) decision: String,
    pub(crate) permit: Option<String>,
}

impl Dossier {
    /// The application of that id.
    pub(crate) fn read(db: &Connection, id: &ApplicationId) -> Result<Self, Stop> {
        let mut found = Self::gather(governance::of(db, id.as_str())?)?;
        Ok(found.pop().ok_or_else(|| unknown(id))?)
    }

    /// All applications, oldest first.
    pub(crate) fn all(db: &Connection) -> Result<Vec<Self>, Stop> {
        Self::gather(governance::all(db)?)
    }

    fn gather(events: Vec<Event>) -> Result<Vec<Self>, Stop> {
        let mut all: Vec<Self> = Vec::new();
        for event in events {
            match event.what {
                What::Submitted => all.push(Self::begin(event)?),
                What::Published | What::Agreement | What::Revoked | What::Recorded => {}
                _ => {
                    let lost =
                        || Fault::new("reading the log of governance", format!("no application {}", event.subject));
                    let about = all.iter_mut().rfind(|one| one.id.as_str() == event.subject).ok_or_else(lost)?;
                    about.apply(event)?;
                }
            }
        }
        Ok(all)
    }

    fn begin(event: Event) -> Result<Self, Stop> {
        Ok(Self {
            id: event.subject.parse().map_err(Fault::while_("reading the log of governance"))?,
            person: event.person,
            submitted_at: event.at,
            application: Application::verify(&event.body)?,
            envelope: event.body,
            additions: Vec::new(),
            withdrawn: false,
            parts: Vec::new(),
        })
    }

    /// Takes in what happened. It was allowed when it was written; a move that is none is a fault of the log.
    fn apply(&mut self, event: Event) -> Result<(), Stop> {
        let Event { at, what, node, body, .. } = event;
        if what == What::Part {
            let node = node.ok_or_else(|| Fault::new("reading the log of governance", "a part of no node"))?;
            self.parts.push(Part::new(
                self.application.body(),
                self.submitted_at,
                node,
                serde_json::from_slice(&body)?,
            )?);
            return Ok(());
        }
        let about = self.parts.iter_mut().filter(|part| node.as_ref().is_none_or(|node| part.node == *node));
        for part in about {
            part.apply(at, what, &body)?;
        }
        match what {
            What::Added => self.additions.push(body),
            What::Withdrawn => self.withdrawn = true,
            _ => {}
        }
        Ok(())
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
        let due: Vec<DueView> = parts.iter().filter_map(|part| part.due(now)).collect();
        ApplicationLine {
            id: self.id.clone(),
            number: self.application.body().number.clone(),
            person: self.person.clone(),
            submitted_at: self.submitted_at,
            granted: count(parts.iter().filter(|part| part.outcome(now) == Some(PartOutcome::Granted)).count()),
            parts: count(parts.len()),
            overdue: count(due.iter().filter(|due| due.overdue).count()),
            due: due.iter().map(|due| due.last_day).min(),
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

/// The parts together, in words that hide nothing: `granted at 2 of 3 nodes (a, c); refused at b`.
fn coverage(parts: &[PartView]) -> String {
    let at = |outcome: PartOutcome| {
        let nodes = parts.iter().filter(|part| part.outcome == Some(outcome)).map(|part| part.node.as_str());
        nodes.collect::<Vec<_>>()
    };
    let granted = at(PartOutcome::Granted);
    let mut said = vec![format!("granted at {} of {} nodes", granted.len(), parts.len())];
    if !granted.is_empty() && granted.len() < parts.len() {
        said = vec![format!("granted at {} of {} nodes ({})", granted.len(), parts.len(), granted.join(", "))];
    }
    for (outcome, word) in [(PartOutcome::Refused, "refused at"), (PartOutcome::Lapsed, "not completed in time at")] {
        let nodes = at(outcome);
        if !nodes.is_empty() {
            said.push(format!("{word} {}", nodes.join(", ")));
        }
    }
    let open: Vec<_> = parts.iter().filter(|part| !part.status.is_final()).map(|part| part.node.as_str()).collect();
    if !open.is_empty() {
        said.push(format!("open at {}", open.join(", ")));
    }
    said.join("; ")
}

impl Part {
    fn new(body: &ApplicationBody, at: Timestamp, node: NodeName, datasets: Vec<DatasetName>) -> Result<Self, Stop> {
        let mut procedure = Procedure::submitted(track(body), at);
        advance(&mut procedure, Status::PreScreening, at)?;
        Ok(Self {
            node,
            datasets,
            procedure,
            missing: Vec::new(),
            given: None,
            line: Line::default(),
            acts: Vec::new(),
        })
    }

    fn apply(&mut self, at: Timestamp, what: What, body: &[u8]) -> Result<(), Stop> {
        match what {
            What::Notice => {
                let notice = document::open::<NoticeBody>(body)?;
                self.heed(at, &notice.body().step)?;
                self.acts.push(body.to_vec());
            }
            What::Decision => self.decide(at, &serde_json::from_slice(body)?)?,
            What::Added if self.awaits(at) => {
                self.missing.clear();
                advance(&mut self.procedure, Status::PreScreening, at)?;
            }
            What::Withdrawn if !self.status(at).is_final() => advance(&mut self.procedure, Status::Withdrawn, at)?,
            _ => {}
        }
        Ok(())
    }

    fn heed(&mut self, at: Timestamp, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Complete => advance(&mut self.procedure, Status::Processing, at)?,
            Step::InformationNeeded { missing } => {
                advance(&mut self.procedure, Status::AwaitingAdditionalInformation, at)?;
                self.missing.clone_from(missing);
            }
            Step::Prolonged { .. } => {
                self.procedure.prolong().map_err(Fault::while_("reading the log of governance"))?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, at: Timestamp, filed: &Filed) -> Result<(), Stop> {
        let decision = document::open::<DecisionBody>(filed.decision.as_bytes())?;
        if self.procedure.now().status == Status::PreScreening {
            advance(&mut self.procedure, Status::Processing, at)?;
        }
        if !self.procedure.now().status.is_final() {
            advance(&mut self.procedure, Status::DecisionIssued, at)?;
        }
        self.given = Some(match (&decision.body().outcome, &filed.permit) {
            (Outcome::Positive { .. }, Some(envelope)) => {
                let permit = Box::new(document::open::<PermitBody>(envelope.as_bytes())?);
                // What was let in before lines were kept here, nodes refuse.
                self.line.add(Version::opened(&permit).1).ok();
                Given::Permit { at, permit, envelope: envelope.clone().into_bytes() }
            }
            (Outcome::Negative { reasons, .. }, _) => Given::Nothing { at, reasons: reasons.clone() },
            _ => return Err(Fault::new("reading the log of governance", "a permit is missing").into()),
        });
        self.acts.push(filed.decision.clone().into_bytes());
        Ok(())
    }

    /// The term that runs at `now`: none once the applicant let the four weeks go by.
    fn running(&self, now: Timestamp) -> Option<Due> {
        self.procedure.due().filter(|due| !(due.term == Term::Completion && due.is_over(now)))
    }

    /// Whether the applicant may still add what is missing.
    pub(crate) fn awaits(&self, now: Timestamp) -> bool {
        self.procedure.now().status == Status::AwaitingAdditionalInformation && self.running(now).is_some()
    }

    /// Its status at `now`: what is not completed within the term is decided by Art. 68(4) itself.
    pub(crate) fn status(&self, now: Timestamp) -> Status {
        match self.procedure.now().status {
            Status::AwaitingAdditionalInformation if self.running(now).is_none() => Status::DecisionIssued,
            status => status,
        }
    }

    pub(crate) fn outcome(&self, now: Timestamp) -> Option<PartOutcome> {
        match &self.given {
            Some(Given::Permit { .. }) => Some(PartOutcome::Granted),
            Some(Given::Nothing { .. }) => Some(PartOutcome::Refused),
            None if self.status(now) == Status::DecisionIssued => Some(PartOutcome::Lapsed),
            None => None,
        }
    }

    /// When it was decided: by the data access body, or by the end of the four weeks.
    pub(crate) fn decided_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.given {
            Some(Given::Permit { at, .. } | Given::Nothing { at, .. }) => Some(*at),
            None if self.outcome(now).is_some() => {
                let end = self.procedure.due()?.last_day.tomorrow().ok()?;
                end.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|end| end.timestamp())
            }
            None => None,
        }
    }

    /// What is missing, or why there is no permit.
    pub(crate) fn reasons(&self, now: Timestamp) -> Vec<String> {
        match (&self.given, self.outcome(now)) {
            (Some(Given::Nothing { reasons, .. }), _) => {
                reasons.iter().map(|reason| format!("{}: {}", reason.article, reason.text)).collect()
            }
            (_, Some(PartOutcome::Lapsed)) => {
                let missing = self.missing.join("; ");
                vec![format!("Art. 68(4): the application was not completed within four weeks; missing was: {missing}")]
            }
            _ => self.missing.clone(),
        }
    }

    /// The permit that was given: the latest of its line.
    pub(crate) fn given_permit(&self) -> Option<&Opened<PermitBody>> {
        match &self.given {
            Some(Given::Permit { permit, .. }) => Some(permit),
            _ => None,
        }
    }

    /// What it says.
    pub(crate) fn permit(&self) -> Option<&PermitBody> {
        self.given_permit().map(Opened::body)
    }

    pub(crate) fn permit_number(&self) -> Option<PermitNumber> {
        self.permit().map(|body| body.number.clone())
    }

    fn due(&self, now: Timestamp) -> Option<DueView> {
        let due = self.running(now)?;
        let who = if due.term == Term::Completion { Actor::Applicant } else { Actor::AccessBody };
        let last_day: Date = due.last_day;
        Some(DueView { last_day, article: due.term.article().into(), who, overdue: due.is_over(now) })
    }

    fn view(&self, now: Timestamp) -> PartView {
        let permit_envelope = match &self.given {
            Some(Given::Permit { envelope, .. }) => Some(text(envelope)),
            _ => None,
        };
        PartView {
            node: self.node.clone(),
            datasets: self.datasets.clone(),
            status: self.status(now),
            outcome: self.outcome(now),
            due: self.due(now),
            reasons: self.reasons(now),
            permit: self.permit_number(),
            permit_envelope,
            acts: self.acts.iter().map(|act| text(act)).collect(),
        }
    }
}

/// Which terms it is under. The accelerated ones are for public bodies in public health, Art. 68(6).
fn track(body: &ApplicationBody) -> Track {
    let health = |purpose: &spe_kernel::purpose::Article53| purpose.0.point() == "a";
    let accelerated = body.applicant_body == ApplicantBody::Public && body.purpose.article53.iter().all(health);
    match body.article {
        Article::Permit if accelerated => Track::Accelerated,
        article => article.into(),
    }
}

fn advance(procedure: &mut Procedure, next: Status, at: Timestamp) -> Result<(), Stop> {
    Ok(procedure.advance(next, at).map_err(Fault::while_("reading the log of governance"))?)
}

fn text(envelope: &[u8]) -> String {
    String::from_utf8_lossy(envelope).into_owned()
}
