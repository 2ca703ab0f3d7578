//! A federation of the persons anna and bob around a hub that does nothing.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use spe_kernel::{
    disclosure::Catalogue,
    dsse::PublicKey,
    ids::{ApplicationId, Digest, JobId},
    refusal::Refusal,
    tlog::{Ask, Reply},
};
use spe_wire::{
    Assignment, Connection, EnrolRequest, Enrolled, Feed, NodeCatalogue, PassedOn, Peer, Report, Ruling, Seats,
    Service, SignedAnswer, Submission,
    governance::{Activity, ApplicationLine, ApplicationView, Period, Register},
    listen,
    pki::{Authority, Role},
    serve,
    tls::ServerTls,
    view::{JobLine, View},
};
use tokio::task::JoinHandle;

/// Accepts everything and finds nothing, except for modules: it names their digest.
#[derive(Default)]
pub(crate) struct Stub {
    /// What every node is given to do.
    pub(crate) work: Vec<Assignment>,
    /// What nodes said.
    pub(crate) reports: Arc<Mutex<Vec<Report>>>,
    /// The tokens that were handed in.
    pub(crate) tokens: Arc<Mutex<Vec<String>>>,
}

fn nothing<T>() -> Result<T, Refusal> {
    Err(Refusal::NotFound { what: "what the stub has not".into() })
}

impl Service for Stub {
    async fn put_module(&self, _: Peer, wasm: Vec<u8>) -> Result<Digest, Refusal> {
        Ok(Digest::of(&wasm))
    }
    async fn submit(&self, peer: Peer, _: Submission) -> Result<JobId, Refusal> {
        Ok(peer.fingerprint.unwrap().short().parse().unwrap())
    }
    async fn watch(&self, _: Peer, _: JobId) -> Result<Feed<View>, Refusal> {
        nothing()
    }
    async fn view(&self, _: Peer, _: JobId) -> Result<View, Refusal> {
        nothing()
    }
    async fn answers(&self, _: Peer, _: JobId) -> Result<Feed<SignedAnswer>, Refusal> {
        nothing()
    }
    async fn cancel(&self, _: Peer, _: JobId) -> Result<View, Refusal> {
        nothing()
    }
    async fn jobs(&self, _: Peer) -> Result<Vec<JobLine>, Refusal> {
        Ok(Vec::new())
    }
    async fn browse(&self, _: Peer) -> Result<Feed<NodeCatalogue>, Refusal> {
        nothing()
    }
    /// More work never comes.
    async fn attend(&self, _: Peer, _: Catalogue) -> Result<Feed<Assignment>, Refusal> {
        let work = futures::stream::iter(self.work.clone()).map(Ok);
        Ok(Box::pin(work.chain(futures::stream::pending())))
    }
    async fn offer(&self, _: Peer, _: Catalogue) -> Result<(), Refusal> {
        Ok(())
    }
    async fn fetch_module(&self, _: Peer, _: Digest) -> Result<Vec<u8>, Refusal> {
        Ok(b"another module".to_vec())
    }
    async fn report(&self, _: Peer, _: JobId, report: Report) -> Result<(), Refusal> {
        self.reports.lock().unwrap().push(report);
        Ok(())
    }
    async fn witness(&self, _: Peer, _: Ask) -> Result<(Reply, PublicKey), Refusal> {
        nothing()
    }
    async fn agree(&self, _: Peer, sent: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Refusal> {
        Ok(sent)
    }
    async fn enrol(&self, _: Peer, request: EnrolRequest) -> Result<Enrolled, Refusal> {
        self.tokens.lock().unwrap().push(request.token);
        nothing()
    }
    async fn register(&self, _: Peer) -> Result<Register, Refusal> {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        Ok(Register { at, entries: Vec::new(), other_results: Vec::new(), left_out: None, unreadable: Vec::new() })
    }
    async fn activity(&self, _: Peer, period: Period) -> Result<Activity, Refusal> {
        Ok(Activity { period, indicators: Vec::new() })
    }
    async fn apply(&self, _: Peer, _: Vec<u8>) -> Result<ApplicationId, Refusal> {
        nothing()
    }
    async fn applications(&self, _: Peer) -> Result<Vec<ApplicationLine>, Refusal> {
        Ok(Vec::new())
    }
    async fn application(&self, _: Peer, _: ApplicationId) -> Result<ApplicationView, Refusal> {
        nothing()
    }
    async fn withdraw(&self, _: Peer, _: ApplicationId) -> Result<ApplicationView, Refusal> {
        nothing()
    }
    async fn notify(&self, _: Peer, _: ApplicationId, _: Vec<u8>) -> Result<ApplicationView, Refusal> {
        nothing()
    }
    async fn decide(&self, _: Peer, _: ApplicationId, _: Ruling) -> Result<ApplicationView, Refusal> {
        nothing()
    }
    async fn complete(&self, _: Peer, _: ApplicationId, _: Vec<u8>) -> Result<ApplicationView, Refusal> {
        nothing()
    }
    async fn revoke(&self, _: Peer, _: Vec<u8>) -> Result<PassedOn, Refusal> {
        nothing()
    }
    async fn publish(&self, _: Peer, _: JobId) -> Result<(), Refusal> {
        Ok(())
    }
}

pub(crate) struct Federation {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
    pub(crate) stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Federation {
    /// Serves the stub with room for `connections_max` connections, all of which one member may take.
    pub(crate) async fn found(connections_max: usize) -> Self {
        Self::seating(Seats { connections_max, connections_per_member_max: connections_max }).await
    }

    pub(crate) async fn seating(seats: Seats) -> Self {
        Self::around(Stub::default(), seats).await
    }

    pub(crate) async fn around(stub: Stub, seats: Seats) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path()).unwrap();
        save(&authority, dir.path().join("hub"), &Role::Hub, &["127.0.0.1".into()]);
        for name in ["anna", "bob"] {
            save(&authority, dir.path().join(name), &Role::Person(name.parse().unwrap()), &[]);
        }
        let at = |file: &str| dir.path().join(file);
        let tls = ServerTls::read(&at("ca.pem"), &at("hub/cert.pem"), &at("hub/key.pem")).unwrap();
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let server = tokio::spawn(serve(listener, tls, seats, Arc::new(stub), shutdown));
        Self { dir, address, server, stop: Some(stop) }
    }

    /// The connection of the member in `bundle`.
    pub(crate) fn connection(&self, bundle: &str) -> Connection {
        let mut connection = Connection::new(Role::Person("anna".parse().unwrap()), &self.address.to_string());
        connection.ca = self.dir.path().join("ca.pem");
        connection.cert = self.dir.path().join(bundle).join("cert.pem");
        connection.key = self.dir.path().join(bundle).join("key.pem");
        connection.connect_timeout_seconds = 5;
        connection
    }
}

pub(crate) fn save(authority: &Authority, dir: PathBuf, role: &Role, hosts: &[String]) -> Digest {
    std::fs::create_dir_all(&dir).unwrap();
    let identity = authority.issue(role, hosts).unwrap();
    identity.save(&dir).unwrap();
    identity.fingerprint()
}
