//! What passes between data access body and applicant before a decision (Art. 68(4) of Regulation (EU) 2025/327): notices, and what the
//! applicant adds.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Document, malformed},
    ids::{Digest, NodeName, PermitNumber},
    refusal::Refusal,
};

/// What a data access body tells the applicant, and signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeBody {
    /// `spe.notice/1`.
    #[schemars(extend("const" = "spe.notice/1"))]
    pub format: String,
    /// Reference of the application.
    pub application: PermitNumber,
    /// Digest of the signed application.
    pub application_digest: Digest,
    /// The nodes whose parts it is about.
    pub nodes: Vec<NodeName>,
    /// The data access body, for people; the signature counts.
    pub issuer: String,
    /// When it was signed.
    #[schemars(with = "crate::schema::Instant")]
    pub issued_at: Timestamp,
    /// What it says.
    pub step: Step,
}

/// What a notice says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// The application is complete, and assessed from now on.
    Complete,
    /// The applicant has four weeks to add what is missing, or there is no permit.
    InformationNeeded {
        /// What is missing.
        missing: Vec<String>,
    },
    /// The term for the decision is prolonged.
    Prolonged {
        /// Why: the complexity of the application.
        reason: String,
    },
}

impl Document for NoticeBody {
    const TYPE: &'static str = "application/vnd.spe.notice+json";
    const FORMAT: &'static str = "spe.notice/1";
    const NAME: &'static str = "the notice";
    const DOCS: &'static str = "docs/governance.md";

    fn check(&self) -> Result<(), Refusal> {
        let empty = |text: &String| text.trim().is_empty();
        match &self.step {
            _ if self.nodes.is_empty() => Err(malformed::<Self>("nodes names no part of the application")),
            Step::InformationNeeded { missing } if missing.is_empty() || missing.iter().any(empty) => {
                Err(malformed::<Self>("missing says nothing: the applicant must know what to add"))
            }
            Step::Prolonged { reason } if empty(reason) => Err(malformed::<Self>("reason is empty")),
            _ => Ok(()),
        }
    }
}

/// What an applicant adds to an application, and signs with the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupplementBody {
    /// `spe.supplement/1`.
    #[schemars(extend("const" = "spe.supplement/1"))]
    pub format: String,
    /// Reference of the application.
    pub application: PermitNumber,
    /// Digest of the signed application.
    pub application_digest: Digest,
    /// When it was signed.
    #[schemars(with = "crate::schema::Instant")]
    pub signed_at: Timestamp,
    /// What is added: an answer to each question.
    pub answers: Vec<String>,
}

impl Document for SupplementBody {
    const TYPE: &'static str = "application/vnd.spe.supplement+json";
    const FORMAT: &'static str = "spe.supplement/1";
    const NAME: &'static str = "the supplement";
    const DOCS: &'static str = "docs/governance.md";

    fn check(&self) -> Result<(), Refusal> {
        if self.answers.is_empty() || self.answers.iter().any(|answer| answer.trim().is_empty()) {
            return Err(malformed::<Self>("answers says nothing"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{open, sign},
        dsse::SecretKey,
    };

    fn notice(step: Step) -> NoticeBody {
        NoticeBody {
            format: NoticeBody::FORMAT.into(),
            application: "app-1".parse().unwrap(),
            application_digest: Digest::of(b"application"),
            nodes: vec!["north".parse().unwrap()],
            issuer: "a data access body".into(),
            issued_at: Timestamp::UNIX_EPOCH,
            step,
        }
    }

    #[test]
    fn a_notice_says_something_about_some_part() {
        let key = SecretKey::from_seed(&[7; 32]);
        assert!(open::<NoticeBody>(&sign(&notice(Step::Complete), &key)).is_ok());
        let mute = [
            notice(Step::InformationNeeded { missing: vec![] }),
            notice(Step::InformationNeeded { missing: vec![" ".into()] }),
            notice(Step::Prolonged { reason: String::new() }),
            NoticeBody { nodes: vec![], ..notice(Step::Complete) },
        ];
        for notice in mute {
            assert!(open::<NoticeBody>(&sign(&notice, &key)).is_err(), "{notice:?} tells nobody anything");
        }
    }
}
