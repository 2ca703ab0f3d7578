//! Who may call: certificates that were invited and not dismissed.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    ids::{Digest, NodeName, PersonName},
    refusal::Refusal,
};
use spe_wire::{Peer, pki::Role};

use super::{first, parsed, rows};
use crate::{roles::Listed, stop::Stop};

/// The member that calls.
pub(crate) fn caller(db: &Connection, peer: Peer) -> Result<Role, Stop> {
    let stranger = || Refusal::NotAllowed {
        who: "a caller without a certificate".into(),
        what: "call this: it is for members; ask the hub's operator for an invitation".into(),
    };
    let fingerprint = peer.fingerprint.ok_or_else(stranger)?;
    let print = fingerprint.to_string();
    let role = first(db, "SELECT role FROM member WHERE fingerprint = ?1", [&print], |row| parsed(row, "role"))?;
    let unlisted = Refusal::NotAllowed {
        who: format!("the certificate {}", fingerprint.short()),
        what: "call this hub: it is not listed; ask the hub's operator for an invitation".into(),
    };
    Ok(role.ok_or(unlisted)?)
}

/// All nodes that are listed, by name.
pub(crate) fn nodes(db: &Connection) -> Result<Vec<NodeName>, Stop> {
    let sql = "SELECT substr(role, 6) AS name FROM member WHERE role LIKE 'node %' ORDER BY name";
    rows(db, sql, [], |row| parsed(row, "name"))
}

/// The roles of `person`.
pub(crate) fn roles(db: &Connection, person: &PersonName) -> Result<Vec<Listed>, Stop> {
    let sql = "SELECT role, node FROM person_role WHERE person = ?1 ORDER BY rowid";
    rows(db, sql, [person.as_str()], |row| {
        let node: String = row.get("node")?;
        let node = (!node.is_empty()).then(|| parsed(row, "node")).transpose()?;
        Ok(Listed { role: parsed(row, "role")?, node })
    })
}

/// Refuses a person who is neither listed nor invited: most likely a slip of the pen.
pub(crate) fn known(db: &Connection, person: &PersonName) -> Result<(), Stop> {
    let sql = "SELECT role FROM member WHERE role = ?1 UNION ALL SELECT member FROM invitation WHERE member = ?1";
    let who = Role::Person(person.clone()).to_string();
    let found = first(db, sql, [&who], |_| Ok(()))?;
    Ok(found.ok_or(Refusal::NotFound { what: format!("{who} (neither a member nor invited)") })?)
}

/// Replaces the roles of `person`.
pub(crate) fn assign(db: &Connection, person: &PersonName, roles: &[Listed]) -> Result<(), Stop> {
    db.execute("DELETE FROM person_role WHERE person = ?1", [person.as_str()])?;
    for Listed { role, node } in roles {
        let node = node.as_ref().map_or("", |node| node.as_str());
        db.execute("INSERT OR IGNORE INTO person_role VALUES (?1, ?2, ?3)", [person.as_str(), role.name(), node])?;
    }
    Ok(())
}

/// Refuses a member who cannot be invited.
pub(crate) fn invitable(db: &Connection, role: &Role) -> Result<(), Stop> {
    let refuse = |what: &str| Err(Refusal::NotAllowed { who: role.to_string(), what: what.into() }.into());
    if *role == Role::Hub {
        return refuse("be invited: there is one hub");
    }
    if first(db, "SELECT role FROM member WHERE role = ?1", [role.to_string()], |_| Ok(()))?.is_some() {
        return refuse("be invited twice; dismiss it first, and its old certificate ends");
    }
    Ok(())
}

/// Lists a certificate.
pub(crate) fn list(db: &Connection, role: &Role, fingerprint: Digest) -> Result<(), Stop> {
    invitable(db, role)?;
    let listed_at = Timestamp::now().to_string();
    db.execute(
        "INSERT INTO member VALUES (?1, ?2, ?3)",
        params![fingerprint.to_string(), role.to_string(), listed_at],
    )?;
    Ok(())
}

/// Strikes a member off the list.
pub(crate) fn strike(db: &Connection, role: &Role) -> Result<(), Stop> {
    let open = db.execute("DELETE FROM invitation WHERE member = ?1", [role.to_string()])?;
    match open + db.execute("DELETE FROM member WHERE role = ?1", [role.to_string()])? {
        0 => Err(Refusal::NotFound { what: role.to_string() }.into()),
        _ => Ok(()),
    }
}
