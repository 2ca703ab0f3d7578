//! Logins under way, and the tokens that come of them.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    AccessToken, Audience, AuthenticationContextClass, AuthenticationMethodReference, IssuerUrl, Nonce, StandardClaims,
    SubjectIdentifier, core::CoreJwsSigningAlgorithm,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    development::{MARK, Person, signer::Signer},
    token::{Claims, Extra, Token},
};

/// How long a token is good.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// Logins under way; the oldest make room.
const UNDER_WAY_MAX: usize = 100;

/// What a client asked for (OpenID Connect Core 1.0, section 3.1.2.1).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Authorization {
    pub(super) response_type: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    #[serde(default)]
    pub(super) scope: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) nonce: String,
    pub(super) code_challenge: String,
    pub(super) code_challenge_method: String,
}

/// Logins under way, by the page's word or the client's code; each word is good once.
#[derive(Default)]
pub(super) struct Grants {
    asked: VecDeque<(String, Authorization)>,
    chosen: VecDeque<(String, (Authorization, Person))>,
}

fn put<T>(list: &mut VecDeque<(String, T)>, word: String, what: T) {
    if list.len() >= UNDER_WAY_MAX {
        list.pop_front();
    }
    list.push_back((word, what));
}

fn take<T>(list: &mut VecDeque<(String, T)>, word: &str) -> Option<T> {
    let at = list.iter().position(|(known, _)| known == word)?;
    list.remove(at).map(|(_, what)| what)
}

impl Grants {
    pub(super) fn ask(&mut self, word: String, asked: Authorization) {
        put(&mut self.asked, word, asked);
    }

    pub(super) fn asked(&mut self, word: &str) -> Option<Authorization> {
        take(&mut self.asked, word)
    }

    pub(super) fn choose(&mut self, code: String, asked: Authorization, person: Person) {
        put(&mut self.chosen, code, (asked, person));
    }

    pub(super) fn chosen(&mut self, code: &str) -> Option<(Authorization, Person)> {
        take(&mut self.chosen, code)
    }
}

/// Whether `verifier` is what the challenge was made of (RFC 7636, section 4.6).
pub(super) fn is_challenged(asked: &Authorization, verifier: &str) -> bool {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == asked.code_challenge
}

/// The person's ID token.
pub(super) fn issue(
    issuer: &str,
    asked: &Authorization,
    person: &Person,
    access: &AccessToken,
    signer: &Signer,
) -> Result<String, String> {
    let now = SystemTime::now();
    let extra = Extra { nbf: None, development: Some(MARK.into()) };
    let subject = StandardClaims::new(SubjectIdentifier::new(person.subject.clone()));
    let issuer = IssuerUrl::new(issuer.to_owned()).map_err(|e| e.to_string())?;
    let audience = vec![Audience::new(asked.client_id.clone())];
    let means = person.amr.iter().map(|means| AuthenticationMethodReference::new(means.clone())).collect::<Vec<_>>();
    let claims = Claims::new(issuer, audience, (now + TOKEN_LIFE).into(), now.into(), subject, extra)
        .set_auth_time(Some(now.into()))
        .set_auth_context_ref(person.acr.clone().map(AuthenticationContextClass::new))
        .set_auth_method_refs((!means.is_empty()).then_some(means))
        .set_nonce((!asked.nonce.is_empty()).then(|| Nonce::new(asked.nonce.clone())));
    let token = Token::new(claims, &signer.key, CoreJwsSigningAlgorithm::EdDsa, Some(access), None);
    token.map(|token| token.to_string()).map_err(|e| e.to_string())
}
