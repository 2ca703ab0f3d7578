//! One ID token, checked: OpenID Connect Core 1.0, section 3.1.3.7, with the job's signature in place of the present.

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use openidconnect::{
    AdditionalClaims, ClaimsVerificationError, ClientId, IdToken, IdTokenClaims, IssuerUrl, Nonce,
    SignatureVerificationError,
    core::{
        CoreGenderClaim, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    },
};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    dsse::PublicKey,
    person::{Identity, PROOF_BYTES_MAX, PersonIdentity},
};

use crate::nonce;

/// How far the clocks of issuer and person may be apart.
const SLACK: SignedDuration = SignedDuration::from_mins(5);
/// Means of authentication that a token may list.
const MEANS_MAX: usize = 32;
/// Signatures that are taken. No HS256: its secret would be shared with everybody who checks.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 3] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What ID tokens say besides what the library knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    /// Not before (RFC 7519, section 4.1.5), in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<f64>,
    /// The mark of an issuer for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) development: Option<serde_json::Value>,
}

impl AdditionalClaims for Extra {}

pub(crate) type Token = IdToken<Extra, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
pub(crate) type Claims = IdTokenClaims<Extra, CoreGenderClaim>;

/// Why a token proves nothing.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It names a key that is not among those held.
    UnknownKey(String),
    /// Anything else.
    Refused(String),
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl Wrong {
    pub(crate) fn why(self) -> String {
        match self {
            Self::UnknownKey(why) | Self::Refused(why) => why,
        }
    }
}

/// For whom a token must have been made, and when it must have been good.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// The key that signed the job.
    pub(crate) key: PublicKey,
    /// When the job was signed.
    pub(crate) signed_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// A token whose signature, issuer, audience, times and nonce are what was expected.
pub(crate) struct Opened {
    pub(crate) identity: Identity,
    pub(crate) ends_at: Timestamp,
    pub(crate) development: bool,
}

#[derive(Deserialize)]
struct Issued {
    iss: String,
}

/// Who issued `token`, as it says itself: enough to choose the keys, and to believe nothing.
pub(crate) fn issuer_of(token: &str) -> Result<String, String> {
    let not_one = || "it is not an ID token (three parts in base64url with dots between, RFC 7515)".to_owned();
    if token.len() > PROOF_BYTES_MAX {
        return Err(format!("it has more than {PROOF_BYTES_MAX} bytes"));
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(not_one());
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| not_one())?;
    let issued: Issued = serde_json::from_slice(&payload).map_err(|e| format!("{}: {e}", not_one()))?;
    Ok(issued.iss)
}

/// Checks `token` against the issuer's `keys`.
///
/// # Security
/// Each check has a test in `tests/it/refused.rs` that fails without it.
pub(crate) fn open(token: &str, expected: &Expected<'_>, keys: &CoreJsonWebKeySet) -> Result<Opened, Wrong> {
    let token: Token = token.parse().map_err(|e| format!("it is not an ID token: {e}"))?;
    let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|e| format!("the issuer's address: {e}"))?;
    let client = ClientId::new(expected.client_id.to_owned());
    let earlier = expected.signed_at.saturating_sub(SLACK).map_err(|e| e.to_string())?;
    let verifier = CoreIdTokenVerifier::new_public_client(client, issuer, keys.clone())
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || SystemTime::from(earlier).into());
    let claims = token.claims(&verifier, &Nonce::new(nonce(expected.key))).map_err(|e| told(&e, expected))?;
    let begins = begins(claims)?;
    let by = expected.signed_at.min(expected.now).saturating_add(SLACK).map_err(|e| e.to_string())?;
    if begins > by {
        return Err(format!(
            "it begins at {begins}, after the job was signed at {}: set this computer's clock right, and log in again",
            expected.signed_at
        )
        .into());
    }
    Ok(Opened {
        identity: identity(claims)?,
        ends_at: time(claims.expiration(), "exp")?,
        development: claims.additional_claims().development.is_some(),
    })
}

/// The first instant at which a token is good.
fn begins(claims: &Claims) -> Result<Timestamp, String> {
    let issued = time(claims.issue_time(), "iat")?;
    let Some(seconds) = claims.additional_claims().nbf else { return Ok(issued) };
    let since = SignedDuration::try_from_secs_f64(seconds).ok();
    let not_before = since.and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
    Ok(issued.max(not_before.ok_or("its nbf is no time")?))
}

fn identity(claims: &Claims) -> Result<Identity, String> {
    let who = serde_json::json!({ "issuer": claims.issuer().as_str(), "subject": claims.subject().as_str() });
    let who: PersonIdentity = serde_json::from_value(who).map_err(|e| e.to_string())?;
    let amr: Vec<String> = claims.auth_method_refs().into_iter().flatten().map(|means| means.to_string()).collect();
    if amr.len() > MEANS_MAX {
        return Err(format!("it lists {} means of authentication; the limit is {MEANS_MAX}", amr.len()));
    }
    let Some(at) = claims.auth_time() else {
        return Err(
            "it does not say when the person was authenticated (auth_time): ask with max_age, as `spe login` does"
                .into(),
        );
    };
    Ok(Identity::proven(who, claims.auth_context_ref().map(|acr| acr.to_string()), amr, time(at, "auth_time")?))
}

fn time(at: impl Into<SystemTime>, claim: &str) -> Result<Timestamp, String> {
    Timestamp::try_from(at.into()).map_err(|_| format!("its {claim} is out of range"))
}

/// What to do about it, in the words of the person who is refused.
fn told(error: &ClaimsVerificationError, expected: &Expected<'_>) -> Wrong {
    use ClaimsVerificationError as E;
    use SignatureVerificationError as S;
    let Expected { issuer, client_id, signed_at, .. } = expected;
    Wrong::Refused(match error {
        E::SignatureVerification(S::NoMatchingKey) => {
            return Wrong::UnknownKey(format!(
                "it is signed with a key that {issuer} does not publish, or only since a minute: log in again"
            ));
        }
        E::SignatureVerification(S::NoSignature) => "it is not signed (alg none)".into(),
        E::SignatureVerification(S::DisallowedAlg(_) | S::UnsupportedAlg(_)) => {
            "it is signed in a way that is not taken; the issuer must sign with RS256, ES256 or EdDSA".into()
        }
        E::SignatureVerification(_) => format!("its signature is not one of {issuer}: it was changed, or forged"),
        E::InvalidIssuer(_) => format!("it is not of {issuer}"),
        E::InvalidAudience(_) => {
            format!("it was made for another program than {client_id} (aud): log in with `spe login`")
        }
        E::InvalidNonce(_) => {
            "it belongs to another key than the one that signed the job (nonce): log in with that key".into()
        }
        E::Expired(_) => format!("it had ended when the job was signed at {signed_at}: log in again"),
        other => other.to_string(),
    })
}
