//! Decisions on applications (Arts. 68 and 69 of Regulation (EU) 2025/327), by the data access body of each part of the data.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    application::Application,
    document::{self, Document, Opened, malformed},
    dsse::PublicKey,
    ids::{DatasetName, Digest, NodeName, PermitNumber},
    permit::{Article, PermitBody, PermitData},
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

    /// The permit that it gives, which must be the one in `envelope`; none, if it is negative. When it is valid, nodes decide.
    ///
    /// # Errors
    /// The envelope is missing, or that of another permit, application or data access body; or it is negative, and there is one.
    pub fn gives(&self, envelope: Option<&[u8]>) -> Result<Option<Opened<PermitBody>>, Refusal> {
        let wrong = |why: &str| Err(malformed::<DecisionBody>(why));
        match (&self.body().outcome, envelope) {
            (Outcome::Negative { .. }, None) => Ok(None),
            (Outcome::Negative { .. }, Some(_)) => wrong("it is negative, and gives no permit: leave the permit out"),
            (Outcome::Positive { .. }, None) => wrong("it is positive: hand in the permit that it gives with it"),
            (Outcome::Positive { permit: given }, Some(envelope)) => {
                let permit = document::open::<PermitBody>(envelope)?;
                let same = permit.digest() == *given && permit.signer() == self.issuer();
                if same && permit.body().application == self.body().application {
                    return Ok(Some(permit));
                }
                wrong("it gives another permit than the one handed in")
            }
        }
    }

    /// Whether it is on that dataset at that node.
    pub fn is_on(&self, node: &NodeName, dataset: &DatasetName) -> bool {
        let has = |part: &&Part| part.dataset == *dataset && (part.nodes.is_empty() || part.nodes.contains(node));
        self.body().part.iter().any(|part| has(&part))
    }

    /// That `permit` holds where this decides, and nowhere else; `parts` has every node that the application went to, with the datasets
    /// there.
    ///
    /// # Security
    /// A permit holds at every node that trusts its issuer, unless its `data` names nodes. So one that is wider than its decision would be
    /// answered at a node whose part another person refused, or has not decided, or that joins later: each node decides for itself,
    /// Art. 68(5). Watched by
    /// `a_permit_holds_where_it_was_decided_and_nowhere_else`.
    ///
    /// # Errors
    /// Which dataset and node, and what to write.
    pub fn confines<'a>(
        &self,
        permit: &PermitBody,
        parts: impl Iterator<Item = (&'a NodeName, &'a DatasetName)> + Clone,
    ) -> Result<(), Refusal> {
        let wrong = |why: String| Err(malformed::<DecisionBody>(why));
        for PermitData { dataset, nodes, .. } in &permit.data {
            let at = || parts.clone().filter(|(_, has)| *has == dataset).map(|(node, _)| node);
            let decided: Vec<&str> = at().filter(|node| self.is_on(node, dataset)).map(NodeName::as_str).collect();
            let strays = |node: &&NodeName| !decided.contains(&node.as_str());
            if decided.is_empty() {
                return wrong(format!(
                    "its permit is for dataset {dataset}, on which it does not decide: leave that out of [[data]]"
                ));
            }
            if let Some(stray) = nodes.iter().find(strays) {
                return wrong(format!(
                    "its permit names node {stray} for dataset {dataset}, and it does not decide that part: leave {stray} out of \
                     `nodes` in [[data]] of the permit, or name it in `part` of the decision, if that part is to be decided with it"
                ));
            }
            if nodes.is_empty() {
                return wrong(format!(
                    "its permit would hold for dataset {dataset} at every node that trusts its issuer, also at one that joins later, and each \
                     node decides for itself (Art. 68(5)): write nodes = {decided:?} in [[data]] of the permit, and sign both anew"
                ));
            }
        }
        let covered =
            |node: &NodeName, has: &DatasetName| permit.data.iter().any(|d| d.dataset == *has && d.is_at(node));
        match parts.clone().find(|(node, dataset)| self.is_on(node, dataset) && !covered(node, dataset)) {
            Some((node, dataset)) => wrong(format!(
                "it grants dataset {dataset} at node {node}, and its permit does not: name {node} in `nodes` in [[data]] of the permit, \
                 or leave that part out of the decision"
            )),
            None => Ok(()),
        }
    }
}
