//! What nodes let go, and how it is read again.

use serde::de::DeserializeOwned;
use spe_kernel::{
    disclosure::{self, Catalogue, MayLeave, Released, Stage},
    receipt::Receipt,
    refusal::Refusal,
    rounds::Finished,
};

use crate::{
    limits::{
        ANSWER_BYTES_MAX, CATALOGUE_BYTES_MAX, FINISHED_BYTES_MAX, RECEIPT_BYTES_MAX, REFUSAL_BYTES_MAX,
        STAGE_BYTES_MAX,
    },
    pb,
    service::within,
};

/// A message from a node to the hub. Made only by [`encode`].
///
/// # Privacy
/// [`HubClient`](crate::HubClient) takes nothing else from a node but names of jobs and modules, which came from the hub.
#[derive(Debug, Clone)]
pub struct Frame(pb::Frame);

/// Makes what may leave ready to be sent.
///
/// # Privacy
/// The only way out of a node (**one-exit**). Refusals, stages, catalogues, released answers, and last states, which are
/// computed from released answers alone, can be encoded:
///
/// ```
/// let refusal = spe_kernel::refusal::Refusal::Cancelled;
/// let frame = spe_wire::encode(&refusal);
/// ```
///
/// ```
/// fn send(finished: spe_kernel::rounds::Finished) -> spe_wire::Frame {
///     spe_wire::encode(&finished)
/// }
/// ```
///
/// Text cannot:
///
/// ```compile_fail,E0277
/// let record = String::from("patient 7");
/// let frame = spe_wire::encode(&record);
/// ```
///
/// Nor can anything computed from records that was not paid for:
///
/// ```compile_fail,E0277
/// let sums = spe_kernel::disclosure::Confidential::seal(vec![vec![7_i128]]);
/// let frame = spe_wire::encode(&sums);
/// ```
///
/// Nor what is noisy but neither durable nor in the audit log:
///
/// ```compile_fail,E0277
/// fn leak(noised: spe_kernel::disclosure::Noised) -> spe_wire::Frame {
///     spe_wire::encode(&noised)
/// }
/// ```
///
/// ```
/// fn send(released: spe_kernel::disclosure::Released) -> spe_wire::Frame {
///     spe_wire::encode(&released)
/// }
/// ```
pub fn encode<M: MayLeave>(message: &M) -> Frame {
    Frame(pb::Frame { kind: M::KIND.into(), body: message.leave() })
}

impl Frame {
    pub(crate) fn into_pb(self) -> pb::Frame {
        self.0
    }
}

/// What a node says of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// How far it is.
    Stage(Stage),
    /// It refuses.
    Refused(Refusal),
    /// Its answer: a DSSE envelope whose signature nobody has checked yet.
    Released(Vec<u8>),
    /// The last state of a job with rounds, as the node computed it.
    Finished(Finished),
    /// That an answer is in the node's log, told before the answer itself. Nobody has checked it yet.
    Receipt(String),
}

impl Report {
    pub(crate) fn arrive(frame: pb::Frame) -> Result<Self, Refusal> {
        match frame.kind.as_str() {
            Stage::KIND => parse(&frame.body, "the stage", STAGE_BYTES_MAX).map(Self::Stage),
            Refusal::KIND => parse(&frame.body, "the refusal", REFUSAL_BYTES_MAX).map(Self::Refused),
            Released::KIND => within(frame.body, "the answer", ANSWER_BYTES_MAX).map(Self::Released),
            Finished::KIND => parse(&frame.body, "the last state", FINISHED_BYTES_MAX).map(Self::Finished),
            Receipt::KIND => {
                let text = within(frame.body, "the receipt", RECEIPT_BYTES_MAX)?;
                let malformed = |_| Refusal::Malformed { document: "the receipt".into(), why: "it is not text".into() };
                String::from_utf8(text).map(Self::Receipt).map_err(malformed)
            }
            _ => Err(unknown(&frame.kind)),
        }
    }
}

pub(crate) fn catalogue(frame: &pb::Frame) -> Result<Catalogue, Refusal> {
    if frame.kind == Catalogue::KIND { read_catalogue(&frame.body) } else { Err(unknown(&frame.kind)) }
}

pub(crate) fn read_catalogue(json: &[u8]) -> Result<Catalogue, Refusal> {
    parse(json, "the catalogue", CATALOGUE_BYTES_MAX)
}

/// Reads JSON of at most `limit` bytes; `what` names it in refusals.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8], what: &str, limit: usize) -> Result<T, Refusal> {
    let json = within(json, what, limit)?;
    disclosure::arrive(json).map_err(|why| Refusal::Malformed { document: what.into(), why })
}

fn unknown(kind: &str) -> Refusal {
    let why = format!("a {kind:.32?} does not belong here; do hub and node run the same version?");
    Refusal::Malformed { document: "the frame".into(), why }
}
