//! Data permits (Regulation (EU) 2025/327, Art. 68), signed by a data access body.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::{ColumnName, DatasetName, Digest, PermitNumber, PersonName, TableName},
    job::Purpose,
    refusal::Refusal,
    units::Loss,
};

/// DSSE payload type of a permit.
pub const PERMIT_TYPE: &str = "application/vnd.spe.permit+json";
/// [`PermitBody::format`] of this version.
pub const PERMIT_FORMAT: &str = "spe.permit/1";

/// What a data access body signs; see `docs/permit-format.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitBody {
    /// [`PERMIT_FORMAT`].
    pub format: String,
    /// The permit's reference.
    pub number: PermitNumber,
    /// The data access body, for people; the signature counts.
    pub issuer: String,
    /// When it was issued: opt-outs that were registered later do not affect it, Art. 71(3).
    pub issued_at: Timestamp,
    /// First instant of validity, Art. 68(10)(e).
    pub valid_from: Timestamp,
    /// End of validity.
    pub valid_until: Timestamp,
    /// Who may act, Art. 68(10)(d).
    pub persons: Vec<PermitPerson>,
    /// For which purposes, Art. 68(10)(b).
    pub purposes: Vec<Purpose>,
    /// On which data, Art. 68(10)(a).
    pub data: Vec<PermitData>,
    /// With which modules, Art. 68(10)(f).
    pub modules: Modules,
    /// Privacy loss in all, at each node and dataset.
    pub loss_cap: Loss,
}

/// A person and the key that signs the person's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitPerson {
    /// The person.
    pub name: PersonName,
    /// The person's key.
    pub key: PublicKey,
}

/// A dataset and the columns of it that are covered, each written `table.column`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitData {
    /// The dataset.
    pub dataset: DatasetName,
    /// The columns.
    pub columns: Vec<String>,
}

/// The modules that a permit covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modules {
    /// Any module: the sandbox and the release engine do not rely on review.
    Any,
    /// These only.
    Only(Vec<Digest>),
}

/// A permit that was signed by a trusted data access body and is valid now.
///
/// Made only by [`Permit::verify`].
#[derive(Debug, Clone)]
pub struct Permit {
    body: PermitBody,
    issuer: PublicKey,
}

/// Which permit: two data access bodies may use the same number. Written `<number> <issuer's key>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId {
    /// Its number.
    pub number: PermitNumber,
    /// Who signed it.
    pub issuer: PublicKey,
}

impl std::fmt::Display for PermitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, self.issuer)
    }
}

impl std::str::FromStr for PermitId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a permit's number and its issuer's key";
        let (number, issuer) = text.split_once(' ').ok_or(wrong)?;
        Ok(Self { number: number.parse().map_err(|_| wrong)?, issuer: issuer.parse().map_err(|_| wrong)? })
    }
}

impl PermitBody {
    /// The signed envelope.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        // Plain data always serialises.
        dsse::sign(PERMIT_TYPE, &serde_json::to_vec(self).unwrap_or_default(), key)
    }

    /// Reads an envelope for showing it; says nothing about trust or validity.
    ///
    /// # Errors
    /// A bad envelope, signature or body.
    pub fn read(envelope: &[u8]) -> Result<(Self, PublicKey), Refusal> {
        let verified = dsse::verify(envelope, PERMIT_TYPE, "the permit")?;
        let malformed = |why: String| Refusal::Malformed { document: "the permit".into(), why };
        let body: Self = serde_json::from_slice(&verified.payload).map_err(|e| malformed(e.to_string()))?;
        if body.format != PERMIT_FORMAT {
            return Err(malformed(format!("its format is {:.32}; this program reads {PERMIT_FORMAT}", body.format)));
        }
        let column = |name: &str| match name.split_once('.') {
            Some((table, column)) => table.parse::<TableName>().is_ok() && column.parse::<ColumnName>().is_ok(),
            None => false,
        };
        if let Some(stray) = body.data.iter().flat_map(|d| &d.columns).find(|name| !column(name)) {
            return Err(malformed(format!("data.columns has {stray:.64?}; a column is written table.column")));
        }
        if body.valid_from >= body.valid_until {
            return Err(malformed("valid_from is not before valid_until".into()));
        }
        Ok((body, verified.signer))
    }
}

impl Permit {
    /// Opens a signed permit at the instant `now`, trusting the data access bodies of those keys.
    ///
    /// # Errors
    /// Which part of the permit fails.
    pub fn verify(envelope: &[u8], trusted: &[PublicKey], now: Timestamp) -> Result<Self, Refusal> {
        let (body, signer) = PermitBody::read(envelope)?;
        if !trusted.contains(&signer) {
            return Err(Refusal::UntrustedKey { document: "the permit".into(), key: signer.to_string() });
        }
        // It covers the data subjects who had not opted out by then: who they are is not known yet.
        if now < body.issued_at {
            return Err(Refusal::PermitFromTheFuture { at: body.issued_at.to_string() });
        }
        if now < body.valid_from {
            return Err(Refusal::PermitNotYetValid { from: body.valid_from.to_string() });
        }
        if now >= body.valid_until {
            return Err(Refusal::PermitExpired { until: body.valid_until.to_string() });
        }
        Ok(Self { body, issuer: signer })
    }

    /// Which permit it is.
    pub fn id(&self) -> PermitId {
        PermitId { number: self.body.number.clone(), issuer: self.issuer }
    }

    /// What it says.
    pub const fn body(&self) -> &PermitBody {
        &self.body
    }
}
