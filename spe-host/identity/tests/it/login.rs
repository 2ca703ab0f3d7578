//! A login at the person's end.

use std::time::Duration;

use spe_identity::{LOGIN_FORMAT, LogIn, Login, log_in, nonce};
use spe_kernel::dsse::SecretKey;

use crate::{
    development::{asked, issuer, login},
    support::ada,
};

#[tokio::test]
async fn the_browser_is_sent_with_everything_that_binds_the_login() {
    let issuer = issuer().await;
    let asked = LogIn { acr: Some("urn:high".into()), patience: Duration::from_millis(1), ..asked(&issuer, ada()) };
    let mut shown = None;
    let late = log_in(&asked, |url| shown = Some(url.clone())).await.unwrap_err();
    assert!(late.to_string().contains("nobody logged in"), "{late}");
    let query: std::collections::HashMap<_, _> = shown.unwrap().query_pairs().into_owned().collect();
    assert_eq!(query["nonce"], nonce(ada()));
    assert_eq!((query["code_challenge_method"].as_str(), query["response_type"].as_str()), ("S256", "code"));
    assert_eq!(query["scope"], "openid", "nothing but who it is may be asked for");
    assert_eq!((query["acr_values"].as_str(), query["max_age"].as_str()), ("urn:high", "43200"));
    assert!(query["redirect_uri"].starts_with("http://127.0.0.1:"));
}

/// What would be a bug: a page elsewhere that logs the person in as somebody else by calling the redirection first.
#[tokio::test]
async fn who_does_not_know_the_state_is_not_believed() {
    let issuer = issuer().await;
    let asked = asked(&issuer, ada());
    let (page, shown) = tokio::sync::oneshot::channel();
    let intruding = async {
        let url: spe_identity::Url = shown.await.unwrap();
        let back = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
        for query in ["", "?code=x", "?code=x&state=guess", "?error=denied&state=guess"] {
            assert_eq!(reqwest::get(format!("{back}{query}")).await.unwrap().status(), 400, "{query:?} was believed");
        }
        spe_identity::development::choose(&url, "ada").await.unwrap();
    };
    let (login, ()) = tokio::join!(log_in(&asked, |url| drop(page.send(url.clone()))), intruding);
    assert!(login.is_ok(), "{login:?}");
}

#[tokio::test]
async fn what_the_issuer_says_against_it_is_told() {
    let issuer = issuer().await;
    let asked = asked(&issuer, ada());
    let (page, shown) = tokio::sync::oneshot::channel();
    let denying = async {
        let url: spe_identity::Url = shown.await.unwrap();
        let of = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
        let back =
            format!("{}?error=access_denied&error_description=not+today&state={}", of("redirect_uri"), of("state"));
        reqwest::get(back).await.unwrap();
    };
    let (login, ()) = tokio::join!(log_in(&asked, |url| drop(page.send(url.clone()))), denying);
    assert!(login.unwrap_err().to_string().contains("not today"));
    let nowhere = LogIn { issuer: "http://127.0.0.1:9/development".into(), ..asked.clone() };
    assert!(log_in(&nowhere, |_| {}).await.unwrap_err().to_string().contains("127.0.0.1:9"));
    let clear = LogIn { issuer: "http://login.example.eu".into(), ..asked };
    assert!(log_in(&clear, |_| {}).await.unwrap_err().to_string().contains("neither https nor on this machine"));
}

#[tokio::test]
async fn a_kept_login_is_read_again() {
    let issuer = issuer().await;
    let made = login(&asked(&issuer, ada()), "ada").await.unwrap();
    let text = serde_json::to_string(&made).unwrap();
    let read = Login::read(text.as_bytes()).unwrap();
    let now = jiff::Timestamp::now();
    assert!(read.recognise(ada(), now).is_ok());
    assert!(read.recognise(SecretKey::from_seed(&[8; 32]).public(), now).is_err());
    let later = now.checked_add(jiff::SignedDuration::from_hours(13)).unwrap();
    assert!(read.recognise(ada(), later).unwrap_err().to_string().contains("had ended"));
    let other = text.replace(LOGIN_FORMAT, "spe.login/9");
    assert!(Login::read(other.as_bytes()).unwrap_err().to_string().contains("spe.login/9"));
    assert!(Login::read(b"{}").is_err());
}
