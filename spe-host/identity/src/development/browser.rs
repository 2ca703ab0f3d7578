//! What a person does on the development issuer's page, without a browser.

use reqwest::header::LOCATION;
use url::Url;

use crate::{
    chain::chain,
    http::{HttpError, client, is_loopback},
};

/// Why the page could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the development issuer's page: {0}")]
pub struct BrowserError(String);

impl From<reqwest::Error> for BrowserError {
    fn from(error: reqwest::Error) -> Self {
        Self(chain(&error))
    }
}

impl From<HttpError> for BrowserError {
    fn from(error: HttpError) -> Self {
        Self(chain(&error))
    }
}

/// Opens `page`, which `spe login` shows, chooses the person of that subject, and goes where the issuer sends the browser: what
/// somebody at a screen would do, for demonstrations and tests.
///
/// # Errors
/// A page of another issuer; a person whom the issuer does not know.
pub async fn choose(page: &Url, subject: &str) -> Result<(), BrowserError> {
    if !is_loopback(page) {
        return Err(BrowserError(format!("{page} is not on this machine; open it in a browser")));
    }
    let client = client()?;
    let shown = client.get(page.clone()).send().await?.error_for_status()?.text().await?;
    let word = between(&shown, "name=\"request\" value=\"", "\"");
    let action = between(&shown, "action=\"", "\"").and_then(|path| page.join(path).ok());
    let (Some(word), Some(action)) = (word, action) else {
        return Err(BrowserError("it is not the page of an issuer for development; open it in a browser".into()));
    };
    let sent = client.post(action).form(&[("request", word), ("subject", subject)]).send().await?;
    let back = sent.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| to.parse::<Url>().ok());
    let Some(back) = back.filter(is_loopback) else {
        return Err(BrowserError(sent.text().await?));
    };
    client.get(back).send().await?.error_for_status()?;
    Ok(())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
