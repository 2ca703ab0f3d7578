//! Who may call: certificates that were invited and not dismissed.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    ids::{Digest, NodeName, PersonName},
    refusal::Refusal,
};
use spe_wire::{Peer, pki::Role};

use super::{first, parsed};
use crate::stop::Stop;

/// The member that calls.
pub(crate) fn caller(db: &Connection, peer: Peer) -> Result<Role, Stop> {
    let print = peer.fingerprint.to_string();
    let role = first(db, "SELECT role FROM member WHERE fingerprint = ?1", [&print], |row| parsed(row, "role"))?;
    let stranger = Refusal::NotAllowed {
        who: format!("the certificate {}", peer.fingerprint.short()),
        what: "call this hub: it is not listed; ask the hub's operator for an invitation".into(),
    };
    Ok(role.ok_or(stranger)?)
}

/// The person that calls.
pub(crate) fn person(db: &Connection, peer: Peer) -> Result<PersonName, Stop> {
    match caller(db, peer)? {
        Role::Person(person) => Ok(person),
        other => Err(Refusal::NotAllowed { who: other.to_string(), what: "do what persons do".into() }.into()),
    }
}

/// The node that calls.
pub(crate) fn node(db: &Connection, peer: Peer) -> Result<NodeName, Stop> {
    match caller(db, peer)? {
        Role::Node(node) => Ok(node),
        other => Err(Refusal::NotAllowed { who: other.to_string(), what: "do what nodes do".into() }.into()),
    }
}

/// Lists a certificate.
pub(crate) fn list(db: &Connection, role: &Role, fingerprint: Digest) -> Result<(), Stop> {
    let refuse = |what: &str| Err(Refusal::NotAllowed { who: role.to_string(), what: what.into() }.into());
    if *role == Role::Hub {
        return refuse("be invited: there is one hub");
    }
    if first(db, "SELECT role FROM member WHERE role = ?1", [role.to_string()], |_| Ok(()))?.is_some() {
        return refuse("be invited twice; dismiss it first, and its old certificate ends");
    }
    let listed_at = Timestamp::now().to_string();
    db.execute(
        "INSERT INTO member VALUES (?1, ?2, ?3)",
        params![fingerprint.to_string(), role.to_string(), listed_at],
    )?;
    Ok(())
}

/// Strikes a member off the list.
pub(crate) fn strike(db: &Connection, role: &Role) -> Result<(), Stop> {
    match db.execute("DELETE FROM member WHERE role = ?1", [role.to_string()])? {
        0 => Err(Refusal::NotFound { what: role.to_string() }.into()),
        _ => Ok(()),
    }
}
