//! Data permits (Regulation (EU) 2025/327, Art. 68) and approved data requests (Art. 69), signed by a data access body.
//!
//! The fields mirror Art. 68(10)(a) to (h) one to one; `docs/permit-format.md` is the table.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, Document},
    dsse::{PublicKey, SecretKey},
    ids::{Digest, PermitNumber},
    job::Purpose,
    purpose::{ApplicantBody, Article53},
    refusal::Refusal,
    units::Loss,
};

mod check;
mod data;
mod environment;
mod line;
pub(crate) mod odrl;
mod scope;
mod terms;

pub use data::{PermitData, TimeRange, Windows};
pub use environment::{Environment, Limits, ModuleClass, Modules, Review};
pub use line::{Line, Standing, Version};
pub use odrl::agreement;
pub(crate) use scope::covers;
pub(crate) use terms::check_persons;
pub use terms::{Amount, Condition, Currency, Fee, OptOutException, PermitPerson, PurposeStatement, Role};

/// DSSE payload type of a permit.
pub const PERMIT_TYPE: &str = "application/vnd.spe.permit+json";
/// [`PermitBody::format`] of this version.
pub const PERMIT_FORMAT: &str = "spe.permit/2";
/// Years that a permit is valid at most, and a renewed one again, Art. 68(12).
pub const PERMIT_YEARS_MAX: i32 = 10;

/// What a data access body signs; see `docs/permit-format.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitBody {
    /// `spe.permit/2`.
    #[schemars(extend("const" = PERMIT_FORMAT))]
    pub format: String,
    /// The permit's reference.
    pub number: PermitNumber,
    /// Reference of the first permit of its line: the number itself of one that was newly granted. The loss cap counts over the
    /// whole line.
    pub original: PermitNumber,
    /// Reference of the permit that it replaces, if it amends or renews one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PermitNumber>,
    /// How it came about.
    pub status: Status,
    /// 68: a data permit; 69: an approved data request.
    pub article: Article,
    /// Reference of the application.
    pub application: PermitNumber,
    /// The data access body, for people; the signature counts.
    pub issuer: String,
    /// When it was issued: opt-outs that were registered later do not affect it, Art. 71(3).
    #[schemars(with = "crate::schema::Instant")]
    pub issued_at: Timestamp,
    /// Who applied: the health data user.
    pub applicant: String,
    /// What kind of body that is, Art. 53(2).
    pub applicant_body: ApplicantBody,
    /// (e) First instant of validity.
    #[schemars(with = "crate::schema::Instant")]
    pub valid_from: Timestamp,
    /// (e) End of validity, at most 10 years later.
    #[schemars(with = "crate::schema::Instant")]
    pub valid_until: Timestamp,
    /// Digests of the approved plans: of a data request, Art. 69, and of nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Digest>,
    /// (b) The purpose.
    pub purpose: PurposeStatement,
    /// (c) Whether an exception from opt-outs was applied, Art. 71(4), and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opt_out_exception: Option<OptOutException>,
    /// (f) The environment.
    pub environment: Environment,
    /// (a) The data.
    pub data: Vec<PermitData>,
    /// (d) The persons.
    pub persons: Vec<PermitPerson>,
    /// (g) The fees.
    #[serde(default)]
    pub fees: Vec<Fee>,
    /// (h) Specific conditions.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// How a permit came about. That one is revoked or expired is not written in it: a node finds it, see [`Line`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Newly granted.
    Granted,
    /// It changes one that runs, Art. 68(13).
    Amended,
    /// It prolongs one, once, Art. 68(12).
    Renewed,
}

/// What was decided: access under Art. 68, or an answer under Art. 69.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum Article {
    /// Art. 68: a data permit; the persons ask questions of their own.
    Permit,
    /// Art. 69: a data request; the persons get the answers to the approved questions only.
    Request,
}

impl TryFrom<u16> for Article {
    type Error = &'static str;
    fn try_from(number: u16) -> Result<Self, Self::Error> {
        match number {
            68 => Ok(Self::Permit),
            69 => Ok(Self::Request),
            _ => Err("article is 68 for a data permit or 69 for a data request"),
        }
    }
}

impl From<Article> for u16 {
    fn from(article: Article) -> Self {
        match article {
            Article::Permit => 68,
            Article::Request => 69,
        }
    }
}

impl JsonSchema for Article {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Article".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "enum": [68, 69], "description": "68: a data permit; 69: a data request." })
    }
}

impl fmt::Display for Article {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Art. {}", u16::from(*self))
    }
}

/// A permit that was signed by a trusted data access body and is valid now.
///
/// Made only by [`Permit::verify`].
#[derive(Debug, Clone)]
pub struct Permit {
    body: PermitBody,
    issuer: PublicKey,
    digest: Digest,
}

/// Which line of permits, from the one granted over all that amend or renew it: two data access bodies may use the same number.
/// Written `<original number> <issuer's key>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId {
    /// Number of the line's first permit.
    pub number: PermitNumber,
    /// Who signed it.
    pub issuer: PublicKey,
}

impl fmt::Display for PermitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.issuer)
    }
}

impl FromStr for PermitId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a permit's number and its issuer's key";
        let (number, issuer) = text.split_once(' ').ok_or(wrong)?;
        Ok(Self { number: number.parse().map_err(|_| wrong)?, issuer: issuer.parse().map_err(|_| wrong)? })
    }
}

impl Document for PermitBody {
    const TYPE: &'static str = PERMIT_TYPE;
    const FORMAT: &'static str = PERMIT_FORMAT;
    const NAME: &'static str = "the permit";
    const DOCS: &'static str = "docs/permit-format.md";

    fn check(&self) -> Result<(), Refusal> {
        check::body(self)
    }
}

impl PermitBody {
    /// A permit newly granted under Art. 68, for any module, without exception, fees or conditions; for nobody and nothing yet.
    pub fn granted(number: PermitNumber, (from, until): (Timestamp, Timestamp), loss_cap: Loss) -> Self {
        Self {
            format: PERMIT_FORMAT.into(),
            original: number.clone(),
            application: number.clone(),
            number,
            replaces: None,
            status: Status::Granted,
            article: Article::Permit,
            issuer: "a data access body".into(),
            issued_at: from,
            applicant: "a health data user".into(),
            applicant_body: ApplicantBody::Public,
            valid_from: from,
            valid_until: until,
            plans: Vec::new(),
            purpose: PurposeStatement { article53: Vec::new(), text: "as applied for".into() },
            opt_out_exception: None,
            environment: Environment {
                runtime: "WebAssembly in the sandbox of this program, with differential privacy".into(),
                modules: Modules::Any,
                loss_cap,
                loss_per_job_max: None,
                release: Review::Automatic,
                limits: Limits::NONE,
            },
            data: Vec::new(),
            persons: Vec::new(),
            fees: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// The signed envelope.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        document::sign(self, key)
    }

    /// Reads an envelope for showing it; says nothing about trust or validity.
    ///
    /// # Errors
    /// A bad envelope, signature or body.
    pub fn read(envelope: &[u8]) -> Result<(Self, PublicKey), Refusal> {
        document::open(envelope).map(|opened| opened.into_parts()).map(|(body, signer, _)| (body, signer))
    }

    /// Its purposes.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> {
        self.purpose.article53.iter().map(|Article53(purpose)| *purpose)
    }

    /// The end of the longest period that may begin at `from`.
    fn latest_end(from: Timestamp) -> Timestamp {
        let end = from.to_zoned(TimeZone::UTC).checked_add(PERMIT_YEARS_MAX.years());
        end.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }
}

impl Permit {
    /// Opens a signed permit at the instant `now`, trusting the data access bodies of those keys.
    ///
    /// # Errors
    /// Which part of the permit fails.
    pub fn verify(envelope: &[u8], trusted: &[PublicKey], now: Timestamp) -> Result<Self, Refusal> {
        let (body, issuer, digest) = document::open::<PermitBody>(envelope)?.trusting(trusted)?.into_parts();
        // It covers the data subjects who had not opted out by then: who they are is not known yet.
        if now < body.issued_at {
            return Err(Refusal::PermitFromTheFuture { at: body.issued_at.to_string() });
        }
        if now < body.valid_from {
            return Err(Refusal::PermitNotYetValid { from: body.valid_from.to_string() });
        }
        if now >= body.valid_until {
            return Err(Refusal::PermitExpired { until: body.valid_until.to_string() });
        }
        Ok(Self { body, issuer, digest })
    }

    /// Which line of permits it belongs to.
    pub fn id(&self) -> PermitId {
        PermitId { number: self.body.original.clone(), issuer: self.issuer }
    }

    /// Digest of what was signed.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What it says.
    pub const fn body(&self) -> &PermitBody {
        &self.body
    }
}
