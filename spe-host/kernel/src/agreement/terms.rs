//! The text that is agreed on, by its digests.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::{Act, AgreementBody};
use crate::{
    document::{Opened, malformed},
    ids::Digest,
    refusal::Refusal,
};

/// A SHA-256 digest (FIPS 180-4), 32 bytes, written `sha256:<hex>`: for those who have no BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        Digest::from_bytes(self.0).hex()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        let read = hex.and_then(|hex| Digest::from_str(hex).ok());
        let shown: String = text.chars().take(80).collect();
        read.map(|found| Self(*found.as_bytes()))
            .ok_or_else(|| format!("{shown:?} is not \"sha256:\" and 64 hexadecimal digits"))
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// What identifies the text of terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    blake3: Digest,
    sha256: Sha256,
}

impl Terms {
    /// Those of `text`.
    pub fn of(text: &[u8]) -> Self {
        Self { blake3: Digest::of(text), sha256: Sha256::of(text) }
    }

    /// The digest that statements and audit logs have.
    pub const fn blake3(self) -> Digest {
        self.blake3
    }

    /// The SHA-256.
    pub const fn sha256(self) -> Sha256 {
        self.sha256
    }

    /// An offer of them.
    pub const fn offered(self, from: Timestamp, until: Option<Timestamp>) -> Act {
        Act::Offer { terms: self.blake3, terms_sha256: Some(self.sha256), from, until }
    }

    /// Nothing, if these are the terms of `offer`, by each digest that it has.
    ///
    /// # Errors
    /// [`Refusal::OtherTerms`]; no offer.
    pub fn are_those_of(self, offer: &Opened<AgreementBody>) -> Result<(), Refusal> {
        let Act::Offer { terms, terms_sha256, .. } = &offer.body().act else {
            return Err(malformed::<AgreementBody>("it is no offer, and has no terms"));
        };
        if *terms == self.blake3 && terms_sha256.is_none_or(|offered| offered == self.sha256) {
            return Ok(());
        }
        let offered = terms_sha256.map_or_else(|| terms.to_string(), |sha256| format!("{terms}, {sha256}"));
        Err(Refusal::OtherTerms { offered, given: format!("{}, {}", self.blake3, self.sha256) })
    }
}
