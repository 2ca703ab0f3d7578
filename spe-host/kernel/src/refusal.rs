//! Why something is refused: may leave, and never depends on a record (**data-blind refusal**).

use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    ids::{DatasetName, Digest, NodeName, PermitNumber, PersonName, TableName},
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
    #[error(
        "the signature on {document} does not verify: it was changed after it was signed, or is not by the key that it names; get it \
         again from whoever signed it"
    )]
    BadSignature { document: String },
    /// Signed by nobody who is trusted here.
    #[error(
        "{document} is signed by {key}, which is not trusted here: a node trusts the `access_bodies` of its policy.toml, a command the \
         key that it is given"
    )]
    UntrustedKey { document: String, key: String },
    /// The permit is dated later than this node's clock.
    #[error(
        "the permit says that it was issued at {at}, which is in the future at this node: wait until then, or have the clocks \
         of data access body and node set right"
    )]
    PermitFromTheFuture { at: String },
    /// The permit starts later.
    #[error("the permit is valid from {from}; it is too early (clause: Art. 68(10)(e))")]
    PermitNotYetValid { from: String },
    /// The permit has ended.
    #[error("the permit expired at {until}; ask the data access body to renew it (clause: Art. 68(10)(e))")]
    PermitExpired { until: String },
    /// Signed too long ago, or in the future.
    #[error("the job was signed at {signed_at}; this node takes jobs of the last {days} days: sign it again")]
    JobNotFresh { signed_at: String, days: u32 },
    /// Another permit than the one handed in.
    #[error("the job names permit {named}, but permit {given} was handed in")]
    WrongPermit { named: String, given: String },
    /// The person, or the key that signed, is not in the permit.
    #[error(
        "the permit does not authorise {person} with the key that signed the job and the login in it (clause: Art. 68(10)(d))"
    )]
    PersonNotInPermit { person: PersonName },
    /// Nobody proved who signed the job.
    #[error(
        "the job says not who signed it, and permit or node asks for a login: run `spe login` with an issuer that this node takes \
         ({issuers}), and sign the job again"
    )]
    LoginRequired { issuers: String },
    /// The proof of who signed the job does not hold.
    #[error("the login in the job is refused: {why}")]
    LoginRefused { why: String },
    /// Another purpose.
    #[error("the permit does not cover the purpose {purpose} (clause: Art. 68(10)(b))")]
    PurposeNotInPermit { purpose: Purpose },
    /// Another dataset.
    #[error("the permit does not cover dataset {dataset} (clause: Art. 68(10)(a))")]
    DatasetNotInPermit { dataset: DatasetName },
    /// Another column.
    #[error("the permit does not cover column {column} of dataset {dataset} (clause: Art. 68(10)(a))")]
    ColumnNotInPermit { dataset: DatasetName, column: String },
    /// Another module.
    #[error("the permit does not approve module {module}: {why} (clause: Art. 68(10)(f))")]
    ModuleNotInPermit { module: Digest, why: String },
    /// Another node.
    #[error("the permit does not cover dataset {dataset} at node {node} (clause: Art. 68(10)(a))")]
    NodeNotInPermit { dataset: DatasetName, node: NodeName },
    /// A time range that cannot be kept.
    #[error(
        "the permit covers a time range of table {table}, and dataset {dataset} does not declare which of the table's columns says when a \
         row is from (`time = \"column\"` in its declaration), so that it cannot be kept (clause: Art. 68(10)(a))"
    )]
    TimeRangeUnenforceable { dataset: DatasetName, table: TableName },
    /// A data request approves plans, and this is none of them.
    #[error("the approved data request does not have plan {plan}; it allows no other questions (clause: Art. 69)")]
    PlanNotInPermit { plan: Digest },
    /// Another limit or condition of the permit.
    #[error("the permit forbids it: {rule} (clause: {clause})")]
    PermitForbids { clause: Clause, rule: String },
    /// Another permit has taken its place.
    #[error("permit {number} was replaced by permit {by}: submit the job with that one")]
    PermitReplaced { number: PermitNumber, by: PermitNumber },
    /// Two documents of one issuer have one number.
    #[error(
        "permit {number} is another document than the first of that number by the same data access body: one that changes it has a \
         number of its own, with status \"amended\" or \"renewed\""
    )]
    PermitNumberTaken { number: PermitNumber },
    /// Taken back.
    #[error("permit {number} was revoked at {since} by the data access body (clause: Art. 63(3))")]
    PermitRevoked { number: PermitNumber, since: String },
    /// Excluded for a time.
    #[error("{person} is excluded by the data access body that issued the permit (clause: Art. 63(3))")]
    PersonExcluded { person: PersonName },
    /// Against the Regulation.
    #[error("{why} ({article})")]
    Unlawful { article: String, why: String },
    /// The permit's cap.
    #[error("the permit's loss cap is {cap} here, {spent} is spent, and the job asks {asked} (clause: Art. 68(10)(f))")]
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
    /// A round that somebody else paid for.
    #[error(
        "round {round} of this plan was paid for by another person or under another permit, and theirs are its rounds; what they have \
         had answered is yours too. Submit it with a higher --attempt for rounds of your own, at a new charge"
    )]
    RoundOfAnother { round: u32 },
    /// The machine is slower than its operator declared.
    #[error(
        "the node did not finish in the time that its policy gives every job of this plan; the charge stays spent. \
         Its operator may measure the machine with `spe node selftest`"
    )]
    DeadlineMissed,
    /// Too many runs on the dataset were late.
    #[error(
        "{misses} runs on dataset {dataset} did not finish in time at this node, as many as its policy allows; it answers nothing new until \
         its operator has looked at them (`spe node misses`)"
    )]
    TooManyMisses { dataset: DatasetName, misses: u32 },
    /// An officer of the node decided against it.
    #[error("an officer of this node decided against it: {reason}")]
    OfficerRefused { reason: String },
    /// No officer of the node decided in time.
    #[error("no officer of this node decided about it within {days} days: sign the job again to have it asked anew")]
    OfficerSilent { days: u32 },
    /// The node's records are older than what was seen of them, or others.
    #[error(
        "the records of node {node} are not those that it had ({why}), so that charges may be missing from them; it answers nothing until \
         its operator has put the right ones back (\"Restoring\" in docs/operations.md)"
    )]
    RolledBack { node: NodeName, why: String },
    /// Hub and node have no live agreement.
    #[error("there is no live participation agreement with node {node}: {why}")]
    AgreementNotLive { node: NodeName, why: String },
    #[error("nothing was stated on the agreement with node {node}: {why}")]
    NothingToState { node: NodeName, why: String },
    #[error(
        "this is not the text of the terms: theirs is {offered}, this is {given}; the hub's operator has the text that is offered"
    )]
    OtherTerms { offered: String, given: String },
    /// Cancelled by the researcher.
    #[error(
        "the job was cancelled; if it was charged already, the same question asked again is answered without a new charge"
    )]
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

/// A clause of a permit, as refusals name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clause {
    /// Art. 68(10)(a).
    Data,
    /// Art. 68(10)(b).
    Purpose,
    /// Art. 68(10)(c).
    OptOuts,
    /// Art. 68(10)(d).
    Persons,
    /// Art. 68(10)(e).
    Period,
    /// Art. 68(10)(f).
    Environment,
    /// Art. 68(10)(h).
    Conditions,
    /// Art. 69.
    Request,
}

impl std::fmt::Display for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Data => "Art. 68(10)(a)",
            Self::Purpose => "Art. 68(10)(b)",
            Self::OptOuts => "Art. 68(10)(c)",
            Self::Persons => "Art. 68(10)(d)",
            Self::Period => "Art. 68(10)(e)",
            Self::Environment => "Art. 68(10)(f)",
            Self::Conditions => "Art. 68(10)(h)",
            Self::Request => "Art. 69",
        })
    }
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
    /// The clause of the permit that does not hold, where it is one.
    pub const fn clause(&self) -> Option<Clause> {
        Some(match self {
            Self::DatasetNotInPermit { .. }
            | Self::ColumnNotInPermit { .. }
            | Self::NodeNotInPermit { .. }
            | Self::TimeRangeUnenforceable { .. } => Clause::Data,
            Self::PurposeNotInPermit { .. } => Clause::Purpose,
            Self::PersonNotInPermit { .. } => Clause::Persons,
            Self::PermitNotYetValid { .. } | Self::PermitExpired { .. } => Clause::Period,
            Self::ModuleNotInPermit { .. } | Self::PermitLossExhausted { .. } => Clause::Environment,
            Self::PlanNotInPermit { .. } => Clause::Request,
            Self::PermitForbids { clause, .. } => *clause,
            _ => return None,
        })
    }

    /// The refusal's class.
    pub const fn class(&self) -> Class {
        match self {
            Self::Malformed { .. }
            | Self::WrongPermit { .. }
            | Self::PlanUnfit { .. }
            | Self::ModuleRefused { .. }
            | Self::OtherTerms { .. } => Class::Invalid,
            Self::BadSignature { .. }
            | Self::UntrustedKey { .. }
            | Self::LoginRequired { .. }
            | Self::LoginRefused { .. } => Class::Unauthenticated,
            Self::PermitFromTheFuture { .. }
            | Self::PermitNotYetValid { .. }
            | Self::PermitExpired { .. }
            | Self::JobNotFresh { .. }
            | Self::PersonNotInPermit { .. }
            | Self::PurposeNotInPermit { .. }
            | Self::DatasetNotInPermit { .. }
            | Self::ColumnNotInPermit { .. }
            | Self::ModuleNotInPermit { .. }
            | Self::NodeNotInPermit { .. }
            | Self::TimeRangeUnenforceable { .. }
            | Self::PlanNotInPermit { .. }
            | Self::PermitForbids { .. }
            | Self::PermitReplaced { .. }
            | Self::PermitNumberTaken { .. }
            | Self::PermitRevoked { .. }
            | Self::PersonExcluded { .. }
            | Self::Unlawful { .. }
            | Self::PolicyForbids { .. }
            | Self::DeltaNotAllowed { .. }
            | Self::NotAllowed { .. }
            | Self::OfficerRefused { .. }
            | Self::NodeNotAsked { .. } => Class::Denied,
            Self::DatasetUnknown { .. } | Self::NotFound { .. } => Class::NotFound,
            Self::TooLarge { .. } | Self::PermitLossExhausted { .. } | Self::DatasetLossExhausted { .. } => {
                Class::Exhausted
            }
            Self::Interrupted { .. }
            | Self::JobSpent
            | Self::RoundOutOfTurn { .. }
            | Self::RoundOfAnother { .. }
            | Self::DeadlineMissed
            | Self::TooManyMisses { .. }
            | Self::OfficerSilent { .. }
            | Self::RolledBack { .. }
            | Self::AgreementNotLive { .. }
            | Self::NothingToState { .. }
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
