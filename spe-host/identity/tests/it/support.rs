//! An issuer whose key the tests hold, so that they can sign whatever they like.

use std::path::Path;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use spe_identity::{Issuers, nonce};
use spe_kernel::{
    dsse::{PublicKey, SecretKey},
    person::{Identity, IssuerTerms, People},
    refusal::Refusal,
};
use tempfile::TempDir;

pub const ISSUER: &str = "https://login.example.eu/realms/research";
pub const CLIENT: &str = "spe";
pub const SUBJECT: &str = "7f3a-91";
/// When the tokens of these tests begin: 2030-01-01T00:00:00Z.
pub const ISSUED: i64 = 1_893_456_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(ISSUED + seconds).unwrap()
}

/// The person's key.
pub fn ada() -> PublicKey {
    SecretKey::from_seed(&[7; 32]).public()
}

pub fn terms() -> IssuerTerms {
    IssuerTerms {
        issuer: ISSUER.into(),
        client_id: CLIENT.into(),
        acr: vec![],
        amr: vec![],
        jwks_file: Some("jwks.json".into()),
    }
}

pub fn people(terms: IssuerTerms) -> People {
    People { login_required: true, login_hours_max: 12, development_issuer: false, issuers: vec![terms] }
}

pub fn signing_key(seed: u8, name: &str) -> CoreEdDsaPrivateSigningKey {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = STANDARD.encode([&prefix[..], &[seed; 32]].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(name.into()))).unwrap()
}

/// What a good token says.
pub fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": SUBJECT, "aud": CLIENT, "iat": ISSUED, "exp": ISSUED + 3_600, "auth_time": ISSUED - 60,
        "nonce": nonce(ada()), "amr": ["pwd", "otp"], "acr": "2" })
}

/// The first two parts of a token.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token of that header, signed by `key` with `algorithm`.
pub fn signed_by<K: PrivateSigningKey>(
    key: &K,
    algorithm: &<K::VerificationKey as openidconnect::JsonWebKey>::SigningAlgorithm,
    header: &Value,
    claims: &Value,
) -> String {
    let text = unsigned(header, claims);
    let signature = key.sign(algorithm, text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The issuer's own signature.
pub fn signed(claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "ed-1", "typ": "JWT" });
    signed_by(&signing_key(9, "ed-1"), &CoreJwsSigningAlgorithm::EdDsa, &header, claims)
}

/// A good token with one claim changed; `null` takes it out.
pub fn with(claim: &str, value: Value) -> String {
    let mut changed = claims();
    match value {
        Value::Null => drop(changed.as_object_mut().unwrap().remove(claim)),
        value => changed[claim] = value,
    }
    signed(&changed)
}

pub fn write_keys(folder: &Path) {
    let set = CoreJsonWebKeySet::new(vec![signing_key(9, "ed-1").as_verification_key()]);
    std::fs::write(folder.join("jwks.json"), serde_json::to_vec(&set).unwrap()).unwrap();
}

/// A node's rules, with the issuer's keys in a file.
pub struct Node {
    _folder: TempDir,
    issuers: Issuers,
}

impl Node {
    pub fn new(people: &People) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_keys(folder.path());
        let issuers = Issuers::open(people, folder.path()).unwrap();
        Self { _folder: folder, issuers }
    }

    /// What it says of a job that `key` signed so many seconds after the token began.
    pub fn says(&self, token: &str, key: PublicKey, seconds: i64) -> Result<Identity, Refusal> {
        let signed_at = at(seconds);
        let now = signed_at.checked_add(SignedDuration::from_secs(1)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.issuers.recognise(token, key, signed_at, now))
    }
}

pub fn node() -> Node {
    Node::new(&people(terms()))
}

/// Why it was refused.
#[track_caller]
pub fn why(said: Result<Identity, Refusal>) -> String {
    match said {
        Err(Refusal::LoginRefused { why }) => why,
        other => panic!("expected a refused login, got {other:?}"),
    }
}
