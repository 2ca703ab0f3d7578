//! Who a person is: a natural person whom an issuer of logins that the operator trusts has recognised (Regulation (EU)
//! 2025/327, Art. 73(1)(a), (d)). What OpenID Connect is, only `spe-identity` knows; here are the words that the law needs.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Largest proof of a person in a job, in bytes.
pub const PROOF_BYTES_MAX: usize = 16 << 10;
/// Longest issuer and longest subject, in bytes (OpenID Connect Core 1.0, section 2, for the subject).
pub const IDENTITY_BYTES_MAX: usize = 255;

/// A person, as the issuer of logins knows one: within an issuer a subject is unique and never given to somebody else (OpenID
/// Connect Core 1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, try_from = "Named")]
pub struct PersonIdentity {
    /// The issuer's address, exactly as its tokens write it.
    pub issuer: String,
    /// The person there (`sub`).
    pub subject: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    issuer: String,
    subject: String,
}

impl TryFrom<Named> for PersonIdentity {
    type Error = String;
    fn try_from(Named { issuer, subject }: Named) -> Result<Self, String> {
        for (field, text) in [("issuer", &issuer), ("subject", &subject)] {
            if text.is_empty() || text.len() > IDENTITY_BYTES_MAX {
                return Err(format!("identity.{field} has {} bytes; expected 1 to {IDENTITY_BYTES_MAX}", text.len()));
            }
        }
        Ok(Self { issuer, subject })
    }
}

/// A natural person who proved to be the owner of the key that signed a job.
///
/// # Security
/// Made only by `spe_identity`, when every check on the proof held; `ci/doors` looks for any other maker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    who: PersonIdentity,
    acr: Option<String>,
    amr: Vec<String>,
    auth_time: Timestamp,
}

impl Identity {
    /// Who it is; how surely (`acr`), by which means (`amr`, RFC 8176) and when the person was authenticated.
    pub const fn proven(who: PersonIdentity, acr: Option<String>, amr: Vec<String>, auth_time: Timestamp) -> Self {
        Self { who, acr, amr, auth_time }
    }

    /// The person.
    pub const fn who(&self) -> &PersonIdentity {
        &self.who
    }

    /// The level of assurance that the issuer reached, in its own words (`acr`).
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// How the person was authenticated, in the words of RFC 8176 (`amr`).
    pub fn amr(&self) -> &[String] {
        &self.amr
    }

    /// When the person was authenticated.
    pub const fn auth_time(&self) -> Timestamp {
        self.auth_time
    }
}

/// The operator's rules on persons: `[people]` of a node's policy, and of `hub.toml`. `docs/identity.md` explains each field.
///
/// Without the section a person is known by the key alone that the permit names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Whether a job without a login is refused.
    #[serde(default = "required")]
    pub login_required: bool,
    /// Hours that may lie between login and signature.
    #[serde(default = "hours")]
    pub login_hours_max: u32,
    /// Whether issuers for development and demonstration are taken: they ask nobody for a password.
    #[serde(default)]
    pub development_issuer: bool,
    /// Whose logins count.
    #[serde(default)]
    pub issuers: Vec<IssuerTerms>,
}

impl People {
    /// What is said to a person who did not log in, and must.
    pub fn login_missing(&self) -> Refusal {
        let issuers: Vec<_> = self.issuers.iter().map(|terms| terms.issuer.as_str()).collect();
        let issuers = if issuers.is_empty() { "none; ask its operator".into() } else { issuers.join(", ") };
        Refusal::LoginRequired { issuers }
    }
}

const fn required() -> bool {
    true
}

const fn hours() -> u32 {
    12
}

/// An issuer of logins, and what a login there must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerTerms {
    /// Its address, exactly as its tokens write it (`iss`).
    pub issuer: String,
    /// As what `spe` is registered there (`aud`).
    pub client_id: String,
    /// Levels of assurance, one of which is needed (`acr`); empty = any.
    #[serde(default)]
    pub acr: Vec<String>,
    /// Means of authentication, one of which must have been used (`amr`, RFC 8176). Empty = any if `acr` says something, else
    /// one that is more than a password: [`SECOND_FACTORS`].
    #[serde(default)]
    pub amr: Vec<String>,
    /// The issuer's public keys (a JWK Set, RFC 7517), relative to the configuration's folder; without it they are fetched from
    /// the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
}

/// Values of RFC 8176 that mean more than something one knows: several factors, a key in hardware, a one-time password, a smart
/// card.
pub const SECOND_FACTORS: [&str; 4] = ["mfa", "hwk", "otp", "sc"];

impl IssuerTerms {
    /// The means of authentication of which one must have been used; empty = any.
    pub fn means(&self) -> Vec<&str> {
        match (self.amr.is_empty(), self.acr.is_empty()) {
            (true, true) => SECOND_FACTORS.to_vec(),
            (true, false) => Vec::new(),
            (false, _) => self.amr.iter().map(String::as_str).collect(),
        }
    }
}
