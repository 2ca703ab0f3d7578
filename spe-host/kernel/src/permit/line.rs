//! A line of permits: the one that was granted and all that amend or renew it, as one node has come to know them.
//!
//! An amended or renewed permit has a number of its own (TEHDAS2 D6.4, section 9.2). It replaces the one before from its first instant of
//! validity on; all are kept, with the times when they were in force.

use jiff::Timestamp;

use super::{Permit, PermitBody, PermitId, Status};
use crate::{
    document::Opened,
    ids::{Digest, PermitNumber},
    refusal::Refusal,
};

/// One permit of a line, as far as the line is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Digest of what was signed.
    pub digest: Digest,
    /// Its number.
    pub number: PermitNumber,
    /// How it came about.
    pub status: Status,
    /// The one that it replaces.
    pub replaces: Option<PermitNumber>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// First instant of validity.
    pub valid_from: Timestamp,
    /// End of validity.
    pub valid_until: Timestamp,
}

/// How a permit stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It begins later.
    NotYet {
        /// When.
        from: Timestamp,
    },
    /// In force; granted, amended or renewed, as it says itself.
    InForce(Status),
    /// Another has taken its place.
    Replaced {
        /// Which.
        by: PermitNumber,
        /// Since when.
        since: Timestamp,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        since: Timestamp,
    },
    /// The data access body took it back, Arts. 63(3) and 68.
    Revoked {
        /// Since when.
        since: Timestamp,
    },
}

/// All permits of a line that were seen, and when the line was revoked.
#[derive(Debug, Clone, Default)]
pub struct Line {
    versions: Vec<Version>,
    revoked_at: Option<Timestamp>,
}

impl Version {
    /// Of a permit.
    pub fn of(permit: &Permit) -> Self {
        Self::new(permit.body(), permit.digest())
    }

    /// Of a permit that was signed, and its line. Whether it is trusted or valid is another question: one that begins later is known before.
    pub fn opened(permit: &Opened<PermitBody>) -> (PermitId, Self) {
        let line = PermitId { number: permit.body().original.clone(), issuer: permit.signer() };
        (line, Self::new(permit.body(), permit.digest()))
    }

    fn new(body: &PermitBody, digest: Digest) -> Self {
        let PermitBody { number, status, replaces, issued_at, valid_from, valid_until, .. } = body.clone();
        Self { digest, number, status, replaces, issued_at, valid_from, valid_until }
    }

    /// Since when it counts: it is not valid earlier, and nothing holds before it is issued.
    fn takes_effect(&self) -> Timestamp {
        self.valid_from.max(self.issued_at)
    }

    /// Whether it takes the place of `before`.
    fn follows(&self, before: &Self) -> bool {
        self.status != Status::Granted
            && self.digest != before.digest
            && (self.replaces.as_ref() == Some(&before.number) || self.issued_at > before.issued_at)
    }
}

impl Line {
    /// The line of those permits, in any order.
    pub const fn new(versions: Vec<Version>, revoked_at: Option<Timestamp>) -> Self {
        Self { versions, revoked_at }
    }

    /// Its permits.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Adds a permit, if the line may have it.
    ///
    /// # Errors
    /// [`Refusal::Unlawful`]: a line that was renewed is not renewed again, and an amendment does not prolong it (Art. 68(12)).
    pub fn add(&mut self, version: Version) -> Result<(), Refusal> {
        if self.versions.iter().any(|known| known.digest == version.digest) {
            return Ok(());
        }
        let unlawful = |why: String| Err(Refusal::Unlawful { article: "Art. 68(12)".into(), why });
        let mut others = self.versions.iter().filter(|known| known.number != version.number);
        if version.status == Status::Renewed
            && let Some(renewed) = others.clone().find(|known| known.status == Status::Renewed)
        {
            return unlawful(format!(
                "permit {} renewed this line already; a renewed permit is not renewed again",
                renewed.number
            ));
        }
        let prolonged = |known: &&Version| {
            version.replaces.as_ref() == Some(&known.number) && version.valid_until > known.valid_until
        };
        if version.status == Status::Amended
            && let Some(known) = others.find(prolonged)
        {
            return unlawful(format!(
                "an amendment does not prolong permit {}, which is what renewing is for",
                known.number
            ));
        }
        self.versions.push(version);
        Ok(())
    }

    /// How the permit of that digest stands at `now`; `None` if it is not one of the line.
    pub fn standing(&self, digest: Digest, now: Timestamp) -> Option<Standing> {
        let version = self.versions.iter().find(|v| v.digest == digest)?;
        let revoked = self.revoked_at.filter(|since| *since <= now);
        Some(match (revoked, self.replacement(version, now)) {
            (Some(since), _) => Standing::Revoked { since },
            (None, Some(by)) => Standing::Replaced { by: by.number.clone(), since: by.takes_effect() },
            _ if version.valid_until <= now => Standing::Expired { since: version.valid_until },
            _ if now < version.valid_from => Standing::NotYet { from: version.valid_from },
            _ => Standing::InForce(version.status),
        })
    }

    /// From when until when the permit of that digest is in force, as far as is known: until its end, its replacement or its revocation,
    /// whichever is first. Both are the same of one that never was. `None` if it is not one of the line.
    pub fn in_force(&self, digest: Digest) -> Option<(Timestamp, Timestamp)> {
        let version = self.versions.iter().find(|v| v.digest == digest)?;
        let from = version.takes_effect();
        let replaced_at = self.replacement(version, Timestamp::MAX).map(Version::takes_effect);
        let ends = [replaced_at, self.revoked_at].into_iter().flatten();
        Some((from, ends.fold(version.valid_until, Timestamp::min).max(from)))
    }

    /// Which one has taken the place of `version` by `now`: the first that did.
    fn replacement(&self, version: &Version, now: Timestamp) -> Option<&Version> {
        let followers = self.versions.iter().filter(|v| v.follows(version) && v.takes_effect() <= now);
        followers.min_by_key(|v| v.takes_effect())
    }
}

impl Standing {
    /// Nothing, if the permit of that number is in force.
    ///
    /// # Errors
    /// Why it is not.
    pub fn in_force(self, number: &PermitNumber) -> Result<Status, Refusal> {
        match self {
            Self::InForce(status) => Ok(status),
            Self::NotYet { from } => Err(Refusal::PermitNotYetValid { from: from.to_string() }),
            Self::Expired { since } => Err(Refusal::PermitExpired { until: since.to_string() }),
            Self::Replaced { by, .. } => Err(Refusal::PermitReplaced { number: number.clone(), by }),
            Self::Revoked { since } => Err(Refusal::PermitRevoked { number: number.clone(), since: since.to_string() }),
        }
    }
}
