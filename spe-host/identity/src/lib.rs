//! Who a person is, proven by OpenID Connect: the only door to it, and to HTTP.
//!
//! A login is bound to the Ed25519 key that signs the person's jobs: the ID token's `nonce` commits to it ([`nonce`]). So whoever
//! holds the issuer's public keys can check a job alone, offline and later: the token proves who owns the key, the key proves who
//! signed. Node and hub need not trust each other for it. `docs/identity.md` tells the whole way, `docs/adr/0011-login-in-the-nonce.md`
//! what is given up for it.

mod binding;
mod chain;
pub mod development;
mod http;
mod issuers;
mod keys;
mod login;
mod loopback;
mod token;

pub use binding::nonce;
pub use issuers::{ConfigError, Issuers};
pub use login::{LOGIN_FORMAT, LogIn, Login, LoginError, log_in};
pub use url::Url;
