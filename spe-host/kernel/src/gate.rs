//! The output gate (Regulation (EU) 2025/327, Art. 73(2)): an answer that is durable leaves only when it was examined and somebody
//! answers for it.
//!
//! Either the data access body does, which approved automatic release with the permit, and the automatic checks found nothing; or a
//! named officer of the node, who saw the answer and signed. An exact table needs two.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    disclosure::Committed,
    dsse::PublicKey,
    fault::Fault,
    federation::{merge, open_answer},
    ids::{Digest, NodeName, PersonName},
    manifest::Kind,
    officer::{Matter, Verdict},
    permit::Review,
    plan::{Plan, Planned, Release},
    refusal::Refusal,
    statistic::{Statistic, people},
};

/// The node's rules for answers that leave, on top of the permit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRules {
    /// `"automatic"`: as the permit says. `"checked"`: an officer checks every answer, whatever the permit says.
    #[serde(deserialize_with = "of_noisy_answers")]
    pub review: Review,
    /// A number about a group of fewer people, by the noisy count, does not leave without an officer. 0 = no rule.
    pub people_min: u32,
}

/// Exact tables have a section of their own in a policy.
fn of_noisy_answers<'de, D: Deserializer<'de>>(read: D) -> Result<Review, D::Error> {
    match Review::deserialize(read)? {
        Review::ExactTables => Err(D::Error::custom(
            "outputs.review is \"automatic\" or \"checked\"; exact tables are opened by a section [exact_tables]",
        )),
        review => Ok(review),
    }
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
    release: Release,
    findings: Vec<String>,
    statistics: Vec<Statistic>,
}

impl Examined {
    /// Digest of the signed answer.
    pub const fn answer(&self) -> Digest {
        self.answer
    }

    /// How the answer was made from sums.
    pub const fn release(&self) -> Release {
        self.release
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
    let findings = match plan.release() {
        Release::Noisy => outputs.filter_map(|(planned, one)| few(planned, one, rules.people_min)).collect(),
        Release::ExactTables => outputs.flat_map(|(planned, one)| exactly(planned, one)).collect(),
    };
    Ok(Examined { answer: committed.digest(), release: plan.release(), findings, statistics })
}

/// What an exact table may tell of people although no small cell is in it. It is found in what would leave, and in nothing else.
fn exactly(planned: &Planned, statistic: &Statistic) -> Vec<String> {
    let (name, all) = (&statistic.name, statistic.estimates.len());
    let suppressed = statistic.estimates.iter().filter(|estimate| estimate.suppressed).count();
    let mut found = vec![format!(
        "output {name}: exact numbers of people, NOT differentially private; {suppressed} of {all} cells are suppressed"
    )];
    let lone = lone_cells(planned, statistic);
    if lone > 0 {
        found.push(format!(
            "output {name}: in {lone} groups one cell alone is shown, so that nearly everybody of the group may be in it (class disclosure)"
        ));
    }
    found
}

/// In how many rows, columns and so on of a table one cell alone is shown.
fn lone_cells(planned: &Planned, statistic: &Statistic) -> usize {
    let Kind::Histogram(axes) = &planned.output.kind else { return 0 };
    let (mut stride, mut lone) = (1, 0);
    for axis in axes.axes.iter().rev() {
        let mut shown: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (cell, estimate) in statistic.estimates.iter().enumerate() {
            let line = (cell / (stride * axis.len()), cell % stride);
            *shown.entry(line).or_default() += usize::from(!estimate.suppressed);
        }
        lone += shown.values().filter(|shown| **shown == 1).count();
        stride *= axis.len();
    }
    lone
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
        let noisy = examined.release == Release::Noisy;
        if same && noisy && review == Review::Automatic && examined.findings.is_empty() {
            Ok(Self { committed })
        } else {
            Err(committed)
        }
    }

    /// By an officer, who alone clears no exact table.
    ///
    /// # Security
    /// Claim: only an answer leaves that an officer agreed to by its digest. Watched by `gate` in `kernel/tests/it` and by
    /// `spe-host/cli/tests/it/officers.rs`.
    ///
    /// # Errors
    /// [`Refusal::OfficerRefused`]; a verdict about something else, or an exact table.
    pub fn by_officer(committed: Committed, examined: &Examined, verdict: &Verdict) -> Result<Self, Refusal> {
        verdict.agreed()?;
        let refused = |reason: &str| Err(Refusal::OfficerRefused { reason: reason.into() });
        match (examined.release, verdict.body().matter) {
            _ if examined.answer != committed.digest() => refused("another answer was examined"),
            (_, matter) if matter != Matter::Release(committed.digest()) => {
                refused("the verdict is about another answer")
            }
            (Release::ExactTables, _) => refused("an exact table leaves when two officers have signed for it"),
            (Release::Noisy, _) => Ok(Self { committed }),
        }
    }

    /// By two officers: the only way of an exact table.
    ///
    /// # Errors
    /// They signed for another answer.
    pub fn by_two_officers(committed: Committed, agreed: &ByTwo) -> Result<Self, Refusal> {
        if agreed.answer == committed.digest() {
            Ok(Self { committed })
        } else {
            Err(Refusal::OfficerRefused { reason: "two officers signed for another answer".into() })
        }
    }
}

/// Two officers, neither of whom asked or approved the run, agreed that the very same answer leaves: with who approved, three persons.
/// Made only by [`ByTwo::of`].
#[derive(Debug)]
pub struct ByTwo {
    answer: Digest,
}

impl ByTwo {
    /// From the verdicts there are, and that on the run; nothing while signatures are missing.
    ///
    /// # Security
    /// Claim: two persons whom the policy named signed for this answer: by name and by key, and neither of `asked_by`, nor who approved the
    /// run. So one dishonest officer alone does not let a lying module in and its table out. Watched by
    /// `two_persons_sign_for_an_exact_table` in `kernel/tests/it/exact.rs`.
    ///
    /// # Errors
    /// [`Refusal::OfficerRefused`], where one of them refused, or the run was not approved.
    pub fn of(
        answer: Digest,
        verdicts: &[Verdict],
        asked_by: (&PersonName, PublicKey),
        approval: &Verdict,
    ) -> Result<Option<Self>, Refusal> {
        approval.agreed()?;
        if !matches!(approval.body().matter, Matter::Run(_)) {
            return Err(Refusal::OfficerRefused {
                reason: "the run of an exact table needs an approval of its own".into(),
            });
        }
        let about: Vec<_> = verdicts.iter().filter(|v| v.body().matter == Matter::Release(answer)).collect();
        about.iter().try_for_each(|verdict| verdict.agreed())?;
        let others = |v: &&Verdict| {
            v.body().officer != *asked_by.0 && v.signer() != asked_by.1 && v.is_by_another_than(approval)
        };
        let mut others = about.into_iter().filter(others);
        let Some(first) = others.next() else { return Ok(None) };
        Ok(others.any(|second| second.is_by_another_than(first)).then_some(Self { answer }))
    }
}
