//! The issuer for development: what it gives is real OpenID Connect, and nothing that a node takes without being told to.

use jiff::Timestamp;
use spe_identity::{
    Issuers, LogIn, Login, LoginError,
    development::{DevelopmentIssuer, MARK, Person, Persons, choose},
    log_in,
};
use spe_kernel::{
    dsse::{PublicKey, SecretKey},
    person::{IssuerTerms, People},
    refusal::Refusal,
};
use tokio::sync::oneshot;

use crate::support::{ada, why};

pub fn persons() -> Persons {
    let person = |subject: &str, amr: &[&str]| Person {
        subject: subject.into(),
        name: format!("{subject} <the \"first\">"),
        acr: None,
        amr: amr.iter().map(|s| (*s).to_owned()).collect(),
    };
    Persons { persons: vec![person("ada", &["pwd", "otp"]), person("bob", &["pwd"])] }
}

/// An issuer that serves as long as the test runs.
pub async fn issuer() -> DevelopmentIssuer {
    let issuer = DevelopmentIssuer::bind("127.0.0.1:0".parse().unwrap(), persons()).await.unwrap();
    let serving = issuer.clone();
    tokio::spawn(async move { serving.serve(std::future::pending()).await });
    issuer
}

pub fn asked(issuer: &DevelopmentIssuer, key: PublicKey) -> LogIn {
    LogIn {
        issuer: issuer.issuer().into(),
        client_id: "spe".into(),
        key,
        acr: None,
        patience: std::time::Duration::from_secs(30),
    }
}

/// A login of that person, the way a browser would go.
pub async fn login(asked: &LogIn, subject: &str) -> Result<Login, LoginError> {
    let (page, shown) = oneshot::channel();
    let choosing = async { choose(&shown.await.unwrap(), subject).await.unwrap() };
    let (login, ()) = tokio::join!(log_in(asked, |url| drop(page.send(url.clone()))), choosing);
    login
}

pub fn rules(issuer: &DevelopmentIssuer) -> People {
    let terms = IssuerTerms {
        issuer: issuer.issuer().into(),
        client_id: "spe".into(),
        acr: vec![],
        amr: vec![],
        jwks_file: None,
    };
    People { login_required: true, login_hours_max: 12, development_issuer: true, issuers: vec![terms] }
}

#[tokio::test]
async fn a_login_there_is_recognised_by_a_node_that_takes_it() {
    let issuer = issuer().await;
    let login = login(&asked(&issuer, ada()), "ada").await.unwrap();
    let issuers = Issuers::open(&rules(&issuer), "".as_ref()).unwrap();
    let now = Timestamp::now();
    let identity = issuers.recognise(&login.id_token, ada(), now, now).await.unwrap();
    assert_eq!((identity.who().subject.as_str(), identity.who().issuer.as_str()), ("ada", issuer.issuer()));
    assert!(login.ends_at > now);
    assert_eq!(login.recognise(ada(), now).unwrap(), identity, "the person's own program says the same");
    let mallory = SecretKey::from_seed(&[8; 32]).public();
    assert!(why(issuers.recognise(&login.id_token, mallory, now, now).await).contains("another key"));
    assert!(login.recognise(mallory, now).unwrap_err().to_string().contains("another key"));
}

#[tokio::test]
async fn nobody_takes_its_tokens_without_being_told_to() {
    let issuer = issuer().await;
    let bound = People { development_issuer: false, ..rules(&issuer) };
    let refused = Issuers::open(&bound, "".as_ref()).map(drop).unwrap_err().to_string();
    assert!(refused.contains(MARK), "{refused}");
    // Even with another address, the tokens say it.
    let login = login(&asked(&issuer, ada()), "ada").await.unwrap();
    let payload = login.id_token.split('.').nth(1).unwrap();
    let payload = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["development"], MARK);
    assert!(claims.get("name").is_none(), "a token says who somebody is by subject only");
}

#[tokio::test]
async fn a_person_without_a_second_factor_is_refused_by_the_node() {
    let issuer = issuer().await;
    let login = login(&asked(&issuer, ada()), "bob").await.unwrap();
    let issuers = Issuers::open(&rules(&issuer), "".as_ref()).unwrap();
    let now = Timestamp::now();
    assert!(why(issuers.recognise(&login.id_token, ada(), now, now).await).contains("by pwd (amr)"));
}

#[tokio::test]
async fn a_login_for_another_program_is_refused_by_the_node() {
    let issuer = issuer().await;
    let other = LogIn { client_id: "other".into(), ..asked(&issuer, ada()) };
    let login = login(&other, "ada").await.unwrap();
    let issuers = Issuers::open(&rules(&issuer), "".as_ref()).unwrap();
    let now = Timestamp::now();
    assert!(why(issuers.recognise(&login.id_token, ada(), now, now).await).contains("another program"));
}

#[tokio::test]
async fn it_serves_on_this_machine_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = DevelopmentIssuer::bind(address.parse().unwrap(), persons()).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains(MARK), "{address}: {refused}");
    }
}

#[tokio::test]
async fn every_page_says_what_it_is() {
    let issuer = issuer().await;
    let url = |path: &str| format!("{}{path}", issuer.issuer());
    assert!(issuer.issuer().contains("/development"));
    let authorize = "/authorize?response_type=code&scope=openid&client_id=x&redirect_uri=http://127.0.0.1:1/&code_challenge=x\
        &code_challenge_method=S256";
    for path in ["", "/.well-known/openid-configuration", authorize] {
        let page = reqwest::get(url(path)).await.unwrap().text().await.unwrap();
        assert!(page.contains(MARK), "{path}: {page}");
        assert!(!page.contains("<the"), "{path}: a name was not escaped: {page}");
    }
}

/// What would be a bug: a code that somebody else can use, or that is good twice, or that is sent to another machine.
#[tokio::test]
async fn a_code_is_good_once_and_for_who_asked() {
    let issuer = issuer().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = |redirect: &str, method: &str| {
        format!(
            "{}/authorize?response_type=code&scope=openid&client_id=spe&redirect_uri={redirect}&state=s&nonce=n\
             &code_challenge=NORfwpEYKakZsuYgaey8PFmACPx5Ikq_PyZGYQ7p8NI&code_challenge_method={method}",
            issuer.issuer()
        )
    };
    for (redirect, method) in
        [("https://evil.example/", "S256"), ("http://evil.example/", "S256"), ("http://127.0.0.1:9/", "plain")]
    {
        assert_eq!(client.get(page(redirect, method)).send().await.unwrap().status(), 400, "{redirect} {method}");
    }
    let code = async || {
        let shown = client.get(page("http://127.0.0.1:9/", "S256")).send().await.unwrap().text().await.unwrap();
        let word = shown.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let choice = [("request", word.as_str()), ("subject", "ada")];
        let choose = || client.post(format!("{}/choose", issuer.issuer())).form(&choice).send();
        let back = choose().await.unwrap().headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(choose().await.unwrap().status(), 400, "a page is good twice");
        back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    let exchange = |verifier: &'static str, code: String| {
        let form =
            [("grant_type", "authorization_code"), ("redirect_uri", "http://127.0.0.1:9/"), ("client_id", "spe")];
        let form: Vec<(String, String)> = form.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let form = [form, vec![("code".into(), code), ("code_verifier".into(), verifier.into())]].concat();
        client.post(format!("{}/token", issuer.issuer())).form(&form).send()
    };
    let seen = code().await;
    assert_eq!(exchange("a-guess", seen.clone()).await.unwrap().status(), 400, "whoever sees the code could use it");
    assert_eq!(exchange("a-verifier", seen).await.unwrap().status(), 400, "a code may be guessed at");
    let own = code().await;
    assert_eq!(exchange("a-verifier", own.clone()).await.unwrap().status(), 200);
    assert_eq!(exchange("a-verifier", own).await.unwrap().status(), 400, "a code is good twice");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_named() {
    let gone = People {
        issuers: vec![IssuerTerms {
            issuer: "http://127.0.0.1:9/development".into(),
            client_id: "spe".into(),
            acr: vec![],
            amr: vec![],
            jwks_file: None,
        }],
        ..People { development_issuer: true, login_hours_max: 12, ..People::default() }
    };
    let issuers = Issuers::open(&gone, "".as_ref()).unwrap();
    issuers.fetch().await;
    let mut claims = crate::support::claims();
    claims["iss"] = "http://127.0.0.1:9/development".into();
    let now = Timestamp::now();
    let said = issuers.recognise(&crate::support::signed(&claims), ada(), now, now).await;
    assert!(
        matches!(&said, Err(Refusal::Unavailable { .. })),
        "a login is not wrong because its issuer is away: {said:?}"
    );
}
