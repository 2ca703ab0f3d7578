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
    /// How far the rounds are; none if the module is run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<Rounds>,
    /// Loss at each node that answers, of all rounds together.
    pub loss: Loss,
    /// At how many nodes one person may be, as the dataset declares it; such a person bears the loss that many times.
    pub overlap: u32,
    /// What each node that answers is charged: the loss, as often as one person may bear it.
    pub charge: Loss,
    /// What became of the job at each node.
    pub nodes: Vec<NodeReport>,
    /// The merged statistics; none before the first answer. With rounds, those of the latest round that is done.
    pub statistics: Vec<Statistic>,
    /// What a module with rounds came to: its last state, by name, once the job is complete and the nodes agree on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<Parameter>>,
}

/// How far the rounds of a job are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Rounds whose answers are merged. In the end fewer than planned where the module stopped early.
    pub done: u32,
    /// Rounds planned.
    pub of: u32,
}

/// A number of a module's last state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name in the plan.
    pub name: String,
    /// The number.
    pub value: f64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No answer yet.
    Waiting,
    /// Some nodes have answered, others are still expected to; or some rounds are done, others not.
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
#[serde(deny_unknown_fields)]
pub struct JobLine {
    /// The job.
    pub id: JobId,
    /// The dataset asked.
    pub dataset: DatasetName,
    /// What for.
    pub purpose: Purpose,
    /// When the hub accepted it.
    pub submitted_at: Timestamp,
    /// How far it is.
    pub state: State,
    /// Nodes whose answers are merged.
    pub answered: u32,
    /// Nodes asked.
    pub asked: u32,
    /// How far the rounds are; none if the module is run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<Rounds>,
}
