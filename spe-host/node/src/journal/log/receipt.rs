//! Receipts for what left, and the last checkpoint that a witness cosigned.

use rusqlite::{Connection, OptionalExtension, params};
use spe_kernel::{
    audit::PaidUnder,
    dsse::PublicKey,
    fault::Fault,
    ids::Digest,
    receipt::Receipt,
    tlog::{self, Ask, LogProof, SignedCheckpoint},
};

use super::{READING, Records, WRITING, hash, number, opening, stored};

/// What a witness said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The witness.
    pub key: PublicKey,
    /// Size of the log.
    pub size: u64,
    /// The checkpoint, with its cosignature.
    pub checkpoint: String,
}

impl Records {
    /// The receipt of an answer with that digest: its entry, and that it is in the tree of `checkpoint`. To whoever asked under the very
    /// `document`, by the digest of what was signed, under which it was paid for, it says so.
    ///
    /// # Privacy
    /// Who asks the same under another permit gets the same answer, and is not told whose it was: [`PaidUnder`].
    ///
    /// # Errors
    /// An answer that was never released, or is not in that tree yet.
    pub fn receipt(&self, envelope: Digest, document: Digest, checkpoint: &SignedCheckpoint) -> Result<Receipt, Fault> {
        const ENTRY: &str = "SELECT idx, body, paid_under FROM log JOIN release ON release.log_idx = log.idx WHERE release.envelope = ?1 LIMIT 1";
        let db = self.connection();
        let found: Option<(i64, Vec<u8>, Option<String>)> = db
            .query_row(ENTRY, [envelope.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()
            .map_err(Fault::while_(READING))?;
        let (index, entry, paid) =
            found.ok_or_else(|| Fault::new("writing a receipt", "the answer was never released"))?;
        let (index, size) = (number(index)?, checkpoint.checkpoint().size);
        if index >= size {
            return Err(Fault::new("writing a receipt", "the checkpoint is older than the release"));
        }
        let path = tlog::inclusion(index, size, |level, at| hash(&db, level, at))?;
        let paid = paid.map(|json| opening(json.as_bytes())).transpose()?;
        let paid = paid.filter(|paid| paid.document == document);
        let opening = paid.as_ref().map(PaidUnder::to_bytes).transpose()?;
        Receipt::of(&LogProof { entry, opening, index, path, checkpoint: checkpoint.note().into() })
    }

    /// What to ask a witness that saw `old` entries last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn ask(&self, old: u64, checkpoint: &SignedCheckpoint) -> Result<Ask, Fault> {
        let (db, size) = (self.connection(), checkpoint.checkpoint().size);
        let path = tlog::consistency(old, size, |level, at| hash(&db, level, at))?;
        Ok(Ask { old: old.min(size), path, checkpoint: checkpoint.note().into() })
    }

    /// What the witness said last, and who it is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn witnessed(&self) -> Result<Option<Witnessed>, Fault> {
        witnessed(&self.connection())
    }

    /// Keeps what the witness with `key` said.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_witnessed(&self, key: PublicKey, checkpoint: &SignedCheckpoint) -> Result<(), Fault> {
        const KEEP: &str = "INSERT INTO log_witness (one, key, size, checkpoint) VALUES (1, ?1, ?2, ?3)
            ON CONFLICT (one) DO UPDATE SET key = ?1, size = ?2, checkpoint = ?3";
        let size = stored(checkpoint.checkpoint().size)?;
        let values = params![key.to_string(), size, checkpoint.note()];
        self.connection().execute(KEEP, values).map(drop).map_err(Fault::while_(WRITING))
    }
}

pub(super) fn witnessed(db: &Connection) -> Result<Option<Witnessed>, Fault> {
    let read = |r: &rusqlite::Row<'_>| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?));
    let found = db.query_row("SELECT key, size, checkpoint FROM log_witness", [], read).optional();
    let Some((key, size, checkpoint)) = found.map_err(Fault::while_(READING))? else { return Ok(None) };
    Ok(Some(Witnessed { key: key.parse().map_err(Fault::while_(READING))?, size: number(size)?, checkpoint }))
}
