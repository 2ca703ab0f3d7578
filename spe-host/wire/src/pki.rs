//! Certificates: who is who on the wire. The hub's operator runs the authority. A member hands in a key of its own with a token
//! ([`Authority::certify`]), or is handed one ([`Authority::issue`]).

use std::{
    fmt, fs,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use spe_kernel::ids::{Digest, IdError, NodeName, PersonName};

use crate::{
    file::{FileError, read, write_public, write_secret},
    request::RequestedKey,
};

const DAY: Duration = Duration::from_hours(24);
/// How long the authority's certificate is valid.
const AUTHORITY_VALID_DAYS: u32 = 3_650;
/// How long a member's certificate is valid.
const MEMBER_VALID_DAYS: u32 = 730;
/// How far in the past validity starts, for clocks that are late.
const CLOCK_SLACK_DAYS: u32 = 1;
const AUTHORITY_NAME: &str = "spe federation";
const AUTHORITY_CERT: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";

/// Whom a certificate is for, written `hub`, `keyholder`, `node <name>` or `person <name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// The hub.
    Hub,
    /// The key holder.
    KeyHolder,
    /// A data holder's node.
    Node(NodeName),
    /// A person who asks.
    Person(PersonName),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.pad("hub"),
            Self::KeyHolder => f.pad("keyholder"),
            Self::Node(name) => f.pad(&format!("node {name}")),
            Self::Person(name) => f.pad(&format!("person {name}")),
        }
    }
}

/// A text that is not a [`Role`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Not of the form.
    #[error("expected \"hub\", \"keyholder\", \"node <name>\" or \"person <name>\"")]
    Form,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        match text.split_once(' ') {
            None if text == "hub" => Ok(Self::Hub),
            None if text == "keyholder" => Ok(Self::KeyHolder),
            Some(("node", name)) => Ok(Self::Node(name.parse()?)),
            Some(("person", name)) => Ok(Self::Person(name.parse()?)),
            _ => Err(RoleError::Form),
        }
    }
}

impl TryFrom<String> for Role {
    type Error = RoleError;
    fn try_from(text: String) -> Result<Self, RoleError> {
        text.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.to_string()
    }
}

/// The federation's certificate authority.
pub struct Authority {
    certificate: String,
    key: KeyPair,
}

/// A certificate that cannot be issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for {role} at {hosts:?}: {why}; hosts are DNS names or addresses")]
pub struct IssueError {
    role: Role,
    hosts: Vec<String>,
    why: String,
}

/// A certificate with its private key, in PEM. Not `Debug`: it holds a secret.
pub struct Identity {
    certificate: String,
    key: String,
    fingerprint: Digest,
}

impl Authority {
    /// Makes a new authority in `dir`: `ca.pem` for everyone, `ca.key` for its owner's eyes only.
    ///
    /// # Errors
    /// The file system's; an authority that is there already stays.
    pub fn create(dir: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(dir).map_err(FileError::at(dir))?;
        let key = KeyPair::generate().map_err(FileError::at(dir))?;
        let certificate = authority_params().self_signed(&key).map_err(FileError::at(dir))?.pem();
        write_secret(&dir.join(AUTHORITY_KEY), key.serialize_pem())?;
        write_public(&dir.join(AUTHORITY_CERT), &certificate)?;
        Ok(Self { certificate, key })
    }

    /// Opens the authority that [`Authority::create`] made in `dir`.
    ///
    /// # Errors
    /// Which of its two files cannot be read.
    pub fn load(dir: &Path) -> Result<Self, FileError> {
        let path = dir.join(AUTHORITY_KEY);
        let key = KeyPair::from_pem(&read(&path)?).map_err(FileError::at(&path))?;
        Ok(Self { certificate: read(&dir.join(AUTHORITY_CERT))?, key })
    }

    /// The authority's certificate, in PEM: what members check the hub's certificate with, and the hub theirs.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new key and its certificate. `hosts` are the names and addresses under which a hub is reached.
    ///
    /// # Errors
    /// A host that is neither a DNS name nor an address.
    pub fn issue(&self, role: &Role, hosts: &[String]) -> Result<Identity, IssueError> {
        let wrong = |e: rcgen::Error| IssueError { role: role.clone(), hosts: hosts.to_vec(), why: e.to_string() };
        self.sign(role, hosts).map_err(wrong)
    }

    /// The certificate of a member whose key stays where it is; in PEM, with its fingerprint.
    ///
    /// # Errors
    /// The hub's own certificate is not issued on request.
    pub fn certify(&self, role: &Role, key: &RequestedKey) -> Result<(String, Digest), IssueError> {
        let wrong = |why: String| IssueError { role: role.clone(), hosts: Vec::new(), why };
        if matches!(role, Role::Hub | Role::KeyHolder) {
            return Err(wrong("a hub has no invitation".into()));
        }
        let params = Self::params(role, &[]).map_err(|e| wrong(e.to_string()))?;
        let signed = params.signed_by(key, &Issuer::new(authority_params(), &self.key));
        let certificate = signed.map_err(|e| wrong(e.to_string()))?;
        Ok((certificate.pem(), Digest::of(certificate.der())))
    }

    fn params(role: &Role, hosts: &[String]) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = named(&role.to_string());
        valid_for(&mut params, MEMBER_VALID_DAYS);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A member's certificate cannot be used to pose as the hub, nor the hub's to pose as a member.
        params.extended_key_usages = vec![match role {
            Role::Hub | Role::KeyHolder => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Node(_) | Role::Person(_) => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        Ok(params)
    }

    fn sign(&self, role: &Role, hosts: &[String]) -> Result<Identity, rcgen::Error> {
        let params = Self::params(role, hosts)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Issuer::new(authority_params(), &self.key))?;
        Ok(Identity {
            fingerprint: Digest::of(certificate.der()),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl Identity {
    /// BLAKE3 of the certificate's DER: how the hub knows a member.
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Writes `cert.pem` and `key.pem` (mode 0600) into `dir`.
    ///
    /// # Errors
    /// The file system's; existing files are not replaced.
    pub fn save(&self, dir: &Path) -> Result<(), FileError> {
        write_secret(&dir.join("key.pem"), &self.key)?;
        write_public(&dir.join("cert.pem"), &self.certificate)
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_VALID_DAYS);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn valid_for(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - DAY * CLOCK_SLACK_DAYS).into();
    params.not_after = (now + DAY * days).into();
}
