//! Applications for a data permit (Art. 67 of Regulation (EU) 2025/327) and data requests (Art. 69), signed by the applicant.
//!
//! The fields mirror Art. 67(2)(a) to (k) one to one. One application may be for data of many nodes, under several data access bodies,
//! each of which decides for itself (Arts. 67(3), 68(5)).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, Document, Opened, malformed},
    dsse::PublicKey,
    ids::{Digest, PermitNumber},
    permit::{Article, Limits, Modules, OptOutException, PermitData, PermitPerson, PurposeStatement, check_persons},
    purpose::{ApplicantBody, Article54, check_purposes},
    refusal::Refusal,
    units::Loss,
};

mod procedure;

pub use procedure::{Due, Procedure, ProcedureError, Stage, Status, Term, Track};

/// What an applicant signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationBody {
    /// `spe.application/1`.
    #[schemars(extend("const" = "spe.application/1"))]
    pub format: String,
    /// The application's reference.
    pub number: PermitNumber,
    /// 68: for a data permit; 69: a data request.
    pub article: Article,
    /// When it was signed.
    #[schemars(with = "crate::schema::Instant")]
    pub submitted_at: Timestamp,
    /// What kind of body the applicant is, Art. 53(2).
    pub applicant_body: ApplicantBody,
    /// (e) Whether pseudonymised data is asked for, and why anonymised data does not do.
    pub form: DataForm,
    /// (g) Safeguards against misuse and re-identification.
    pub safeguards: Vec<String>,
    /// Of a data request: the statistical content of the answer, Art. 69(2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<String>,
    /// Of a data request: digests of the plans, if they are written already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Digest>,
    /// The basis of processing under Art. 6(1) GDPR, where pseudonymised data is asked for, Art. 67(4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// (a) Who applies.
    pub applicant: Applicant,
    /// (b) The purpose.
    pub purpose: PurposeStatement,
    /// (c) The intended use.
    pub intended_use: IntendedUse,
    /// (h) For how long.
    pub period: Period,
    /// (i) Tools and computing resources.
    pub tools: Tools,
    /// (j) Ethics.
    pub ethics: Ethics,
    /// (k) Why an exception from opt-outs is needed, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opt_out_exception: Option<OptOutException>,
    /// For each use that Art. 54 prohibits, whether it is meant: an application with one is refused.
    pub prohibited_uses: Article54,
    /// (a) The natural persons who would have access.
    pub persons: Vec<PermitPerson>,
    /// (d) The data, its sources and time range.
    pub data: Vec<PermitData>,
    /// (f) The applicant's own datasets that are to be brought in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_datasets: Vec<OwnDataset>,
}

/// (a) Who applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Applicant {
    /// The natural or legal person.
    pub name: String,
    /// Professional function or field of activity.
    pub functions: String,
    /// Where it is reached.
    pub contact: String,
}

/// (c) What is done with the data, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntendedUse {
    /// The use.
    pub text: String,
    /// The expected benefit.
    pub benefit: String,
    /// Geographical coverage of the data.
    pub coverage: String,
}

/// (e) In which form data is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataForm {
    /// Whether pseudonymised.
    pub pseudonymised: bool,
    /// Why: needed for pseudonymised data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
}

/// (f) A dataset of the applicant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnDataset {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub description: String,
}

/// (h) From when to when, and why so long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The first instant.
    #[schemars(with = "crate::schema::Instant")]
    pub from: Timestamp,
    /// The end.
    #[schemars(with = "crate::schema::Instant")]
    pub until: Timestamp,
    /// Why.
    pub justification: String,
}

/// (i) What is run, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// In words.
    pub text: String,
    /// With which modules.
    pub modules: Modules,
    /// Privacy loss in all, at each node and dataset.
    pub loss_cap: Loss,
    /// What a job needs.
    pub limits: Limits,
}

/// (j) The assessment of ethical aspects, where national law asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ethics {
    /// The assessment, or why none is needed.
    pub text: String,
    /// Reference of an ethics committee's opinion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Document for ApplicationBody {
    const TYPE: &'static str = "application/vnd.spe.application+json";
    const FORMAT: &'static str = "spe.application/1";
    const NAME: &'static str = "the application";
    const DOCS: &'static str = "docs/permit-format.md";

    fn check(&self) -> Result<(), Refusal> {
        self.prohibited_uses.check()?;
        check_purposes(&self.purpose.article53, self.applicant_body)?;
        check_persons(&self.persons).map_err(malformed::<Self>)?;
        if self.period.from >= self.period.until {
            return Err(malformed::<Self>("period.from is not before period.until"));
        }
        if self.data.is_empty() || self.safeguards.is_empty() {
            return Err(malformed::<Self>("data and safeguards have at least one entry each (Art. 67(2)(d) and (g))"));
        }
        self.check_form()
    }
}

impl ApplicationBody {
    fn check_form(&self) -> Result<(), Refusal> {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        let unlawful = |article: &str, why: &str| Err(Refusal::Unlawful { article: article.into(), why: why.into() });
        let pseudonymised = self.form.pseudonymised;
        if self.data.iter().any(|d| d.pseudonymised != pseudonymised) {
            return Err(malformed::<Self>("form.pseudonymised and data.pseudonymised say different things"));
        }
        match self.article {
            Article::Request if pseudonymised => {
                unlawful("Art. 69", "a data request is answered with anonymised statistics only")
            }
            Article::Request if !said(&self.statistics) => {
                unlawful("Art. 69(2)", "a data request describes its statistical content (statistics)")
            }
            Article::Permit if self.statistics.is_some() || !self.plans.is_empty() => {
                Err(malformed::<Self>("statistics and plans are for data requests (article = 69)"))
            }
            _ if pseudonymised && !said(&self.form.justification) => unlawful(
                "Art. 67(2)(e)",
                "pseudonymised data needs a justification, why anonymised data does not do (form.justification)",
            ),
            _ if pseudonymised && !said(&self.legal_basis) => {
                unlawful("Art. 67(4)", "pseudonymised data needs a basis under Art. 6(1) GDPR (legal_basis)")
            }
            _ => Ok(()),
        }
    }
}

/// An application that one of its persons signed. Made only by [`Application::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Application(Opened<ApplicationBody>);

impl Application {
    /// Opens a signed application.
    ///
    /// # Errors
    /// Which part of it fails; [`Refusal::Unlawful`] with the article where the Regulation forbids it; a signer who is none of its
    /// persons.
    pub fn verify(envelope: &[u8]) -> Result<Self, Refusal> {
        let opened: Opened<ApplicationBody> = document::open(envelope)?;
        if opened.body().persons.iter().any(|person| person.key == Some(opened.signer())) {
            return Ok(Self(opened));
        }
        Err(malformed::<ApplicationBody>(format!(
            "it is signed by {}, the key of none of its persons",
            opened.signer()
        )))
    }

    /// What it says.
    pub const fn body(&self) -> &ApplicationBody {
        self.0.body()
    }

    /// Digest of what was signed.
    pub const fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// Who signed it.
    pub const fn signer(&self) -> PublicKey {
        self.0.signer()
    }
}
