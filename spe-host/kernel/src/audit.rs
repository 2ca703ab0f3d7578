//! The step between durable and released: what leaves is in the log first.

use crate::{
    disclosure::{Committed, Released},
    fault::Fault,
    ids::Digest,
    ledger::AnswerKey,
};

/// An append-only log of releases.
pub trait AuditLog {
    /// Records that the answer of `key`, with bytes of that digest, is released. Recording the same again changes nothing.
    ///
    /// # Errors
    /// The storage's own.
    fn record(&mut self, key: &AnswerKey, envelope: Digest) -> Result<(), Fault>;
}

/// Logs `committed` and lets it leave.
///
/// # Errors
/// The log's own; nothing leaves then.
pub fn append(log: &mut impl AuditLog, committed: Committed) -> Result<Released, Fault> {
    log.record(&committed.key, Digest::of(&committed.envelope))?;
    Ok(Released::from_committed(committed))
}
