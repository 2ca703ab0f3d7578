//! What members and strangers ask beyond jobs: certificates, applications, the register.

use spe_kernel::{
    ids::{ApplicationId, JobId},
    refusal::Refusal,
};

use super::{HubClient, inner, job_ref};
use crate::{
    desk::{named, statements},
    frame::parse,
    governance::{Activity, ApplicationLine, ApplicationView, Period, Register},
    limits::GOVERNANCE_BYTES_MAX,
    pb,
    service::{EnrolRequest, Enrolled, PassedOn, Ruling},
};

impl HubClient {
    /// Hands in a token and a certification request, and gets the certificate. The same key again gets the same one.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn enrol(&self, asked: EnrolRequest) -> Result<Enrolled, Refusal> {
        let EnrolRequest { member, token, request } = asked;
        let asked = pb::EnrolRequest { member: member.to_string(), token, request };
        let pb::Enrolled { ca, certificate, witness } = inner(self.door.clone().enrol(asked).await)?;
        Ok(Enrolled { ca, certificate, witness: named(&witness, "the hub's key")? })
    }

    /// Tells the hub what the calling node states on its participation agreement, and gives what the hub states.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn agree(&self, envelopes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Refusal> {
        statements(inner(self.hub.clone().agree(pb::Statements { envelopes }).await)?.envelopes)
    }

    /// The public register.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn register(&self) -> Result<Register, Refusal> {
        read_json(&inner(self.door.clone().register(pb::Nothing {}).await)?, "the register")
    }

    /// The activity report of a period.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn activity(&self, period: Period) -> Result<Activity, Refusal> {
        let text = |instant: Option<jiff::Timestamp>| instant.map(|at| at.to_string()).unwrap_or_default();
        let period = pb::Period { from: text(period.from), until: text(period.until) };
        read_json(&inner(self.door.clone().activity(period).await)?, "the activity report")
    }

    /// Submits a signed application. The same bytes again give the same application.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn apply(&self, envelope: Vec<u8>) -> Result<ApplicationId, Refusal> {
        let application = inner(self.hub.clone().apply(pb::Document { envelope }).await)?;
        named(&application.id, "the application's id")
    }

    /// The applications that the caller may see.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn applications(&self) -> Result<Vec<ApplicationLine>, Refusal> {
        read_json(&inner(self.hub.clone().applications(pb::Nothing {}).await)?, "the list of applications")
    }

    /// How an application stands.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn application(&self, id: &ApplicationId) -> Result<ApplicationView, Refusal> {
        read_json(&inner(self.hub.clone().application(application_ref(id)).await)?, "the application")
    }

    /// Withdraws an application. A second time changes nothing.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn withdraw(&self, id: &ApplicationId) -> Result<ApplicationView, Refusal> {
        read_json(&inner(self.hub.clone().withdraw(application_ref(id)).await)?, "the application")
    }

    /// Hands in a data access body's notice on the parts of its nodes. A second time changes nothing.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn notify(&self, id: &ApplicationId, envelope: Vec<u8>) -> Result<ApplicationView, Refusal> {
        let act = pb::Act { application: id.to_string(), envelope };
        read_json(&inner(self.hub.clone().notify(act).await)?, "the application")
    }

    /// Hands in a data access body's decision on the parts of its nodes. A second time changes nothing.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn decide(&self, id: &ApplicationId, ruling: Ruling) -> Result<ApplicationView, Refusal> {
        let Ruling { decision, permit } = ruling;
        let ruling = pb::Ruling { application: id.to_string(), decision, permit: permit.unwrap_or_default() };
        read_json(&inner(self.hub.clone().decide(ruling).await)?, "the application")
    }

    /// Hands in what an access body asked the applicant for.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn complete(&self, id: &ApplicationId, envelope: Vec<u8>) -> Result<ApplicationView, Refusal> {
        let act = pb::Act { application: id.to_string(), envelope };
        read_json(&inner(self.hub.clone().complete(act).await)?, "the application")
    }

    /// Makes the merged statistics of a finished job public. A second time changes nothing.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn publish(&self, job: &JobId) -> Result<(), Refusal> {
        inner(self.hub.clone().publish(job_ref(job)).await).map(drop)
    }

    /// Hands in a data access body's signed revocation, which goes to every node at once.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn revoke(&self, envelope: Vec<u8>) -> Result<PassedOn, Refusal> {
        let pb::PassedOn { no_such_permit } = inner(self.hub.clone().revoke(pb::Document { envelope }).await)?;
        Ok(if no_such_permit { PassedOn::NoSuchPermit } else { PassedOn::Known })
    }
}

fn application_ref(id: &ApplicationId) -> pb::ApplicationRef {
    pb::ApplicationRef { id: id.to_string() }
}

fn read_json<T: serde::de::DeserializeOwned>(sent: &pb::Json, what: &str) -> Result<T, Refusal> {
    parse(&sent.json, what, GOVERNANCE_BYTES_MAX)
}
