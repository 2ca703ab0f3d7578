//! `keyholder.toml`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spe_wire::{FileError, Seats};

/// Name of the configuration file in a key holder's folder.
pub const FILE: &str = "keyholder.toml";

/// How a key holder is set up; paths are relative to its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `host:port` under which nodes reach it.
    pub public: String,
    /// Connections at the same time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Those of one node.
    #[serde(default = "connections_per_node_max")]
    pub connections_per_node_max: usize,
    /// The folder that the file is in.
    #[serde(skip)]
    pub dir: PathBuf,
}

const fn connections_max() -> usize {
    256
}

const fn connections_per_node_max() -> usize {
    16
}

impl Config {
    pub(crate) fn new(dir: &Path, listen: SocketAddr, public: String) -> Self {
        let (connections_max, connections_per_node_max) = (connections_max(), connections_per_node_max());
        Self { listen, public, connections_max, connections_per_node_max, dir: dir.into() }
    }

    /// Reads `keyholder.toml` in `dir`.
    ///
    /// # Errors
    /// The file cannot be read, or has a wrong or unknown field.
    pub fn read(dir: &Path) -> Result<Self, FileError> {
        let file = dir.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(FileError::at(&file))?;
        let config: Self = toml::from_str(&text).map_err(FileError::at(&file))?;
        Ok(Self { dir: dir.into(), ..config })
    }

    pub(crate) const fn seats(&self) -> Seats {
        Seats { connections_max: self.connections_max, connections_per_member_max: self.connections_per_node_max }
    }

    /// Signs deletion certificates.
    pub(crate) fn signing_key_file(&self) -> PathBuf {
        self.dir.join("signing.key")
    }
}
