//! Certification requests (PKCS #10, RFC 2986): made by members, read by the hub. Of a request only the key counts, and that its
//! owner signed it; whom the certificate names, the invitation says.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::{SignatureScheme, crypto::ring};
use spe_kernel::{ids::Digest, refusal::Refusal};

/// DER of the algorithm identifiers: id-ecPublicKey on secp256r1, and ecdsa-with-SHA256.
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// A key whose owner asks for a certificate. Made only by [`RequestedKey::verify`], which saw the owner's signature.
#[derive(Debug)]
pub struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl RequestedKey {
    /// Opens a request.
    ///
    /// # Errors
    /// What is not as it must be: DER of a request, for an ECDSA key on P-256, signed by that key.
    pub fn verify(request: &[u8]) -> Result<Self, Refusal> {
        let wrong = |why: &str| Refusal::Malformed { document: "the certification request".into(), why: why.into() };
        let (signed, key, signature) = parts(request).ok_or_else(|| {
            wrong("expected PKCS #10 in DER, for a P-256 key signed with ECDSA and SHA-256, as `spe join` makes it")
        })?;
        let algorithms = ring::default_provider().signature_verification_algorithms.mapping;
        let named = algorithms.iter().find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256);
        let algorithm =
            named.and_then(|(_, list)| list.first()).ok_or_else(|| wrong("P-256 cannot be verified here"))?;
        let verified = algorithm.verify_signature(key, signed, signature);
        verified.map_err(|_| wrong("its signature is not that of its key"))?;
        Ok(Self(key.to_vec()))
    }

    /// Which key it is.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// What was signed, the key, the signature.
fn parts(request: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (outer, rest) = element(SEQUENCE, request)?;
    if !rest.is_empty() {
        return None;
    }
    let (info, _) = element(SEQUENCE, outer)?;
    let (signed, after) = whole(outer)?;
    let signature = element(BIT_STRING, after.strip_prefix(ECDSA_SHA256)?)?.0.strip_prefix(&[0])?;
    let (_, after_version) = element(INTEGER, info)?;
    let (_, after_subject) = element(SEQUENCE, after_version)?;
    let (info_key, _) = element(SEQUENCE, after_subject)?;
    let key = element(BIT_STRING, info_key.strip_prefix(P256)?)?.0.strip_prefix(&[0])?;
    Some((signed, key, signature))
}

/// The content of the first element, which must have that tag, and what comes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = header(der)?;
    let end = head.checked_add(length)?;
    (der.first() == Some(&tag)).then_some(())?;
    Some((der.get(head..end)?, der.get(end..)?))
}

/// The first element with its header, and what comes after it.
fn whole(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = header(der)?;
    der.split_at_checked(head.checked_add(length)?)
}

/// Lengths of an element's header and content. DER has lengths below 128 in one byte, larger ones in as few as possible.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    match *der.get(1..)? {
        [short, ..] if short < 0x80 => Some((2, usize::from(short))),
        [0x81, length, ..] if length >= 0x80 => Some((3, usize::from(length))),
        [0x82, high, low, ..] if high > 0 => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        _ => None,
    }
}

/// A member's new private key, which never leaves its machine.
pub struct MemberKey(KeyPair);

impl MemberKey {
    /// A new key.
    ///
    /// # Errors
    /// The system has no entropy to give.
    pub fn generate() -> Result<Self, Refusal> {
        KeyPair::generate().map(Self).map_err(|e| failed(&e))
    }

    /// The key in a PEM file that [`MemberKey::expose_pem`] wrote.
    ///
    /// # Errors
    /// It holds no key.
    pub fn from_pem(pem: &str) -> Result<Self, Refusal> {
        KeyPair::from_pem(pem).map(Self).map_err(|e| failed(&e))
    }

    /// What a key file holds.
    pub fn expose_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The request, in DER.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn request(&self) -> Result<Vec<u8>, Refusal> {
        let request = CertificateParams::default().serialize_request(&self.0).map_err(|e| failed(&e))?;
        Ok(request.der().to_vec())
    }
}

fn failed(error: &rcgen::Error) -> Refusal {
    Refusal::Malformed { document: "the member's key".into(), why: error.to_string() }
}
