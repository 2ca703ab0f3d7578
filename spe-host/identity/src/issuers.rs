//! The issuers of logins that an operator trusts, and what a login there must show.

use std::{collections::BTreeSet, path::Path};

use jiff::{SignedDuration, Timestamp};
use openidconnect::IssuerUrl;
use spe_kernel::{
    dsse::PublicKey,
    job::Job,
    person::{Identity, IssuerTerms, People},
    refusal::Refusal,
};
use url::Url;

use crate::{
    development,
    http::{is_loopback, is_private},
    keys::Keys,
    token::{self, Expected, Opened, Wrong},
};

/// What is wrong with `[people]`, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[people] {0}")]
pub struct ConfigError(String);

/// The operator's rules on persons, with the issuers' keys.
pub struct Issuers {
    people: People,
    issuers: Vec<(IssuerTerms, Keys)>,
}

impl Issuers {
    /// Reads the rules; paths in them are relative to `folder`. Nobody is asked yet.
    ///
    /// # Errors
    /// A rule under which no login could hold, or a login would prove nothing.
    pub fn open(people: &People, folder: &Path) -> Result<Self, ConfigError> {
        sensible(people).map_err(ConfigError)?;
        let keys = |terms: &IssuerTerms| {
            let address = address(terms, people.development_issuer)?;
            match &terms.jwks_file {
                Some(file) => Keys::read(&folder.join(file)),
                None => Ok(Keys::of(address)),
            }
        };
        let with_keys = |terms: &IssuerTerms| Ok((terms.clone(), keys(terms).map_err(ConfigError)?));
        Ok(Self { people: people.clone(), issuers: people.issuers.iter().map(with_keys).collect::<Result<_, _>>()? })
    }

    /// Fetches the keys that are not in files. An issuer that cannot be reached is told to the log, and asked again when a login of
    /// it comes.
    pub async fn fetch(&self) {
        if self.issuers.is_empty() {
            tracing::warn!(
                "no logins are checked here: persons are known by their keys alone ([people], docs/identity.md)"
            );
        }
        for (_, keys) in &self.issuers {
            if let Err(why) = keys.held().await {
                tracing::warn!("no logins can be checked until it can be reached: {why}");
            }
        }
    }

    /// The job, with who signed it, if it carries a login and anybody's logins are taken here. Whether one was needed is
    /// [`spe_kernel::admission::admit`]'s question.
    ///
    /// # Errors
    /// A login that does not hold.
    pub async fn recognise_job(&self, job: Job, now: Timestamp) -> Result<Job, Refusal> {
        let identity = match &job.body().identity {
            Some(token) if !self.issuers.is_empty() => {
                Some(self.recognise(token, job.signer(), job.body().signed_at, now).await?)
            }
            _ => None,
        };
        Ok(job.recognised(identity))
    }

    /// Who owns `key`, by the login in `token`, as it was at `signed_at`.
    ///
    /// # Security
    /// Each check has a test in `tests/it/refused.rs` that fails without it. An issuer is asked for its keys when a token names one
    /// that is not known, at most once a minute: whoever makes up names cannot have it asked more often (`tests/it/rotation.rs`).
    ///
    /// # Privacy
    /// A function of token, key, times, policy and the issuer's keys (**data-blind refusal**).
    ///
    /// # Errors
    /// [`Refusal::LoginRefused`] with what does not hold and what to do; [`Refusal::Unavailable`] when the issuer's keys are not here and
    /// cannot be had.
    pub async fn recognise(
        &self,
        token: &str,
        key: PublicKey,
        signed_at: Timestamp,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        let refused = |why: String| Refusal::LoginRefused { why };
        let issuer = token::issuer_of(token).map_err(refused)?;
        let (terms, keys) = self.terms_of(&issuer).map_err(refused)?;
        let expected = Expected { issuer: &terms.issuer, client_id: &terms.client_id, key, signed_at, now };
        let unreachable = |what: String| Refusal::Unavailable { what };
        let held = keys.held().await.map_err(unreachable)?;
        let opened = match token::open(token, &expected, &held) {
            Err(Wrong::UnknownKey(why)) => match keys.newer(&held).await.map_err(unreachable)? {
                Some(newer) => token::open(token, &expected, &newer),
                None => Err(Wrong::UnknownKey(why)),
            },
            other => other,
        };
        let opened = opened.map_err(|wrong| refused(wrong.why()))?;
        assured(&opened, terms, &self.people, signed_at).map_err(refused)?;
        Ok(opened.identity)
    }

    fn terms_of(&self, issuer: &str) -> Result<&(IssuerTerms, Keys), String> {
        self.issuers.iter().find(|(terms, _)| terms.issuer == issuer).ok_or_else(|| {
            let taken: Vec<_> = self.issuers.iter().map(|(terms, _)| terms.issuer.as_str()).collect();
            format!("it is of {issuer:.255}; logins of {} are taken here", taken.join(", "))
        })
    }
}

/// Whether the login is new enough, sure enough, and not a toy.
fn assured(opened: &Opened, terms: &IssuerTerms, people: &People, signed_at: Timestamp) -> Result<(), String> {
    let identity = &opened.identity;
    let hours = people.login_hours_max;
    if signed_at.duration_since(identity.auth_time()) > SignedDuration::from_hours(hours.into()) {
        let at = identity.auth_time();
        return Err(format!(
            "the person was authenticated at {at}, more than {hours} hours before the job was signed: log in again"
        ));
    }
    let one_of = |list: &[&str]| list.join(", ");
    if !terms.acr.is_empty() && !identity.acr().is_some_and(|acr| terms.acr.iter().any(|taken| taken == acr)) {
        let (said, taken) = (identity.acr().unwrap_or("none"), terms.acr.join(", "));
        return Err(format!(
            "its level of assurance (acr) is {said:.255}; one of {taken} is needed: log in with more factors"
        ));
    }
    let means = terms.means();
    if !means.is_empty() && !identity.amr().iter().any(|used| means.contains(&used.as_str())) {
        let (said, taken) = (identity.amr().join(", "), one_of(&means));
        let said = if said.is_empty() { "nothing".into() } else { said };
        return Err(format!(
            "the person was authenticated by {said:.255} (amr); one of {taken} is needed: log in with a second factor"
        ));
    }
    if opened.development && !people.development_issuer {
        return Err(format!("it is of an issuer for development, {}", development::MARK));
    }
    Ok(())
}

fn sensible(people: &People) -> Result<(), String> {
    if people.login_required && people.issuers.is_empty() {
        return Err("login_required without [[people.issuers]]: no job could ever run; name an issuer".into());
    }
    if people.login_hours_max == 0 && !people.issuers.is_empty() {
        return Err("login_hours_max = 0: no login is that new; 12 is usual".into());
    }
    let names: BTreeSet<_> = people.issuers.iter().map(|terms| &terms.issuer).collect();
    if names.len() < people.issuers.len() {
        return Err("an issuer is there twice; give it one [[people.issuers]] with all that is taken".into());
    }
    Ok(())
}

/// The issuer's address, if a login of it can prove anything here.
fn address(terms: &IssuerTerms, development: bool) -> Result<IssuerUrl, String> {
    let issuer = &terms.issuer;
    let url: Url = issuer.parse().map_err(|e| format!("issuer {issuer:?} is not an address: {e}"))?;
    if !is_private(&url) {
        return Err(format!(
            "issuer {issuer:?} is not https: whoever is on the way could put keys of their own in its place"
        ));
    }
    if !development && (url.path().contains(development::PATH) || is_loopback(&url)) {
        return Err(format!(
            "issuer {issuer:?} is one for development, {}: to demonstrate and to test, set development_issuer = true",
            development::MARK
        ));
    }
    if terms.client_id.is_empty() {
        return Err(format!("issuer {issuer:?} has an empty client_id; it is what `spe` is registered as there"));
    }
    IssuerUrl::new(issuer.clone()).map_err(|e| format!("issuer {issuer:?} is not an address: {e}"))
}
