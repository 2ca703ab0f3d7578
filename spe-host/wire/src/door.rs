//! The door: what callers without a certificate may ask, and the guard that keeps them from the rest.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use spe_kernel::refusal::Refusal;
use tonic::{
    Request,
    body::Body,
    codegen::{BoxFuture, Service as Called, http},
    server::NamedService,
};

use crate::{
    desk::{Desk, Reply, named, ok, peer, said},
    governance::Period,
    limits::{ENROL_BYTES_MAX, TO_HUB_BYTES_MAX},
    pb::{self, door_server::DoorServer, hub_server::HubServer},
    service::{EnrolRequest, Enrolled, Peer, Service, within},
    status::status,
};

/// Both services behind one guard.
///
/// # Security
/// Who has no certificate is refused everything but the `Door` by the head of the request: the body, which may be large, is
/// not read. What a member may do, the hub's table of roles says. Watched by `strangers_find_the_door_only` in the tests of
/// this crate and `everybody_may_do_what_the_table_says_and_nothing_else` in the hub's.
pub(crate) struct Entrance<S> {
    door: DoorServer<Door<S>>,
    hub: HubServer<Desk<S>>,
}

impl<S> Clone for Entrance<S> {
    fn clone(&self) -> Self {
        Self { door: self.door.clone(), hub: self.hub.clone() }
    }
}

impl<S: Service> Entrance<S> {
    pub(crate) fn new(desk: Desk<S>) -> Self {
        let door = DoorServer::new(Door(Arc::clone(&desk.service))).max_decoding_message_size(ENROL_BYTES_MAX);
        Self { door, hub: HubServer::new(desk).max_decoding_message_size(TO_HUB_BYTES_MAX) }
    }
}

impl<S: Service> Called<http::Request<Body>> for Entrance<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        if service == <DoorServer<Door<S>> as NamedService>::NAME {
            return Box::pin(self.door.call(request));
        }
        let known = request.extensions().get::<Peer>().is_some_and(|peer| peer.fingerprint.is_some());
        if known {
            return Box::pin(self.hub.call(request));
        }
        let what = "call this: it needs a certificate, which `spe join` gets in exchange for an invitation";
        let stranger = Refusal::NotAllowed { who: "a caller without a certificate".into(), what: what.into() };
        Box::pin(std::future::ready(Ok(status(&stranger).into_http())))
    }
}

struct Door<S>(Arc<S>);

#[tonic::async_trait]
impl<S: Service> pb::door_server::Door for Door<S> {
    async fn enrol(&self, request: Request<pb::EnrolRequest>) -> Reply<pb::Enrolled> {
        let (peer, pb::EnrolRequest { member, token, request }) = (peer(&request)?, request.into_inner());
        let request = ok(within(request, "the certification request", ENROL_BYTES_MAX))?;
        let request = EnrolRequest { member: ok(named(&member, "the member"))?, token, request };
        let enrolled = ok(self.0.enrol(peer, request).await)?;
        let Enrolled { ca, certificate, witness } = enrolled;
        Ok(tonic::Response::new(pb::Enrolled { ca, certificate, witness: witness.into() }))
    }

    async fn register(&self, request: Request<pb::Nothing>) -> Reply<pb::Json> {
        said(&ok(self.0.register(peer(&request)?).await)?, "the register")
    }

    async fn activity(&self, request: Request<pb::Period>) -> Reply<pb::Json> {
        let (peer, pb::Period { from, until }) = (peer(&request)?, request.into_inner());
        let instant = |text: &str| if text.is_empty() { Ok(None) } else { named(text, "the period").map(Some) };
        let period = Period { from: ok(instant(&from))?, until: ok(instant(&until))? };
        said(&ok(self.0.activity(peer, period).await)?, "the activity report")
    }
}
