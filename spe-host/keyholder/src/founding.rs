//! Setting up: the key holder's own authority, and who is let in.

use std::{fs, net::SocketAddr, path::Path};

use spe_kernel::{
    audit::Person,
    dsse::{PublicKey, SecretKey},
    ids::{DatasetName, NodeName},
    keys::Zeroize,
};
use spe_wire::{
    FileError,
    pki::{Authority, Role},
    write_public, write_secret,
};

use crate::{
    config::{Config, FILE},
    store::{Store, StoreError, entropy},
};

const SERVER: &str = "server";

/// Founds a key holder in `dir`, which must be there: an authority, the server's certificate, the key of its deletion certificates, and
/// an empty store. Nodes reach it under the first of `hosts`. The public key is for those who will check certificates.
///
/// # Errors
/// What is there already, or cannot be written.
pub fn init(dir: &Path, hosts: &[String], listen: SocketAddr) -> Result<(Config, PublicKey), StoreError> {
    let host = hosts.first().map_or("localhost", String::as_str);
    let config = Config::new(dir, listen, format!("{host}:{}", listen.port()));
    let authority = Authority::create(dir)?;
    let server = dir.join(SERVER);
    fs::create_dir_all(&server).map_err(FileError::at(&server))?;
    authority.issue(&Role::KeyHolder, hosts).map_err(FileError::at(&server))?.save(&server)?;
    let key = SecretKey::from_seed(&entropy()?);
    write_secret(&config.signing_key_file(), key.expose_text())?;
    Store::create(dir)?;
    // Last: a folder with this file is a key holder.
    let text = toml::to_string_pretty(&config).map_err(FileError::at(&dir.join(FILE)))?;
    write_public(&dir.join(FILE), &text)?;
    Ok((config, key.public()))
}

/// Lets `node` in, for the operator `by`: writes its key and certificate, and how to reach this key holder, into the new folder `out`. Works while the key holder
/// runs. Inviting a node again takes the older certificate's place; the node's keys stay.
///
/// # Errors
/// What cannot be written.
pub fn invite(dir: &Path, node: &NodeName, out: &Path, by: &Person) -> Result<(), StoreError> {
    let config = Config::read(dir)?;
    let authority = Authority::load(dir)?;
    let role = Role::Node(node.clone());
    let identity = authority.issue(&role, &[]).map_err(FileError::at(out))?;
    identity.save(out)?;
    write_public(&out.join("ca.pem"), authority.certificate())?;
    Store::open(dir)?.admit(node, identity.fingerprint(), by)?;
    let text = format!(
        "# The way of node {node} to its key holder.\nmember = \"{role}\"\nkeyholder = \"{}\"\nca = \"ca.pem\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n",
        config.public
    );
    Ok(write_public(&out.join("connection.toml"), &text)?)
}

/// Refuses `node` from now on; its keys stay, for the day on which it is invited again.
///
/// # Errors
/// No such node; a store that cannot be written.
pub fn dismiss(dir: &Path, node: &NodeName, by: &Person) -> Result<(), StoreError> {
    Store::open(dir)?.dismiss(node, by)
}

/// Takes over the pseudonym key that a node had in a file of its own before there was a key holder, so that its register of opt-outs
/// stays valid. The file is the node's to destroy.
///
/// # Errors
/// The dataset has keys already; the file does not have 32 bytes.
pub fn import(dir: &Path, node: &NodeName, dataset: &DatasetName, file: &Path, by: &Person) -> Result<(), StoreError> {
    let mut bytes = fs::read(file).map_err(FileError::at(file))?;
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    bytes.zeroize();
    let key = key.map_err(|_| FileError::at(file)("a pseudonym key has 32 bytes"))?;
    Store::open(dir)?.import(node, dataset, key, by)
}

/// The files of the server's TLS identity: authority, certificate, key.
pub(crate) fn tls_files(dir: &Path) -> [std::path::PathBuf; 3] {
    [dir.join("ca.pem"), dir.join(SERVER).join("cert.pem"), dir.join(SERVER).join("key.pem")]
}
