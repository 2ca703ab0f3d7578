//! Jobs: a plan, asked by a person under a permit, signed by that person.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::{Digest, NodeName, PermitNumber, PersonName},
    person::{Identity, PROOF_BYTES_MAX},
    plan::Plan,
    refusal::Refusal,
};

pub use crate::purpose::Purpose;

/// DSSE payload type of a job.
pub const JOB_TYPE: &str = "application/vnd.spe.job+json";
/// [`JobBody::format`] of this version.
pub const JOB_FORMAT: &str = "spe.job/2";
/// Nodes that a job may name.
pub const NODES_MAX: usize = 1_000;

/// What a researcher signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobBody {
    /// [`JOB_FORMAT`].
    pub format: String,
    /// The permit under which it is asked.
    pub permit: PermitNumber,
    /// Who asks.
    pub person: PersonName,
    /// What for.
    pub purpose: Purpose,
    /// The nodes asked; empty = every node with the dataset.
    pub nodes: Vec<NodeName>,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// What is asked.
    pub plan: Plan,
    /// Proof of who the signer is: an ID token of OpenID Connect, which names the signer's key; see `docs/identity.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// A job whose signature was checked. Made only by [`Job::verify`].
#[derive(Debug, Clone)]
pub struct Job {
    body: JobBody,
    signer: PublicKey,
    digest: Digest,
    identity: Option<Identity>,
}

impl JobBody {
    /// The signed envelope.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        // Plain data always serialises.
        dsse::sign(JOB_TYPE, &serde_json::to_vec(self).unwrap_or_default(), key)
    }
}

impl Job {
    /// Opens a signed job. Whether its signer may ask is [`crate::admission::admit`]'s question.
    ///
    /// # Errors
    /// A bad envelope, signature, body or plan.
    pub fn verify(envelope: &[u8]) -> Result<Self, Refusal> {
        let verified = dsse::verify(envelope, JOB_TYPE, "the job")?;
        let malformed = |why: String| Refusal::Malformed { document: "the job".into(), why };
        let body: JobBody = serde_json::from_slice(&verified.payload).map_err(|e| malformed(e.to_string()))?;
        if body.format != JOB_FORMAT || body.nodes.len() > NODES_MAX {
            return Err(malformed(format!("expected format {JOB_FORMAT} and at most {NODES_MAX} nodes")));
        }
        if body.identity.as_ref().is_some_and(|proof| proof.len() > PROOF_BYTES_MAX) {
            return Err(malformed(format!("identity has more than {PROOF_BYTES_MAX} bytes")));
        }
        Ok(Self { body, signer: verified.signer, digest: Digest::of(&verified.payload), identity: None })
    }

    /// The same job, whose signer was recognised.
    #[must_use]
    pub fn recognised(self, identity: Option<Identity>) -> Self {
        Self { identity, ..self }
    }

    /// The natural person who signed it, if the job's proof of it was checked.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What it says.
    pub const fn body(&self) -> &JobBody {
        &self.body
    }

    /// Who signed it.
    pub const fn signer(&self) -> PublicKey {
        self.signer
    }

    /// Digest of what was signed: one signature buys one answer at each node.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether `node` is asked.
    pub fn asks(&self, node: &NodeName) -> bool {
        self.body.nodes.is_empty() || self.body.nodes.contains(node)
    }
}
