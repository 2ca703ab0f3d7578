//! The development issuer's pages.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Form,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use openidconnect::AccessToken;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    development::{
        Desk, MARK, PATH, held, random_word,
        tokens::{Authorization, TOKEN_LIFE, is_challenged, issue},
    },
    http::is_loopback,
};

type Shared = State<Arc<Desk>>;

fn json_page(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn refused(error: &str, why: &str) -> Response {
    let said = json!({ "error": error, "error_description": format!("{why} ({MARK})") });
    json_page(StatusCode::BAD_REQUEST, &said)
}

/// What is shown as it was written, whatever it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{MARK}: issuer for development</title>\n<h1>{MARK}</h1>\n\
         <p>An issuer of logins for development and demonstration: nobody is asked for a password.</p>\n{body}</html>\n"
    ))
}

pub(super) async fn home(State(desk): Shared) -> Html<String> {
    page(&format!("<p>Issuer: <code>{}</code></p>\n", escaped(&desk.issuer)))
}

pub(super) async fn discovery(State(desk): Shared) -> Response {
    let at = |page: &str| format!("{}/{page}", desk.issuer);
    let said = json!({
        "development": MARK,
        "issuer": desk.issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "jwks_uri": at("jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "development"],
    });
    json_page(StatusCode::OK, &said)
}

pub(super) async fn jwks(State(desk): Shared) -> Response {
    desk.keys_asked.fetch_add(1, Ordering::Relaxed);
    ([(header::CONTENT_TYPE, "application/json")], held(&desk.signer).jwks()).into_response()
}

/// The list of persons, each a button.
pub(super) async fn authorize(State(desk): Shared, Query(asked): Query<Authorization>) -> Response {
    if asked.response_type != "code" || !asked.scope.split(' ').any(|scope| scope == "openid") {
        return refused("invalid_request", "expected response_type code and scope openid");
    }
    if asked.code_challenge_method != "S256" {
        return refused("invalid_request", "expected PKCE with S256 (RFC 7636)");
    }
    if !asked.redirect_uri.parse().is_ok_and(|url: Url| url.scheme() == "http" && is_loopback(&url)) {
        return refused("invalid_request", "expected a redirect_uri on this machine (RFC 8252)");
    }
    let Ok(word) = random_word() else { return refused("server_error", "no entropy") };
    let button = |person: &crate::development::Person| {
        format!("<button name=\"subject\" value=\"{}\">{}</button>\n", escaped(&person.subject), escaped(&person.name))
    };
    let buttons: String = desk.persons.iter().map(button).collect();
    let client = escaped(&asked.client_id);
    held(&desk.grants).ask(word.clone(), asked);
    page(&format!(
        "<p>Who logs in for <code>{client}</code>?</p>\n<form method=\"post\" action=\"{PATH}/choose\">\n\
         <input type=\"hidden\" name=\"request\" value=\"{word}\">\n{buttons}</form>\n"
    ))
    .into_response()
}

#[derive(Deserialize)]
pub(super) struct Choice {
    request: String,
    subject: String,
}

/// Sends the browser back with a code.
pub(super) async fn chosen(State(desk): Shared, Form(choice): Form<Choice>) -> Response {
    let Some(person) = desk.persons.iter().find(|person| person.subject == choice.subject) else {
        return refused("access_denied", "nobody of that subject is in the persons' file");
    };
    let Some(asked) = held(&desk.grants).asked(&choice.request) else {
        return refused("invalid_request", "the page is old; begin again");
    };
    let (Ok(code), Ok(mut back)) = (random_word(), asked.redirect_uri.parse::<Url>()) else {
        return refused("server_error", "no entropy");
    };
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked.state);
    held(&desk.grants).choose(code, asked, person.clone());
    (StatusCode::SEE_OTHER, [(header::LOCATION, back.to_string())]).into_response()
}

#[derive(Deserialize)]
pub(super) struct Exchange {
    grant_type: String,
    code: String,
    redirect_uri: String,
    client_id: String,
    code_verifier: String,
}

/// A code for an ID token, once.
pub(super) async fn token(State(desk): Shared, Form(exchange): Form<Exchange>) -> Response {
    let granted = held(&desk.grants).chosen(&exchange.code);
    let Some((asked, person)) = granted else { return refused("invalid_grant", "the code is unknown or was used") };
    let same = asked.redirect_uri == exchange.redirect_uri && asked.client_id == exchange.client_id;
    if exchange.grant_type != "authorization_code" || !same || !is_challenged(&asked, &exchange.code_verifier) {
        return refused("invalid_grant", "the code was given to another client, or the verifier is wrong");
    }
    let Ok(access) = random_word().map(AccessToken::new) else { return refused("server_error", "no entropy") };
    match issue(&desk.issuer, &asked, &person, &access, &held(&desk.signer)) {
        Ok(id_token) => json_page(
            StatusCode::OK,
            &json!({ "access_token": access.secret(), "token_type": "Bearer", "expires_in": TOKEN_LIFE.as_secs(),
                "id_token": id_token, "development": MARK }),
        ),
        Err(why) => refused("server_error", &why),
    }
}
