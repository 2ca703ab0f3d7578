//! Who gets through the door, and who does not.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use spe_kernel::refusal::Refusal;
use spe_wire::{
    ConnectError, Connection, HubClient, Submission, listen,
    pki::{Authority, Role},
    tls::ServerTls,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::stub::{Federation, save};

pub(crate) fn nothing() -> Submission {
    Submission { job: Vec::new(), permit: Vec::new() }
}

/// What a caller gets who connects and asks.
pub(crate) async fn ask(connection: &Connection) -> Result<String, Refusal> {
    match HubClient::connect(connection).await {
        Ok(hub) => hub.submit(nothing()).await.map(|id| id.to_string()),
        Err(ConnectError::Refused(refusal)) => Err(refusal),
        Err(ConnectError::File(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_member_is_known_by_its_certificate() {
    let federation = Federation::found(8).await;
    let fingerprint = {
        let pem = std::fs::read(federation.dir.path().join("anna/cert.pem")).unwrap();
        spe_kernel::ids::Digest::of(&CertificateDer::from_pem_slice(&pem).unwrap())
    };
    assert_eq!(
        ask(&federation.connection("anna")).await,
        Ok(fingerprint.short()),
        "the hub must see anna's fingerprint"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let federation = Federation::found(8).await;
    let other = Authority::create(&federation.dir.path().join("other")).unwrap();
    save(&other, federation.dir.path().join("mallory"), &Role::Person("anna".parse().unwrap()), &[]);
    let refused = ask(&federation.connection("mallory")).await;
    assert!(
        matches!(&refused, Err(Refusal::Unavailable { .. })),
        "a stranger got in, or was told something else: {refused:?}"
    );
}

#[tokio::test]
async fn a_hub_of_another_authority_is_not_believed() {
    let federation = Federation::found(8).await;
    Authority::create(&federation.dir.path().join("other")).unwrap();
    let mut connection = federation.connection("anna");
    connection.ca = federation.dir.path().join("other/ca.pem");
    let Err(Refusal::Unavailable { what }) = ask(&connection).await else { panic!("a false hub was believed") };
    assert!(what.contains("certificate"), "the reason is lost: {what}");
}

#[tokio::test]
async fn a_member_cannot_pose_as_the_hub() {
    let federation = Federation::found(8).await;
    let at = |file: &str| federation.dir.path().join(file);
    let authority = Authority::load(federation.dir.path()).unwrap();
    save(&authority, at("posing"), &Role::Node("north".parse().unwrap()), &["127.0.0.1".into()]);
    let tls = ServerTls::read(&at("ca.pem"), &at("posing/cert.pem"), &at("posing/key.pem")).unwrap();
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut connection = federation.connection("anna");
    connection.hub = listener.local_addr().unwrap().to_string();
    let seats = spe_wire::Seats { connections_max: 8, connections_per_member_max: 8 };
    tokio::spawn(spe_wire::serve(listener, tls, seats, Arc::new(crate::stub::Stub::default()), std::future::pending()));
    assert!(ask(&connection).await.is_err(), "a node's certificate was taken for a hub's");
}

/// Connects with plain rustls and reads until the server's verdict.
async fn raw(
    federation: &Federation,
    version: &'static SupportedProtocolVersion,
    bundle: Option<&str>,
) -> std::io::Result<usize> {
    let mut stream = dial(federation, version, bundle).await?;
    let mut buffer = [0; 64];
    timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.unwrap()
}

/// Shakes hands with plain rustls, and says nothing.
pub(crate) async fn dial(
    federation: &Federation,
    version: &'static SupportedProtocolVersion,
    bundle: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let read = |file: String| std::fs::read(federation.dir.path().join(file)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&read("ca.pem".into())).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match bundle {
        None => builder.with_no_client_auth(),
        Some(bundle) => {
            let certificate = CertificateDer::from_pem_slice(&read(format!("{bundle}/cert.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_slice(&read(format!("{bundle}/key.pem"))).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(federation.address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

#[tokio::test]
async fn only_version_1_3_gets_through() {
    let federation = Federation::found(8).await;
    assert!(raw(&federation, &TLS13, Some("anna")).await.unwrap() > 0, "a good client must see HTTP/2 settings");
    let old = raw(&federation, &TLS12, Some("anna")).await.expect_err("TLS 1.2 was accepted");
    assert!(old.to_string().contains("ProtocolVersion"), "refused for another reason: {old}");
}

#[tokio::test]
async fn keys_are_their_owners_only() {
    let federation = Federation::found(8).await;
    for key in ["ca.key", "anna/key.pem", "hub/key.pem"] {
        let mode = std::fs::metadata(federation.dir.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key} can be read by others");
    }
    assert!(Authority::create(federation.dir.path()).is_err(), "an authority was overwritten");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let federation = Federation::found(8).await;
    let error = listen(federation.address).await.expect_err("two servers on one port");
    assert!(error.to_string().contains(&federation.address.to_string()), "{error}");
    assert!(error.to_string().contains("choose another port"), "{error}");
}

#[tokio::test]
async fn shutting_down_ends_streams() {
    let mut federation = Federation::found(8).await;
    let hub = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let key = spe_kernel::dsse::SecretKey::from_seed(&[7; 32]).public();
    let catalogue = spe_kernel::disclosure::Catalogue {
        node: "north".parse().unwrap(),
        key,
        access_bodies: Vec::new(),
        datasets: Vec::new(),
    };
    let mut work = hub.attend(spe_wire::encode(&catalogue)).await.unwrap();
    federation.stop.take();
    assert!(matches!(timeout(Duration::from_secs(5), work.next()).await, Ok(Ok(None))), "a stream outlived the hub");
    drop((work, hub));
    timeout(Duration::from_secs(5), federation.server).await.expect("the server does not stop").unwrap().unwrap();
}
