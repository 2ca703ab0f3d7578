//! Participation agreements between the hub of a federation and a node: offered by the hub, accepted by the node, suspended and ended by
//! either (Regulation (EU) 2022/868, Art. 12; Regulation (EU) 2025/327, Art. 75).
//!
//! There is no document that both edit. Each party signs statements of its own, numbered; how the agreement stands follows from them in
//! whatever order they arrive. So either party can suspend or end it alone and at once, also while the other cannot be reached. The other
//! signs too as soon as it learns of it: every change has two signatures in the end, and none waits for the second.

mod moves;
mod odrl;
mod stated;
mod stops;
mod terms;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Document, malformed},
    ids::{Digest, NodeName},
    refusal::Refusal,
};

pub use moves::Move;
pub use odrl::odrl;
pub use stated::{Agreement, Change, Taken};
pub use terms::{Sha256, Terms};

/// Statements of one party on one node's participation, and as many countersignatures: neither fills the other's disk. The other party's
/// are not counted with them, so that it can always suspend or end it.
pub const STATEMENTS_MAX: usize = 1_000;

/// Bytes of a reason that is stated: with it a statement is well below what the hub and its nodes tell one another in one piece. Statements
/// of earlier versions may have more, and are read.
pub const REASON_BYTES_MAX: usize = 2_000;

/// What one party states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementBody {
    /// `spe.agreement/1`.
    #[schemars(extend("const" = "spe.agreement/1"))]
    pub format: String,
    /// The node whose participation it is about.
    pub node: NodeName,
    /// Counts the party's statements, from 1: a later one takes the place of an earlier one, and none counts twice.
    pub number: u32,
    /// When it was signed.
    #[schemars(with = "crate::schema::Instant")]
    pub signed_at: Timestamp,
    /// What is stated.
    pub act: Act,
}

/// A statement. All but an offer name the statement that they are about, by the digest of what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// The hub offers terms; a later offer amends the agreement once it is accepted.
    Offer {
        /// Digest of the text of the terms.
        terms: Digest,
        /// The same text's SHA-256; none in offers of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms_sha256: Option<Sha256>,
        /// The first instant.
        #[schemars(with = "crate::schema::Instant")]
        from: Timestamp,
        /// The end; none = until it is ended.
        #[schemars(with = "Option<crate::schema::Instant>")]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The node accepts.
    Accept {
        /// The offer.
        offer: Digest,
    },
    /// Either party suspends it.
    Suspend {
        /// The offer.
        offer: Digest,
        /// Why.
        reason: String,
    },
    /// The party that suspended it resumes it.
    Resume {
        /// The offer.
        offer: Digest,
    },
    /// Either party ends it, for good.
    Terminate {
        /// The offer.
        offer: Digest,
        /// Why.
        reason: String,
    },
    /// A party has received the other's suspension, resumption or termination: nothing else depends on it, and no consent is meant.
    Countersign {
        /// The other party's statement.
        statement: Digest,
    },
}

impl Act {
    /// Its name, as in the document.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Offer { .. } => "offer",
            Self::Accept { .. } => "accept",
            Self::Suspend { .. } => "suspend",
            Self::Resume { .. } => "resume",
            Self::Terminate { .. } => "terminate",
            Self::Countersign { .. } => "countersign",
        }
    }

    /// Why, where that is stated.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Suspend { reason, .. } | Self::Terminate { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The statement of the other party that it is the second signature under: an offer that is accepted, or what is countersigned.
    pub const fn seconds(&self) -> Option<Digest> {
        match self {
            Self::Accept { offer } => Some(*offer),
            Self::Countersign { statement } => Some(*statement),
            _ => None,
        }
    }

    /// Whether the other party countersigns it. An offer is accepted instead.
    const fn is_countersigned(&self) -> bool {
        matches!(self, Self::Suspend { .. } | Self::Resume { .. } | Self::Terminate { .. })
    }

    const fn is_countersignature(&self) -> bool {
        matches!(self, Self::Countersign { .. })
    }
}

impl Document for AgreementBody {
    const TYPE: &'static str = "application/vnd.spe.agreement+json";
    const FORMAT: &'static str = "spe.agreement/1";
    const NAME: &'static str = "the agreement";
    const DOCS: &'static str = "docs/governance.md";

    fn check(&self) -> Result<(), Refusal> {
        match &self.act {
            Act::Offer { from, until: Some(until), .. } if from >= until => {
                Err(malformed::<Self>("act.offer.from is not before act.offer.until"))
            }
            Act::Suspend { reason, .. } | Act::Terminate { reason, .. } if reason.trim().is_empty() => {
                Err(malformed::<Self>("reason is empty: the other party is told why"))
            }
            _ => Ok(()),
        }
    }
}

/// Whose statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The hub.
    Hub,
    /// The node.
    Node,
}

impl Party {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Hub => Self::Node,
            Self::Node => Self::Hub,
        }
    }
}

/// How an agreement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing was offered, or what was offered was not accepted.
    Open,
    /// Both have signed, and neither has suspended or ended it.
    Live {
        /// Digest of the terms.
        terms: Digest,
    },
    /// It begins later.
    NotYet {
        /// When.
        from: Timestamp,
    },
    /// Its time is over.
    Over {
        /// Since when.
        until: Timestamp,
    },
    /// A party suspended it.
    Suspended {
        /// Which.
        by: String,
        /// When it signed that.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// A party ended it.
    Terminated {
        /// Which.
        by: String,
        /// When it signed that.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl Standing {
    /// In one word, as in JSON: without the reason, which may name persons.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Live { .. } => "live",
            Self::NotYet { .. } => "not-yet",
            Self::Over { .. } => "over",
            Self::Suspended { .. } => "suspended",
            Self::Terminated { .. } => "terminated",
        }
    }
}

#[cfg(test)]
mod tests;
