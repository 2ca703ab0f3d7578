//! An issuer's public keys: from a file, or from the issuer itself.

use std::{path::Path, sync::Arc, time::Duration};

use openidconnect::{
    IssuerUrl,
    core::{CoreJsonWebKeySet, CoreProviderMetadata},
};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    chain::chain,
    http::{HttpError, call, client},
};

/// An issuer is asked for its keys again no more often, however many tokens name keys that nobody knows.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// The keys of one issuer. A lock is held while they are fetched, so that many jobs at once ask the issuer once.
pub(crate) struct Keys {
    /// Where they come from; none = a file, which is read once.
    issuer: Option<IssuerUrl>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    set: Arc<CoreJsonWebKeySet>,
    fetched: bool,
    refreshed: Option<Instant>,
}

impl Keys {
    /// Keys that are fetched from `issuer` when they are first needed.
    pub(crate) fn of(issuer: IssuerUrl) -> Self {
        Self { issuer: Some(issuer), held: Mutex::default() }
    }

    /// Keys in a file; nobody is asked.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let wrong = |why: String| format!("jwks_file {}: {why}", file.display());
        let text = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
        let set: CoreJsonWebKeySet =
            serde_json::from_slice(&text).map_err(|e| wrong(format!("not a JWK Set (RFC 7517): {e}")))?;
        if set.keys().is_empty() {
            return Err(wrong("no key in it that can be used; RS256, ES256 and EdDSA are taken".into()));
        }
        Ok(Self { issuer: None, held: Mutex::new(Held { set: Arc::new(set), fetched: true, refreshed: None }) })
    }

    /// The keys, fetched if they never were.
    pub(crate) async fn held(&self) -> Result<Arc<CoreJsonWebKeySet>, String> {
        let mut held = self.held.lock().await;
        if !held.fetched {
            if !held.may_ask() {
                return Err("the issuer's keys, which could not be fetched a moment ago".into());
            }
            self.fetch(&mut held).await?;
            // What was fetched for the first time may be followed by a rotation at once.
            held.refreshed = None;
        }
        Ok(Arc::clone(&held.set))
    }

    /// The keys as the issuer has them now, because a token names one that is not among `known`; none if the issuer was asked
    /// just before.
    pub(crate) async fn newer(&self, known: &Arc<CoreJsonWebKeySet>) -> Result<Option<Arc<CoreJsonWebKeySet>>, String> {
        let mut held = self.held.lock().await;
        if !Arc::ptr_eq(known, &held.set) {
            return Ok(Some(Arc::clone(&held.set)));
        }
        if self.issuer.is_none() || !held.may_ask() {
            return Ok(None);
        }
        self.fetch(&mut held).await?;
        Ok(Some(Arc::clone(&held.set)))
    }

    async fn fetch(&self, held: &mut Held) -> Result<(), String> {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        held.refreshed = Some(Instant::now());
        held.set = Arc::new(discover(issuer).await?.jwks().clone());
        held.fetched = true;
        tracing::info!(issuer = issuer.as_str(), keys = held.set.keys().len(), "fetched an issuer's keys");
        Ok(())
    }
}

impl Held {
    fn may_ask(&self) -> bool {
        self.refreshed.is_none_or(|last| last.elapsed() >= REFRESH_AT_MOST_EVERY)
    }
}

/// What an issuer says of itself, with its keys (OpenID Connect Discovery 1.0).
pub(crate) async fn discover(issuer: &IssuerUrl) -> Result<CoreProviderMetadata, String> {
    let told = |why: String| format!("the issuer {} ({why})", issuer.as_str());
    let client = client().map_err(|e: HttpError| told(chain(&e)))?;
    let http = |request| call(client.clone(), request);
    CoreProviderMetadata::discover_async(issuer.clone(), &http).await.map_err(|e| told(chain(&e)))
}
