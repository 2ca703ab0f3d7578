//! Why something is refused: may leave, and never depends on a record (**data-blind refusal**).

use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    ids::{DatasetName, Digest, NodeName, PersonName},
    job::Purpose,
    units::Loss,
};

/// A refusal: what was wrong, where, and what to do. One variant a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "fields are named after what they hold, and shown by the message beside them")]
pub enum Refusal {
    /// A document that cannot be read.
    #[error("{document} is malformed: {why}")]
    Malformed { document: String, why: String },
    /// Larger than its limit.
    #[error("{what} has {size} bytes; the limit is {limit}")]
    TooLarge { what: String, size: u64, limit: u64 },
    /// A signature that does not fit key and content.
    #[error("the signature on {document} does not verify: it was changed, or signed with another key; sign it again")]
    BadSignature { document: String },
    /// Signed by nobody whom this node trusts.
    #[error(
        "{document} is signed by {key}, which this node does not trust; ask the node's operator about `access_bodies`"
    )]
    UntrustedKey { document: String, key: String },
    /// The permit is dated later than this node's clock.
    #[error(
        "the permit says that it was issued at {at}, which is in the future at this node: wait until then, or have the clocks \
         of data access body and node set right"
    )]
    PermitFromTheFuture { at: String },
    /// The permit starts later.
    #[error("the permit is valid from {from}; it is too early")]
    PermitNotYetValid { from: String },
    /// The permit has ended.
    #[error("the permit expired at {until}; ask the data access body to renew it")]
    PermitExpired { until: String },
    /// Signed too long ago, or in the future.
    #[error("the job was signed at {signed_at}; this node takes jobs of the last {days} days: sign it again")]
    JobNotFresh { signed_at: String, days: u32 },
    /// Another permit than the one handed in.
    #[error("the job names permit {named}, but permit {given} was handed in")]
    WrongPermit { named: String, given: String },
    /// The person, or the key that signed, is not in the permit.
    #[error("the permit does not authorise {person} with the key that signed the job (clause: persons)")]
    PersonNotInPermit { person: PersonName },
    /// Another purpose.
    #[error("the permit does not cover the purpose {purpose} (clause: purposes)")]
    PurposeNotInPermit { purpose: Purpose },
    /// Another dataset.
    #[error("the permit does not cover dataset {dataset} (clause: data)")]
    DatasetNotInPermit { dataset: DatasetName },
    /// Another column.
    #[error("the permit does not cover column {column} of dataset {dataset} (clause: data.columns)")]
    ColumnNotInPermit { dataset: DatasetName, column: String },
    /// Another module.
    #[error("the permit does not approve module {module} (clause: modules)")]
    ModuleNotInPermit { module: Digest },
    /// The permit's cap.
    #[error("the permit's loss cap is {cap} here, {spent} is spent, and the job asks {asked} (clause: loss_cap)")]
    PermitLossExhausted { asked: Loss, spent: Loss, cap: Loss },
    /// The dataset's cap.
    #[error("dataset {dataset} allows {cap} in all, {spent} is spent, and the job asks {asked}; ask for less")]
    DatasetLossExhausted { dataset: DatasetName, asked: Loss, spent: Loss, cap: Loss },
    /// Keys are asked for where no δ, or a smaller one, is allowed.
    #[error(
        "keys that are not public cost a delta, and {by} allows {allowed} of it: see \"Keys\" in docs/operations.md"
    )]
    DeltaNotAllowed { by: String, allowed: String },
    /// A rule of the node's operator.
    #[error("this node's policy forbids it: {rule}")]
    PolicyForbids { rule: String },
    /// Not one of the nodes that the job names.
    #[error("the job does not ask node {node}")]
    NodeNotAsked { node: NodeName },
    /// No such dataset here.
    #[error("there is no dataset {dataset} here; `spe budget` lists what there is")]
    DatasetUnknown { dataset: DatasetName },
    /// The plan does not fit dataset or module.
    #[error("the plan cannot be run: {why}")]
    PlanUnfit { why: String },
    /// The module fails the static checks, or its start.
    #[error("module {module} is refused: {why}")]
    ModuleRefused { module: Digest, why: String },
    /// The charge was spent, the answer lost.
    #[error(
        "plan {plan} was interrupted after it was charged; its charge stays spent. \
         Submit it with a higher --attempt to ask again for a new charge"
    )]
    Interrupted { plan: Digest },
    /// The signed job bought an answer before, on an older snapshot of the data.
    #[error("this signed job was answered before, and the data has changed since: sign it again to ask the new data")]
    JobSpent,
    /// A round that does not follow an answered one, or beyond the last.
    #[error("round {round} does not follow an answered round of this job here")]
    RoundOutOfTurn { round: u32 },
    /// The machine is slower than its operator declared.
    #[error(
        "the node did not finish in the time that its policy gives every job of this plan; the charge stays spent. \
         Its operator may measure the machine with `spe node selftest`"
    )]
    DeadlineMissed,
    /// Cancelled by the researcher.
    #[error("the job was cancelled; a charge already made stays spent")]
    Cancelled,
    /// Not known to the hub or node.
    #[error("{what} is not known here")]
    NotFound { what: String },
    /// The caller's role does not allow it.
    #[error("{who} may not {what}")]
    NotAllowed { who: String, what: String },
    /// Nobody can answer now.
    #[error("{what} cannot be reached now; try again later")]
    Unavailable { what: String },
    /// A fault, told to the operator's log only.
    #[error("internal fault {id}; the operator's log has the details")]
    Internal { id: String },
}

/// What kind of refusal it is: the one table from refusals to gRPC status and exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request is wrong.
    Invalid,
    /// Who asks is not proven.
    Unauthenticated,
    /// Who asks may not.
    Denied,
    /// There is no such thing.
    NotFound,
    /// The loss is spent, or a limit exceeded.
    Exhausted,
    /// State forbids it.
    Precondition,
    /// Nobody is there.
    Unavailable,
    /// A fault.
    Internal,
}

impl Class {
    /// The exit code of `spe`, and the number of the gRPC status.
    pub const fn codes(self) -> (u8, i32) {
        match self {
            Self::Invalid => (3, 3),
            Self::NotFound => (4, 5),
            Self::Denied => (5, 7),
            Self::Exhausted => (6, 8),
            Self::Precondition => (7, 9),
            Self::Unavailable => (8, 14),
            Self::Unauthenticated => (9, 16),
            Self::Internal => (10, 13),
        }
    }
}

impl Refusal {
    /// The refusal's class.
    pub const fn class(&self) -> Class {
        match self {
            Self::Malformed { .. } | Self::WrongPermit { .. } | Self::PlanUnfit { .. } | Self::ModuleRefused { .. } => {
                Class::Invalid
            }
            Self::BadSignature { .. } | Self::UntrustedKey { .. } => Class::Unauthenticated,
            Self::PermitFromTheFuture { .. }
            | Self::PermitNotYetValid { .. }
            | Self::PermitExpired { .. }
            | Self::JobNotFresh { .. }
            | Self::PersonNotInPermit { .. }
            | Self::PurposeNotInPermit { .. }
            | Self::DatasetNotInPermit { .. }
            | Self::ColumnNotInPermit { .. }
            | Self::ModuleNotInPermit { .. }
            | Self::PolicyForbids { .. }
            | Self::DeltaNotAllowed { .. }
            | Self::NotAllowed { .. }
            | Self::NodeNotAsked { .. } => Class::Denied,
            Self::DatasetUnknown { .. } | Self::NotFound { .. } => Class::NotFound,
            Self::TooLarge { .. } | Self::PermitLossExhausted { .. } | Self::DatasetLossExhausted { .. } => {
                Class::Exhausted
            }
            Self::Interrupted { .. }
            | Self::JobSpent
            | Self::RoundOutOfTurn { .. }
            | Self::DeadlineMissed
            | Self::Cancelled => Class::Precondition,
            Self::Unavailable { .. } => Class::Unavailable,
            Self::Internal { .. } => Class::Internal,
        }
    }
}

/// Why the corridor stops: a refusal that may leave, or a fault that may not.
#[derive(Debug)]
pub enum Stop {
    /// May leave.
    Refused(Refusal),
    /// Stays.
    Failed(Fault),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
