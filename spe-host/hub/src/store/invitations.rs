//! Invitations by token: the hash of each token, until when it is good, and what it was used for.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{ids::Digest, refusal::Refusal};
use spe_wire::{pki::Role, request::RequestedKey};

use super::{first, members, parsed};
use crate::stop::Stop;

/// How a token is met.
pub(crate) enum Welcome {
    /// It is good for a certificate.
    New,
    /// The very key had this one already: its owner did not hear of it.
    Again(String),
}

/// Lists a token. An earlier one of the same member ends.
pub(crate) fn insert(db: &Connection, member: &Role, hash: Digest, until: Timestamp) -> Result<(), Stop> {
    members::invitable(db, member)?;
    db.execute("DELETE FROM invitation WHERE member = ?1", [member.to_string()])?;
    let sql = "INSERT INTO invitation (hash, member, until) VALUES (?1, ?2, ?3)";
    db.execute(sql, [hash.to_string(), member.to_string(), until.to_string()])?;
    Ok(())
}

/// Meets a token that `member` hands in with a request for `key`.
///
/// Refuses one that is unknown, for another member, used for another key, or over, each in its own words.
pub(crate) fn open(
    db: &Connection,
    hash: Digest,
    member: &Role,
    key: &RequestedKey,
    now: Timestamp,
) -> Result<Welcome, Stop> {
    let refuse = |what: String| Err(Refusal::NotAllowed { who: member.to_string(), what }.into());
    let sql = "SELECT member, until, used_at, key, certificate FROM invitation WHERE hash = ?1";
    let found = first(db, sql, [hash.to_string()], |row| {
        let (invited, until): (Role, Timestamp) = (parsed(row, "member")?, parsed(row, "until")?);
        let (used_at, key): (Option<String>, Option<String>) = (row.get("used_at")?, row.get("key")?);
        Ok((invited, until, used_at, key, row.get::<_, Option<String>>("certificate")?))
    })?;
    let Some((invited, until, used_at, used_for, certificate)) = found else {
        return refuse(
            "join with this token: the hub does not know it; ask the hub's operator for a new invitation".into(),
        );
    };
    if invited != *member {
        return refuse("join with this token: it is for another member".into());
    }
    if let Some(at) = used_at {
        let same = used_for.is_some_and(|used| used == key.digest().to_string());
        return match certificate.filter(|_| same) {
            Some(certificate) => Ok(Welcome::Again(certificate)),
            None => refuse(format!(
                "join with this token: it was used at {at}; if that was not you, tell the hub's operator at once"
            )),
        };
    }
    if now >= until {
        return refuse(format!(
            "join with this token: it ended at {until}; ask the hub's operator for a new invitation"
        ));
    }
    Ok(Welcome::New)
}

/// Notes that a token was used.
pub(crate) fn used(
    db: &Connection,
    hash: Digest,
    key: &RequestedKey,
    certificate: &str,
    now: Timestamp,
) -> Result<(), Stop> {
    let sql = "UPDATE invitation SET used_at = ?2, key = ?3, certificate = ?4 WHERE hash = ?1";
    db.execute(sql, params![hash.to_string(), now.to_string(), key.digest().to_string(), certificate])?;
    Ok(())
}
