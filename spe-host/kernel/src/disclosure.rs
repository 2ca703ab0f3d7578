//! How a number computed from records becomes something that may leave.
//!
//! `Confidential` → (`noise`, paid by a `Reservation`) → `Noised` → (`Ledger::commit`) → `Committed` →
//! (the output gate) → `Cleared` → (`audit::append`) → `Released`. Each type is made only by the step before it, and consumed by the step after it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use std::collections::BTreeMap;

use crate::{
    certificate::Certificate,
    fault::Fault,
    ids::{DatasetName, Digest, NodeName},
    ledger::{AnswerKey, Reservation},
    refusal::Refusal,
    rounds::Finished,
    units::Loss,
};

mod draw;

use draw::Drawn;
pub use draw::{Draw, DrawnOutput, Fresh, Mechanism, Waiting};

/// Anything computed from records.
///
/// # Privacy
/// No `Debug`, `Clone`, `Serialize`, `Deref` or `PartialEq`; [`Self::map`] stays inside, and the one exit is
/// [`Confidential::noise`] (**one-exit**). Wrapping is open to all, because it only takes away.
/// Watched by the compile-fail tests in `kernel/tests/it`.
///
/// ```compile_fail
/// let secret = spe_kernel::disclosure::Confidential::seal(7);
/// println!("{secret:?}");
/// ```
pub struct Confidential<T>(T);

impl<T> Confidential<T> {
    /// Marks `value` as computed from records.
    pub const fn seal(value: T) -> Self {
        Self(value)
    }

    /// Computes on, inside. `step` must not let anything out: it may not log, send or store what it sees.
    pub fn map<U>(self, step: impl FnOnce(T) -> U) -> Confidential<U> {
        Confidential(step(self.0))
    }

    /// Joins two confidential values, inside.
    pub fn join<U, V>(self, other: Confidential<U>, step: impl FnOnce(T, U) -> V) -> Confidential<V> {
        Confidential(step(self.0, other.0))
    }
}

impl<T> Confidential<Result<T, Fault>> {
    /// Lets a fault out: it stays on the node, and no record or guest decides over it.
    ///
    /// # Errors
    /// The fault.
    pub fn transpose(self) -> Result<Confidential<T>, Fault> {
        self.0.map(Confidential)
    }
}

/// Exact sums in grid units, one entry for each output of the plan.
pub type Sums = Vec<OutputSums>;

/// Exact sums of one output.
pub enum OutputSums {
    /// One for each cell.
    Cells(Vec<i128>),
    /// One for each key that anybody has. Which keys there are is as confidential as the sums.
    Keys(BTreeMap<u64, i128>),
}

impl Confidential<Sums> {
    /// The one exit: adds `draw` to the sums, paid for by `paid`.
    ///
    /// # Privacy
    /// Claim: the result is as private as `paid` was charged for, if every sum's sensitivity is the plan's and `draw` was
    /// sampled at the scale that the plan's loss buys. `Reservation` is consumed: one charge, one draw (**same-answer**). Of a draw that is
    /// [exact](Draw::exact) the result is exact, without small cells, and as private as [`crate::exact`] says: nobody reads more.
    ///
    /// # Errors
    /// A draw for another plan or of another shape. The charge stays spent.
    pub fn noise(self, paid: Reservation, mut draw: Draw) -> Result<Noised, Fault> {
        let wrong = |what: &str| Fault::new("adding noise", what);
        let other = || wrong("the noise was drawn for another plan");
        if draw.plan != paid.key().plan {
            return Err(other());
        }
        let drawn = match &mut draw.drawn {
            Drawn::Exact(granted) => return Ok(Noised { paid, outputs: granted.tables(self.0)? }),
            Drawn::Noise(drawn) if drawn.len() != self.0.len() => return Err(other()),
            Drawn::Noise(drawn) => drawn,
        };
        let mut outputs = Vec::with_capacity(self.0.len());
        for (sums, drawn) in self.0.into_iter().zip(drawn) {
            let cells = match (sums, &mut drawn.noise) {
                (OutputSums::Cells(sums), Fresh::Cells(noise)) if sums.len() == noise.len() => {
                    let noisy = sums.iter().zip(noise).map(|(sum, noise)| sum.checked_add(*noise));
                    noisy.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("a noisy sum exceeds 128 bits"))?
                }
                (OutputSums::Keys(sums), Fresh::Keys { threshold, released_max, next }) => {
                    released(sums, *threshold, *released_max, next)?
                }
                _ => return Err(wrong("the noise has another shape than the sums")),
            };
            let DrawnOutput { mechanism, scale, sensitivity, .. } = *drawn;
            if mechanism == Mechanism::Exact {
                return Err(wrong("noise of no distribution"));
            }
            outputs.push(NoisyOutput { mechanism, scale, sensitivity, cells: Cells(cells) });
        }
        Ok(Noised { paid, outputs })
    }
}

/// What stands where no key was released.
pub const NO_KEY: i128 = -1;

/// Keys and noisy counts of those that reach the threshold, by key, filled up to `released_max` pairs: the length tells nothing.
///
/// # Privacy
/// Every key has noise of its own; what is done with noisy counts is post-processing. That a key is there at all shows only
/// where its noisy count reaches the threshold (proof page `keys`).
fn released(
    sums: BTreeMap<u64, i128>,
    threshold: i128,
    released_max: usize,
    next: &mut dyn FnMut() -> Result<i128, Fault>,
) -> Result<Vec<i128>, Fault> {
    let mut kept = Vec::new();
    for (key, sum) in sums {
        let noisy =
            sum.checked_add(next()?).ok_or_else(|| Fault::new("adding noise", "a noisy sum exceeds 128 bits"))?;
        if noisy >= threshold {
            kept.push((i128::from(key), noisy));
        }
    }
    kept.sort_by_key(|(key, noisy)| (std::cmp::Reverse(*noisy), *key));
    kept.truncate(released_max);
    kept.sort_unstable();
    kept.resize(released_max, (NO_KEY, 0));
    Ok(kept.into_iter().flat_map(|(key, noisy)| [key, noisy]).collect())
}

/// Noisy sums that are not yet durable; they cannot be read.
pub struct Noised {
    paid: Reservation,
    outputs: Vec<NoisyOutput>,
}

impl Noised {
    pub(crate) fn into_answer(self, node: NodeName) -> (Reservation, Answer) {
        let AnswerKey { plan, dataset, snapshot, round } = self.paid.key().clone();
        let (loss, state, certificate) = (self.paid.loss(), self.paid.state(), self.paid.certificate().clone());
        let (format, outputs) = (ANSWER_FORMAT.into(), self.outputs);
        (self.paid, Answer { format, node, dataset, snapshot, plan, round, state, loss, outputs, certificate })
    }
}

/// [`Answer::format`] of this version.
///
/// It changes with the meaning of cells: in version 2 those of a mean were its sums, and not shares.
pub const ANSWER_FORMAT: &str = "spe.answer/3";
/// DSSE payload type of a signed [`Answer`].
pub const ANSWER_TYPE: &str = "application/vnd.spe.answer+json";

/// One node's noisy answer. Its length is a function of the plan: cells are written with a fixed width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`ANSWER_FORMAT`].
    pub format: String,
    /// The node that answers.
    pub node: NodeName,
    /// The dataset.
    pub dataset: DatasetName,
    /// The snapshot of the dataset.
    pub snapshot: Digest,
    /// The plan answered.
    pub plan: Digest,
    /// Which round of it, from 0.
    pub round: u32,
    /// Digest of the state that the module was given in this round; of nothing where there are no rounds.
    pub state: Digest,
    /// What the node charged: the whole job's price with the first round, nothing with later ones.
    pub loss: Loss,
    /// One for each output of the plan.
    pub outputs: Vec<NoisyOutput>,
    /// What it cost, and what that means.
    pub certificate: Certificate,
}

/// Noisy sums of one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyOutput {
    /// The noise's distribution.
    pub mechanism: Mechanism,
    /// Its scale (σ or b) in grid units; 0 of an exact table.
    pub scale: f64,
    /// What one data subject can change, in grid units; contributions are clipped to it.
    pub sensitivity: u64,
    /// The noisy sums in grid units; of an exact table the sums, and [`crate::exact::SUPPRESSED`] where nothing is shown.
    pub cells: Cells,
}

/// Integers of 128 bits, written as base64 of 16 little-endian bytes each, so that the length tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cells(pub Vec<i128>);

impl From<Cells> for String {
    fn from(cells: Cells) -> Self {
        let bytes: Vec<u8> = cells.0.iter().flat_map(|c| c.to_le_bytes()).collect();
        STANDARD.encode(bytes)
    }
}

impl TryFrom<String> for Cells {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD.decode(text).map_err(|_| "cells are not base64")?;
        let (cells, rest) = bytes.as_chunks::<16>();
        if rest.is_empty() {
            Ok(Self(cells.iter().map(|c| i128::from_le_bytes(*c)).collect()))
        } else {
            Err("cells are not whole 16-byte integers")
        }
    }
}

/// A signed answer that is durable together with its charge.
pub struct Committed {
    pub(crate) key: AnswerKey,
    pub(crate) envelope: Vec<u8>,
}

impl Committed {
    /// Digest of the signed answer.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.envelope)
    }
}

/// A signed answer that was paid for, is durable, passed the output gate and is in the audit log. The only form in which numbers leave.
///
/// ```compile_fail,E0451
/// let forged = spe_kernel::disclosure::Released { envelope: vec![1] };
/// ```
pub struct Released {
    envelope: Vec<u8>,
}

impl Released {
    pub(crate) fn from_committed(committed: Committed) -> Self {
        Self { envelope: committed.envelope }
    }

    /// The signed answer's bytes, the same each time.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// What may leave a node; `wire::encode` accepts nothing else. Sealed: another crate cannot add to the list.
pub trait MayLeave: sealed::Sealed {
    /// Tells the receiver what the bytes are.
    const KIND: &'static str;
    /// The bytes that leave.
    fn leave(&self) -> Vec<u8>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! leaves_as_json {
    ($kind:literal, $type:ty) => {
        impl sealed::Sealed for $type {}
        impl MayLeave for $type {
            const KIND: &'static str = $kind;
            fn leave(&self) -> Vec<u8> {
                // Plain data always serialises; should it ever not, nothing leaves.
                serde_json::to_vec(self).unwrap_or_default()
            }
        }
    };
}

leaves_as_json!("refusal", Refusal);
leaves_as_json!("stage", Stage);
leaves_as_json!("catalogue", Catalogue);
leaves_as_json!("finished", Finished);

impl sealed::Sealed for crate::receipt::Receipt {}
impl MayLeave for crate::receipt::Receipt {
    const KIND: &'static str = "receipt";
    fn leave(&self) -> Vec<u8> {
        self.text().as_bytes().to_vec()
    }
}

impl sealed::Sealed for Released {}
impl MayLeave for Released {
    const KIND: &'static str = "released";
    fn leave(&self) -> Vec<u8> {
        self.envelope.clone()
    }
}

/// How far a job is at a node. A function of requests and ledger only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Admitted by the node; waits for its turn.
    Admitted,
    /// Paid for; the module runs.
    Running,
    /// It is not run until an officer of the node approves it; not charged yet.
    AwaitsApproval,
    /// Answered, and an officer of the node decides whether the answer leaves (Art. 73(2)).
    AwaitsRelease,
    /// Answered with an exact table, which leaves when two officers have signed for it; none has.
    AwaitsTwoSignatures,
    /// The same; one has signed.
    AwaitsSecondSignature,
}

impl Stage {
    /// Whether it is charged by then.
    pub const fn is_charged(self) -> bool {
        match self {
            Self::Admitted | Self::AwaitsApproval => false,
            Self::Running | Self::AwaitsRelease | Self::AwaitsTwoSignatures | Self::AwaitsSecondSignature => true,
        }
    }
}

/// What a node offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The node.
    pub node: NodeName,
    /// The key that signs its answers.
    pub key: crate::dsse::PublicKey,
    /// The access bodies whose decisions and permits it trusts.
    #[serde(default)]
    pub access_bodies: Vec<crate::dsse::PublicKey>,
    /// Its datasets.
    pub datasets: Vec<crate::dataset::Offer>,
}

/// Reads what left another program. The caller has checked the length.
///
/// # Errors
/// Says where the bytes stop being a `T`.
pub fn arrive<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}
