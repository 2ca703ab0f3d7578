//! What researchers and policymakers see of a job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use spe_kernel::{
    federation::NodeReport,
    ids::{DatasetName, Digest, JobId, PermitNumber, PersonName},
    job::Purpose,
    statistic::Statistic,
    units::Loss,
};

/// A job, what became of it at each node, and the statistics merged from the valid answers so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The job.
    pub job: JobId,
    /// Digest of its plan.
    pub plan: Digest,
    /// The module that runs.
    pub module: Digest,
    /// The dataset.
    pub dataset: DatasetName,
    /// Who asked.
    pub person: PersonName,
    /// What for.
    pub purpose: Purpose,
    /// Under which permit.
    pub permit: PermitNumber,
    /// When the hub accepted it.
    pub submitted_at: Timestamp,
    /// How far it is.
    pub state: State,
    /// Nodes whose answers are merged.
    pub answered: u32,
    /// Nodes asked.
    pub asked: u32,
    /// The same in words: `2 of 3 nodes`.
    pub coverage: String,
    /// Loss at each node that answers.
    pub loss: Loss,
    /// At how many nodes one person may be, as the dataset declares it; such a person bears the loss that many times.
    pub overlap: u32,
    /// What became of the job at each node.
    pub nodes: Vec<NodeReport>,
    /// The merged statistics; none before the first answer.
    pub statistics: Vec<Statistic>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No answer yet.
    Waiting,
    /// Some nodes have answered, others are still expected to.
    Partial,
    /// Every node has answered, refused, or sent something that is no answer.
    Complete,
    /// Cancelled by the person who asked; answers that were already paid for are still merged.
    Cancelled,
}

impl State {
    /// Whether nothing more is expected.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled)
    }
}

/// One line of a person's list of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// The job.
    pub id: JobId,
    /// The dataset asked.
    pub dataset: DatasetName,
    /// When the hub accepted it.
    pub submitted_at: Timestamp,
    /// Nodes that have answered.
    pub answered: u32,
    /// Nodes asked.
    pub asked: u32,
    /// Whether it was cancelled.
    pub cancelled: bool,
}
