//! Signed documents: DSSE envelopes (in-toto, v1.0.2) with Ed25519. The bytes are signed as they are; nothing is canonicalised.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Largest envelope of a permit or job, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 4 << 20;

const KEY_PREFIX: &str = "ed25519:";
const SECRET_PREFIX: &str = "ed25519-secret:";

/// A text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key: expected {0}<base64 of 32 bytes>")]
pub struct KeyError(&'static str);

fn decode_key(text: &str, prefix: &'static str) -> Result<[u8; 32], KeyError> {
    let base64 = text.trim().strip_prefix(prefix).ok_or(KeyError(prefix))?;
    let bytes = STANDARD.decode(base64).map_err(|_| KeyError(prefix))?;
    bytes.try_into().map_err(|_| KeyError(prefix))
}

/// An Ed25519 public key, written `ed25519:<base64>`. It is its own key id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = decode_key(text, KEY_PREFIX)?;
        VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError(KEY_PREFIX))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl PublicKey {
    /// Whether `signature` is this key's over exactly these bytes.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn verify_bytes(&self, bytes: &[u8], signature: &[u8]) -> Result<(), ed25519_dalek::SignatureError> {
        VerifyingKey::from_bytes(&self.0)?.verify_strict(bytes, &Signature::from_slice(signature)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 secret key. It cannot be printed; its text is asked for by name.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of that seed: 32 bytes from the operating system's generator.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs exactly these bytes. What is signed must begin with something that no other use of the key signs.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    /// What a key file holds.
    pub fn expose_text(&self) -> String {
        format!("{SECRET_PREFIX}{}\n", STANDARD.encode(self.0.to_bytes()))
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_key(text, SECRET_PREFIX).map(|seed| Self::from_seed(&seed))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// DSSE's pre-authentication encoding.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The envelope of `payload`, signed by `key`.
pub fn sign(payload_type: &str, payload: &[u8], key: &SecretKey) -> Vec<u8> {
    let signature = key.0.sign(&pre_authentication(payload_type, payload));
    let envelope = Envelope {
        payload: STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![EnvelopeSignature {
            keyid: key.public().to_string(),
            sig: STANDARD.encode(signature.to_bytes()),
        }],
    };
    // Three strings always serialise.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// A payload whose signature was checked, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// Who signed.
    pub signer: PublicKey,
}

/// Opens `envelope`; `document` names it in refusals.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::Malformed`] or [`Refusal::BadSignature`]. Whether to trust the signer is the caller's question.
pub fn verify(envelope: &[u8], payload_type: &str, document: &str) -> Result<Verified, Refusal> {
    if envelope.len() > ENVELOPE_BYTES_MAX {
        let size = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
        return Err(Refusal::TooLarge { what: document.into(), size, limit: 4 << 20 });
    }
    let malformed = |why: String| Refusal::Malformed { document: document.into(), why };
    let open: Envelope = serde_json::from_slice(envelope).map_err(|e| malformed(e.to_string()))?;
    if open.payload_type != payload_type {
        return Err(malformed(format!("it is of the type {:.64}, and not {payload_type}", open.payload_type)));
    }
    let [signature] = open.signatures.as_slice() else {
        return Err(malformed("exactly one signature is expected".into()));
    };
    let signer: PublicKey = signature.keyid.parse().map_err(|e: KeyError| malformed(e.to_string()))?;
    let bad = || Refusal::BadSignature { document: document.into() };
    let payload = STANDARD.decode(&open.payload).map_err(|e| malformed(e.to_string()))?;
    let bytes = STANDARD.decode(&signature.sig).map_err(|_| bad())?;
    let signature = Signature::from_slice(&bytes).map_err(|_| bad())?;
    let key = VerifyingKey::from_bytes(&signer.0).map_err(|_| bad())?;
    key.verify_strict(&pre_authentication(payload_type, &payload), &signature).map_err(|_| bad())?;
    Ok(Verified { payload, signer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_is_refused_anywhere() {
        let key = SecretKey::from_seed(&[7; 32]);
        let envelope = sign("t", b"{\"a\":1}", &key);
        assert_eq!(verify(&envelope, "t", "x").map(|v| v.payload), Ok(b"{\"a\":1}".to_vec()));
        for at in 0..envelope.len() {
            let mut bent = envelope.clone();
            bent[at] ^= 1;
            // Base64 spare bits and JSON blanks cannot change what was signed: either refused or the very same payload.
            let outcome = verify(&bent, "t", "x");
            assert!(outcome.is_err(), "a flip at byte {at} of the envelope went unnoticed");
        }
    }

    #[test]
    fn a_signature_is_bound_to_its_type() {
        let key = SecretKey::from_seed(&[7; 32]);
        assert!(verify(&sign("job", b"{}", &key), "permit", "x").is_err());
    }
}
