//! `connection.toml`: how a member reaches the hub.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spe_kernel::dsse::PublicKey;

use crate::{
    file::{FileError, read},
    pki::Role,
};

/// How a member reaches the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Who the member is; the certificate counts.
    pub member: Role,
    /// The hub's `host:port`, or the key holder's.
    #[serde(alias = "keyholder")]
    pub hub: String,
    /// The name in the hub's certificate, where it is not the host in `hub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The key with which the hub cosigns this node's audit log. Without it, the first that the hub shows is the one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<PublicKey>,
    /// The authority's certificate. Paths are relative to the file that names them.
    pub ca: PathBuf,
    /// The member's certificate.
    pub cert: PathBuf,
    /// The member's private key.
    pub key: PathBuf,
    /// How long to wait for a connection.
    #[serde(default = "connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
    /// How long to wait for the answer to a request.
    #[serde(default = "request_timeout_seconds")]
    pub request_timeout_seconds: u64,
}

const fn connect_timeout_seconds() -> u64 {
    10
}

const fn request_timeout_seconds() -> u64 {
    60
}

impl Connection {
    /// The connection of a bundle that holds `ca.pem`, `cert.pem` and `key.pem`.
    pub fn new(member: Role, hub: &str) -> Self {
        Self {
            member,
            hub: hub.into(),
            server_name: None,
            witness: None,
            ca: "ca.pem".into(),
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            connect_timeout_seconds: connect_timeout_seconds(),
            request_timeout_seconds: request_timeout_seconds(),
        }
    }

    /// Reads `connection.toml`.
    ///
    /// # Errors
    /// Which field is wrong, and what was expected.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let mut connection: Self = toml::from_str(&read(path)?).map_err(FileError::at(path))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        for file in [&mut connection.ca, &mut connection.cert, &mut connection.key] {
            *file = dir.join(&*file);
        }
        Ok(connection)
    }

    /// The name that the hub's certificate must carry; nothing if `hub` is not `host:port`.
    pub(crate) fn server_name(&self) -> Option<&str> {
        let (host, port) = self.hub.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        Some(self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']))
    }
}
