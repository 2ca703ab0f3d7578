//! What is done at the hub's own machine, and under which account: it is in the log of governance, in the transaction of what was done.

use std::{fmt, path::Path};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use spe_kernel::{agreement::AgreementBody, audit::Person, document, fault::Fault};
use spe_wire::{FileError, pki::Role};

use crate::{
    config::Config,
    records::Record,
    roles::Listed,
    stop::Stop,
    store::{
        self,
        governance::{self, Event, What},
        members,
    },
};

/// What entries about members are about: it names nobody, for whoever reads the register reads it of an entry that cannot be read. It is no
/// application's id.
const SUBJECT: &str = "hub members";

/// Who works at the hub's machine, and when.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The account.
    pub account: Person,
    /// Now.
    pub at: Timestamp,
}

/// What was done with a member, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberAct {
    /// By the operator's clock: the same again is another act.
    at: Timestamp,
    did: Did,
    member: Role,
    /// The roles that a person has since then.
    roles: Vec<String>,
}

/// What it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Did {
    /// Invited with a folder that holds key and certificate.
    Invited,
    /// Invited with a token.
    InvitedByToken,
    /// Struck off the list.
    Dismissed,
    /// Given roles in the place of those that the person had.
    GivenRoles,
}

impl fmt::Display for MemberAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { did, member, roles, .. } = self;
        let did = match did {
            Did::Invited => "invited with a folder",
            Did::InvitedByToken => "invited with a token",
            Did::Dismissed => "dismissed",
            Did::GivenRoles => "given roles",
        };
        write!(f, "{member} {did}")?;
        match (member, self.did) {
            (Role::Person(_), Did::Invited | Did::InvitedByToken | Did::GivenRoles) if roles.is_empty() => {
                f.write_str(": no role")
            }
            (Role::Person(_), Did::Invited | Did::InvitedByToken | Did::GivenRoles) => {
                write!(f, ": {}", roles.join(", "))
            }
            _ => Ok(()),
        }
    }
}

/// Writes down what `by` did with a member; in the transaction in which it was done, and after it.
pub(crate) fn note(db: &Connection, did: Did, member: &Role, by: &Operator) -> Result<(), Stop> {
    let roles = match member {
        Role::Person(person) => members::roles(db, person)?.iter().map(Listed::to_string).collect(),
        Role::Node(_) | Role::Hub | Role::KeyHolder => Vec::new(),
    };
    let act = MemberAct { at: by.at, did, member: member.clone(), roles };
    let person = "hub".parse().map_err(Fault::while_("naming a party"))?;
    let (subject, body) = (SUBJECT.into(), serde_json::to_vec(&act)?);
    let event = Event { at: by.at, what: What::Members, subject, node: None, person, body };
    governance::append_by(db, &event, Some(&by.account))
}

/// Something that was done at the hub's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operated {
    /// The entry of the hub's log.
    pub entry: i64,
    /// When, by the hub's calendar; none if it cannot be read.
    pub at: Option<Timestamp>,
    /// Under which account.
    pub account: String,
    /// What, in words.
    pub did: String,
}

/// Everything that was done at the machine of the hub in `dir`, oldest first: with members, agreements and the activity report. What was done
/// before the hub wrote accounts down is not in it. Works beside a running hub.
///
/// # Privacy
/// For the hub's operator alone. Watched by `who_makes_an_assessor_is_in_the_log_and_in_nothing_that_leaves` in
/// `spe-host/hub/tests/it/members.rs`.
///
/// # Errors
/// The file that cannot be used.
pub fn operated(dir: &Path) -> Result<Vec<Operated>, FileError> {
    let config = Config::read(dir)?;
    let db = store::open(&config.store)?;
    let all = governance::operated(&db).map_err(FileError::at(&config.store))?;
    let one = |((entry, read), account): (governance::Entry, String)| {
        let (at, did) = match read {
            Ok(event) => (Some(event.at), told(&event).unwrap_or_else(|why| format!("UNREADABLE: {why}"))),
            Err(unreadable) => (unreadable.at, format!("UNREADABLE: {}", unreadable.why)),
        };
        Operated { entry, at, account, did }
    };
    Ok(all.into_iter().map(one).collect())
}

/// What an entry says, in words.
fn told(event: &Event) -> Result<String, Stop> {
    let Event { what, subject, body, .. } = event;
    Ok(match what {
        What::Members => serde_json::from_slice::<MemberAct>(body)?.to_string(),
        What::Recorded => {
            let Record { point, of, count, at, .. } = serde_json::from_slice(body)?;
            format!("recorded under ({point}): {of} {count}, of {at}")
        }
        What::Agreement => format!("{subject}: {}", document::open::<AgreementBody>(body)?.body().act.name()),
        _ => subject.clone(),
    })
}
