//! What health data may be used for, and what not: Arts. 53 and 54 of Regulation (EU) 2025/327.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The purposes of Art. 53(1).
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
    /// (e)(i) Of it: development and innovation of products and services.
    ProductDevelopment,
    /// (e)(ii) Of it: training, testing and evaluation of algorithms.
    AlgorithmTraining,
    /// (f) Improving care and treatment.
    ImprovingCare,
}

impl Purpose {
    /// All purposes, in the order of the article.
    pub const ALL: [Self; 8] = [
        Self::PublicHealth,
        Self::Policymaking,
        Self::OfficialStatistics,
        Self::Education,
        Self::ScientificResearch,
        Self::ProductDevelopment,
        Self::AlgorithmTraining,
        Self::ImprovingCare,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::PublicHealth => "public-health",
            Self::Policymaking => "policymaking",
            Self::OfficialStatistics => "official-statistics",
            Self::Education => "education",
            Self::ScientificResearch => "scientific-research",
            Self::ProductDevelopment => "product-development",
            Self::AlgorithmTraining => "algorithm-training",
            Self::ImprovingCare => "improving-care",
        }
    }

    /// Its point of Art. 53(1): `a` to `f`, `e.i`, `e.ii`.
    pub const fn point(self) -> &'static str {
        match self {
            Self::PublicHealth => "a",
            Self::Policymaking => "b",
            Self::OfficialStatistics => "c",
            Self::Education => "d",
            Self::ScientificResearch => "e",
            Self::ProductDevelopment => "e.i",
            Self::AlgorithmTraining => "e.ii",
            Self::ImprovingCare => "f",
        }
    }

    /// Whether whoever may use data for this may use it for `other` too: itself, or a part of it.
    pub fn covers(self, other: Self) -> bool {
        self == other || (self == Self::ScientificResearch && other.is_research())
    }

    /// Whether it is scientific research, (e).
    pub const fn is_research(self) -> bool {
        matches!(self, Self::ScientificResearch | Self::ProductDevelopment | Self::AlgorithmTraining)
    }

    /// Whether it is reserved for public sector bodies and Union bodies, Art. 53(2).
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::PublicHealth | Self::Policymaking | Self::OfficialStatistics)
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
        let known = || Self::ALL.map(|p| format!("{p} ({})", p.point())).join(", ");
        Self::ALL
            .into_iter()
            .find(|p| p.text() == text || p.point() == text)
            .ok_or_else(|| format!("not a purpose of Art. 53(1): one of {}", known()))
    }
}

/// A purpose as permits and applications have it: the point of Art. 53(1), as [`Purpose::point`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Article53(pub Purpose);

impl TryFrom<String> for Article53 {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let points = || Purpose::ALL.map(Purpose::point).join(", ");
        let found = Purpose::ALL.into_iter().find(|p| p.point() == text);
        found.map(Self).ok_or_else(|| format!("{text:.16?} is not a point of Art. 53(1): one of {}", points()))
    }
}

impl From<Article53> for String {
    fn from(Article53(purpose): Article53) -> Self {
        purpose.point().into()
    }
}

impl JsonSchema for Article53 {
    fn schema_name() -> Cow<'static, str> {
        "Article53".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Purpose::ALL.map(Purpose::point), "description": "A point of Art. 53(1)." })
    }
}

/// Who uses the data, as far as Art. 53(2) asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApplicantBody {
    /// A public sector body, or an institution, body, office or agency of the Union.
    Public,
    /// Somebody who carries out a task of such a body for it.
    OnBehalfOfPublic,
    /// Anybody else.
    Private,
}

/// Refuses purposes that `body` may not have, Art. 53(2), and an empty list.
///
/// # Errors
/// [`Refusal::Unlawful`], with the article.
pub fn check_purposes(purposes: &[Article53], body: ApplicantBody) -> Result<(), Refusal> {
    let unlawful = |article: &str, why: String| Err(Refusal::Unlawful { article: article.into(), why });
    if purposes.is_empty() {
        return unlawful("Art. 53(1)", "no purpose is named".into());
    }
    match purposes.iter().find(|p| p.0.is_reserved()) {
        Some(Article53(reserved)) if body == ApplicantBody::Private => unlawful(
            "Art. 53(2)",
            format!("the purpose ({}), {reserved}, is reserved for public sector bodies", reserved.point()),
        ),
        _ => Ok(()),
    }
}

/// What an applicant says of each use that Art. 54 prohibits: whether it is meant. Each must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Article54 {
    /// (a) Decisions to the detriment of a person or of a group.
    pub a: bool,
    /// (b) Job offers, less favourable terms, exclusion from insurance or credit, discrimination.
    pub b: bool,
    /// (c) Advertising or marketing.
    pub c: bool,
    /// (d) Products or services that harm people or society.
    pub d: bool,
    /// (e) What national provisions on ethics forbid.
    pub e: bool,
}

impl Article54 {
    /// Refuses a prohibited use that is declared.
    ///
    /// # Errors
    /// [`Refusal::Unlawful`], with the article.
    pub fn check(self) -> Result<(), Refusal> {
        let uses = [
            (self.a, "a", "decisions to the detriment of persons or groups"),
            (self.b, "b", "worse offers of work, goods, insurance or credit"),
            (self.c, "c", "advertising or marketing"),
            (self.d, "d", "harmful products or services"),
            (self.e, "e", "what national provisions on ethics forbid"),
        ];
        match uses.into_iter().find(|(declared, ..)| *declared) {
            Some((_, point, what)) => Err(Refusal::Unlawful {
                article: format!("Art. 54({point})"),
                why: format!("{what}: this use is prohibited"),
            }),
            None => Ok(()),
        }
    }
}
