//! Decisions on applications (Arts. 68 and 69 of Regulation (EU) 2025/327), by the data access body of each part of the data.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    application::Application,
    document::{self, Document, Opened, malformed},
    dsse::PublicKey,
    ids::{DatasetName, Digest, NodeName, PermitNumber},
    permit::{Article, Permit},
    refusal::Refusal,
};

/// What a data access body signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// `spe.decision/1`.
    #[schemars(extend("const" = "spe.decision/1"))]
    pub format: String,
    /// Reference of the application.
    pub application: PermitNumber,
    /// Digest of the signed application: exactly this text was decided on.
    pub application_digest: Digest,
    /// On which part of the data; each data access body decides for its own, Art. 68(5).
    pub part: Vec<Part>,
    /// The data access body, for people; the signature counts.
    pub issuer: String,
    /// The natural person who decided for it.
    pub decided_by: String,
    /// When.
    #[schemars(with = "crate::schema::Instant")]
    pub decided_at: Timestamp,
    /// What was decided.
    pub outcome: Outcome,
}

/// A dataset, at some nodes or all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its nodes; empty = all that the application names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Outcome {
    /// A permit is given.
    Positive {
        /// Digest of what was signed as the permit.
        permit: Digest,
    },
    /// None is.
    Negative {
        /// Why, at least one reason.
        reasons: Vec<Reason>,
        /// Whether an anonymised statistical answer under Art. 69 is offered instead, Art. 68(3).
        #[serde(default)]
        offers_answer: bool,
    },
}

/// Why an application was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The provision that is not met, such as `Art. 68(1)(c)`.
    pub article: String,
    /// In words.
    pub text: String,
}

impl Document for DecisionBody {
    const TYPE: &'static str = "application/vnd.spe.decision+json";
    const FORMAT: &'static str = "spe.decision/1";
    const NAME: &'static str = "the decision";
    const DOCS: &'static str = "docs/permit-format.md";

    fn check(&self) -> Result<(), Refusal> {
        if self.part.is_empty() {
            return Err(malformed::<Self>("part names no dataset"));
        }
        if self.decided_by.trim().is_empty() {
            return Err(malformed::<Self>("decided_by names nobody: a natural person decides"));
        }
        let Outcome::Negative { reasons, .. } = &self.outcome else { return Ok(()) };
        if reasons.is_empty() {
            return Err(malformed::<Self>("a negative decision gives its reasons, each with the article"));
        }
        match reasons.iter().find(|reason| !reason.article.starts_with("Art. ") || reason.text.trim().is_empty()) {
            Some(bare) => {
                let why = format!(
                    "reason {:.32?} is not an article, such as \"Art. 68(1)(c)\", with words to it",
                    bare.article
                );
                Err(malformed::<Self>(why))
            }
            None => Ok(()),
        }
    }
}

/// A decision that a trusted data access body signed. Made only by [`Decision::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decision(Opened<DecisionBody>);

impl Decision {
    /// Opens a signed decision.
    ///
    /// # Errors
    /// Which part of it fails, or a signer who is not trusted.
    pub fn verify(envelope: &[u8], trusted: &[PublicKey]) -> Result<Self, Refusal> {
        document::open(envelope)?.trusting(trusted).map(Self)
    }

    /// What it says.
    pub const fn body(&self) -> &DecisionBody {
        self.0.body()
    }

    /// Digest of what was signed.
    pub const fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// Which data access body decided.
    pub const fn issuer(&self) -> PublicKey {
        self.0.signer()
    }

    /// Whether it is positive.
    pub const fn is_positive(&self) -> bool {
        matches!(self.body().outcome, Outcome::Positive { .. })
    }

    /// That it is one on `application`: on its very text, and on data that it asks for.
    ///
    /// # Errors
    /// What differs.
    pub fn answers(&self, application: &Application) -> Result<(), Refusal> {
        let (body, asked) = (self.body(), application.body());
        if body.application_digest != application.digest() || body.application != asked.number {
            return Err(malformed::<DecisionBody>("it is on another application, or on another version of it"));
        }
        if matches!(body.outcome, Outcome::Negative { offers_answer: true, .. }) && asked.article != Article::Permit {
            return Err(malformed::<DecisionBody>("offers_answer is for applications for a data permit, Art. 68(3)"));
        }
        let covered = |part: &Part| {
            asked.data.iter().any(|d| d.dataset == part.dataset && part.nodes.iter().all(|node| d.is_at(node)))
        };
        match body.part.iter().find(|part| !covered(part)) {
            Some(stray) => Err(malformed::<DecisionBody>(format!(
                "the application does not ask for dataset {} there",
                stray.dataset
            ))),
            None => Ok(()),
        }
    }

    /// That `permit` is the one that it gives.
    ///
    /// # Errors
    /// It is negative, or of another permit, application or data access body.
    pub fn gives(&self, permit: &Permit) -> Result<(), Refusal> {
        let Outcome::Positive { permit: given } = &self.body().outcome else {
            return Err(malformed::<DecisionBody>("it is negative, and gives no permit"));
        };
        let same = *given == permit.digest() && permit.body().application == self.body().application;
        if same && permit.id().issuer == self.issuer() {
            return Ok(());
        }
        Err(malformed::<DecisionBody>(format!("it does not give permit {}", permit.body().number)))
    }
}
