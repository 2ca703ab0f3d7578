//! A node's part of an application, and how it stands.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    application::{ApplicationBody, Due, Procedure, Status, Term, Track},
    decision::{DecisionBody, Outcome, Reason},
    document::{self, Opened},
    fault::Fault,
    ids::{DatasetName, NodeName, PermitNumber},
    notice::{NoticeBody, Step},
    permit::{self, Article, Line, PermitBody, PermitId, Standing, Version},
    purpose::ApplicantBody,
    revocation::{RevocationBody, Target},
};
use spe_wire::governance::{Actor, DueView, PartOutcome, PartView, PermitStanding, PermitState, RevocationView};

use super::files::Revocations;
use crate::{stop::Stop, store::governance::What};

/// Why there is no permit where nobody completed the application.
const LAPSED: &str = "Art. 68(4): the application was not completed within four weeks";

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
    /// Every permit that was given for it, and when.
    pub(crate) history: Vec<(Timestamp, PermitId, Version)>,
    /// The whole line of the latest, also as far as it was given for other parts; and the revocation that ends it.
    whole: Line,
    revocation: Option<RevocationView>,
    /// Entries of the log that may end it, and cannot be read.
    unreadable: Vec<i64>,
    acts: Vec<Vec<u8>>,
}

/// What was decided, and when.
pub(crate) enum Given {
    /// A permit: the latest of its line.
    Permit { permit: Box<Opened<PermitBody>>, envelope: Vec<u8> },
    /// None.
    Nothing { at: Timestamp, reasons: Vec<Reason> },
}

/// How a decision is written in the log.
#[derive(Serialize, Deserialize)]
pub(crate) struct Filed {
    pub(crate) decision: String,
    pub(crate) permit: Option<String>,
}

impl Part {
    pub(super) fn new(
        body: &ApplicationBody,
        at: Timestamp,
        node: NodeName,
        datasets: Vec<DatasetName>,
    ) -> Result<Self, Stop> {
        let mut procedure = Procedure::submitted(track(body), at);
        advance(&mut procedure, Status::PreScreening, at)?;
        Ok(Self {
            node,
            datasets,
            procedure,
            missing: Vec::new(),
            given: None,
            line: Line::default(),
            history: Vec::new(),
            whole: Line::default(),
            revocation: None,
            unreadable: Vec::new(),
            acts: Vec::new(),
        })
    }

    pub(super) fn apply(&mut self, at: Timestamp, what: What, body: &[u8]) -> Result<(), Stop> {
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
            What::Provided => self.procedure.provide(),
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
            match decision.body().outcome {
                Outcome::Positive { .. } => {
                    self.procedure.grant(at).map_err(Fault::while_("reading the log of governance"))?;
                }
                Outcome::Negative { .. } => advance(&mut self.procedure, Status::DecisionIssued, at)?,
            }
        }
        self.given = Some(match (&decision.body().outcome, &filed.permit) {
            (Outcome::Positive { .. }, Some(envelope)) => {
                let permit = Box::new(document::open::<PermitBody>(envelope.as_bytes())?);
                let (line, version) = Version::opened(&permit);
                self.history.push((at, line, version.clone()));
                // What was let in before lines were kept here, nodes refuse.
                self.line.add(version).ok();
                Given::Permit { permit, envelope: envelope.clone().into_bytes() }
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

    /// When it was decided: by the data access body, or by the end of the four weeks. A permit that changes one is no other decision.
    pub(crate) fn decided_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.given {
            Some(Given::Permit { .. }) => self.history.first().map(|(at, ..)| *at),
            Some(Given::Nothing { at, .. }) => Some(*at),
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
            (_, Some(PartOutcome::Lapsed)) => vec![format!("{LAPSED}; missing was: {}", self.missing.join("; "))],
            _ => self.missing.clone(),
        }
    }

    /// Why there is no permit, as everybody may know it.
    ///
    /// # Privacy
    /// What is missing is between applicant and data access body. Watched by `of_a_part_that_lapsed_the_public_sees_the_article`.
    pub(crate) fn public_reasons(&self, now: Timestamp) -> Vec<String> {
        match self.outcome(now) {
            Some(PartOutcome::Lapsed) => vec![LAPSED.into()],
            Some(PartOutcome::Refused) => self.reasons(now),
            Some(PartOutcome::Granted) | None => Vec::new(),
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

    /// Every permit that was given for it, by its line.
    pub(super) fn given_permits(&self) -> impl Iterator<Item = (PermitId, Version)> {
        self.history.iter().map(|(_, line, version)| (line.clone(), version.clone()))
    }

    /// Takes in what the whole application and the revocations say of its permit: whichever of a line's permits a revocation names, all of
    /// the line end, as at nodes; the earliest counts.
    pub(super) fn settle(&mut self, given: &[(PermitId, Version)], revocations: &Revocations) {
        let Some((_, line, _)) = self.history.last() else { return };
        let versions: Vec<Version> = given.iter().filter(|(of, _)| of == line).map(|(_, one)| one.clone()).collect();
        let named = |number: &PermitNumber| {
            let is = |one: &Version| one.number == *number || one.replaces.as_ref() == Some(number);
            line.number == *number || versions.iter().any(is)
        };
        let ends = |told: &&Opened<RevocationBody>| {
            told.signer() == line.issuer && matches!(&told.body().target, Target::Permit(number) if named(number))
        };
        let first = revocations.told.iter().filter(ends).map(Opened::body).min_by_key(|body| body.effective_at);
        self.revocation =
            first.map(|body| RevocationView { effective_at: body.effective_at, reason: body.reason.clone() });
        self.whole = Line::new(versions, first.map(|body| body.effective_at));
        self.unreadable.clone_from(&revocations.unreadable);
    }

    /// How the permit that was given stands at `now`, as far as the hub was told.
    pub(crate) fn standing(&self, now: Timestamp) -> Option<PermitStanding> {
        let version = Version::opened(self.given_permit()?).1;
        let begins = version.valid_from.max(version.issued_at);
        let named = |status| match status {
            permit::Status::Granted => PermitState::Granted,
            permit::Status::Amended => PermitState::Amended,
            permit::Status::Renewed => PermitState::Renewed,
        };
        let (state, since, replaced_by) = match self.whole.standing(version.digest, now)? {
            Standing::NotYet { .. } => (named(version.status), begins, None),
            Standing::InForce(status) => (named(status), begins, None),
            Standing::Replaced { by, since } => (PermitState::Replaced, since, Some(by)),
            Standing::Expired { since } => (PermitState::Expired, since, None),
            Standing::Revoked { since } => (PermitState::Revoked, since, None),
        };
        let (revocation, unreadable) = (self.revocation.clone(), self.unreadable.clone());
        // One that was taken back is, whatever else the log had.
        Some(if state == PermitState::Revoked || unreadable.is_empty() {
            PermitStanding { state, since, replaced_by, revocation, unreadable: Vec::new() }
        } else {
            PermitStanding { state: PermitState::Unknown, since: begins, replaced_by: None, revocation, unreadable }
        })
    }

    /// Whether one of its permits is known to hold at `now`: also the one that a later permit takes the place of when that begins.
    pub(super) fn is_in_force(&self, now: Timestamp) -> bool {
        let holds = |version: &Version| matches!(self.whole.standing(version.digest, now), Some(Standing::InForce(_)));
        self.unreadable.is_empty() && self.history.iter().any(|(.., version)| holds(version))
    }

    /// Until when somebody has to act; what was granted is owed as long as its permit is not over.
    pub(super) fn due(&self, now: Timestamp) -> Option<DueView> {
        use PermitState::{Expired, Replaced, Revoked};
        let due = self.running(now)?;
        if self.standing(now).is_some_and(|standing| matches!(standing.state, Expired | Replaced | Revoked)) {
            return None;
        }
        let who = if due.term == Term::Completion { Actor::Applicant } else { Actor::AccessBody };
        let last_day: Date = due.last_day;
        Some(DueView { last_day, article: due.term.article().into(), who, overdue: due.is_over(now) })
    }

    pub(super) fn view(&self, now: Timestamp) -> PartView {
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
            standing: self.standing(now),
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

pub(super) fn text(envelope: &[u8]) -> String {
    String::from_utf8_lossy(envelope).into_owned()
}
