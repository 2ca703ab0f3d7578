//! The output gate (Regulation (EU) 2025/327, Art. 73(2)): an answer that is durable leaves only when it was examined and somebody
//! answers for it.
//!
//! Either the data access body does, which approved automatic release with the permit, and the automatic checks found nothing; or a
//! named officer of the node, who saw the answer and signed.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::Committed,
    dsse::PublicKey,
    fault::Fault,
    federation::{merge, open_answer},
    ids::{Digest, NodeName},
    officer::{Matter, Verdict},
    permit::Review,
    plan::{Plan, Planned},
    refusal::Refusal,
    statistic::{Statistic, people},
};

/// The node's rules for answers that leave, on top of the permit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRules {
    /// `"automatic"`: as the permit says. `"checked"`: an officer checks every answer, whatever the permit says.
    pub review: Review,
    /// A number about a group of fewer people, by the noisy count, does not leave without an officer. 0 = no rule.
    pub people_min: u32,
}

impl Default for OutputRules {
    fn default() -> Self {
        Self { review: Review::Automatic, people_min: 0 }
    }
}

impl OutputRules {
    /// Whether an officer may have to look at an answer under a permit that asks for `permitted`.
    pub fn may_ask(&self, permitted: Review) -> bool {
        self.people_min > 0 || self.review(permitted) == Review::Checked
    }

    /// Who answers for an answer under a permit that asks for `permitted`: the stricter of both counts.
    pub const fn review(&self, permitted: Review) -> Review {
        match (self.review, permitted) {
            (Review::Automatic, Review::Automatic) => Review::Automatic,
            _ => Review::Checked,
        }
    }
}

/// An answer that was examined, with what an officer needs to decide about it.
///
/// # Privacy
/// A function of the noisy answer and of public rules: what is found tells no more than the answer does (post-processing).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Examined {
    answer: Digest,
    findings: Vec<String>,
    statistics: Vec<Statistic>,
}

impl Examined {
    /// Digest of the signed answer.
    pub const fn answer(&self) -> Digest {
        self.answer
    }

    /// What the automatic checks found; nothing where all is well.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// This node's part of the statistics, as the answer tells them.
    pub fn statistics(&self) -> &[Statistic] {
        &self.statistics
    }
}

/// Examines the answer that `node` signed.
///
/// # Errors
/// An answer that is not what its plan asks for, in shape, noise or price: it must not leave at all.
pub fn examine(
    committed: &Committed,
    plan: &Plan,
    (node, key): (&NodeName, PublicKey),
    rules: &OutputRules,
) -> Result<Examined, Fault> {
    let answer = open_answer(&committed.envelope, plan, node, key).map_err(Fault::while_("examining an answer"))?;
    let statistics = merge(plan, std::slice::from_ref(&answer));
    let outputs = plan.outputs().iter().zip(&statistics);
    let findings = outputs.filter_map(|(planned, statistic)| few(planned, statistic, rules.people_min)).collect();
    Ok(Examined { answer: committed.digest(), findings, statistics })
}

/// Numbers that are shown, and about fewer people than the rule wants.
fn few(planned: &Planned, statistic: &Statistic, people_min: u32) -> Option<String> {
    if people_min == 0 {
        // A noisy count falls below 0 by chance alone.
        return None;
    }
    let kind = &planned.output.kind;
    let shown = || statistic.estimates.iter().filter(|estimate| !estimate.suppressed);
    let few = shown()
        .filter(|e| people(e, kind).is_some_and(|people| people_min > 0 && people < f64::from(people_min)))
        .count();
    let name = &statistic.name;
    (few > 0).then(|| {
        format!("output {name}: {few} of {} numbers are about fewer than {people_min} people", shown().count())
    })
}

/// A committed answer for which somebody answers. The only form in which answers come to the audit log, and out.
pub struct Cleared {
    pub(crate) committed: Committed,
}

impl Cleared {
    /// By the data access body, which approved automatic release, and by the checks, which found nothing. The answer is given back
    /// where an officer has to decide.
    ///
    /// # Errors
    /// The answer.
    pub fn automatically(committed: Committed, examined: &Examined, review: Review) -> Result<Self, Committed> {
        let same = examined.answer == committed.digest();
        if same && review == Review::Automatic && examined.findings.is_empty() {
            Ok(Self { committed })
        } else {
            Err(committed)
        }
    }

    /// By an officer.
    ///
    /// # Security
    /// Claim: only an answer leaves that an officer agreed to by its digest. Watched by the tests beside this and
    /// by `spe-host/cli/tests/it/gate.rs`.
    ///
    /// # Errors
    /// [`Refusal::OfficerRefused`]; a verdict about something else.
    pub fn by_officer(committed: Committed, verdict: &Verdict) -> Result<Self, Refusal> {
        verdict.agreed()?;
        if verdict.body().matter == Matter::Release(committed.digest()) {
            Ok(Self { committed })
        } else {
            Err(Refusal::OfficerRefused { reason: "the verdict is about another answer".into() })
        }
    }
}
