//! Tokens that another implementation signed: `tests/openssl`.

use std::path::Path;

use spe_identity::Issuers;
use spe_kernel::{
    dsse::PublicKey,
    person::{Identity, IssuerTerms},
    refusal::Refusal,
};

use crate::support::{SUBJECT, ada, at, people, terms, why};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openssl")
}

fn says(token: &str, key: PublicKey) -> Result<Identity, Refusal> {
    let issuers =
        Issuers::open(&people(IssuerTerms { jwks_file: Some("jwks.json".into()), ..terms() }), &folder()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(issuers.recognise(token, key, at(600), at(700)))
}

/// What would be a bug: a token of Keycloak or of EU Login, which sign with RSA or ECDSA, that is refused, or taken unchecked.
#[test]
fn rsa_and_ecdsa_signatures_are_checked() {
    for name in ["rs256", "es256"] {
        let token = std::fs::read_to_string(folder().join(format!("{name}.jwt"))).unwrap();
        let token = token.trim();
        assert_eq!(says(token, ada()).unwrap().who().subject, SUBJECT, "{name}");
        let (text, signature) = token.rsplit_once('.').unwrap();
        let bent = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{text}.{bent}{}", &signature[1..]);
        assert!(why(says(&forged, ada())).contains("changed, or forged"), "{name}");
    }
}
