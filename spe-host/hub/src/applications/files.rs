//! All that the log of governance says of applications, and what of it cannot be read.

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::{
    agreement::AgreementBody,
    document::{self, Opened},
    fault::Fault,
    ids::{ApplicationId, NodeName, PersonName},
    revocation::RevocationBody,
};
use spe_wire::governance::{self as wire, ApplicationLine, PublishedResult};

use super::{dossier::Dossier, unknown};
use crate::{
    operators::MemberAct,
    records::Record,
    stop::Stop,
    store::governance::{self, Entry, Event, Unreadable, What},
};

/// Applications, oldest first.
///
/// # Security
/// An entry that cannot be read takes with it what it is about, and nothing else: how that stands nobody could say without it. A revocation
/// may be about any permit ([`Revocations`]), and a decision about any number (`one_number`). Watched by
/// `an_entry_that_cannot_be_read_takes_its_own_application_and_no_other`.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) dossiers: Vec<Dossier>,
    pub(crate) lost: Vec<Lost>,
}

/// What cannot be read, or not in full.
pub(crate) struct Lost {
    /// An application, or what else entries are about.
    about: String,
    entries: Vec<Unreadable>,
    /// Of an application, as far as other entries say it.
    person: Option<PersonName>,
    submitted_at: Option<Timestamp>,
    nodes: Vec<NodeName>,
}

impl Files {
    /// All there are.
    pub(crate) fn all(db: &Connection) -> Result<Self, Stop> {
        Ok(Self::gather(governance::all(db)?, &Revocations::all(db)?))
    }

    /// The application of that id.
    pub(crate) fn one(db: &Connection, id: &ApplicationId) -> Result<Dossier, Stop> {
        let mut found = Self::gather(governance::of(db, id.as_str())?, &Revocations::all(db)?);
        match (found.dossiers.pop(), found.lost.first().and_then(|lost| lost.entries.first())) {
            (Some(dossier), _) => Ok(dossier),
            (None, Some(entry)) => Err(entry.fault().into()),
            (None, None) => Err(unknown(id).into()),
        }
    }

    fn gather(entries: Vec<Entry>, revocations: &Revocations) -> Self {
        let mut files = Self::default();
        for (number, entry) in entries {
            match entry {
                Ok(event) => files.take(number, &event),
                Err(unreadable) => files.lose(unreadable),
            }
        }
        files.dossiers.iter_mut().for_each(|dossier| dossier.settle(revocations));
        files
    }

    fn take(&mut self, number: i64, event: &Event) {
        if let Some(lost) = self.lost.iter_mut().find(|lost| lost.about == event.subject) {
            lost.nodes.extend(event.node.clone());
            return;
        }
        let nothing = || Fault::new("reading the log of governance", "no application was submitted under that id");
        let about = self.dossiers.iter_mut().rfind(|one| one.id.as_str() == event.subject);
        let taken = match event.what {
            What::Submitted => Dossier::begin(event).map(|begun| self.dossiers.push(begun)),
            What::Part | What::Notice | What::Decision | What::Provided | What::Added | What::Withdrawn => {
                about.ok_or_else(|| nothing().into()).and_then(|dossier| dossier.apply(event))
            }
            What::Published | What::Agreement | What::Revoked | What::Recorded | What::Members => opens(event),
        };
        if let Err(why) = taken {
            self.lose(Unreadable::entry(number, event, &why));
        }
    }

    fn lose(&mut self, entry: Unreadable) {
        if let Some(lost) = self.lost.iter_mut().find(|lost| lost.about == entry.subject) {
            lost.nodes.extend(entry.node.clone());
            lost.entries.push(entry);
            return;
        }
        let about = entry.subject.clone();
        let known = self.dossiers.extract_if(.., |one| one.id.as_str() == about).next();
        let (person, submitted_at, mut nodes) = match known {
            Some(dossier) => {
                let nodes = dossier.parts.iter().map(|part| part.node.clone()).collect();
                (Some(dossier.person), Some(dossier.submitted_at), nodes)
            }
            // The first entry of an application is its applicant's.
            None => (entry.person.clone(), entry.at, Vec::new()),
        };
        nodes.extend(entry.node.clone());
        self.lost.push(Lost { about, entries: vec![entry], person, submitted_at, nodes });
    }
}

impl Lost {
    /// What everybody may know of it.
    pub(crate) fn told(&self) -> wire::Unreadable {
        let entries = self.entries.iter().map(|entry| entry.number).collect();
        wire::Unreadable { about: self.about.clone(), entries }
    }

    /// Its line in a list, if it is an application that `person` may see, or one with a part of one of `nodes`; or for whoever sees `all`.
    pub(crate) fn line(&self, person: &PersonName, nodes: &[NodeName], all: bool) -> Option<ApplicationLine> {
        let (id, by) = (self.about.parse().ok()?, self.person.clone()?);
        let mut seen: Vec<_> = self.nodes.iter().filter(|node| nodes.contains(node) || all || by == *person).collect();
        seen.sort_unstable();
        seen.dedup();
        (all || by == *person || !seen.is_empty()).then_some(ApplicationLine {
            id,
            number: None,
            person: by,
            submitted_at: self.submitted_at?,
            granted: 0,
            in_force: 0,
            parts: u32::try_from(seen.len()).unwrap_or(u32::MAX),
            overdue: 0,
            due: None,
            unreadable: self.entries.iter().map(|entry| entry.number).collect(),
        })
    }
}

/// Every revocation that the hub was told of, oldest first.
///
/// # Security
/// One that cannot be read may take back any permit: while there is one, nobody is told that a permit holds. Watched by
/// `a_revocation_that_cannot_be_read_leaves_no_permit_in_force`.
pub(super) struct Revocations {
    pub(super) told: Vec<Opened<RevocationBody>>,
    /// The entries that may be others, and cannot be read.
    pub(super) unreadable: Vec<i64>,
}

impl Revocations {
    fn all(db: &Connection) -> Result<Self, Stop> {
        let (told, lost) = governance::opened(db, What::Revoked, |event| Ok(document::open(&event.body)?))?;
        Ok(Self { told, unreadable: lost.iter().map(|entry| entry.number).collect() })
    }
}

/// That what an entry says can be read, which is about no application.
fn opens(event: &Event) -> Result<(), Stop> {
    match event.what {
        What::Published => drop(serde_json::from_slice::<PublishedResult>(&event.body)?),
        What::Recorded => drop(serde_json::from_slice::<Record>(&event.body)?),
        What::Revoked => drop(document::open::<RevocationBody>(&event.body)?),
        What::Agreement => drop(document::open::<AgreementBody>(&event.body)?),
        What::Members => drop(serde_json::from_slice::<MemberAct>(&event.body)?),
        _ => {}
    }
    Ok(())
}

/// Tells the operator of every entry that cannot be read.
pub(crate) fn tell_unreadable(db: &Connection) -> Result<(), Stop> {
    for entry in Files::all(db)?.lost.iter().flat_map(|lost| &lost.entries) {
        tracing::error!(
            "{}; what it is about is left out, or unknown, and the rest goes on: put `hub.sqlite` back from a copy (\"What the hub keeps\" in \
             docs/governance.md)",
            entry.fault()
        );
    }
    Ok(())
}
