//! Jobs: a plan, asked by a person under a permit, signed by that person.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::{Digest, NodeName, PermitNumber, PersonName},
    plan::Plan,
    refusal::Refusal,
};

/// DSSE payload type of a job.
pub const JOB_TYPE: &str = "application/vnd.spe.job+json";
/// [`JobBody::format`] of this version.
pub const JOB_FORMAT: &str = "spe.job/1";
/// Nodes that a job may name.
pub const NODES_MAX: usize = 1_000;

/// The purposes of Art. 53(1) of Regulation (EU) 2025/327.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// (a) Public interest in public or occupational health.
    PublicHealth,
    /// (b) Policymaking and regulatory activities.
    Policymaking,
    /// (c) Official statistics.
    OfficialStatistics,
    /// (d) Education or teaching in health or care.
    Education,
    /// (e) Scientific research related to health or care.
    ScientificResearch,
    /// (f) Improving care and treatment.
    ImprovingCare,
}

impl Purpose {
    /// All purposes, in the order of the article.
    pub const ALL: [Self; 6] = [
        Self::PublicHealth,
        Self::Policymaking,
        Self::OfficialStatistics,
        Self::Education,
        Self::ScientificResearch,
        Self::ImprovingCare,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::PublicHealth => "public-health",
            Self::Policymaking => "policymaking",
            Self::OfficialStatistics => "official-statistics",
            Self::Education => "education",
            Self::ScientificResearch => "scientific-research",
            Self::ImprovingCare => "improving-care",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::text).join(", ");
        Self::ALL
            .into_iter()
            .find(|p| p.text() == text)
            .ok_or_else(|| format!("not a purpose of Art. 53(1): one of {}", known()))
    }
}

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
}

/// A job whose signature was checked. Made only by [`Job::verify`].
#[derive(Debug, Clone)]
pub struct Job {
    body: JobBody,
    signer: PublicKey,
    digest: Digest,
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
        Ok(Self { body, signer: verified.signer, digest: Digest::of(&verified.payload) })
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
