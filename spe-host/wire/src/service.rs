//! What a hub does, in the project's own types: no tonic, no unchecked length.

use std::{future::Future, pin::Pin};

use futures::Stream;
use spe_kernel::{
    disclosure::Catalogue,
    dsse::PublicKey,
    ids::{ApplicationId, Digest, JobId, NodeName},
    refusal::Refusal,
    rounds::NextRound,
    tlog::{Ask, Reply},
};

use crate::{
    frame::Report,
    governance::{Activity, ApplicationLine, ApplicationView, Period, Register},
    limits::ENVELOPE_BYTES_MAX,
    pb,
    pki::Role,
    view::{JobLine, View},
};

/// Who calls, as the TLS handshake proved it. Whether the caller is a member is the hub's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// BLAKE3 of the caller's certificate; none without one, and then only the `Door` is open.
    pub fingerprint: Option<Digest>,
}

/// A member-to-be asks for a certificate. Within [`ENROL_BYTES_MAX`](crate::limits::ENROL_BYTES_MAX); nothing is verified.
#[derive(Clone)]
pub struct EnrolRequest {
    /// Whom the certificate is to be for.
    pub member: Role,
    /// The one-time token of the invitation.
    pub token: String,
    /// PKCS #10 certification request, DER.
    pub request: Vec<u8>,
}

/// A certificate, and the authority that issued it, both in PEM; and the hub's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The authority's certificate.
    pub ca: String,
    /// The member's certificate.
    pub certificate: String,
    /// The key with which the hub, as witness, cosigns the nodes' audit logs.
    pub witness: PublicKey,
}

/// A signed job and the permit it is asked under. Both are within [`ENVELOPE_BYTES_MAX`]; neither is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// DSSE envelope of a job.
    pub job: Vec<u8>,
    /// DSSE envelope of a permit.
    pub permit: Vec<u8>,
}

impl Submission {
    pub(crate) fn arrive(sent: pb::Submission) -> Result<Self, Refusal> {
        let job = within(sent.job, "the job", ENVELOPE_BYTES_MAX)?;
        Ok(Self { job, permit: within(sent.permit, "the permit", ENVELOPE_BYTES_MAX)? })
    }
}

impl From<Submission> for pb::Submission {
    fn from(Submission { job, permit }: Submission) -> Self {
        Self { job, permit }
    }
}

/// A decision, and the permit that a positive one gives. Both are within [`ENVELOPE_BYTES_MAX`]; neither is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// DSSE envelope of a decision.
    pub decision: Vec<u8>,
    /// DSSE envelope of a permit; none with a negative decision.
    pub permit: Option<Vec<u8>>,
}

/// A revocation that was passed on to every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedOn {
    /// It excludes a person, or takes back a permit that was decided at the hub.
    Known,
    /// No decision that the hub has gave a permit of that number by that data access body.
    NoSuchPermit,
}

/// Work for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// A job to decide on, and to run. It may arrive again after a broken connection.
    Run {
        /// The job.
        job: JobId,
        /// What is asked, and by whose permit.
        submission: Submission,
    },
    /// A later round of a job that the node answered so far, or its last state. It too may arrive again.
    Round {
        /// The job.
        job: JobId,
        /// What is asked, and by whose permit.
        submission: Submission,
        /// Which round, and the merged sums of the one before. Whether they fit the plan is not checked yet.
        next: NextRound,
    },
    /// A job that is no longer wanted.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// A data access body has taken something back. It may arrive again.
    Revoke {
        /// DSSE envelope of a revocation, of which nothing is verified.
        envelope: Vec<u8>,
    },
    /// A data access body has given a permit, which may take the place of another. It may arrive again.
    Permit {
        /// DSSE envelope of a permit, of which nothing is verified.
        envelope: Vec<u8>,
    },
}

/// What a node offered last.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeCatalogue {
    /// The node.
    pub node: NodeName,
    /// Whether it is connected.
    pub online: bool,
    /// Its datasets and what was spent of them.
    pub catalogue: Catalogue,
}

/// One node's valid answer, as the node signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAnswer {
    /// The node.
    pub node: NodeName,
    /// The node's key, pinned by the hub when the node first came.
    pub key: PublicKey,
    /// DSSE envelope of an [`Answer`](spe_kernel::disclosure::Answer).
    pub envelope: Vec<u8>,
    /// That it is in the node's audit log, as the node sent it: nobody has checked it.
    pub receipt: Option<String>,
}

/// A stream of messages; it ends after the first refusal.
pub type Feed<T> = Pin<Box<dyn Stream<Item = Result<T, Refusal>> + Send>>;

/// A hub. Every method may be refused; which refusals is said where a hub implements it.
pub trait Service: Send + Sync + 'static {
    /// Stores a module and returns its digest.
    fn put_module(&self, peer: Peer, wasm: Vec<u8>) -> impl Future<Output = Result<Digest, Refusal>> + Send;
    /// Accepts a job.
    fn submit(&self, peer: Peer, submission: Submission) -> impl Future<Output = Result<JobId, Refusal>> + Send;
    /// Views of a job, now and after each change, until it is final.
    fn watch(&self, peer: Peer, job: JobId) -> impl Future<Output = Result<Feed<View>, Refusal>> + Send;
    /// A view of a job.
    fn view(&self, peer: Peer, job: JobId) -> impl Future<Output = Result<View, Refusal>> + Send;
    /// The valid answers to a job, of all rounds; each says its round.
    fn answers(&self, peer: Peer, job: JobId) -> impl Future<Output = Result<Feed<SignedAnswer>, Refusal>> + Send;
    /// Cancels a job that is not complete.
    fn cancel(&self, peer: Peer, job: JobId) -> impl Future<Output = Result<View, Refusal>> + Send;
    /// The caller's newest jobs, at most [`JOBS_LISTED_MAX`](crate::limits::JOBS_LISTED_MAX).
    fn jobs(&self, peer: Peer) -> impl Future<Output = Result<Vec<JobLine>, Refusal>> + Send;
    /// What every node offers.
    fn browse(&self, peer: Peer) -> impl Future<Output = Result<Feed<NodeCatalogue>, Refusal>> + Send;
    /// A node is here and takes work.
    fn attend(
        &self,
        peer: Peer,
        catalogue: Catalogue,
    ) -> impl Future<Output = Result<Feed<Assignment>, Refusal>> + Send;
    /// A node's catalogue has changed.
    fn offer(&self, peer: Peer, catalogue: Catalogue) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// A module that a node was asked to run.
    fn fetch_module(&self, peer: Peer, digest: Digest) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;
    /// What a node says of a job; durable when this returns.
    fn report(&self, peer: Peer, job: JobId, report: Report) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// Cosigns the checkpoint of a node's audit log, if it continues what the hub saw of it, and says with which key.
    fn witness(&self, peer: Peer, ask: Ask) -> impl Future<Output = Result<(Reply, PublicKey), Refusal>> + Send;
    /// What a node states on its participation agreement, and what the hub states.
    fn agree(&self, peer: Peer, sent: Vec<Vec<u8>>) -> impl Future<Output = Result<Vec<Vec<u8>>, Refusal>> + Send;
    /// A certificate for a one-time token.
    fn enrol(&self, peer: Peer, request: EnrolRequest) -> impl Future<Output = Result<Enrolled, Refusal>> + Send;
    /// The public register.
    fn register(&self, peer: Peer) -> impl Future<Output = Result<Register, Refusal>> + Send;
    /// The activity report.
    fn activity(&self, peer: Peer, period: Period) -> impl Future<Output = Result<Activity, Refusal>> + Send;
    /// Accepts an application.
    fn apply(&self, peer: Peer, envelope: Vec<u8>) -> impl Future<Output = Result<ApplicationId, Refusal>> + Send;
    /// The applications that the caller may see.
    fn applications(&self, peer: Peer) -> impl Future<Output = Result<Vec<ApplicationLine>, Refusal>> + Send;
    /// How an application stands.
    fn application(
        &self,
        peer: Peer,
        id: ApplicationId,
    ) -> impl Future<Output = Result<ApplicationView, Refusal>> + Send;
    /// Withdraws an application that is not decided everywhere.
    fn withdraw(&self, peer: Peer, id: ApplicationId) -> impl Future<Output = Result<ApplicationView, Refusal>> + Send;
    /// A data access body's notice on the parts of its nodes.
    fn notify(
        &self,
        peer: Peer,
        id: ApplicationId,
        envelope: Vec<u8>,
    ) -> impl Future<Output = Result<ApplicationView, Refusal>> + Send;
    /// A data access body's decision on the parts of its nodes.
    fn decide(
        &self,
        peer: Peer,
        id: ApplicationId,
        ruling: Ruling,
    ) -> impl Future<Output = Result<ApplicationView, Refusal>> + Send;
    /// What the applicant adds.
    fn complete(
        &self,
        peer: Peer,
        id: ApplicationId,
        envelope: Vec<u8>,
    ) -> impl Future<Output = Result<ApplicationView, Refusal>> + Send;
    /// Passes a data access body's revocation on to every node.
    fn revoke(&self, peer: Peer, envelope: Vec<u8>) -> impl Future<Output = Result<PassedOn, Refusal>> + Send;
    /// Makes the merged statistics of a finished job public.
    fn publish(&self, peer: Peer, job: JobId) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// `bytes`, if they are within `limit`; `what` names them in the refusal.
pub(crate) fn within<B: AsRef<[u8]>>(bytes: B, what: &str, limit: usize) -> Result<B, Refusal> {
    let size = bytes.as_ref().len();
    if size <= limit {
        return Ok(bytes);
    }
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Err(Refusal::TooLarge { what: what.into(), size: count(size), limit: count(limit) })
}
