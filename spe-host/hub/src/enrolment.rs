//! Founding a federation, inviting members, letting them go. Works beside a running hub.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rusqlite::TransactionBehavior;
use spe_kernel::refusal::Refusal;
use spe_wire::{
    Connection, FileError,
    pki::{Authority, Role},
};

use crate::{
    config::{CONFIG_FILE, Config},
    store::{self, jobs, members, nodes},
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
/// The file that cannot be read or written; a member of that role and name who is listed already.
pub fn invite(dir: &Path, role: &Role) -> Result<PathBuf, FileError> {
    let config = Config::read(dir)?;
    let bundle = bundle(dir, role);
    let identity = Authority::load(&config.authority)?.issue(role, &[]).map_err(FileError::at(&bundle))?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let listing = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    members::list(&listing, role, identity.fingerprint()).map_err(FileError::at(&config.store))?;
    fs::create_dir_all(&bundle).map_err(FileError::at(&bundle))?;
    identity.save(&bundle)?;
    let ca = bundle.join("ca.pem");
    fs::copy(config.ca(), &ca).map_err(FileError::at(&ca))?;
    write_toml(&bundle.join("connection.toml"), &Connection::new(role.clone(), &config.public))?;
    listing.commit().map_err(at)?;
    Ok(bundle)
}

/// Strikes a member off the list: its certificate is refused from now on, and jobs no longer wait for it.
///
/// A node's answer-signing key stays pinned to its name; its datasets are nobody's. Where another node's dataset was left
/// out because of one of them, it is let in when that node offers it again: at the latest when it next connects.
///
/// # Errors
/// Nobody of that role and name is listed; the file that cannot be written.
pub fn dismiss(dir: &Path, role: &Role) -> Result<(), FileError> {
    let config = Config::read(dir)?;
    let mut db = store::open(&config.store)?;
    let at = |e: rusqlite::Error| FileError::at(&config.store)(e);
    let striking = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    members::strike(&striking, role).map_err(FileError::at(&config.store))?;
    if let Role::Node(node) = role {
        let gone = Refusal::NotAllowed { who: role.to_string(), what: "answer: it has left the federation".into() };
        jobs::give_up(&striking, node, &gone).map_err(FileError::at(&config.store))?;
        nodes::withdraw(&striking, node).map_err(FileError::at(&config.store))?;
    }
    striking.commit().map_err(at)?;
    let bundle = bundle(dir, role);
    if bundle.exists() { fs::remove_dir_all(&bundle).map_err(FileError::at(&bundle)) } else { Ok(()) }
}

fn bundle(dir: &Path, role: &Role) -> PathBuf {
    dir.join("invitations").join(role.to_string().replace(' ', "-"))
}

fn write_toml(path: &Path, value: &impl serde::Serialize) -> Result<(), FileError> {
    let text = toml::to_string(value).map_err(FileError::at(path))?;
    fs::write(path, text).map_err(FileError::at(path))
}
