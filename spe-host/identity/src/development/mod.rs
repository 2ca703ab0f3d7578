//! An issuer of logins for demonstration and tests: a list of persons on a page, and nobody is asked for a password.
//!
//! # Security
//! It serves on this machine only, its address contains [`PATH`], and every page, document and token says [`MARK`]; a node refuses
//! each of its tokens unless the operator wrote `development_issuer = true`. Watched by `tests/it/development.rs`.

mod browser;
mod pages;
mod persons;
mod signer;
mod tokens;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    routing::{get, post},
};
use tokio::net::TcpListener;

pub use browser::{BrowserError, choose};
pub use persons::{Person, Persons};

use crate::development::{signer::Signer, tokens::Grants};

/// What its address contains.
pub const PATH: &str = "/development";
/// What everything of it says.
pub const MARK: &str = "NOT FOR PRODUCTION";

/// A development issuer, bound to its address and not serving yet. Clones are one issuer.
#[derive(Clone)]
pub struct DevelopmentIssuer {
    listener: Arc<Mutex<Option<TcpListener>>>,
    desk: Arc<Desk>,
}

/// What its pages share.
struct Desk {
    issuer: String,
    persons: Vec<Person>,
    signer: Mutex<Signer>,
    grants: Mutex<Grants>,
    keys_asked: AtomicU64,
}

impl DevelopmentIssuer {
    /// Takes `address`, which must be on this machine, with keys made now.
    ///
    /// # Errors
    /// An address that others can reach, or that is taken.
    pub async fn bind(address: SocketAddr, persons: Persons) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = format!(
                "{address} is not on this machine alone; an issuer for development, {MARK}, serves on 127.0.0.1"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let listener = TcpListener::bind(address).await?;
        let issuer = format!("http://{}{PATH}", listener.local_addr()?);
        let desk = Desk {
            issuer,
            persons: persons.persons,
            signer: Mutex::new(Signer::new()?),
            grants: Mutex::default(),
            keys_asked: AtomicU64::new(0),
        };
        Ok(Self { listener: Arc::new(Mutex::new(Some(listener))), desk: Arc::new(desk) })
    }

    /// Its address, as its tokens write it.
    pub fn issuer(&self) -> &str {
        &self.desk.issuer
    }

    /// Its public keys: a JWK Set, for a `jwks_file`.
    pub fn jwks(&self) -> String {
        held(&self.desk.signer).jwks()
    }

    /// Makes new keys; the old ones are no longer published.
    ///
    /// # Errors
    /// No entropy.
    pub fn rotate(&self) -> io::Result<()> {
        *held(&self.desk.signer) = Signer::new()?;
        Ok(())
    }

    /// How often its keys were asked for.
    pub fn keys_asked(&self) -> u64 {
        self.desk.keys_asked.load(Ordering::Relaxed)
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// The network's own; a clone that serves already.
    pub async fn serve(&self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let listener = held(&self.listener).take();
        let listener = listener.ok_or_else(|| io::Error::other("it serves already"))?;
        let pages = Router::new()
            .route("/", get(pages::home))
            .route("/.well-known/openid-configuration", get(pages::discovery))
            .route("/jwks", get(pages::jwks))
            .route("/authorize", get(pages::authorize))
            .route("/choose", post(pages::chosen))
            .route("/token", post(pages::token));
        let all = Router::new().nest(PATH, pages).with_state(Arc::clone(&self.desk));
        axum::serve(listener, all).with_graceful_shutdown(shutdown).await
    }
}

/// What one page changes is whole after each call, so that a panic elsewhere leaves nothing half-done.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A word that nobody guesses: 16 random bytes in base64url.
fn random_word() -> io::Result<String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
