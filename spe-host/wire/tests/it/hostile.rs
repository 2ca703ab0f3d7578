//! What a hostile peer may send, made with the generated client, which our own programs cannot reach.

use std::{io, task::Poll};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use spe_kernel::{ids::NAME_BYTES_MAX, job::Purpose};
use spe_wire::{
    HubClient, encode, limits,
    view::{JobLine, Rounds, State},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Code,
    codegen::{BoxFuture, Service, http::Uri},
    transport::{Channel, Endpoint},
};

use crate::stub::Federation;

#[path = "../../src/gen/spe.v1.rs"]
#[allow(clippy::all, missing_docs, unreachable_pub, dead_code, reason = "generated")]
#[rustfmt::skip]
mod pb;

struct Dial(TlsConnector, String);

impl Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<Self::Response, io::Error>;
    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let (tls, address) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            let tcp = TcpStream::connect(address).await?;
            Ok(TokioIo::new(tls.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await?))
        })
    }
}

async fn hostile(federation: &Federation) -> pb::hub_client::HubClient<Channel> {
    let read = |file: &str| std::fs::read(federation.dir.path().join(file)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("anna/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("anna/key.pem")).unwrap();
    let builder =
        ClientConfig::builder_with_provider(ring::default_provider().into()).with_protocol_versions(&[&TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let dial = Dial(TlsConnector::from(std::sync::Arc::new(config)), federation.address.to_string());
    let channel = Endpoint::from_static("http://hub").connect_with_connector(dial).await.unwrap();
    pb::hub_client::HubClient::new(channel)
}

fn report(kind: &str, bytes: usize) -> pb::JobReport {
    pb::JobReport { job: "job-1".into(), frame: Some(pb::Frame { kind: kind.into(), body: vec![b'x'; bytes] }) }
}

#[tokio::test]
async fn every_kind_has_its_limit() {
    let federation = Federation::found(8).await;
    let mut hub = hostile(&federation).await;
    for (kind, limit) in [
        ("stage", limits::STAGE_BYTES_MAX),
        ("refusal", limits::REFUSAL_BYTES_MAX),
        ("released", limits::ANSWER_BYTES_MAX),
        ("finished", limits::FINISHED_BYTES_MAX),
    ] {
        let refused = hub.report(report(kind, limit + 1)).await.expect_err(kind);
        assert_eq!(refused.code(), Code::ResourceExhausted, "{kind}: {refused}");
    }
    let envelope = || vec![b'x'; limits::ENVELOPE_BYTES_MAX + 1];
    let submission = pb::Submission { job: envelope(), permit: Vec::new() };
    assert_eq!(hub.submit(submission).await.unwrap_err().code(), Code::ResourceExhausted);
    let submission = pb::Submission { job: Vec::new(), permit: envelope() };
    assert_eq!(hub.submit(submission).await.unwrap_err().code(), Code::ResourceExhausted);
    let catalogue = pb::Frame { kind: "catalogue".into(), body: vec![b'x'; limits::CATALOGUE_BYTES_MAX + 1] };
    assert_eq!(hub.attend(catalogue.clone()).await.map(drop).unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(hub.offer(catalogue).await.unwrap_err().code(), Code::ResourceExhausted);
    let module = |bytes| pb::Module { wasm: vec![0; bytes] };
    assert_eq!(hub.put_module(module(limits::MODULE_BYTES_MAX + 1)).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(hub.put_module(module(2 * limits::MODULE_BYTES_MAX)).await.unwrap_err().code(), Code::OutOfRange);
    hub.put_module(module(limits::MODULE_BYTES_MAX)).await.expect("a module of exactly the limit");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let federation = Federation::found(8).await;
    let mut hub = hostile(&federation).await;
    for kind in ["", "catalogue", "RELEASED", "confidential"] {
        assert_eq!(
            hub.report(report(kind, 2)).await.unwrap_err().code(),
            Code::InvalidArgument,
            "a {kind:?} was taken for a report"
        );
    }
    for frame in [report("stage", 3), report("refusal", 3), report("finished", 3)] {
        assert_eq!(hub.report(frame).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let nameless = pb::JobReport { job: "../x".into(), ..report("released", 3) };
    assert_eq!(hub.report(nameless).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(hub.report(pb::JobReport::default()).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(hub.view(pb::JobRef { id: "é".into() }).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        hub.fetch_module(pb::ModuleRef { digest: "blake3:0".into() }).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let stage = pb::Frame { kind: "stage".into(), body: b"\"admitted\"".to_vec() };
    assert_eq!(
        hub.attend(stage).await.map(drop).unwrap_err().code(),
        Code::InvalidArgument,
        "a stage was taken for a catalogue"
    );
}

#[tokio::test]
async fn a_node_does_not_believe_the_hub_about_modules() {
    let federation = Federation::found(8).await;
    let hub = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let digest = spe_kernel::ids::Digest::of(b"a module");
    assert!(hub.fetch_module(digest).await.is_err(), "another module was taken for the one asked for");
}

#[tokio::test]
async fn what_may_leave_arrives() {
    let federation = Federation::found(8).await;
    let hub = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let job = "job-1".parse().unwrap();
    hub.report(&job, encode(&spe_kernel::disclosure::Stage::Running)).await.unwrap();
    hub.report(&job, encode(&spe_kernel::refusal::Refusal::Cancelled)).await.unwrap();
}

#[test]
fn a_list_of_jobs_fits_its_limit() {
    let (name, state) = ("x".repeat(NAME_BYTES_MAX), State::Cancelled);
    let line = JobLine {
        id: name.parse().unwrap(),
        dataset: name.parse().unwrap(),
        purpose: Purpose::ScientificResearch,
        submitted_at: jiff::Timestamp::MAX,
        state,
        answered: u32::MAX,
        asked: u32::MAX,
        rounds: Some(Rounds { done: u32::MAX, of: u32::MAX }),
    };
    let list = vec![line; usize::try_from(limits::JOBS_LISTED_MAX).unwrap()];
    let bytes = serde_json::to_vec(&list).unwrap().len();
    assert!(bytes <= limits::JOBS_BYTES_MAX, "a person with many jobs could not see them: {bytes} bytes");
}
