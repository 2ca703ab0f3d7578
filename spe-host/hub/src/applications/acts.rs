//! What data access bodies and applicants do with an application after it was submitted.

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    admission::CLOCK_SLACK,
    application::{ProcedureError, Status},
    decision::{Decision, DecisionBody},
    document::{self, Opened},
    dsse::PublicKey,
    ids::{ApplicationId, Digest, NodeName, PermitNumber, PersonName},
    notice::{NoticeBody, Step, SupplementBody},
    permit::{PermitBody, Version},
    refusal::Refusal,
};
use spe_wire::{Ruling, governance::ApplicationView};

use super::{
    dossier::Dossier,
    part::{Filed, Part},
    permits, unknown,
};
use crate::{
    roles::Caller,
    stop::Stop,
    store::{
        governance::{self, Event, What},
        nodes,
    },
};

/// A person who acts on the parts of these nodes.
struct Desk {
    person: PersonName,
    nodes: Vec<NodeName>,
}

impl Desk {
    fn of(caller: Caller) -> Result<Self, Stop> {
        let nodes = caller.nodes();
        Ok(Self { nodes, person: caller.person()? })
    }

    fn refuse<T>(&self, what: String) -> Result<T, Stop> {
        Err(Refusal::NotAllowed { who: format!("person {}", self.person), what }.into())
    }

    /// The application, of which the desk has a part.
    fn open(&self, db: &Connection, id: &ApplicationId) -> Result<Dossier, Stop> {
        let dossier = Dossier::read(db, id)?;
        let has = dossier.parts.iter().any(|part| self.nodes.contains(&part.node));
        if has { Ok(dossier) } else { Err(unknown(id).into()) }
    }

    /// The parts of those nodes: each the desk's, and each of a node that trusts the key.
    ///
    /// # Security
    /// Whoever sits at the hub decides nothing: an act counts at a node only if the node itself, in its own catalogue, trusts the
    /// key that signed it. Watched by `a_decision_counts_where_its_key_is_trusted_and_nowhere_else`.
    fn parts<'a>(
        &self,
        db: &Connection,
        dossier: &'a Dossier,
        about: &[NodeName],
        (document, signer): (&str, PublicKey),
    ) -> Result<Vec<&'a Part>, Stop> {
        let known = nodes::all(db)?;
        let mut parts = Vec::new();
        for node in about {
            let none = || Refusal::NotFound { what: format!("a part of node {node} of {}", dossier.id) };
            let part = dossier.part(node).ok_or_else(none)?;
            if !self.nodes.contains(node) {
                return self.refuse(format!(
                    "act for node {node}: the person's roles do not name it; a decision names its own nodes, `part = [{{ dataset = \"…\", nodes = \
                     [\"…\"] }}]`"
                ));
            }
            let trusted = known.iter().find(|one| one.node == *node).map(|one| one.access_bodies.as_slice());
            if !trusted.unwrap_or_default().contains(&signer) {
                return Err(Refusal::UntrustedKey { document: document.into(), key: signer.to_string() }.into());
            }
            parts.push(part);
        }
        Ok(parts)
    }

    fn view(&self, db: &Connection, id: &ApplicationId, now: Timestamp) -> Result<ApplicationView, Stop> {
        let dossier = Dossier::read(db, id)?;
        Ok(dossier.view(&self.nodes, now))
    }
}

/// Takes a data access body's notice. The same bytes again change nothing.
pub(crate) fn notify(
    db: &Connection,
    caller: Caller,
    id: &ApplicationId,
    envelope: Vec<u8>,
    now: Timestamp,
) -> Result<ApplicationView, Stop> {
    let desk = Desk::of(caller)?;
    let dossier = desk.open(db, id)?;
    let notice: Opened<NoticeBody> = document::open(&envelope)?;
    about(&dossier, "the notice", (&notice.body().application, notice.body().application_digest))?;
    let parts = desk.parts(db, &dossier, &notice.body().nodes, ("the notice", notice.signer()))?;
    for part in parts {
        let event = filed(&desk.person, id, (What::Notice, Some(&part.node)), envelope.clone(), now);
        if !governance::has(db, &event)? {
            may_follow(id, part, &notice.body().step, now)?;
            governance::append(db, &event)?;
        }
    }
    desk.view(db, id, now)
}

/// Takes a data access body's decision, with its permit. The same bytes again change nothing; another decision on a part is refused,
/// unless its permit amends or renews the one that was given.
pub(crate) fn decide(
    db: &Connection,
    caller: Caller,
    id: &ApplicationId,
    ruling: Ruling,
    now: Timestamp,
) -> Result<ApplicationView, Stop> {
    let desk = Desk::of(caller)?;
    let dossier = desk.open(db, id)?;
    let signer = document::open::<DecisionBody>(&ruling.decision)?.signer();
    let decision = Decision::verify(&ruling.decision, &[signer])?;
    decision.answers(&dossier.application)?;
    let permit = decision.gives(ruling.permit.as_deref())?;
    let nodes = decided(&dossier, decision.body());
    let parts = desk.parts(db, &dossier, &nodes, ("the decision", signer))?;
    if let Some(permit) = &permit {
        decision.confines(permit.body(), dossier.datasets())?;
        permits::one_number(db, permit)?;
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::to_vec(&Filed { decision: text(ruling.decision), permit: ruling.permit.map(text) })?;
    for part in parts {
        let event = filed(&desk.person, id, (What::Decision, Some(&part.node)), body.clone(), now);
        if !governance::has(db, &event)? {
            dated(decision.body(), &dossier, now)?;
            permit.as_ref().map_or(Ok(()), |permit| issued(permit.body(), &dossier, part.permit()))?;
            may_decide(&desk, (id, part), permit.as_ref(), now)?;
            governance::append(db, &event)?;
        }
    }
    desk.view(db, id, now)
}

/// That a decision was made after the application came, and by now; give or take what clocks may differ.
fn dated(decision: &DecisionBody, dossier: &Dossier, now: Timestamp) -> Result<(), Refusal> {
    let (at, came) = (decision.decided_at, dossier.submitted_at);
    let wrong = |why: String| Err(Refusal::Malformed { document: "the decision".into(), why });
    if came.duration_since(at) > CLOCK_SLACK {
        return wrong(format!(
            "it is dated {at}, and the application came to the hub at {came}: nobody decides before; write when it was decided in \
             `decided_at`, and sign it anew"
        ));
    }
    if at.duration_since(now) > CLOCK_SLACK {
        return wrong(format!("it is dated {at}, which is in the future: write when it was decided, and sign it anew"));
    }
    Ok(())
}

/// That a permit was issued after the application came, give or take what clocks may differ, and not before the one whose place it takes.
///
/// # Privacy
/// Who opts out after `issued_at` is still in the data (Art. 71(3)): one that is dated back to before its application would cover people who
/// had opted out when it came. Of those who opt out until it is decided, nobody can tell here (`docs/optout.md`). Watched by `a_permit_is_not_dated_back`.
fn issued(permit: &PermitBody, dossier: &Dossier, before: Option<&PermitBody>) -> Result<(), Refusal> {
    let (at, came) = (permit.issued_at, dossier.submitted_at);
    let wrong = |what: String| {
        let why = format!(
            "its issued_at is {at}, {what}: whoever opted out in between would be covered (Art. 71(3)); write when it is issued in \
             `issued_at`, and sign it and its decision anew"
        );
        Err(Refusal::Malformed { document: "the permit".into(), why })
    };
    if came.duration_since(at) > CLOCK_SLACK {
        return wrong(format!("and the application that it answers came to the hub at {came}"));
    }
    match before.filter(|before| at < before.issued_at) {
        Some(before) => {
            wrong(format!("and permit {}, whose place it takes, was issued at {}", before.number, before.issued_at))
        }
        None => Ok(()),
    }
}

/// The nodes that a decision is on: those that it names, or all that hold the dataset for this application.
fn decided(dossier: &Dossier, decision: &DecisionBody) -> Vec<NodeName> {
    let mut nodes: Vec<NodeName> = Vec::new();
    for part in &decision.part {
        let all = dossier.parts.iter().filter(|one| one.datasets.contains(&part.dataset)).map(|one| &one.node);
        let named: Vec<_> = if part.nodes.is_empty() { all.collect() } else { part.nodes.iter().collect() };
        for node in named {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
    }
    nodes
}

/// A first decision on a part that is open, or one whose permit takes the place of the one given.
fn may_decide(
    desk: &Desk,
    (id, part): (&ApplicationId, &Part),
    permit: Option<&Opened<PermitBody>>,
    now: Timestamp,
) -> Result<(), Stop> {
    let refuse = |why: &str| desk.refuse(format!("decide on the part of node {} of {id}: {why}", part.node));
    // Of the same line, or a node would not know that it takes the other's place.
    let amends = |new: &Opened<PermitBody>, old: &Opened<PermitBody>| {
        let (new_line, old_line) = (Version::opened(new).0, Version::opened(old).0);
        new.body().replaces.as_ref() == Some(&old.body().number) && new_line == old_line
    };
    match (part.status(now), part.given_permit(), permit) {
        (Status::Withdrawn, ..) => refuse("the applicant took it back"),
        (Status::DecisionIssued, Some(old), Some(new)) if amends(new, old) => {
            Ok(part.line.clone().add(Version::opened(new).1)?)
        }
        (Status::DecisionIssued, Some(_), _) => refuse(
            "it was decided already; a permit that amends or renews the one given may follow, signed with the same key, with its \
                 `original`, and its number in `replaces`",
        ),
        (Status::DecisionIssued, None, _) => refuse("it was decided already, or not completed in time"),
        (Status::AwaitingAdditionalInformation, _, Some(_)) => refuse("the applicant was asked to add something first"),
        _ => Ok(()),
    }
}

fn may_follow(id: &ApplicationId, part: &Part, step: &Step, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |error: ProcedureError| Refusal::NotAllowed {
        who: format!("a notice on {id}"),
        what: format!("follow for the part of node {}: {error}", part.node),
    };
    if part.status(now) != part.procedure.now().status {
        let (from, to) = (part.status(now), Status::Processing);
        return Err(refuse(ProcedureError::NotNext { from, to }));
    }
    let mut trial = part.procedure.clone();
    let at = now.max(trial.now().since);
    let tried = match step {
        Step::Complete => trial.advance(Status::Processing, at),
        Step::InformationNeeded { .. } => trial.advance(Status::AwaitingAdditionalInformation, at),
        Step::Prolonged { .. } => trial.prolong(),
    };
    tried.map_err(refuse)
}

/// Takes what the applicant adds. It goes to every part that waits for something.
pub(crate) fn complete(
    db: &Connection,
    caller: Caller,
    id: &ApplicationId,
    envelope: Vec<u8>,
    now: Timestamp,
) -> Result<ApplicationView, Stop> {
    let (person, dossier) = theirs(db, caller, id)?;
    let supplement: Opened<SupplementBody> = document::open(&envelope)?;
    about(&dossier, "the supplement", (&supplement.body().application, supplement.body().application_digest))?;
    if supplement.signer() != dossier.application.signer() {
        return Err(
            Refusal::UntrustedKey { document: "the supplement".into(), key: supplement.signer().to_string() }.into()
        );
    }
    let event = filed(&person, id, (What::Added, None), envelope, now);
    if !governance::has(db, &event)? {
        if !dossier.parts.iter().any(|part| part.awaits(now)) {
            let what = format!("add to {id}: no part waits for anything, or its four weeks are over");
            return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
        }
        governance::append(db, &event)?;
    }
    whole(db, id, now)
}

/// Takes an application back, as far as it is not decided. A second time changes nothing.
pub(crate) fn withdraw(
    db: &Connection,
    caller: Caller,
    id: &ApplicationId,
    now: Timestamp,
) -> Result<ApplicationView, Stop> {
    let (person, dossier) = theirs(db, caller, id)?;
    let event = filed(&person, id, (What::Withdrawn, None), Vec::new(), now);
    if !governance::has(db, &event)? {
        if dossier.parts.iter().all(|part| part.status(now).is_final()) {
            let what = format!("take {id} back: every part is decided");
            return Err(Refusal::NotAllowed { who: person.to_string(), what }.into());
        }
        governance::append(db, &event)?;
    }
    whole(db, id, now)
}

/// An application of the caller's own.
fn theirs(db: &Connection, caller: Caller, id: &ApplicationId) -> Result<(PersonName, Dossier), Stop> {
    let person = caller.person()?;
    let dossier = Dossier::read(db, id)?;
    if dossier.person == person { Ok((person, dossier)) } else { Err(unknown(id).into()) }
}

fn whole(db: &Connection, id: &ApplicationId, now: Timestamp) -> Result<ApplicationView, Stop> {
    let dossier = Dossier::read(db, id)?;
    let nodes: Vec<_> = dossier.parts.iter().map(|part| part.node.clone()).collect();
    Ok(dossier.view(&nodes, now))
}

/// That a document is about the very text of the application.
fn about(dossier: &Dossier, document: &str, (number, digest): (&PermitNumber, Digest)) -> Result<(), Refusal> {
    let (own_number, own_digest) = (&dossier.application.body().number, dossier.application.digest());
    if own_number == number && own_digest == digest {
        return Ok(());
    }
    let why = format!(
        "it is about application {number} with the digest {digest}, and {} is application {own_number} with the digest {own_digest}",
        dossier.id
    );
    Err(Refusal::Malformed { document: document.into(), why })
}

fn filed(
    person: &PersonName,
    id: &ApplicationId,
    (what, node): (What, Option<&NodeName>),
    body: Vec<u8>,
    now: Timestamp,
) -> Event {
    Event { at: now, what, subject: id.to_string(), node: node.cloned(), person: person.clone(), body }
}
