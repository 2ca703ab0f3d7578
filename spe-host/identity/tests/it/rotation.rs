//! An issuer that changes its keys.

use jiff::Timestamp;
use spe_identity::Issuers;

use crate::{
    development::{asked, issuer, login, rules},
    support::{ada, why},
};

/// What would be a bug: a node that must be restarted when its issuer changes keys, one that goes on believing in keys that were
/// taken back, and one that asks the issuer each time somebody makes up a key's name.
#[tokio::test]
async fn a_key_that_is_not_known_is_asked_for_once() {
    let issuer = issuer().await;
    let issuers = Issuers::open(&rules(&issuer), "".as_ref()).unwrap();
    let asked = asked(&issuer, ada());
    let before = login(&asked, "ada").await.unwrap();
    let says = async |token: &str| {
        let now = Timestamp::now();
        issuers.recognise(token, ada(), now, now).await
    };
    let by_login = issuer.keys_asked();
    issuers.fetch().await;
    assert!(says(&before.id_token).await.is_ok() && says(&before.id_token).await.is_ok());
    assert_eq!(issuer.keys_asked() - by_login, 1, "keys that are known are not asked for");

    issuer.rotate().unwrap();
    let after = login(&asked, "ada").await.unwrap();
    let by_login = issuer.keys_asked();
    assert!(says(&after.id_token).await.is_ok(), "a new key must be asked for");
    assert!(says(&after.id_token).await.is_ok());
    assert_eq!(issuer.keys_asked() - by_login, 1);
    let old = why(says(&before.id_token).await);
    assert!(old.contains("does not publish"), "a key that was taken back still counts: {old}");

    issuer.rotate().unwrap();
    let last = login(&asked, "ada").await.unwrap();
    let by_login = issuer.keys_asked();
    for _ in 0..20 {
        why(says(&last.id_token).await);
    }
    assert_eq!(issuer.keys_asked(), by_login, "the issuer was asked again within a minute");
}
