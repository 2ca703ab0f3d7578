//! Keys that live as long as the process.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet},
};

use crate::development::random_word;

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An Ed25519 key with a name of its own.
pub(super) struct Signer {
    pub(super) key: CoreEdDsaPrivateSigningKey,
}

impl Signer {
    pub(super) fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let pkcs8 = STANDARD.encode([&PKCS8[..], &seed[..]].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----\n");
        let name = Some(JsonWebKeyId::new(random_word()?));
        Ok(Self { key: CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, name).map_err(io::Error::other)? })
    }

    pub(super) fn jwks(&self) -> String {
        let set = CoreJsonWebKeySet::new(vec![self.key.as_verification_key()]);
        serde_json::to_string(&set).unwrap_or_default()
    }
}
