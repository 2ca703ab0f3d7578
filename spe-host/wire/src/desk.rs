//! The generated service on one side, [`Service`] on the other: lengths and forms are checked here and nowhere else.

use std::{fmt::Display, pin::Pin, str::FromStr, sync::Arc};

use futures::{Stream, StreamExt};
use spe_kernel::{
    ids::{ApplicationId, JobId},
    refusal::Refusal,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::{
    frame::{self, Report},
    limits::{
        APPLICATION_BYTES_MAX, CATALOGUE_BYTES_MAX, ENVELOPE_BYTES_MAX, GOVERNANCE_BYTES_MAX, JOBS_BYTES_MAX,
        MODULE_BYTES_MAX, NEXT_ROUND_BYTES_MAX, STATEMENT_BYTES_MAX, STATEMENTS_MAX, VIEW_BYTES_MAX, WITNESS_BYTES_MAX,
    },
    pb,
    service::{Assignment, Feed, NodeCatalogue, PassedOn, Peer, Ruling, Service, SignedAnswer, Submission, within},
    status::status,
    view::View,
    witness,
};

pub(crate) struct Desk<S> {
    pub(crate) service: Arc<S>,
    /// Becomes true when the hub shuts down; streams end then.
    pub(crate) closing: watch::Receiver<bool>,
}

pub(crate) type Reply<T> = Result<Response<T>, Status>;
type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl<S> Desk<S> {
    fn stream<T: 'static, U: 'static>(
        &self,
        feed: Feed<T>,
        to_pb: impl Fn(T) -> Result<U, Refusal> + Send + 'static,
    ) -> Out<U> {
        let mut closing = self.closing.clone();
        let closed = async move {
            // An error means that the server is gone, which closes the stream as well.
            let _ = closing.wait_for(|closed| *closed).await;
        };
        let convert = move |item: Result<T, Refusal>| item.and_then(&to_pb).map_err(|r| status(&r));
        Box::pin(feed.map(convert).take_until(Box::pin(closed)))
    }
}

#[tonic::async_trait]
impl<S: Service> pb::hub_server::Hub for Desk<S> {
    type WatchStream = Out<pb::JobView>;
    type AnswersStream = Out<pb::SignedAnswer>;
    type BrowseStream = Out<pb::NodeCatalogue>;
    type AttendStream = Out<pb::Assignment>;

    async fn put_module(&self, request: Request<pb::Module>) -> Reply<pb::ModuleRef> {
        let peer = peer(&request)?;
        let wasm = ok(within(request.into_inner().wasm, "the module", MODULE_BYTES_MAX))?;
        let digest = ok(self.service.put_module(peer, wasm).await)?;
        Ok(Response::new(pb::ModuleRef { digest: digest.to_string() }))
    }

    async fn submit(&self, request: Request<pb::Submission>) -> Reply<pb::JobRef> {
        let peer = peer(&request)?;
        let submission = ok(Submission::arrive(request.into_inner()))?;
        let job = ok(self.service.submit(peer, submission).await)?;
        Ok(Response::new(pb::JobRef { id: job.to_string() }))
    }

    async fn watch(&self, request: Request<pb::JobRef>) -> Reply<Self::WatchStream> {
        let (peer, job) = job_of(&request)?;
        let feed = ok(self.service.watch(peer, job).await)?;
        Ok(Response::new(self.stream(feed, |view| view_to_pb(&view))))
    }

    async fn view(&self, request: Request<pb::JobRef>) -> Reply<pb::JobView> {
        let (peer, job) = job_of(&request)?;
        let view = ok(self.service.view(peer, job).await)?;
        ok(view_to_pb(&view)).map(Response::new)
    }

    async fn answers(&self, request: Request<pb::JobRef>) -> Reply<Self::AnswersStream> {
        let (peer, job) = job_of(&request)?;
        let feed = ok(self.service.answers(peer, job).await)?;
        Ok(Response::new(self.stream(feed, |answer| Ok(answer_to_pb(answer)))))
    }

    async fn cancel(&self, request: Request<pb::JobRef>) -> Reply<pb::JobView> {
        let (peer, job) = job_of(&request)?;
        let view = ok(self.service.cancel(peer, job).await)?;
        ok(view_to_pb(&view)).map(Response::new)
    }

    async fn jobs(&self, request: Request<pb::Nothing>) -> Reply<pb::JobList> {
        let lines = ok(self.service.jobs(peer(&request)?).await)?;
        let json = ok(json(&lines, "the list of jobs", JOBS_BYTES_MAX))?;
        Ok(Response::new(pb::JobList { json }))
    }

    async fn browse(&self, request: Request<pb::Nothing>) -> Reply<Self::BrowseStream> {
        let feed = ok(self.service.browse(peer(&request)?).await)?;
        Ok(Response::new(self.stream(feed, |offered| catalogue_to_pb(&offered))))
    }

    async fn attend(&self, request: Request<pb::Frame>) -> Reply<Self::AttendStream> {
        let (peer, catalogue) = (peer(&request)?, ok(frame::catalogue(request.get_ref()))?);
        let feed = ok(self.service.attend(peer, catalogue).await)?;
        Ok(Response::new(self.stream(feed, assignment_to_pb)))
    }

    async fn offer(&self, request: Request<pb::Frame>) -> Reply<pb::Nothing> {
        let (peer, catalogue) = (peer(&request)?, ok(frame::catalogue(request.get_ref()))?);
        ok(self.service.offer(peer, catalogue).await)?;
        Ok(Response::new(pb::Nothing {}))
    }

    async fn fetch_module(&self, request: Request<pb::ModuleRef>) -> Reply<pb::Module> {
        let (peer, digest) = (peer(&request)?, ok(named(&request.get_ref().digest, "the module's digest"))?);
        let wasm = ok(self.service.fetch_module(peer, digest).await)?;
        Ok(Response::new(pb::Module { wasm }))
    }

    async fn report(&self, request: Request<pb::JobReport>) -> Reply<pb::Nothing> {
        let (peer, pb::JobReport { job, frame }) = (peer(&request)?, request.into_inner());
        let report = ok(Report::arrive(frame.unwrap_or_default()))?;
        ok(self.service.report(peer, ok(named(&job, "the job's id"))?, report).await)?;
        Ok(Response::new(pb::Nothing {}))
    }

    async fn witness(&self, request: Request<pb::WitnessAsk>) -> Reply<pb::WitnessReply> {
        let (peer, ask) = (peer(&request)?, request.into_inner().ask);
        let ask = ok(within(ask, "the request to a witness", WITNESS_BYTES_MAX))?;
        let (reply, key) = ok(self.service.witness(peer, ok(witness::ask(&ask))?).await)?;
        Ok(Response::new(witness::reply(reply, key)))
    }

    async fn agree(&self, request: Request<pb::Statements>) -> Reply<pb::Statements> {
        let (peer, pb::Statements { envelopes }) = (peer(&request)?, request.into_inner());
        let sent = ok(statements(envelopes))?;
        let envelopes = ok(self.service.agree(peer, sent).await)?;
        Ok(Response::new(pb::Statements { envelopes }))
    }

    async fn apply(&self, request: Request<pb::Document>) -> Reply<pb::ApplicationRef> {
        let peer = peer(&request)?;
        let envelope = ok(within(request.into_inner().envelope, "the application", APPLICATION_BYTES_MAX))?;
        let id = ok(self.service.apply(peer, envelope).await)?;
        Ok(Response::new(pb::ApplicationRef { id: id.into() }))
    }

    async fn applications(&self, request: Request<pb::Nothing>) -> Reply<pb::Json> {
        said(&ok(self.service.applications(peer(&request)?).await)?, "the list of applications")
    }

    async fn application(&self, request: Request<pb::ApplicationRef>) -> Reply<pb::Json> {
        let (peer, id) = (peer(&request)?, application_of(&request.get_ref().id)?);
        said(&ok(self.service.application(peer, id).await)?, APPLICATION)
    }

    async fn withdraw(&self, request: Request<pb::ApplicationRef>) -> Reply<pb::Json> {
        let (peer, id) = (peer(&request)?, application_of(&request.get_ref().id)?);
        said(&ok(self.service.withdraw(peer, id).await)?, APPLICATION)
    }

    async fn notify(&self, request: Request<pb::Act>) -> Reply<pb::Json> {
        let (peer, id, envelope) = act_of(request)?;
        said(&ok(self.service.notify(peer, id, envelope).await)?, APPLICATION)
    }

    async fn decide(&self, request: Request<pb::Ruling>) -> Reply<pb::Json> {
        let (peer, pb::Ruling { application, decision, permit }) = (peer(&request)?, request.into_inner());
        let decision = ok(within(decision, "the decision", ENVELOPE_BYTES_MAX))?;
        let permit = ok(within(permit, "the permit", ENVELOPE_BYTES_MAX))?;
        let ruling = Ruling { decision, permit: (!permit.is_empty()).then_some(permit) };
        said(&ok(self.service.decide(peer, application_of(&application)?, ruling).await)?, APPLICATION)
    }

    async fn complete(&self, request: Request<pb::Act>) -> Reply<pb::Json> {
        let (peer, id, envelope) = act_of(request)?;
        said(&ok(self.service.complete(peer, id, envelope).await)?, APPLICATION)
    }

    async fn revoke(&self, request: Request<pb::Document>) -> Reply<pb::PassedOn> {
        let (peer, pb::Document { envelope }) = (peer(&request)?, request.into_inner());
        let envelope = ok(within(envelope, "the revocation", ENVELOPE_BYTES_MAX))?;
        let passed_on = ok(self.service.revoke(peer, envelope).await)?;
        Ok(Response::new(pb::PassedOn { no_such_permit: passed_on == PassedOn::NoSuchPermit }))
    }

    async fn publish(&self, request: Request<pb::JobRef>) -> Reply<pb::Nothing> {
        let (peer, job) = job_of(&request)?;
        ok(self.service.publish(peer, job).await)?;
        Ok(Response::new(pb::Nothing {}))
    }
}

const APPLICATION: &str = "the application";

fn application_of(id: &str) -> Result<ApplicationId, Status> {
    ok(named(id, "the application's id"))
}

fn act_of(request: Request<pb::Act>) -> Result<(Peer, ApplicationId, Vec<u8>), Status> {
    let (peer, pb::Act { application, envelope }) = (peer(&request)?, request.into_inner());
    let envelope = ok(within(envelope, "the signed document", ENVELOPE_BYTES_MAX))?;
    Ok((peer, application_of(&application)?, envelope))
}

/// Few and small.
pub(crate) fn statements(envelopes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Refusal> {
    let what = "the agreement";
    if envelopes.len() > STATEMENTS_MAX {
        let why = format!("it has {} statements; the limit is {STATEMENTS_MAX}", envelopes.len());
        return Err(Refusal::Malformed { document: what.into(), why });
    }
    envelopes.into_iter().map(|one| within(one, what, STATEMENT_BYTES_MAX)).collect()
}

/// A governance document, on its way out.
pub(crate) fn said<T: serde::Serialize>(value: &T, what: &str) -> Reply<pb::Json> {
    Ok(Response::new(pb::Json { json: ok(json(value, what, GOVERNANCE_BYTES_MAX))? }))
}

pub(crate) fn ok<T>(result: Result<T, Refusal>) -> Result<T, Status> {
    result.map_err(|refusal| status(&refusal))
}

/// Set by the server for every connection; without it nobody is admitted.
pub(crate) fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let missing = || Refusal::NotAllowed { who: "a caller whom nobody saw".into(), what: "call the hub".into() };
    ok(request.extensions().get().copied().ok_or_else(missing))
}

fn job_of(request: &Request<pb::JobRef>) -> Result<(Peer, JobId), Status> {
    Ok((peer(request)?, ok(named(&request.get_ref().id, "the job's id"))?))
}

/// A name or digest from the wire; `what` names it in the refusal.
pub(crate) fn named<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, Refusal> {
    text.parse().map_err(|e: T::Err| Refusal::Malformed { document: what.into(), why: e.to_string() })
}

fn json<T: serde::Serialize>(value: &T, what: &str, limit: usize) -> Result<Vec<u8>, Refusal> {
    let json =
        serde_json::to_vec(value).map_err(|e| Refusal::Malformed { document: what.into(), why: e.to_string() })?;
    within(json, what, limit)
}

fn view_to_pb(view: &View) -> Result<pb::JobView, Refusal> {
    Ok(pb::JobView { json: json(view, "the view", VIEW_BYTES_MAX)? })
}

fn answer_to_pb(SignedAnswer { node, key, envelope, receipt }: SignedAnswer) -> pb::SignedAnswer {
    pb::SignedAnswer { node: node.into(), key: key.into(), envelope, receipt: receipt.unwrap_or_default() }
}

fn catalogue_to_pb(NodeCatalogue { node, online, catalogue }: &NodeCatalogue) -> Result<pb::NodeCatalogue, Refusal> {
    let json = json(catalogue, "the catalogue", CATALOGUE_BYTES_MAX)?;
    Ok(pb::NodeCatalogue { node: node.to_string(), online: *online, json })
}

fn assignment_to_pb(assignment: Assignment) -> Result<pb::Assignment, Refusal> {
    use pb::assignment::What;
    let (job, what) = match assignment {
        Assignment::Run { job, submission } => (job.into(), What::Run(submission.into())),
        Assignment::Round { job, submission, next } => {
            let next = json(&next, "the next round", NEXT_ROUND_BYTES_MAX)?;
            (job.into(), What::Round(pb::Round { submission: Some(submission.into()), next }))
        }
        Assignment::Cancel { job } => (job.into(), What::Cancel(pb::Nothing {})),
        Assignment::Revoke { envelope } => (String::new(), What::Revoke(pb::Document { envelope })),
        Assignment::Permit { envelope } => (String::new(), What::Permit(pb::Document { envelope })),
    };
    Ok(pb::Assignment { job, what: Some(what) })
}
