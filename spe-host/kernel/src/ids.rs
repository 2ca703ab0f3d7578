//! Names and digests: parsed once at the border, never checked again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A text that is not a valid name or digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a name.
    #[error("{0:?} is not a name: 1 to 64 characters of a-z, 0-9, '.', '_', '-', starting with a letter or digit")]
    Name(String),
    /// Not a digest.
    #[error("{0:?} is not a digest: 64 hexadecimal digits, optionally after \"blake3:\"")]
    Digest(String),
}

fn checked(text: &str) -> Result<String, IdError> {
    let tame = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if starts && text.len() <= NAME_BYTES_MAX && text.bytes().all(tame) {
        Ok(text.to_owned())
    } else {
        Err(IdError::Name(text.chars().take(80).collect()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A data holder's node, unique in its federation.
    NodeName
);
name!(
    /// A dataset; nodes that hold parts of one federated dataset use the same name and schema.
    DatasetName
);
name!(
    /// A table of a dataset.
    TableName
);
name!(
    /// A column of a table.
    ColumnName
);
name!(
    /// A natural person who acts: a researcher named in a permit.
    PersonName
);
name!(
    /// A data permit's reference number, given by the data access body.
    PermitNumber
);
name!(
    /// A job as the hub knows it: one submission. What the job asks is identified by its plan's digest.
    JobId
);
name!(
    /// An application for data as the hub knows it; it follows from what the applicant signed.
    ApplicationId
);

/// A BLAKE3 digest, 32 bytes, written `blake3:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A digest computed elsewhere (a streamed hash, a stored column).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.strip_prefix("blake3:").unwrap_or(text);
        let hash = blake3::Hash::from_hex(hex).map_err(|_| IdError::Digest(text.chars().take(80).collect()))?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tame() {
        assert!("rand-hie".parse::<DatasetName>().is_ok());
        for bad in ["", "-a", "A", "a b", "a/b", "..", "é", &"x".repeat(65)] {
            assert!(bad.parse::<DatasetName>().is_err(), "{bad:?} was taken for a name");
        }
    }

    #[test]
    fn digests_survive_text() {
        let digest = Digest::of(b"spe");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("blake3:00".parse::<Digest>().is_err());
    }
}
