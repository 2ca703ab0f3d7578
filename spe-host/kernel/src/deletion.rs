//! Certificates of deletion: what was made unrecoverable, when, and by whom (Regulation (EU) 2025/327, Art. 73; TEHDAS2 M7.4, OPR-5).
//!
//! Keys are named by their check values, which say nothing about them. The certificate is a statement of whoever did it, signed, so that
//! it can be kept by the data access body and checked without the node, the key holder or their logs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::{DatasetName, Digest, NodeName, PermitNumber},
    refusal::Refusal,
};

/// DSSE payload type of a deletion certificate.
pub const DELETION_TYPE: &str = "application/vnd.spe.deletion+json";
/// [`DeletionBody::format`] of this version.
pub const DELETION_FORMAT: &str = "spe.deletion/1";
/// Longest [`DeletionBody::by`] and [`DeletionBody::reason`], in bytes.
pub const DELETION_TEXT_BYTES_MAX: usize = 500;
const DOCUMENT: &str = "the deletion certificate";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeletionBody {
    /// `spe.deletion/1`.
    #[schemars(extend("const" = "spe.deletion/1"))]
    pub format: String,
    /// At which node it was, or was used.
    pub node: NodeName,
    /// The dataset, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetName>,
    /// The permit that had brought it, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<PermitNumber>,
    /// When it was done.
    #[schemars(with = "crate::schema::Instant")]
    pub deleted_at: Timestamp,
    /// Who ordered it, by function.
    #[schemars(length(min = 1, max = 500))]
    pub by: String,
    /// Why.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// What is gone; at least one.
    #[schemars(length(min = 1))]
    pub deleted: Vec<Deleted>,
}

/// One thing that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deleted {
    /// What it was.
    pub kind: DeletedKind,
    /// Its version, of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Identifies it and does not give it away: a key's check value, a file's digest.
    pub id: Digest,
}

/// What can be certified as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedKind {
    /// What turned identifiers into pseudonyms.
    PseudonymKey,
    /// What the dataset's files were sealed with: they are unrecoverable, on every medium and in every backup.
    DataKey,
    /// A signed document as it was handed in.
    Envelope,
    /// A compiled module.
    CompiledModule,
}

impl DeletionBody {
    /// The signed envelope.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        // Plain data always serialises.
        dsse::sign(DELETION_TYPE, &serde_json::to_vec(self).unwrap_or_default(), key)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != DELETION_FORMAT {
            return Err(format!("its format is {:.32}; this program reads {DELETION_FORMAT}", self.format));
        }
        let told = |text: &str| !text.trim().is_empty() && text.len() <= DELETION_TEXT_BYTES_MAX;
        if !told(&self.by) || !told(&self.reason) {
            return Err(format!("\"by\" and \"reason\" are texts of 1 to {DELETION_TEXT_BYTES_MAX} bytes"));
        }
        if self.deleted.is_empty() {
            return Err("it says that nothing is gone".into());
        }
        Ok(())
    }
}

/// A deletion certificate with a good signature of a trusted key. Made only by [`Deletion::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    body: DeletionBody,
    signer: PublicKey,
}

impl Deletion {
    /// Opens a certificate, trusting the key holders or nodes of those keys.
    ///
    /// # Errors
    /// A bad envelope, signature or body; [`Refusal::UntrustedKey`].
    pub fn verify(envelope: &[u8], trusted: &[PublicKey]) -> Result<Self, Refusal> {
        let verified = dsse::verify(envelope, DELETION_TYPE, DOCUMENT)?;
        let malformed = |why: String| Refusal::Malformed { document: DOCUMENT.into(), why };
        let body: DeletionBody = serde_json::from_slice(&verified.payload).map_err(|e| malformed(e.to_string()))?;
        body.check().map_err(malformed)?;
        if !trusted.contains(&verified.signer) {
            return Err(Refusal::UntrustedKey { document: DOCUMENT.into(), key: verified.signer.to_string() });
        }
        Ok(Self { body, signer: verified.signer })
    }

    /// What it says.
    pub const fn body(&self) -> &DeletionBody {
        &self.body
    }

    /// Who says it.
    pub const fn signer(&self) -> PublicKey {
        self.signer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> DeletionBody {
        DeletionBody {
            format: DELETION_FORMAT.into(),
            node: "north".parse().unwrap(),
            dataset: Some("care".parse().unwrap()),
            permit: None,
            deleted_at: "2030-01-01T00:00:00Z".parse().unwrap(),
            by: "data protection officer".into(),
            reason: "the permit expired".into(),
            deleted: vec![Deleted { kind: DeletedKind::DataKey, version: Some(1), id: Digest::of(b"key") }],
        }
    }

    /// What would be a bug: a certificate that anybody can make, or one that says nothing.
    #[test]
    fn a_certificate_is_believed_of_a_trusted_key_and_only_if_it_says_something() {
        let (holder, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let trusted = [holder.public()];
        assert_eq!(Deletion::verify(&body().sign(&holder), &trusted).map(|d| d.body().clone()), Ok(body()));
        let forged = Deletion::verify(&body().sign(&other), &trusted);
        assert!(matches!(forged, Err(Refusal::UntrustedKey { .. })), "{forged:?}");
        for empty in [
            DeletionBody { deleted: Vec::new(), ..body() },
            DeletionBody { by: " ".into(), ..body() },
            DeletionBody { reason: "x".repeat(501), ..body() },
            DeletionBody { format: "spe.deletion/2".into(), ..body() },
        ] {
            let refused = Deletion::verify(&empty.sign(&holder), &trusted);
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{refused:?}");
        }
        let mut unknown = serde_json::to_value(body()).unwrap();
        unknown["also"] = 1.into();
        let envelope = dsse::sign(DELETION_TYPE, unknown.to_string().as_bytes(), &holder);
        assert!(Deletion::verify(&envelope, &trusted).is_err(), "an unknown field was passed over");
    }
}
