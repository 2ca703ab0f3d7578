//! `hub.toml`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spe_kernel::person::People;
use spe_wire::FileError;

/// The file's name in the hub's directory.
pub const CONFIG_FILE: &str = "hub.toml";

/// The hub's configuration. Paths are relative to the file's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// `host:port` as members reach it; `invite` tells them.
    pub public: String,
    /// The SQLite file with everything that must survive.
    #[serde(default = "store")]
    pub store: PathBuf,
    /// The directory of the certificate authority; only `invite` reads its key.
    #[serde(default = "authority")]
    pub authority: PathBuf,
    /// The hub's certificate.
    #[serde(default = "cert")]
    pub cert: PathBuf,
    /// The hub's private key.
    #[serde(default = "key")]
    pub key: PathBuf,
    /// Cosigns the nodes' audit logs; made at the first start.
    #[serde(default = "witness_key")]
    pub witness_key: PathBuf,
    /// Connections at the same time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Connections of one member at the same time.
    #[serde(default = "connections_per_member_max")]
    pub connections_per_member_max: usize,
    /// All stored modules together; modules that no unfinished job needs make room for new ones.
    #[serde(default = "module_store_bytes_max")]
    pub module_store_bytes_max: u64,
    /// Stored modules of one person together: those that the person put, or that an unfinished job of the person needs.
    /// The former make room for new ones.
    #[serde(default = "module_bytes_per_person_max")]
    pub module_bytes_per_person_max: u64,
    /// Jobs of one person that the hub keeps; the oldest finished ones make room for new ones.
    #[serde(default = "jobs_kept_per_person_max")]
    pub jobs_kept_per_person_max: u32,
    /// Jobs that one person may have waiting.
    #[serde(default = "unfinished_jobs_per_person_max")]
    pub unfinished_jobs_per_person_max: u32,
    /// How long nodes that say nothing in a round are waited for, from the first that does; then they are left out of the job,
    /// and the others go on. It is to be more than what the slowest node needs for a round beyond the fastest.
    #[serde(default = "round_patience_seconds")]
    pub round_patience_seconds: u32,
    /// What the answers of all nodes in all rounds of one job may take together; a job that may need more is refused.
    #[serde(default = "round_answers_bytes_per_job_max")]
    pub round_answers_bytes_per_job_max: u64,
    /// How persons are proven, if the hub is to refuse early what every node would; `docs/identity.md`.
    #[serde(default, skip_serializing_if = "is_open")]
    pub people: People,
}

fn store() -> PathBuf {
    "hub.sqlite".into()
}

fn authority() -> PathBuf {
    "authority".into()
}

fn cert() -> PathBuf {
    "cert.pem".into()
}

fn witness_key() -> PathBuf {
    "witness.key".into()
}

fn key() -> PathBuf {
    "key.pem".into()
}

const fn connections_max() -> usize {
    256
}

const fn connections_per_member_max() -> usize {
    16
}

const fn module_store_bytes_max() -> u64 {
    1 << 30
}

const fn module_bytes_per_person_max() -> u64 {
    64 << 20
}

const fn jobs_kept_per_person_max() -> u32 {
    1_000
}

const fn unfinished_jobs_per_person_max() -> u32 {
    100
}

const fn round_patience_seconds() -> u32 {
    60
}

const fn round_answers_bytes_per_job_max() -> u64 {
    1 << 30
}

fn is_open(people: &People) -> bool {
    *people == People::default()
}

impl Config {
    /// The defaults for a hub that listens on `listen` and is reached at `public`.
    pub fn new(listen: SocketAddr, public: String) -> Self {
        Self {
            listen,
            public,
            store: store(),
            authority: authority(),
            cert: cert(),
            key: key(),
            witness_key: witness_key(),
            connections_max: connections_max(),
            connections_per_member_max: connections_per_member_max(),
            module_store_bytes_max: module_store_bytes_max(),
            module_bytes_per_person_max: module_bytes_per_person_max(),
            jobs_kept_per_person_max: jobs_kept_per_person_max(),
            unfinished_jobs_per_person_max: unfinished_jobs_per_person_max(),
            round_patience_seconds: round_patience_seconds(),
            round_answers_bytes_per_job_max: round_answers_bytes_per_job_max(),
            people: People::default(),
        }
    }

    /// Reads `hub.toml` in `dir`.
    ///
    /// # Errors
    /// Which field is wrong, and what was expected.
    pub fn read(dir: &Path) -> Result<Self, FileError> {
        let path = dir.join(CONFIG_FILE);
        let text = fs::read_to_string(&path).map_err(FileError::at(&path))?;
        let mut config: Self = toml::from_str(&text).map_err(FileError::at(&path))?;
        for file in
            [&mut config.store, &mut config.authority, &mut config.cert, &mut config.key, &mut config.witness_key]
        {
            *file = dir.join(&*file);
        }
        for file in config.people.issuers.iter_mut().filter_map(|terms| terms.jwks_file.as_mut()) {
            *file = dir.join(&*file);
        }
        Ok(config)
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.join("ca.pem")
    }
}
