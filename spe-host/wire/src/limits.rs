//! How large each kind of message may be.

use spe_kernel::{
    dsse,
    manifest::{OUTPUTS_MAX, STATE_MAX},
    plan::{CELLS_MAX, Plan},
};

/// An analysis module.
pub const MODULE_BYTES_MAX: usize = 16 << 20;
/// A signed job, or a signed permit.
pub const ENVELOPE_BYTES_MAX: usize = dsse::ENVELOPE_BYTES_MAX;
/// A node's catalogue.
pub const CATALOGUE_BYTES_MAX: usize = 1 << 20;
/// A refusal of a job.
pub const REFUSAL_BYTES_MAX: usize = 8 << 10;
/// A stage of a job.
pub const STAGE_BYTES_MAX: usize = 64;
/// A signed answer to the largest plan there can be.
pub const ANSWER_BYTES_MAX: usize = answer_bytes(OUTPUTS_MAX, CELLS_MAX);
/// The last state of a job with rounds: a digest, a number, and `f64` numbers of at most 24 characters.
pub const FINISHED_BYTES_MAX: usize = 256 + STATE_MAX * 25;
/// What a node is given for the next round of the largest plan there can be: the merged sums of the one before.
pub const NEXT_ROUND_BYTES_MAX: usize = 256 + OUTPUTS_MAX * 16 + base64(16 * CELLS_MAX);
/// A view of a job.
pub const VIEW_BYTES_MAX: usize = 32 << 20;
/// Jobs in one list.
pub const JOBS_LISTED_MAX: u32 = 1_000;
/// A receipt for an answer.
pub const RECEIPT_BYTES_MAX: usize = spe_kernel::receipt::RECEIPT_BYTES_MAX;
/// What a node's log asks a witness, and what that says: 63 hashes and a checkpoint with its signatures.
pub const WITNESS_BYTES_MAX: usize = 16 << 10;
/// A list of jobs.
pub const JOBS_BYTES_MAX: usize = 1 << 20;

/// What a caller without a certificate may send in one message: a token and a certification request.
pub const ENROL_BYTES_MAX: usize = 16 << 10;
/// Statements of one party on one participation agreement, and as many countersignatures.
pub const STATEMENTS_MAX: usize = 2 * spe_kernel::agreement::STATEMENTS_MAX;
/// One of them.
pub const STATEMENT_BYTES_MAX: usize = 8 << 10;
/// A register, a report, or what there is to see of an application.
pub const GOVERNANCE_BYTES_MAX: usize = 16 << 20;

/// What surrounds the payload of the largest message.
const FRAMING_BYTES_MAX: usize = 4 << 10;
/// What the hub reads of one message: a module is the largest.
pub(crate) const TO_HUB_BYTES_MAX: usize = MODULE_BYTES_MAX + FRAMING_BYTES_MAX;
/// What a client reads of one message: a view is the largest.
pub(crate) const FROM_HUB_BYTES_MAX: usize = VIEW_BYTES_MAX + FRAMING_BYTES_MAX;

/// Upper bound of a signed answer to `plan`: a function of the plan, as an answer's length is.
pub fn answer_bytes_max(plan: &Plan) -> usize {
    let cells = plan.outputs().iter().map(|p| p.output.kind.cells()).sum();
    answer_bytes(plan.outputs().len(), cells)
}

const fn base64(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The longest names, digests, losses and certificate take about 1,200 bytes; an output's mechanism, scale and sensitivity 130;
/// a cell 16. The envelope adds less than 300.
const fn answer_bytes(outputs: usize, cells: usize) -> usize {
    base64((3 << 9) + outputs * 160 + base64(16 * cells)) + (1 << 9)
}
/// Largest application: all of them together are in the public register.
pub const APPLICATION_BYTES_MAX: usize = 128 << 10;
