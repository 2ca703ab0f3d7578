//! What a caller without a certificate reaches, and what a member-to-be tells whom.

use std::sync::Arc;

use spe_kernel::{ids::Digest, refusal::Refusal};
use spe_wire::{
    ConnectError, EnrolRequest, HubClient, Seats, encode,
    governance::Period,
    pki::{Authority, Role},
    request::MemberKey,
    tls::fingerprint,
};

use crate::{
    stub::{Federation, Stub, save},
    tls::nothing,
};

const SEATS: Seats = Seats { connections_max: 8, connections_per_member_max: 4 };

fn asked(token: &str) -> EnrolRequest {
    let (member, request) = ("node north".parse().unwrap(), MemberKey::generate().unwrap().request().unwrap());
    EnrolRequest { member, token: token.into(), request }
}

fn denied<T>(what: &str, answer: Result<T, Refusal>) {
    let Err(refusal) = answer else { panic!("a stranger may do {what}") };
    assert!(
        matches!(&refusal, Refusal::NotAllowed { who, .. } if who.contains("without a certificate")),
        "{what}: {refusal}"
    );
}

/// What would be a bug: a method of the hub that answers, or reads what is sent, before anybody proved to be a member.
#[tokio::test]
async fn strangers_find_the_door_only() {
    let federation = Federation::seating(SEATS).await;
    let ca = fingerprint(&federation.dir.path().join("ca.pem")).unwrap();
    let hub = HubClient::stranger(&federation.address.to_string(), ca).await.unwrap();
    hub.register().await.expect("the register is public");
    hub.activity(Period::default()).await.expect("the report is public");
    assert!(matches!(hub.enrol(asked("t")).await, Err(Refusal::NotFound { .. })), "the stub was not reached");
    denied("PutModule", hub.put_module(vec![0; 15 << 20]).await);
    denied("Submit", hub.submit(nothing()).await);
    denied("Watch", hub.watch(&"job".parse().unwrap()).await.map(drop));
    denied("Jobs", hub.jobs().await);
    denied("Browse", hub.browse().await.map(drop));
    denied("Report", hub.report(&"job".parse().unwrap(), encode(&Refusal::Cancelled)).await);
    denied("Apply", hub.apply(Vec::new()).await);
    denied("Applications", hub.applications().await);
}

/// What would be a bug: a stranger who makes the hub hold 16 MiB, as members may for a module.
#[tokio::test]
async fn a_stranger_sends_little() {
    let federation = Federation::seating(SEATS).await;
    let ca = fingerprint(&federation.dir.path().join("ca.pem")).unwrap();
    let hub = HubClient::stranger(&federation.address.to_string(), ca).await.unwrap();
    let large = EnrolRequest { request: vec![0; 1 << 20], ..asked("t") };
    let refused = hub.enrol(large).await.expect_err("a request of a mebibyte was read");
    assert!(matches!(refused, Refusal::Malformed { .. }), "{refused}");
}

/// What would be a bug: strangers who take the seats of members.
#[tokio::test]
async fn strangers_share_the_seats_of_one_member() {
    let federation = Federation::seating(SEATS).await;
    let ca = fingerprint(&federation.dir.path().join("ca.pem")).unwrap();
    let mut held = Vec::new();
    for _ in 0..SEATS.connections_per_member_max {
        let stranger = HubClient::stranger(&federation.address.to_string(), ca).await.unwrap();
        stranger.register().await.unwrap();
        held.push(stranger);
    }
    let more = async { HubClient::stranger(&federation.address.to_string(), ca).await.unwrap().register().await };
    assert!(more.await.is_err(), "one stranger too many");
    crate::tls::ask(&federation.connection("anna")).await.expect("strangers took a member's seat");
}

/// What would be a bug: a token that reaches somebody who cannot prove to be the hub of the invitation.
#[tokio::test]
async fn a_false_hub_gets_no_token() {
    let stub = Stub::default();
    let tokens = Arc::clone(&stub.tokens);
    let federation = Federation::around(stub, SEATS).await;
    let real = fingerprint(&federation.dir.path().join("ca.pem")).unwrap();
    let other = Authority::create(&federation.dir.path().join("other")).unwrap();
    let address = federation.address.to_string();
    for ca in
        [Digest::of(other.certificate().as_bytes()), fingerprint(&federation.dir.path().join("other/ca.pem")).unwrap()]
    {
        let refused = HubClient::stranger(&address, ca)
            .await
            .map(drop)
            .expect_err("another authority was taken for the invitation's");
        let ConnectError::Refused(Refusal::NotAllowed { what, .. }) = &refused else { panic!("{refused}") };
        assert!(what.contains("fingerprint"), "{what}");
    }
    // A member's certificate under the right authority is none for a hub.
    let authority = Authority::load(federation.dir.path()).unwrap();
    let at = |file: &str| federation.dir.path().join(file);
    save(&authority, at("posing"), &Role::Node("north".parse().unwrap()), &["127.0.0.1".into()]);
    let tls = spe_wire::tls::ServerTls::read(&at("ca.pem"), &at("posing/cert.pem"), &at("posing/key.pem")).unwrap();
    let listener = spe_wire::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let posing = listener.local_addr().unwrap().to_string();
    let stub = Stub { tokens: Arc::clone(&tokens), ..Stub::default() };
    tokio::spawn(spe_wire::serve(listener, tls, SEATS, Arc::new(stub), std::future::pending()));
    assert!(HubClient::stranger(&posing, real).await.is_err(), "a node posed as the hub");
    assert_eq!(*tokens.lock().unwrap(), Vec::<String>::new(), "a token was sent before the hub had proved who it is");
    HubClient::stranger(&address, real).await.unwrap().enrol(asked("secret")).await.unwrap_err();
    assert_eq!(*tokens.lock().unwrap(), ["secret"]);
}
