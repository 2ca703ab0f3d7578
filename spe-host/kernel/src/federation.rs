//! Merging the answers of several nodes, by addition.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::{ANSWER_FORMAT, ANSWER_TYPE, Answer, Mechanism, Stage},
    dsse::{self, PublicKey},
    ids::{Digest, NodeName},
    plan::{Plan, Planned},
    refusal::Refusal,
    statistic::{Noise, Statistic, decode},
    units::{Loss, Measure},
};

/// Largest noisy sum that is believed: far above 2⁶³ people of 2⁵³ units would be absurd, and additions cannot overflow.
const CELL_MAX: i128 = 1 << 116;
/// How far a node's noise scale may lie above what the plan's loss buys, as a ratio.
const SCALE_SLACK: f64 = 1.0 + 1e-6;

/// What became of a job at one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its answer is merged.
    Answered {
        /// What it charged.
        loss: Loss,
        /// Digest of its signed answer.
        answer: Digest,
    },
    /// It refused.
    Refused {
        /// Why.
        why: Refusal,
    },
    /// It is connected and has not answered yet.
    Working {
        /// How far it is, if it has said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<Stage>,
    },
    /// It is not connected; its answer will be merged when it is back.
    Offline,
    /// It sent something that is not an answer to this job; it is left out.
    Invalid {
        /// What was wrong with it.
        why: String,
    },
}

/// One node's line in a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The node.
    pub node: NodeName,
    /// What became of the job there.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The σ or b that the plan's loss buys for one output, in grid units: C/√(2ρ) or C/ε. Nodes round it up.
pub fn nominal_scale(planned: &Planned) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a sensitivity is below 2^53")]
    let sensitivity = planned.sensitivity() as f64;
    match planned.loss.measure() {
        Measure::Zcdp => sensitivity / (2.0 * planned.loss.approx()).sqrt(),
        Measure::Pure => sensitivity / planned.loss.approx(),
    }
}

/// The distribution that serves a measure.
pub const fn mechanism(measure: Measure) -> Mechanism {
    match measure {
        Measure::Zcdp => Mechanism::DiscreteGaussian,
        Measure::Pure => Mechanism::DiscreteLaplace,
    }
}

/// Opens one node's answer to `plan`.
///
/// # Errors
/// What makes it no answer: signature, node, plan, shape, or a noise scale that is not the plan's.
pub fn open_answer(envelope: &[u8], plan: &Plan, node: &NodeName, key: PublicKey) -> Result<Answer, String> {
    let verified = dsse::verify(envelope, ANSWER_TYPE, "the answer").map_err(|e| e.to_string())?;
    if verified.signer != key {
        return Err(format!("it is signed by {}, not by node {node}", verified.signer));
    }
    let answer: Answer = serde_json::from_slice(&verified.payload).map_err(|e| format!("it is malformed: {e}"))?;
    if answer.format != ANSWER_FORMAT || answer.node != *node {
        return Err(format!("it says that it is a {:.32} of node {}", answer.format, answer.node));
    }
    if answer.plan != plan.digest() || answer.dataset != *plan.dataset() || answer.loss != plan.loss() {
        return Err("it answers another plan".into());
    }
    let fits = |(planned, output): (&Planned, &crate::disclosure::NoisyOutput)| {
        let nominal = nominal_scale(planned);
        output.mechanism == mechanism(plan.measure())
            && output.cells.0.len() == planned.output.kind.cells()
            && output.cells.0.iter().all(|c| (-CELL_MAX..=CELL_MAX).contains(c))
            && (nominal / SCALE_SLACK..=nominal * SCALE_SLACK).contains(&output.scale)
    };
    if answer.outputs.len() == plan.outputs().len() && plan.outputs().iter().zip(&answer.outputs).all(fits) {
        Ok(answer)
    } else {
        Err("its outputs have another shape or noise than the plan's".into())
    }
}

/// Adds up answers that [`open_answer`] gave for this plan, and decodes them; nothing without answers.
pub fn merge(plan: &Plan, answers: &[Answer]) -> Vec<Statistic> {
    let nodes = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    if nodes == 0 {
        return Vec::new();
    }
    let output = |(i, planned): (usize, &Planned)| {
        let parts = answers.iter().filter_map(|a| a.outputs.get(i));
        let scale = parts.clone().map(|p| p.scale).fold(0.0, f64::max);
        let mut sums = vec![0_i128; planned.output.kind.cells()];
        for part in parts {
            for (sum, cell) in sums.iter_mut().zip(&part.cells.0) {
                *sum = sum.saturating_add(*cell);
            }
        }
        decode(planned, &sums, Noise { mechanism: mechanism(plan.measure()), scale, nodes })
    };
    plan.outputs().iter().enumerate().map(output).collect()
}
