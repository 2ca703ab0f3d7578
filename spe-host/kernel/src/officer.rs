//! What a node leaves to named persons: its officers, and their signed verdicts (Regulation (EU) 2025/327, Art. 73(1)(c), 73(2)).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    dsse::{self, PublicKey, SecretKey},
    ids::{Digest, NodeName, PersonName},
    refusal::Refusal,
};

/// DSSE payload type of a verdict.
pub const VERDICT_TYPE: &str = "application/vnd.spe.verdict+json";
/// [`VerdictBody::format`] of this version.
pub const VERDICT_FORMAT: &str = "spe.verdict/1";
/// Longest reason, in bytes: it may leave.
pub const REASON_BYTES_MAX: usize = 1_000;

/// A person who acts for a node, as its policy names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// The person.
    pub name: PersonName,
    /// Signs the person's verdicts.
    pub key: PublicKey,
    /// What the person may decide.
    pub duties: Vec<Duty>,
}

/// What an officer may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Whether a job that the node's rules do not run by themselves is run.
    ApproveRuns,
    /// Whether an answer leaves: the output checker of Art. 73(2).
    CheckOutputs,
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ApproveRuns => "approve-runs",
            Self::CheckOutputs => "check-outputs",
        })
    }
}

/// What is decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matter {
    /// Whether the job of that digest ([`crate::job::Job::digest`]) is run.
    Run(Digest),
    /// Whether the signed answer of that digest leaves.
    Release(Digest),
}

impl Matter {
    /// What an officer needs to decide about it.
    pub const fn duty(self) -> Duty {
        match self {
            Self::Run(_) => Duty::ApproveRuns,
            Self::Release(_) => Duty::CheckOutputs,
        }
    }

    /// The digest of what is decided about.
    pub const fn digest(self) -> Digest {
        match self {
            Self::Run(digest) | Self::Release(digest) => digest,
        }
    }
}

/// What an officer signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictBody {
    /// [`VERDICT_FORMAT`].
    pub format: String,
    /// The node that it is decided for.
    pub node: NodeName,
    /// What is decided about.
    pub matter: Matter,
    /// Whether it may be.
    pub allowed: bool,
    /// Why. Where it may not be, whoever asked is told: it must not say what only the officer saw.
    pub reason: String,
    /// Who decides.
    pub officer: PersonName,
    /// When.
    pub decided_at: Timestamp,
}

/// A verdict of an officer whose duty it is. Made only by [`Verdict::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    body: VerdictBody,
    signer: PublicKey,
}

impl VerdictBody {
    /// The signed envelope.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        // Plain data always serialises.
        dsse::sign(VERDICT_TYPE, &serde_json::to_vec(self).unwrap_or_default(), key)
    }
}

impl Verdict {
    /// Opens a verdict for `node`, whose officers are these.
    ///
    /// # Security
    /// Claim: nobody but a person whom the policy names for that duty decides, and about nothing but the very job or answer that
    /// the digest names. Watched by the tests beside this.
    ///
    /// # Errors
    /// A bad envelope or signature; a verdict for another node, or of somebody whose duty it is not.
    pub fn verify(envelope: &[u8], node: &NodeName, officers: &[Officer]) -> Result<Self, Refusal> {
        let verified = dsse::verify(envelope, VERDICT_TYPE, "the verdict")?;
        let malformed = |why: String| Refusal::Malformed { document: "the verdict".into(), why };
        let body: VerdictBody = serde_json::from_slice(&verified.payload).map_err(|e| malformed(e.to_string()))?;
        if body.format != VERDICT_FORMAT {
            return Err(malformed(format!("its format is {:.32}; this program reads {VERDICT_FORMAT}", body.format)));
        }
        if body.reason.len() > REASON_BYTES_MAX {
            return Err(malformed(format!("its reason has more than {REASON_BYTES_MAX} bytes")));
        }
        if body.node != *node {
            return Err(malformed(format!("it is for node {}, and this is {node}", body.node)));
        }
        let duty = body.matter.duty();
        let theirs = |officer: &&Officer| officer.name == body.officer && officer.key == verified.signer;
        match officers.iter().find(theirs) {
            Some(officer) if officer.duties.contains(&duty) => Ok(Self { body, signer: verified.signer }),
            _ => Err(Refusal::NotAllowed {
                who: format!("{} with the key {}", body.officer, verified.signer),
                what: format!("decide here: `officers` in the node's policy must name both, with the duty {duty}"),
            }),
        }
    }

    /// Opens a verdict that [`Self::verify`] gave when it was recorded: whether its officer is still one does not count any more.
    ///
    /// # Errors
    /// It is damaged.
    pub fn recorded(envelope: &[u8]) -> Result<Self, Refusal> {
        let verified = dsse::verify(envelope, VERDICT_TYPE, "the verdict")?;
        let malformed =
            |e: serde_json::Error| Refusal::Malformed { document: "the verdict".into(), why: e.to_string() };
        let body = serde_json::from_slice(&verified.payload).map_err(malformed)?;
        Ok(Self { body, signer: verified.signer })
    }

    /// What it says.
    pub const fn body(&self) -> &VerdictBody {
        &self.body
    }

    /// Whose key signed it.
    pub const fn signer(&self) -> PublicKey {
        self.signer
    }

    /// Whether another person signed `other`: one who has two keys is one person, and so are two names with one key.
    pub fn is_by_another_than(&self, other: &Self) -> bool {
        self.body.officer != other.body.officer && self.signer != other.signer
    }

    /// Agreement, or what whoever asked is told.
    ///
    /// # Errors
    /// [`Refusal::OfficerRefused`].
    pub fn agreed(&self) -> Result<(), Refusal> {
        if self.body.allowed { Ok(()) } else { Err(Refusal::OfficerRefused { reason: self.body.reason.clone() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn officers() -> Vec<Officer> {
        let officer = |name: &str, seed, duties: &[Duty]| Officer {
            name: name.parse().unwrap(),
            key: key(seed).public(),
            duties: duties.to_vec(),
        };
        vec![officer("ola", 1, &[Duty::CheckOutputs]), officer("max", 2, &[Duty::ApproveRuns])]
    }

    fn body() -> VerdictBody {
        VerdictBody {
            format: VERDICT_FORMAT.into(),
            node: "north".parse().unwrap(),
            matter: Matter::Release(Digest::of(b"answer")),
            allowed: false,
            reason: "a group is too small".into(),
            officer: "ola".parse().unwrap(),
            decided_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn verify(body: &VerdictBody, seed: u8) -> Result<Verdict, Refusal> {
        Verdict::verify(&body.sign(&key(seed)), &"north".parse().unwrap(), &officers())
    }

    #[test]
    fn an_officer_decides_about_what_is_their_duty() {
        let verdict = verify(&body(), 1).unwrap();
        assert_eq!(verdict.agreed(), Err(Refusal::OfficerRefused { reason: "a group is too small".into() }));
        assert_eq!(verify(&VerdictBody { allowed: true, ..body() }, 1).unwrap().agreed(), Ok(()));
    }

    #[test]
    fn nobody_else_decides() {
        // A bug would be any of these: another's key, another's name, another's duty, another node, a stranger.
        let other_duty = VerdictBody { matter: Matter::Run(Digest::of(b"job")), ..body() };
        let other_node = VerdictBody { node: "south".parse().unwrap(), ..body() };
        let other_name = VerdictBody { officer: "max".parse().unwrap(), ..body() };
        let other_format = VerdictBody { format: "spe.verdict/0".into(), ..body() };
        let long = VerdictBody { reason: "x".repeat(REASON_BYTES_MAX + 1), ..body() };
        for (body, seed) in [
            (body(), 2),
            (body(), 9),
            (other_duty, 1),
            (other_node, 1),
            (other_name.clone(), 1),
            (other_name, 2),
            (other_format, 1),
            (long, 1),
        ] {
            assert!(verify(&body, seed).is_err(), "{body:?} signed by {seed}");
        }
    }
}
