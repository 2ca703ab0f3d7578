//! What hides: random bytes that are hashed with something that could be guessed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// 32 random bytes that hide what a hash is about; 64 hexadecimal digits in text. Erased, nobody can tell any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt([u8; 32]);

impl Salt {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Salt {
    fn from(random: [u8; 32]) -> Self {
        Self(random)
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl FromStr for Salt {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = blake3::Hash::from_hex(text).map_err(|_| "a salt is 64 hexadecimal digits")?;
        Ok(Self(*bytes.as_bytes()))
    }
}

impl TryFrom<String> for Salt {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> Self {
        salt.to_string()
    }
}
