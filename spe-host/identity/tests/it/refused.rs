//! Each check on a login, violated alone. What would be a bug is that the token is taken.

use openidconnect::{
    PrivateSigningKey,
    core::{CoreHmacKey, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use spe_identity::nonce;
use spe_kernel::{
    dsse::SecretKey,
    person::{IssuerTerms, PROOF_BYTES_MAX, People},
};

use crate::support::{
    CLIENT, ISSUED, ISSUER, Node, SUBJECT, ada, at, claims, node, people, signed, signed_by, signing_key, terms,
    unsigned, why, with,
};

#[test]
fn a_good_token_proves_who_owns_the_key() {
    let identity = node().says(&signed(&claims()), ada(), 600).unwrap();
    assert_eq!((identity.who().issuer.as_str(), identity.who().subject.as_str()), (ISSUER, SUBJECT));
    assert_eq!((identity.acr(), identity.amr()), (Some("2"), &["pwd".to_owned(), "otp".to_owned()][..]));
    assert_eq!(identity.auth_time(), at(-60));
}

#[test]
fn the_nonce_is_what_the_docs_say() {
    // base64url(SHA-256("spe.login/1" || the key's 32 bytes)), computed with Python's hashlib.
    assert_eq!(nonce(ada()), "x_nh079QYD47vJPpzM04jzCs0bYRv_l1-05pswlJlh4");
}

/// Somebody else's token, taken from the hub or from a node, does not prove one's own key.
#[test]
fn a_token_of_another_key_is_refused() {
    let mallory = SecretKey::from_seed(&[8; 32]).public();
    let refused = why(node().says(&signed(&claims()), mallory, 600));
    assert!(refused.contains("another key"), "{refused}");
    let bound = with("nonce", nonce(mallory).into());
    assert!(why(node().says(&bound, ada(), 600)).contains("another key"));
    assert!(
        why(node().says(&with("nonce", Value::Null), ada(), 600)).contains("another key"),
        "a token without a nonce"
    );
}

#[test]
fn a_token_for_another_program_is_refused() {
    for audience in [json!("other"), json!([]), json!([CLIENT, "other"])] {
        let refused = why(node().says(&with("aud", audience.clone()), ada(), 600));
        assert!(refused.contains("another program"), "aud {audience}: {refused}");
    }
    assert!(why(node().says(&with("aud", Value::Null), ada(), 600)).contains("another program"));
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let refused = why(node().says(&with("iss", "https://elsewhere.example".into()), ada(), 600));
    assert!(refused.contains("https://elsewhere.example") && refused.contains(ISSUER), "{refused}");
    let slash = with("iss", format!("{ISSUER}/").into());
    assert!(why(node().says(&slash, ada(), 600)).contains("are taken here"), "a slash more is another issuer");
}

#[test]
fn a_job_signed_outside_of_the_tokens_time_is_refused() {
    let token = signed(&claims());
    assert!(node().says(&token, ada(), 3_600 + 240).is_ok(), "clocks may differ by five minutes");
    assert!(why(node().says(&token, ada(), 3_600 + 360)).contains("had ended"));
    assert!(node().says(&token, ada(), -240).is_ok(), "clocks may differ by five minutes");
    assert!(why(node().says(&token, ada(), -360)).contains("begins at"));
    assert!(why(node().says(&with("nbf", (ISSUED + 1_200).into()), ada(), 600)).contains("begins at"), "nbf");
    assert!(node().says(&with("nbf", (ISSUED + 500).into()), ada(), 600).is_ok());
}

/// A token that begins later than this node's clock: the signature's own date does not help.
#[test]
fn a_token_from_the_future_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_keys(folder.path());
    let issuers = spe_identity::Issuers::open(&people(terms()), folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let said = runtime.block_on(issuers.recognise(&signed(&claims()), ada(), at(600), at(-3_600)));
    assert!(why(said).contains("begins at"));
}

#[test]
fn an_old_login_is_refused_even_if_its_token_is_new() {
    let hours = 12 * 3_600;
    let refused = why(node().says(&with("auth_time", (ISSUED - hours).into()), ada(), 600));
    assert!(refused.contains("more than 12 hours"), "{refused}");
    assert!(node().says(&with("auth_time", (ISSUED - hours + 900).into()), ada(), 600).is_ok());
    assert!(why(node().says(&with("auth_time", Value::Null), ada(), 600)).contains("auth_time"));
}

#[test]
fn a_token_that_is_not_signed_is_refused() {
    let none = json!({ "alg": "none", "typ": "JWT" });
    for header in [none.clone(), json!({ "alg": "none", "kid": "ed-1" })] {
        let refused = why(node().says(&format!("{}.", unsigned(&header, &claims())), ada(), 600));
        assert!(refused.contains("not signed"), "{refused}");
    }
    // A good token whose header was exchanged afterwards.
    let good = signed(&claims());
    let signature = good.rsplit('.').next().unwrap();
    assert!(
        why(node().says(&format!("{}.{signature}", unsigned(&none, &claims())), ada(), 600)).contains("not signed")
    );
}

/// The confusion of algorithms: what is public of the issuer, used as the secret of a MAC.
#[test]
fn a_mac_with_the_public_key_as_its_secret_is_refused() {
    let public = signing_key(9, "ed-1").as_verification_key();
    let whole = serde_json::to_vec(&public).unwrap();
    let raw = serde_json::to_value(&public).unwrap()["x"].as_str().unwrap().as_bytes().to_vec();
    for secret in [whole, raw, Vec::new()] {
        let header = json!({ "alg": "HS256", "kid": "ed-1", "typ": "JWT" });
        let forged = signed_by(&CoreHmacKey::new(secret), &CoreJwsSigningAlgorithm::HmacSha256, &header, &claims());
        let refused = why(node().says(&forged, ada(), 600));
        assert!(refused.contains("RS256, ES256 or EdDSA"), "{refused}");
    }
}

#[test]
fn a_token_that_another_key_signed_is_refused() {
    let header = json!({ "alg": "EdDSA", "kid": "ed-1", "typ": "JWT" });
    let forged = signed_by(&signing_key(10, "ed-1"), &CoreJwsSigningAlgorithm::EdDsa, &header, &claims());
    assert!(why(node().says(&forged, ada(), 600)).contains("changed, or forged"));
    // A claim that was changed afterwards.
    let good = signed(&claims());
    let other = with("sub", "somebody-else".into());
    let (head, payload) = (good.split('.').next().unwrap(), other.split('.').nth(1).unwrap());
    let grafted = format!("{head}.{payload}.{}", good.rsplit('.').next().unwrap());
    assert!(why(node().says(&grafted, ada(), 600)).contains("changed, or forged"));
}

#[test]
fn a_key_that_the_issuer_does_not_publish_is_refused() {
    let header = json!({ "alg": "EdDSA", "kid": "ed-2", "typ": "JWT" });
    let forged = signed_by(&signing_key(10, "ed-2"), &CoreJwsSigningAlgorithm::EdDsa, &header, &claims());
    assert!(why(node().says(&forged, ada(), 600)).contains("does not publish"));
}

#[test]
fn a_login_with_too_little_assurance_is_refused() {
    // Without terms of its own an issuer's tokens must show more than a password: no service account has that.
    for amr in [json!(null), json!([]), json!(["pwd"]), json!(["MFA"]), json!(["xmfa"])] {
        let refused = why(node().says(&with("amr", amr.clone()), ada(), 600));
        assert!(refused.contains("amr") && refused.contains("mfa, hwk, otp, sc"), "amr {amr}: {refused}");
    }
    let own = Node::new(&people(IssuerTerms { amr: vec!["face".into()], ..terms() }));
    assert!(why(own.says(&signed(&claims()), ada(), 600)).contains("one of face is needed"));
    assert!(own.says(&with("amr", json!(["face"])), ada(), 600).is_ok());
}

#[test]
fn a_level_of_assurance_is_one_of_those_named() {
    let level = |acr: &str| IssuerTerms { acr: vec!["3".into(), acr.into()], ..terms() };
    let (high, fits) = (Node::new(&people(level("4"))), Node::new(&people(level("2"))));
    assert!(why(high.says(&signed(&claims()), ada(), 600)).contains("(acr) is 2; one of 3, 4 is needed"));
    assert!(why(high.says(&with("acr", Value::Null), ada(), 600)).contains("(acr) is none"));
    assert!(
        fits.says(&with("amr", Value::Null), ada(), 600).is_ok(),
        "the level says it all, where only levels are asked for"
    );
    let both = Node::new(&people(IssuerTerms { amr: vec!["hwk".into()], ..level("2") }));
    assert!(why(both.says(&signed(&claims()), ada(), 600)).contains("one of hwk is needed"), "each list counts");
}

#[test]
fn a_token_with_the_mark_of_development_is_refused() {
    let marked = with("development", "NOT FOR PRODUCTION".into());
    assert!(why(node().says(&marked, ada(), 600)).contains("NOT FOR PRODUCTION"));
    let open = Node::new(&People { development_issuer: true, ..people(terms()) });
    assert!(open.says(&marked, ada(), 600).is_ok());
}

/// What would be a bug: a panic, a wait, or anything but a refusal that says what was expected.
#[test]
fn what_is_no_token_is_refused() {
    let good = signed(&claims());
    let long = with("filler", "x".repeat(PROOF_BYTES_MAX).into());
    let twice = format!("{good}.{}", good.rsplit('.').next().unwrap());
    let header = json!({ "alg": "EdDSA", "kid": "ed-1" });
    let mut nonsense = vec![String::new(), "a.b.c".into(), "..".into(), good.replace('.', ""), long, twice];
    nonsense.push(format!("{}.", unsigned(&json!({ "alg": "RSA-OAEP", "enc": "A256GCM" }), &claims())));
    nonsense.push(format!("{}.AA", unsigned(&json!({ "alg": "EdDSA", "crit": ["x"] }), &claims())));
    nonsense.push(format!("{}.AA", unsigned(&json!({ "alg": "EdDSA", "cty": "JWT" }), &claims())));
    nonsense.push(format!("{}.AA", unsigned(&header, &json!([1]))));
    for (claim, value) in [
        ("exp", json!("soon")),
        ("exp", json!(1e300)),
        ("iat", json!(-1e300)),
        ("iat", json!(9e18)),
        ("nbf", json!(1e300)),
        ("auth_time", json!(9_000_000_000_000_i64)),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!(7)),
        ("amr", json!(vec!["otp"; 33])),
        ("exp", json!(null)),
        ("iat", json!(null)),
        ("sub", json!(null)),
    ] {
        nonsense.push(with(claim, value));
    }
    // An access token of the same issuer (RFC 9068) is not an ID token.
    let access = json!({ "alg": "EdDSA", "kid": "ed-1", "typ": "at+jwt" });
    nonsense.push(signed_by(&signing_key(9, "ed-1"), &CoreJwsSigningAlgorithm::EdDsa, &access, &claims()));
    for token in nonsense {
        why(node().says(&token, ada(), 600));
    }
    for cut in 0..good.len() {
        why(node().says(&good[..cut], ada(), 600));
    }
}
