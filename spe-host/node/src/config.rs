//! A node's configuration: one TOML file; paths are relative to its folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use spe_kernel::{
    audit::{RETENTION_DAYS_MIN, check_retention},
    ids::{DatasetName, NodeName},
    units::Loss,
};
use spe_wire::FileError;

/// Name of the configuration file in a node's folder.
pub const FILE: &str = "node.toml";

/// `node.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name; its certificate says the same.
    pub name: NodeName,
    /// Folder of datasets, ledger and compiled modules.
    pub data_dir: PathBuf,
    /// The hub's address and this node's certificate, as `spe hub invite` wrote them.
    pub connection_file: PathBuf,
    /// Signs answers.
    pub signing_key_file: PathBuf,
    /// The key holder's address and this node's certificate there, as `spe keyholder invite` wrote them.
    pub keyholder_file: PathBuf,
    /// The operator's rules.
    pub policy_file: PathBuf,
    /// The operator's further rules, in Cedar; without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_file: Option<PathBuf>,
    /// How many days the bodies of log entries are kept at least: 365 or more, Art. 73(1)(e).
    #[serde(default = "log_retention_days", deserialize_with = "a_year_or_more")]
    pub log_retention_days: u32,
    /// Threads that map data subjects; 0 = one for each core.
    #[serde(default)]
    pub workers: usize,
    /// The datasets that are served.
    #[serde(default)]
    pub datasets: BTreeMap<DatasetName, Served>,
}

const fn log_retention_days() -> u32 {
    RETENTION_DAYS_MIN
}

fn a_year_or_more<'de, D: serde::Deserializer<'de>>(days: D) -> Result<u32, D::Error> {
    check_retention(u32::deserialize(days)?).map_err(serde::de::Error::custom)
}

/// A dataset that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// All loss that the dataset's population will ever bear here. Raising it later weakens what was promised.
    pub budget: Loss,
}

/// Reads a TOML file.
///
/// # Errors
/// The file cannot be read, or has a wrong or unknown field.
pub fn read_toml<T: DeserializeOwned>(file: &Path) -> Result<T, FileError> {
    let text = std::fs::read_to_string(file).map_err(FileError::at(file))?;
    toml::from_str(&text).map_err(FileError::at(file))
}

impl NodeConfig {
    /// Folder of the ingested datasets.
    pub fn vault_dir(&self) -> PathBuf {
        self.data_dir.join("vault")
    }

    /// Folder of compiled modules; may be emptied at any time.
    pub fn compiled_dir(&self) -> PathBuf {
        self.data_dir.join("compiled")
    }

    /// The audit log as files that auditors' tools read.
    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// The ledger and audit log.
    pub fn ledger_file(&self) -> PathBuf {
        self.data_dir.join("ledger.sqlite")
    }

    /// Reads `node.toml` in `folder` and makes its paths absolute.
    ///
    /// # Errors
    /// The file cannot be read, or has a wrong or unknown field.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        let mut config: Self = read_toml(&folder.join(FILE))?;
        let folder = folder.canonicalize().map_err(FileError::at(folder))?;
        for path in [
            &mut config.data_dir,
            &mut config.connection_file,
            &mut config.signing_key_file,
            &mut config.keyholder_file,
            &mut config.policy_file,
        ] {
            *path = folder.join(&*path);
        }
        config.rules_file = config.rules_file.map(|file| folder.join(file));
        Ok(config)
    }
}
