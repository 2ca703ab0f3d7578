//! What ties a login to a key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use spe_kernel::dsse::PublicKey;

/// Told apart from every other use of SHA-256.
const CONTEXT: &[u8] = b"spe.login/1";

/// The nonce of a login that is to prove who owns `key`: base64url of SHA-256 of `spe.login/1` and the key's 32 bytes.
///
/// # Security
/// The issuer signs it with the rest of the token, so that a token is good for one key only; the idea is OpenPubkey's (Heilman et
/// al. 2023). Watched by `a_token_of_another_key_is_refused` in `tests/it/refused.rs`.
pub fn nonce(key: PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(CONTEXT).chain_update(key.as_bytes()).finalize())
}
