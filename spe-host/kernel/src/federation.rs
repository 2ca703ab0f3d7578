//! Merging the answers of several nodes, by addition.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::{ANSWER_FORMAT, ANSWER_TYPE, Answer, Mechanism, NO_KEY, NoisyOutput, Stage},
    dsse::{self, PublicKey},
    exact,
    ids::{Digest, NodeName},
    manifest::{Keys, Kind},
    plan::{Plan, Planned, Release},
    refusal::Refusal,
    statistic::{Noise, Statistic, decode, decode_exact, decode_keys},
    units::{Loss, Measure, grid_one},
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
        /// How far it had come before, if the node has said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<Stage>,
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
    let price = if answer.round == 0 { plan.charge() } else { Loss::zero(plan.measure()) };
    if answer.plan != plan.digest() || answer.dataset != *plan.dataset() || answer.loss != price {
        return Err("it answers another plan".into());
    }
    if answer.round >= plan.rounds() {
        return Err(format!("it answers round {} of {}", answer.round, plan.rounds()));
    }
    let fits = |(planned, output): (&Planned, &NoisyOutput)| {
        output.mechanism == plan.mechanism()
            && output.sensitivity == planned.sensitivity()
            && output.cells.0.len() == planned.output.kind.cells()
            && output.cells.0.iter().all(|c| (-CELL_MAX..=CELL_MAX).contains(c))
            && noise_fits(plan, planned, output)
            && keys_fit(planned, output)
    };
    if answer.outputs.len() == plan.outputs().len() && plan.outputs().iter().zip(&answer.outputs).all(fits) {
        Ok(answer)
    } else {
        Err("its outputs have another shape or noise than the plan's".into())
    }
}

/// The scale is what the loss buys; an exact table has none, and no small cell.
fn noise_fits(plan: &Plan, planned: &Planned, output: &NoisyOutput) -> bool {
    let nominal = nominal_scale(planned);
    match plan.release() {
        Release::Noisy => (nominal / SCALE_SLACK..=nominal * SCALE_SLACK).contains(&output.scale),
        Release::ExactTables => output.scale == 0.0 && exact::fits(planned, &output.cells.0, plan.suppress_below()),
    }
}

/// Keys come in order, each once, with counts at or above the threshold, and empty places after them.
fn keys_fit(planned: &Planned, output: &NoisyOutput) -> bool {
    let Kind::Keys(_) = planned.output.kind else { return true };
    let pairs = output.cells.0.as_chunks::<2>().0;
    let threshold = key_threshold(planned, output.scale);
    let named = pairs.iter().take_while(|[key, _]| *key != NO_KEY).count();
    let (named, empty) = pairs.split_at_checked(named).unwrap_or_default();
    let rising = named.windows(2).all(|w| matches!(w, [[a, _], [b, _]] if a < b));
    let whole = named.iter().all(|[key, noisy]| (0..KEY_END).contains(key) && *noisy >= threshold);
    // Empty places come first in numbers: they are written last.
    rising && whole && empty.iter().all(|pair| *pair == [NO_KEY, 0])
}

/// Keys are whole numbers below 2⁵³, which an `f64` holds exactly.
pub const KEY_END: i128 = 1 << 53;

/// The noisy count, in grid units, below which a key is not released: the smallest that the output's δ buys, rounded up.
///
/// # Privacy
/// Claim: a key that only one person has is released with probability at most δ/m for each of that person's m keys, so any of
/// them with at most δ. Its sum is one unit, so that is P[noise ≥ threshold − one unit]. For the discrete Gaussian P[Z ≥ k] ≤
/// P[N(0, σ²) ≥ k − 1] (Canonne, Kamath & Steinke, proposition 25), and the normal tail is at most φ(x)·4/(3x + √(x² + 8))
/// (Sampford 1953); for the discrete Laplace P[Z ≥ k] = e^(−k/b)/(1 + e^(−1/b)). Floats are covered by a slack of 10⁻⁹ and
/// two grid steps. Released is what is at or above it: `opendp`'s own bound is for what is above (opendp/opendp#2922). Watched by
/// `audit::keys_are_released_with_probability_delta` in `release`.
pub fn key_threshold(planned: &Planned, scale: f64) -> i128 {
    let Kind::Keys(Keys { per_subject, .. }) = planned.output.kind else { return 0 };
    let each = planned.loss.delta_approx() * (1.0 - 1e-9) / f64::from(per_subject.max(1));
    let ln_tail = |x: f64| match planned.loss.measure() {
        Measure::Zcdp => {
            let ln_density = -x * x / 2.0 - (2.0 * std::f64::consts::PI).sqrt().ln();
            ln_density + (4.0 / (3.0 * x + (x * x + 8.0).sqrt())).ln()
        }
        Measure::Pure => -x - (-1.0 / scale.max(1e-300)).exp().ln_1p(),
    };
    // The tail falls with x; at 0 it is a half.
    let (mut low, mut high) = (0.0, 1e4);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if ln_tail(middle) > each.ln() { low = middle } else { high = middle }
    }
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates; far below 2^127")]
    let above = (high * scale * (1.0 + 1e-9)).ceil() as i128;
    above.saturating_add(3).saturating_add(grid_one(planned.grid_bits).into())
}

/// Adds up answers that [`open_answer`] gave for this plan and one round of it, and decodes them; nothing without answers.
pub fn merge(plan: &Plan, answers: &[Answer]) -> Vec<Statistic> {
    let nodes = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    if nodes == 0 {
        return Vec::new();
    }
    let output = |(i, planned): (usize, &Planned)| {
        let parts = answers.iter().filter_map(|a| a.outputs.get(i));
        let scale = parts.clone().map(|p| p.scale).fold(0.0, f64::max);
        let noise = Noise { mechanism: plan.mechanism(), scale, nodes };
        if plan.release() == Release::ExactTables {
            return decode_exact(planned, parts.map(|p| p.cells.0.as_slice()), noise);
        }
        if let Kind::Keys(keys) = &planned.output.kind {
            let cells = parts.map(|p| p.cells.0.as_slice());
            return decode_keys(plan, planned, keys, cells, noise, key_threshold(planned, scale));
        }
        let mut sums = vec![0_i128; planned.output.kind.cells()];
        for part in parts {
            for (sum, cell) in sums.iter_mut().zip(&part.cells.0) {
                *sum = sum.saturating_add(*cell);
            }
        }
        decode(plan, planned, &sums, noise)
    };
    plan.outputs().iter().enumerate().map(output).collect()
}
