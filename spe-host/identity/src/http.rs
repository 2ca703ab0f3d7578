//! HTTP to issuers: short, bounded, never in the clear beyond this machine.

use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use url::{Host, Url};

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer: key sets and tokens are small.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why an issuer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// An address that would be asked in the clear.
    #[error("{0} is neither https nor on this machine")]
    Clear(String),
    /// Something larger than a key set.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The network's own.
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
}

/// A client that follows no redirection: an issuer's addresses are what its discovery document says.
pub(crate) fn client() -> Result<reqwest::Client, HttpError> {
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?)
}

/// Whether `url` is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether nobody on the way can read or change what is asked at `url`.
pub(crate) fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// One request.
pub(crate) async fn call(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let request = reqwest::Request::try_from(request)?;
    if !is_private(request.url()) {
        return Err(HttpError::Clear(request.url().to_string()));
    }
    let mut answer = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut given = HttpResponse::new(body);
    *given.status_mut() = answer.status();
    *given.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(given)
}
