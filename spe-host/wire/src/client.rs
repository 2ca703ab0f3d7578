//! A member's end of the wire.

mod governance;

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use spe_kernel::{
    dsse::PublicKey,
    ids::{Digest, JobId},
    refusal::Refusal,
    tlog::{Ask, Reply},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Response, Status, Streaming,
    codegen::{BoxFuture, Service, http::Uri},
    transport::{Channel, Endpoint},
};

use crate::{
    Connection, FileError, Frame,
    desk::named,
    frame::{parse, read_catalogue},
    limits::{
        ANSWER_BYTES_MAX, ENVELOPE_BYTES_MAX, FROM_HUB_BYTES_MAX, JOBS_BYTES_MAX, MODULE_BYTES_MAX,
        NEXT_ROUND_BYTES_MAX, RECEIPT_BYTES_MAX, VIEW_BYTES_MAX, WITNESS_BYTES_MAX,
    },
    pb,
    server::{PING_INTERVAL, PING_TIMEOUT},
    service::{Assignment, NodeCatalogue, SignedAnswer, Submission, within},
    status::{chain, refusal, unreachable},
    tls::{ClientTls, OTHER_AUTHORITY},
    view::{JobLine, View},
    witness,
};

/// How long a caller without a certificate waits for a connection, and for an answer.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The configuration is wrong; trying again does not help.
    #[error(transparent)]
    File(#[from] FileError),
    /// The hub is not there, or not the hub; it may be there later.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A connection to the hub. Cheap to clone; a broken connection is made anew by the next request.
#[derive(Debug, Clone)]
pub struct HubClient {
    hub: pb::hub_client::HubClient<Channel>,
    door: pb::door_client::DoorClient<Channel>,
}

impl HubClient {
    /// Connects. A certificate that the hub does not accept shows at the first request only, as TLS 1.3 has it.
    ///
    /// # Errors
    /// Which file or field is wrong, or why the hub cannot be reached.
    pub async fn connect(connection: &Connection) -> Result<Self, ConnectError> {
        let wrong = || FileError {
            path: "connection.toml".into(),
            why: format!("hub: expected host:port, not {:?}", connection.hub),
        };
        let tls = ClientTls::read(&connection.ca, &connection.cert, &connection.key)?;
        let name = connection.server_name().ok_or_else(wrong)?.to_owned();
        let name = ServerName::try_from(name).map_err(|_| wrong())?;
        // The scheme is plain because TLS is ours, in `Dial`.
        let endpoint = Endpoint::from_shared(format!("http://{}", connection.hub));
        let endpoint = endpoint
            .map_err(|_| wrong())?
            .connect_timeout(Duration::from_secs(connection.connect_timeout_seconds))
            .timeout(Duration::from_secs(connection.request_timeout_seconds));
        Self::dial(endpoint, Dial { tls: TlsConnector::from(tls.0), hub: connection.hub.clone(), name }).await
    }

    /// Connects without a certificate to the hub at `host:port` whose authority has the fingerprint `ca`. Only
    /// [`HubClient::enrol`], [`HubClient::register`] and [`HubClient::activity`] are answered then.
    ///
    /// # Errors
    /// The address is none; the hub cannot be reached, or is another one.
    pub async fn stranger(hub: &str, ca: Digest) -> Result<Self, ConnectError> {
        let why = || format!("expected host:port, not {hub:?}");
        let wrong = || FileError { path: "the hub's address".into(), why: why() };
        let (host, port) = hub.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| wrong())?;
        let tls = ClientTls::pinned(ca).map_err(|e| unreachable(&e.to_string()))?;
        let endpoint = Endpoint::from_shared(format!("http://{hub}")).map_err(|_| wrong())?;
        let endpoint = endpoint.connect_timeout(STRANGER_TIMEOUT).timeout(STRANGER_TIMEOUT);
        let dialled = Self::dial(endpoint, Dial { tls: TlsConnector::from(tls.0), hub: hub.into(), name }).await;
        dialled.map_err(|error| match error {
            ConnectError::Refused(Refusal::Unavailable { what }) if what.contains(OTHER_AUTHORITY) => {
                let what = format!("be taken for the hub that is meant: {OTHER_AUTHORITY} ({ca})");
                Refusal::NotAllowed { who: format!("the hub at {hub}"), what }.into()
            }
            other => other,
        })
    }

    async fn dial(endpoint: Endpoint, dial: Dial) -> Result<Self, ConnectError> {
        let address = dial.hub.clone();
        let endpoint = endpoint.http2_keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
        let channel = endpoint.keep_alive_while_idle(true).connect_with_connector(dial).await;
        let channel = channel.map_err(|e| unreachable(&format!("{address}: {}", chain(&e))))?;
        let hub = pb::hub_client::HubClient::new(channel.clone()).max_decoding_message_size(FROM_HUB_BYTES_MAX);
        let door = pb::door_client::DoorClient::new(channel).max_decoding_message_size(FROM_HUB_BYTES_MAX);
        Ok(Self { hub, door })
    }

    /// Stores a module at the hub and returns its digest.
    ///
    /// # Errors
    /// The hub's refusal, or a digest that is not the module's.
    pub async fn put_module(&self, wasm: Vec<u8>) -> Result<Digest, Refusal> {
        let digest = Digest::of(&wasm);
        let stored = inner(self.hub.clone().put_module(pb::Module { wasm }).await)?;
        if named::<Digest>(&stored.digest, "the module's digest")? == digest {
            Ok(digest)
        } else {
            Err(other_module(digest))
        }
    }

    /// Submits a signed job. The same bytes again give the same job.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn submit(&self, submission: Submission) -> Result<JobId, Refusal> {
        let job = inner(self.hub.clone().submit(pb::Submission::from(submission)).await)?;
        named(&job.id, "the job's id")
    }

    /// Views of a job: one now, one after each change. Ends when the job is final, or the hub shuts down.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn watch(&self, job: &JobId) -> Result<Incoming<View>, Refusal> {
        Incoming::open(self.hub.clone().watch(job_ref(job)).await, |view: pb::JobView| read_view(&view))
    }

    /// How a job stands.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn view(&self, job: &JobId) -> Result<View, Refusal> {
        read_view(&inner(self.hub.clone().view(job_ref(job)).await)?)
    }

    /// The valid answers to a job, as the nodes signed them: those of every round, by round and node. The last may be of a
    /// round that is still under way, and not merged.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn answers(&self, job: &JobId) -> Result<Incoming<SignedAnswer>, Refusal> {
        Incoming::open(self.hub.clone().answers(job_ref(job)).await, read_answer)
    }

    /// Cancels a job. A second time changes nothing.
    ///
    /// # Errors
    /// The hub's refusal; [`Refusal::NotAllowed`] if the job is complete.
    pub async fn cancel(&self, job: &JobId) -> Result<View, Refusal> {
        read_view(&inner(self.hub.clone().cancel(job_ref(job)).await)?)
    }

    /// The caller's newest jobs.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn jobs(&self) -> Result<Vec<JobLine>, Refusal> {
        let list = inner(self.hub.clone().jobs(pb::Nothing {}).await)?;
        parse(&list.json, "the list of jobs", JOBS_BYTES_MAX)
    }

    /// What every node offers.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn browse(&self) -> Result<Incoming<NodeCatalogue>, Refusal> {
        Incoming::open(self.hub.clone().browse(pb::Nothing {}).await, read_node)
    }

    /// A node's work, as long as it lasts: first all that is unfinished, then what comes.
    /// `catalogue` is an encoded [`Catalogue`](spe_kernel::disclosure::Catalogue).
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn attend(&self, catalogue: Frame) -> Result<Incoming<Assignment>, Refusal> {
        Incoming::open(self.hub.clone().attend(catalogue.into_pb()).await, read_assignment)
    }

    /// Replaces the node's catalogue: after each charge, so that everybody sees what is left.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn offer(&self, catalogue: Frame) -> Result<(), Refusal> {
        inner(self.hub.clone().offer(catalogue.into_pb()).await).map(drop)
    }

    /// The module of a job that this node was asked to run, with the digest it was asked for by.
    ///
    /// # Errors
    /// The hub's refusal, or other bytes than the digest's.
    pub async fn fetch_module(&self, digest: Digest) -> Result<Vec<u8>, Refusal> {
        let asked = pb::ModuleRef { digest: digest.to_string() };
        let module = inner(self.hub.clone().fetch_module(asked).await)?;
        let wasm = within(module.wasm, "the module", MODULE_BYTES_MAX)?;
        if Digest::of(&wasm) == digest { Ok(wasm) } else { Err(other_module(digest)) }
    }

    /// Reports a stage, refusal, released answer or last state of `job`; durable at the hub when this returns.
    ///
    /// # Errors
    /// The hub's refusal. [`Refusal::Unavailable`] and [`Refusal::Internal`] may pass, so send it again; any other is final.
    pub async fn report(&self, job: &JobId, frame: Frame) -> Result<(), Refusal> {
        let report = pb::JobReport { job: job.to_string(), frame: Some(frame.into_pb()) };
        inner(self.hub.clone().report(report).await).map(drop)
    }

    /// Has the hub, as the witness of this node's audit log, cosign a checkpoint; which key it has.
    ///
    /// # Errors
    /// The hub's refusal: [`Refusal::NotAllowed`] where the log is shorter than it was, or has another history.
    pub async fn witness(&self, ask: &Ask) -> Result<(Reply, PublicKey), Refusal> {
        let ask = within(ask.to_text(), "the request to a witness", WITNESS_BYTES_MAX)?;
        witness::read(inner(self.hub.clone().witness(pb::WitnessAsk { ask }).await)?)
    }
}

/// Messages from the hub, read one at a time; a reader that does not read holds the sender back.
pub struct Incoming<T>(Box<dyn Messages<T>>);

impl<T> Incoming<T> {
    fn open<P: Send + 'static>(
        opened: Result<Response<Streaming<P>>, Status>,
        read: impl Fn(P) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Self, Refusal> {
        Ok(Self(Box::new((inner(opened)?, read))))
    }

    /// The next message; `None` when the hub ended the stream.
    ///
    /// # Errors
    /// The hub's refusal, or that the connection broke.
    pub async fn next(&mut self) -> Result<Option<T>, Refusal> {
        self.0.next().await
    }

    /// All messages until the end.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn collect(mut self) -> Result<Vec<T>, Refusal> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await? {
            all.push(item);
        }
        Ok(all)
    }
}

#[tonic::async_trait]
trait Messages<T>: Send {
    async fn next(&mut self) -> Result<Option<T>, Refusal>;
}

#[tonic::async_trait]
impl<P: Send + 'static, T, F: Fn(P) -> Result<T, Refusal> + Send> Messages<T> for (Streaming<P>, F) {
    async fn next(&mut self) -> Result<Option<T>, Refusal> {
        let message = self.0.message().await.map_err(|s| refusal(&s))?;
        message.map(&self.1).transpose()
    }
}

fn inner<T>(reply: Result<Response<T>, Status>) -> Result<T, Refusal> {
    reply.map(Response::into_inner).map_err(|s| refusal(&s))
}

fn job_ref(job: &JobId) -> pb::JobRef {
    pb::JobRef { id: job.to_string() }
}

fn other_module(digest: Digest) -> Refusal {
    Refusal::Malformed { document: "the module".into(), why: format!("the hub's is not {digest}") }
}

fn read_view(view: &pb::JobView) -> Result<View, Refusal> {
    parse(&view.json, "the view", VIEW_BYTES_MAX)
}

fn read_answer(sent: pb::SignedAnswer) -> Result<SignedAnswer, Refusal> {
    let envelope = within(sent.envelope, "the answer", ANSWER_BYTES_MAX)?;
    let receipt = within(sent.receipt, "the receipt", RECEIPT_BYTES_MAX)?;
    let receipt = Some(receipt).filter(|text| !text.is_empty());
    let (node, key) = (named(&sent.node, "the node's name")?, named(&sent.key, "the node's key")?);
    Ok(SignedAnswer { node, key, envelope, receipt })
}

fn read_node(sent: pb::NodeCatalogue) -> Result<NodeCatalogue, Refusal> {
    let (node, catalogue) = (named(&sent.node, "the node's name")?, read_catalogue(&sent.json)?);
    Ok(NodeCatalogue { node, online: sent.online, catalogue })
}

fn read_assignment(sent: pb::Assignment) -> Result<Assignment, Refusal> {
    use pb::assignment::What;
    let malformed = |why: &str| Refusal::Malformed { document: "the assignment".into(), why: why.into() };
    let job = || named(&sent.job, "the job's id");
    let document = |it: pb::Document, what: &'static str| within(it.envelope, what, ENVELOPE_BYTES_MAX);
    Ok(match sent.what.ok_or_else(|| malformed("it asks for nothing this version knows"))? {
        What::Run(submission) => Assignment::Run { job: job()?, submission: Submission::arrive(submission)? },
        What::Cancel(pb::Nothing {}) => Assignment::Cancel { job: job()? },
        What::Round(pb::Round { submission, next }) => {
            let submission = Submission::arrive(submission.ok_or_else(|| malformed("a round of no job"))?)?;
            let next = parse(&next, "the next round", NEXT_ROUND_BYTES_MAX)?;
            Assignment::Round { job: job()?, submission, next }
        }
        What::Revoke(revocation) => Assignment::Revoke { envelope: document(revocation, "the revocation")? },
        What::Permit(permit) => Assignment::Permit { envelope: document(permit, "the permit")? },
    })
}

/// Dials the hub with our own TLS.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) tls: TlsConnector,
    pub(crate) hub: String,
    pub(crate) name: ServerName<'static>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { tls, hub, name } = self.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect(hub).await?;
            tcp.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(name, tcp).await?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(next: Vec<u8>) -> pb::Assignment {
        let submission = Some(pb::Submission { job: Vec::new(), permit: Vec::new() });
        let what = Some(pb::assignment::What::Round(pb::Round { submission, next }));
        pb::Assignment { job: "job-1".into(), what }
    }

    #[test]
    fn a_node_reads_no_more_than_the_largest_round_and_no_nonsense() {
        let next = br#"{"round":1,"merged":{"nodes":1,"sums":[]}}"#.to_vec();
        let long = [next.clone(), vec![b' '; NEXT_ROUND_BYTES_MAX]].concat();
        assert!(read_assignment(round(next)).is_ok());
        let refused = read_assignment(round(long));
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "a hub may fill a node's memory: {refused:?}");
        for next in [&b"{}"[..], br#"{"round":-1,"merged":{"nodes":1,"sums":[]}}"#, b""] {
            assert!(read_assignment(round(next.to_vec())).is_err(), "nonsense was taken for a round");
        }
        let mut bare = round(Vec::new());
        bare.what = Some(pb::assignment::What::Round(pb::Round { submission: None, next: Vec::new() }));
        assert!(read_assignment(bare).is_err(), "a round of no job was taken for one");
    }
}
