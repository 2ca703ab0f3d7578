//! What an ingest does with the register of opt-outs: founds it, keeps it, or carries it over to new pseudonyms.
//!
//! A pseudonym cannot be turned back, so an entry is carried over when its person is met in the data: the key holder then gives both
//! pseudonyms. Who is not in the data keeps the older one, and is looked for at every later ingest.

use std::{io, path::Path};

use spe_kernel::optout::{Header, History, founding};

use super::{
    RegisterError,
    file::{failed, read, remove_others, write},
};
use crate::{
    ingest::{Session, Versioned},
    snapshot,
};

/// The register in `home` as it goes with a dataset of `header`; `None` when it is still to be founded.
///
/// # Errors
/// A register that is lost or damaged; or one with entries that would be about nobody, for the dataset's pseudonyms would be others.
pub(crate) fn fits(home: &Path, header: &Header) -> Result<Option<History>, RegisterError> {
    let register = match read(home, &header.dataset) {
        // There was no register before there was one in every dataset.
        Err(RegisterError::Missing { .. }) if !snapshot::has_register(home) => return Ok(None),
        read => read?.0,
    };
    let (own, new) = (register.header(), header.pseudonyms);
    if register.entries().is_empty() {
        return Ok(Some(register));
    }
    if own.key_columns != header.key_columns {
        return Err(RegisterError::OtherColumns { register: own.key_columns, declared: header.key_columns });
    }
    if own.pseudonyms == new || own.pseudonyms.version < new.version {
        return Ok(Some(register));
    }
    Err(RegisterError::OtherKey)
}

/// Whose entries stand under pseudonyms of other versions than the header's.
pub(crate) fn pending(register: &History, header: &Header) -> impl Iterator<Item = Versioned> {
    let version = header.pseudonyms.version;
    let entries = register.entries().iter().map(|entry| (entry.version, entry.subject));
    entries.filter(move |(own, _)| *own != version)
}

/// The register that goes with a new snapshot.
pub(crate) struct Turnover {
    /// Its generation.
    pub(crate) generation: u32,
    /// What is to be written; nothing when it stays as it is.
    new: Option<(Vec<u8>, Vec<u8>)>,
}

impl Turnover {
    /// Decided while nobody else writes: whoever calls this has the turn.
    pub(crate) fn of(home: &Path, session: &Session<'_>) -> Result<Self, RegisterError> {
        let header = session.header();
        let Some(register) = fits(home, &header)? else {
            return Ok(Self { generation: 1, new: Some(founding(&header)) });
        };
        if pending(&register, &header).any(|entry| !session.pending.contains(&entry)) {
            return Err(RegisterError::Meanwhile);
        }
        let (generation, met) = (snapshot::register(home), session.met());
        if *register.header() == header && met.is_empty() {
            return Ok(Self { generation, new: None });
        }
        let carried = register.carried(&header, |version, subject| met.get(&(version, *subject)).copied());
        Ok(Self { generation: generation.saturating_add(1), new: Some(carried) })
    }

    /// Makes it durable; it is current when the snapshot is.
    pub(crate) fn write(&self, home: &Path) -> Result<(), RegisterError> {
        self.new.as_ref().map_or(Ok(()), |new| write(home, self.generation, new)).map_err(failed(home))
    }

    /// Removes what was before, once it is current.
    pub(crate) fn finish(&self, home: &Path) -> io::Result<()> {
        remove_others(home, self.generation)
    }
}
