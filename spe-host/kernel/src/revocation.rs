//! Revocations: a data access body takes a line of permits back, or excludes a person (Art. 63(3) of Regulation (EU) 2025/327).

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, Document, Opened, malformed},
    dsse::PublicKey,
    ids::{Digest, PermitNumber, PersonName},
    permit::PermitId,
    person::PersonIdentity,
    refusal::Refusal,
};

/// Years for which a person is excluded at most, Art. 63(3).
pub const EXCLUSION_YEARS_MAX: i32 = 5;

/// What a data access body signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationBody {
    /// `spe.revocation/1`.
    #[schemars(extend("const" = "spe.revocation/1"))]
    pub format: String,
    /// The data access body, for people; the signature counts.
    pub issuer: String,
    /// When it was issued.
    #[schemars(with = "crate::schema::Instant")]
    pub issued_at: Timestamp,
    /// Since when it holds; it may be earlier than what is seen of it, never undone. If it is not after `issued_at`, it holds on receipt.
    #[schemars(with = "crate::schema::Instant")]
    pub effective_at: Timestamp,
    /// Why, in words, with the provision that was not kept.
    pub reason: String,
    /// What is taken back.
    pub target: Target,
}

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// A line of permits of this data access body: the number of its first.
    Permit(PermitNumber),
    /// A person's access under any permit of this data access body.
    Person(ExcludedPerson),
}

/// A person who is excluded for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExcludedPerson {
    /// The person, as permits name the person.
    pub name: PersonName,
    /// The person's login, if known: it excludes the person under another name, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PersonIdentity>,
    /// Until when; at most 5 years.
    #[schemars(with = "crate::schema::Instant")]
    pub until: Timestamp,
}

impl Document for RevocationBody {
    const TYPE: &'static str = "application/vnd.spe.revocation+json";
    const FORMAT: &'static str = "spe.revocation/1";
    const NAME: &'static str = "the revocation";
    const DOCS: &'static str = "docs/permit-format.md";

    fn check(&self) -> Result<(), Refusal> {
        if self.reason.trim().is_empty() {
            return Err(malformed::<Self>("reason is empty: whoever is stopped is told why"));
        }
        let Target::Person(person) = &self.target else { return Ok(()) };
        if person.until <= self.effective_at {
            return Err(malformed::<Self>("target.person.until is not after effective_at"));
        }
        let start = self.effective_at.to_zoned(TimeZone::UTC);
        let latest = start.checked_add(EXCLUSION_YEARS_MAX.years()).map_or(Timestamp::MAX, |end| end.timestamp());
        if person.until > latest {
            let why = "a person is excluded for at most 5 years".into();
            return Err(Refusal::Unlawful { article: "Art. 63(3)".into(), why });
        }
        Ok(())
    }
}

impl RevocationBody {
    /// Since when it holds, by a clock that shows `now`: `effective_at`; where that is not after `issued_at`, `now` at the latest.
    ///
    /// # Security
    /// What is to hold at once does so on receipt: a clock that is behind that of the data access body keeps nothing alive, be it for
    /// seconds or for years. Watched by `what_holds_at_once_holds_by_every_clock` in `spe-host/kernel/tests/it/governance.rs`.
    pub fn since(&self, now: Timestamp) -> Timestamp {
        if self.effective_at <= self.issued_at { self.effective_at.min(now) } else { self.effective_at }
    }
}

/// A revocation that a trusted data access body signed. Made only by [`Revocation::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Revocation(Opened<RevocationBody>);

impl Revocation {
    /// Opens a signed revocation.
    ///
    /// # Errors
    /// Which part of it fails, or a signer who is not trusted.
    pub fn verify(envelope: &[u8], trusted: &[PublicKey]) -> Result<Self, Refusal> {
        document::open(envelope)?.trusting(trusted).map(Self)
    }

    /// What it says.
    pub const fn body(&self) -> &RevocationBody {
        self.0.body()
    }

    /// Digest of what was signed.
    pub const fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// Who signed it: it takes back what the same body granted, and nothing else.
    pub const fn issuer(&self) -> PublicKey {
        self.0.signer()
    }

    /// The line of permits that it takes back, if it is one.
    pub fn line(&self) -> Option<PermitId> {
        match &self.body().target {
            Target::Permit(number) => Some(PermitId { number: number.clone(), issuer: self.issuer() }),
            Target::Person(_) => None,
        }
    }

    /// Whether it keeps a person from acting under permits of `issuer` at `now`.
    pub fn is_in_force(&self, issuer: PublicKey, now: Timestamp) -> bool {
        let Target::Person(person) = &self.body().target else { return false };
        issuer == self.issuer() && (self.body().since(now)..person.until).contains(&now)
    }

    /// Whether it keeps that person from acting under permits of `issuer` at `now`.
    pub fn excludes(
        &self,
        name: &PersonName,
        identity: Option<&PersonIdentity>,
        issuer: PublicKey,
        now: Timestamp,
    ) -> bool {
        let Target::Person(person) = &self.body().target else { return false };
        let same = person.name == *name || (identity.is_some() && person.identity.as_ref() == identity);
        same && self.is_in_force(issuer, now)
    }
}
