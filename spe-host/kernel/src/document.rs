//! Governance documents: JSON of a named format in a DSSE envelope.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::Digest,
    refusal::Refusal,
};

/// A kind of document: what its bytes are called, and what must hold in each.
pub trait Document: Serialize + DeserializeOwned {
    /// DSSE payload type.
    const TYPE: &'static str;
    /// Name and version, which stands in the field `format`.
    const FORMAT: &'static str;
    /// What refusals call it.
    const NAME: &'static str;
    /// Where its fields are explained.
    const DOCS: &'static str;

    /// What parsing field by field does not see.
    ///
    /// # Errors
    /// The first rule that does not hold.
    fn check(&self) -> Result<(), Refusal>;
}

/// A document whose signature and rules were checked. Whether its signer may sign such a document is another question.
///
/// Made only by [`open`].
#[derive(Debug, Clone, PartialEq)]
pub struct Opened<D> {
    body: D,
    signer: PublicKey,
    digest: Digest,
}

impl<D> Opened<D> {
    /// What it says.
    pub const fn body(&self) -> &D {
        &self.body
    }

    /// Who signed it.
    pub const fn signer(&self) -> PublicKey {
        self.signer
    }

    /// Digest of what was signed: the document's identity.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Its parts.
    pub fn into_parts(self) -> (D, PublicKey, Digest) {
        (self.body, self.signer, self.digest)
    }

    /// Only if one of `trusted` signed it.
    ///
    /// # Errors
    /// [`Refusal::UntrustedKey`].
    pub fn trusting(self, trusted: &[PublicKey]) -> Result<Self, Refusal>
    where
        D: Document,
    {
        if trusted.contains(&self.signer) {
            return Ok(self);
        }
        Err(Refusal::UntrustedKey { document: D::NAME.into(), key: self.signer.to_string() })
    }
}

/// The signed envelope of `body`.
pub fn sign<D: Document>(body: &D, key: &SecretKey) -> Vec<u8> {
    // Plain data always serialises.
    dsse::sign(D::TYPE, &serde_json::to_vec(body).unwrap_or_default(), key)
}

/// A refusal to read a document of kind `D`.
pub(crate) fn malformed<D: Document>(why: impl Into<String>) -> Refusal {
    Refusal::Malformed { document: D::NAME.into(), why: why.into() }
}

/// The part of a document that tells whether the rest can be read.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// Opens an envelope.
///
/// # Errors
/// A bad envelope, signature, format or field, or a rule that does not hold.
pub fn open<D: Document>(envelope: &[u8]) -> Result<Opened<D>, Refusal> {
    let verified = dsse::verify(envelope, D::TYPE, D::NAME)?;
    let body = parse::<D>(&verified.payload)?;
    Ok(Opened { body, signer: verified.signer, digest: Digest::of(&verified.payload) })
}

fn parse<D: Document>(payload: &[u8]) -> Result<D, Refusal> {
    let wrong = |e: serde_json::Error| malformed::<D>(e.to_string());
    let Format { format } = serde_json::from_slice(payload).map_err(wrong)?;
    if format != D::FORMAT {
        let why = format!(
            "its format is {format:.32}; this program reads {}, which {} explains: have it written and signed anew",
            D::FORMAT,
            D::DOCS
        );
        return Err(malformed::<D>(why));
    }
    let body: D = serde_json::from_slice(payload).map_err(wrong)?;
    body.check()?;
    Ok(body)
}
