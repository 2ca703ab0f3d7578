//! Founding a federation, inviting members, letting them go. Works beside a running hub.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use spe_kernel::{dsse::PublicKey, fault::Fault, ids::PersonName, refusal::Refusal};
use spe_wire::{
    EnrolRequest, Enrolled, FileError, Invitation, Token,
    pki::{Authority, Role},
    request::RequestedKey,
    tls::fingerprint,
    token_hash,
};

use crate::{
    config::{CONFIG_FILE, Config},
    operators::{self, Did, Operator},
    roles::{Listed, ROLES_DEFAULT},
    stop::{NotDone, Stop},
    store::{
        self,
        invitations::{self, Welcome},
        jobs, members, nodes,
    },
    witness,
};

/// Founds a federation in `dir`: certificate authority, the hub's certificate for `hosts`, and `hub.toml`.
///
/// Members are told to reach the hub at the first of `hosts`.
///
/// # Errors
/// The file that cannot be written; nothing that exists is replaced.
pub fn init(dir: &Path, hosts: &[String], listen: SocketAddr) -> Result<Config, FileError> {
    let path = dir.join(CONFIG_FILE);
    let host = hosts
        .first()
        .ok_or_else(|| FileError::at(&path)("no host; name at least one under which members reach the hub"))?;
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let config = Config::new(listen, format!("{bracketed}:{}", listen.port()));
    let authority = Authority::create(&dir.join(&config.authority))?;
    let identity = authority.issue(&Role::Hub, hosts).map_err(FileError::at(&path))?;
    identity.save(dir)?;
    store::open(&dir.join(&config.store))?;
    write_toml(&path, &config)?;
    Config::read(dir)
}

/// Makes the bundle of a new member (`ca.pem`, `cert.pem`, `key.pem`, `connection.toml`) and lists its certificate.
///
/// Returns the bundle's directory, `invitations/<role>-<name>` in `dir`. Give it to the member over a channel that both
/// trust, and delete it here: who has it is the member.
///
/// # Errors
/// [`NotDone::Refused`]: a member of that role and name who is listed already; the file that cannot be read or written.
pub fn invite(dir: &Path, role: &Role, roles: Option<&[Listed]>, by: &Operator) -> Result<PathBuf, NotDone> {
    let config = Config::read(dir)?;
    let bundle = bundle(dir, role);
    let identity = Authority::load(&config.authority)?.issue(role, &[]).map_err(FileError::at(&bundle))?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let listing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    members::list(&listing, role, identity.fingerprint()).map_err(NotDone::at(&config.store))?;
    greet(&listing, role, roles).map_err(NotDone::at(&config.store))?;
    operators::note(&listing, Did::Invited, role, by).map_err(NotDone::at(&config.store))?;
    fs::create_dir_all(&bundle).map_err(FileError::at(&bundle))?;
    identity.save(&bundle)?;
    let ca = bundle.join("ca.pem");
    fs::copy(config.ca(), &ca).map_err(FileError::at(&ca))?;
    let witness = Some(witness::key(&config)?.public());
    let connection = spe_wire::Connection { witness, ..spe_wire::Connection::new(role.clone(), &config.public) };
    write_toml(&bundle.join("connection.toml"), &connection)?;
    listing.commit().map_err(at)?;
    Ok(bundle)
}

/// Invites a member who makes the key alone: lists a one-time token's hash, and gives the line that the member joins with.
///
/// # Errors
/// [`NotDone::Refused`]: a member of that role and name who is listed already; the file that cannot be read or written.
pub fn invite_by_token(
    dir: &Path,
    role: &Role,
    roles: Option<&[Listed]>,
    until: Timestamp,
    by: &Operator,
) -> Result<Invitation, NotDone> {
    let config = Config::read(dir)?;
    let token = Token::random().map_err(FileError::at(&config.store))?;
    let ca = fingerprint(&config.ca())?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let inviting = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    let hash = token_hash(token.expose_text());
    invitations::insert(&inviting, role, hash, until).map_err(NotDone::at(&config.store))?;
    greet(&inviting, role, roles).map_err(NotDone::at(&config.store))?;
    operators::note(&inviting, Did::InvitedByToken, role, by).map_err(NotDone::at(&config.store))?;
    inviting.commit().map_err(at)?;
    Ok(Invitation { hub: config.public, ca, member: role.clone(), token, until })
}

/// A person has the roles that the operator gives; without a word of the operator, who comes for the first time has those of a researcher.
fn greet(db: &Connection, role: &Role, roles: Option<&[Listed]>) -> Result<(), Stop> {
    match (role, roles) {
        (Role::Person(person), Some(roles)) => members::assign(db, person, roles),
        (Role::Person(person), None) if members::roles(db, person)?.is_empty() => {
            members::assign(db, person, &ROLES_DEFAULT)
        }
        _ => Ok(()),
    }
}

/// The roles of a person, after an operator has given the person these, if any are given. Works beside a running hub.
///
/// # Errors
/// [`NotDone::Refused`]: somebody who is neither listed nor invited; the file that cannot be used.
pub fn roles_of(
    dir: &Path,
    person: &PersonName,
    given: Option<(&[Listed], &Operator)>,
) -> Result<Vec<Listed>, NotDone> {
    let config = Config::read(dir)?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let assigning = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    members::known(&assigning, person).map_err(NotDone::at(&config.store))?;
    if let Some((given, by)) = given {
        members::assign(&assigning, person, given).map_err(NotDone::at(&config.store))?;
        let person = Role::Person(person.clone());
        operators::note(&assigning, Did::GivenRoles, &person, by).map_err(NotDone::at(&config.store))?;
    }
    let roles = members::roles(&assigning, person).map_err(NotDone::at(&config.store))?;
    assigning.commit().map_err(at)?;
    Ok(roles)
}

/// Issues a certificate for a token, in one transaction: a token is used, and its member listed, or neither.
pub(crate) fn enrol(
    db: &Connection,
    (config, witness): (&Config, PublicKey),
    asked: &EnrolRequest,
    now: Timestamp,
) -> Result<Enrolled, Stop> {
    let key = RequestedKey::verify(&asked.request)?;
    let ca = fs::read_to_string(config.ca()).map_err(Fault::while_("reading the authority's certificate"))?;
    let hash = token_hash(&asked.token);
    let certificate = match invitations::open(db, hash, &asked.member, &key, now)? {
        Welcome::Again(certificate) => certificate,
        Welcome::New => {
            let authority = Authority::load(&config.authority).map_err(Fault::while_("opening the authority"))?;
            let issued = authority.certify(&asked.member, &key);
            let (certificate, print) = issued.map_err(Fault::while_("issuing a certificate"))?;
            members::list(db, &asked.member, print)?;
            invitations::used(db, hash, &key, &certificate, now)?;
            certificate
        }
    };
    Ok(Enrolled { ca, certificate, witness })
}

/// Strikes a member off the list: its certificate is refused from now on, and jobs no longer wait for it. An invitation that
/// was not used ends too.
///
/// A node's answer-signing key stays pinned to its name; its datasets are nobody's. Where another node's dataset was left
/// out because of one of them, it is let in when that node offers it again: at the latest when it next connects.
///
/// # Errors
/// [`NotDone::Refused`]: nobody of that role and name is listed; the file that cannot be written.
pub fn dismiss(dir: &Path, role: &Role, by: &Operator) -> Result<(), NotDone> {
    let config = Config::read(dir)?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let striking = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    members::strike(&striking, role).map_err(NotDone::at(&config.store))?;
    operators::note(&striking, Did::Dismissed, role, by).map_err(NotDone::at(&config.store))?;
    if let Role::Node(node) = role {
        let gone = Refusal::NotAllowed { who: role.to_string(), what: "answer: it has left the federation".into() };
        jobs::give_up(&striking, node, &gone).map_err(NotDone::at(&config.store))?;
        nodes::withdraw(&striking, node).map_err(NotDone::at(&config.store))?;
    }
    striking.commit().map_err(at)?;
    let bundle = bundle(dir, role);
    if bundle.exists() { Ok(fs::remove_dir_all(&bundle).map_err(FileError::at(&bundle))?) } else { Ok(()) }
}

fn bundle(dir: &Path, role: &Role) -> PathBuf {
    dir.join("invitations").join(role.to_string().replace(' ', "-"))
}

fn write_toml(path: &Path, value: &impl serde::Serialize) -> Result<(), FileError> {
    let text = toml::to_string(value).map_err(FileError::at(path))?;
    fs::write(path, text).map_err(FileError::at(path))
}
