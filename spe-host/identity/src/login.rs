//! A person's login: authorization code flow with PKCE (RFC 7636) and a page on this machine to come back to (RFC 8252).

use std::time::Duration;

use jiff::Timestamp;
use openidconnect::{
    AuthenticationContextClass, AuthorizationCode, ClientId, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet, CoreProviderMetadata},
};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    dsse::PublicKey,
    person::{Identity, PROOF_BYTES_MAX},
};
use url::Url;

use crate::{
    chain::chain,
    http::{call, client},
    keys::discover,
    loopback::Loopback,
    nonce,
    token::{self, Expected},
};

/// [`Login::format`] of this version.
pub const LOGIN_FORMAT: &str = "spe.login/1";
/// How old an authentication the issuer may fall back on; also what makes it say when it was (`auth_time`).
const MAX_AGE: Duration = Duration::from_secs(12 * 3_600);

/// Why a login did not come about, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoginError(String);

impl From<String> for LoginError {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// A login to be made.
#[derive(Debug, Clone)]
pub struct LogIn {
    /// The issuer's address.
    pub issuer: String,
    /// What `spe` is registered as there: a public client, whose redirection is `http://127.0.0.1` with any port.
    pub client_id: String,
    /// The key that the login is for.
    pub key: PublicKey,
    /// The level of assurance to ask for (`acr_values`).
    pub acr: Option<String>,
    /// How long the person may take.
    pub patience: Duration,
}

/// A login, as the person keeps it beside the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// [`LOGIN_FORMAT`].
    pub format: String,
    /// The issuer.
    pub issuer: String,
    /// What `spe` is registered as there.
    pub client_id: String,
    /// When it ends: jobs are to be signed before.
    pub ends_at: Timestamp,
    /// What goes into jobs.
    pub id_token: String,
    /// The issuer's keys at the time, to check the token without asking.
    keys: CoreJsonWebKeySet,
}

/// Has the person log in; `show` is given the address that a browser is to open.
///
/// # Errors
/// What the issuer said, or what is wrong with the token that it gave.
pub async fn log_in(asked: &LogIn, show: impl FnOnce(&Url)) -> Result<Login, LoginError> {
    let issuer = IssuerUrl::new(asked.issuer.clone()).map_err(|e| format!("the issuer {:?}: {e}", asked.issuer))?;
    let metadata = discover(&issuer).await?;
    let keys = metadata.jwks().clone();
    let id_token = ask(asked, metadata, show).await?;
    let mut login = Login {
        format: LOGIN_FORMAT.into(),
        issuer: asked.issuer.clone(),
        client_id: asked.client_id.clone(),
        ends_at: Timestamp::UNIX_EPOCH,
        id_token,
        keys,
    };
    login.ends_at = login.open(asked.key, Timestamp::now())?.ends_at;
    Ok(login)
}

/// The way through the browser, up to an ID token that nobody has checked.
async fn ask(asked: &LogIn, metadata: CoreProviderMetadata, show: impl FnOnce(&Url)) -> Result<String, LoginError> {
    let failed = |what: &str, why: String| LoginError(format!("{what}: {why}"));
    let loopback = Loopback::bind().await.map_err(|e| failed("listening on this machine", e.to_string()))?;
    let redirect =
        RedirectUrl::new(loopback.address().to_owned()).map_err(|e| failed("the redirection", e.to_string()))?;
    let oidc = CoreClient::from_provider_metadata(metadata, ClientId::new(asked.client_id.clone()), None)
        .set_redirect_uri(redirect);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let bound = Nonce::new(nonce(asked.key));
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let request = oidc.authorize_url(flow, CsrfToken::new_random, || bound);
    let request = request.set_pkce_challenge(challenge).set_max_age(MAX_AGE);
    let request = asked
        .acr
        .iter()
        .fold(request, |request, acr| request.add_auth_context_value(AuthenticationContextClass::new(acr.clone())));
    let (url, state, _) = request.url();
    show(&url);
    let code = loopback.code(state.secret(), asked.patience).await?;
    let client = client().map_err(|e| failed("speaking HTTP", chain(&e)))?;
    let http = |request| call(client.clone(), request);
    let exchange = oidc.exchange_code(AuthorizationCode::new(code)).map_err(|e| failed("the issuer", e.to_string()))?;
    let verifier = PkceCodeVerifier::new(verifier.into_secret());
    let given = exchange.set_pkce_verifier(verifier).request_async(&http).await;
    let given = given.map_err(|e| failed("the issuer gave no token", chain(&e)))?;
    let token = given
        .id_token()
        .ok_or_else(|| LoginError("the issuer gave no ID token; is it one of OpenID Connect?".into()))?;
    Ok(token.to_string())
}

impl Login {
    /// Reads a login that was kept.
    ///
    /// # Errors
    /// Not a login of this version.
    pub fn read(text: &[u8]) -> Result<Self, LoginError> {
        let login: Self = serde_json::from_slice(text).map_err(|e| format!("not a login: {e}"))?;
        if login.format == LOGIN_FORMAT {
            return Ok(login);
        }
        Err(LoginError(format!("its format is {:.32}; this program reads {LOGIN_FORMAT}: log in again", login.format)))
    }

    /// Who this is, if a job that `key` signs at `signed_at` is to be proven by it. Levels of assurance are not looked at: each node
    /// has its own rules.
    ///
    /// # Errors
    /// The same that a node would say.
    pub fn recognise(&self, key: PublicKey, signed_at: Timestamp) -> Result<Identity, LoginError> {
        Ok(self.open(key, signed_at)?.identity)
    }

    fn open(&self, key: PublicKey, signed_at: Timestamp) -> Result<token::Opened, LoginError> {
        if self.id_token.len() > PROOF_BYTES_MAX {
            let why = "the issuer's token is larger than a job may carry";
            return Err(LoginError(format!("{why} ({PROOF_BYTES_MAX} bytes): have it put fewer claims into it")));
        }
        let expected = Expected { issuer: &self.issuer, client_id: &self.client_id, key, signed_at, now: signed_at };
        token::open(&self.id_token, &expected, &self.keys).map_err(|wrong| LoginError(wrong.why()))
    }
}
