//! What one ingest works with: the key holder's newest keys, and who is met again under new pseudonyms.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use spe_kernel::{
    keys::{Identifiers, KeyError, Newest},
    optout::Header,
};

use super::{Ingest, IngestError};
use crate::{optout, pseudonym::Pseudonym, seal::Seal};

/// A pseudonym and the version of the key that made it.
pub(crate) type Versioned = (u32, Pseudonym);

/// One ingest under way.
pub(crate) struct Session<'a> {
    pub(crate) ingest: &'a Ingest<'a>,
    pub(crate) newest: Newest,
    pub(crate) seal: Seal,
    /// Whose opt-outs stand under older pseudonyms.
    pub(crate) pending: HashSet<Versioned>,
    /// The versions of these.
    versions: Vec<u32>,
    met: Mutex<HashMap<Versioned, Pseudonym>>,
}

impl<'a> Session<'a> {
    /// Asks for keys, and looks whether the dataset's register of opt-outs goes with them.
    pub(super) fn open(ingest: &'a Ingest<'a>) -> Result<Self, IngestError> {
        let name = &ingest.declaration.schema().name;
        let newest = ingest.keys.newest(name).map_err(IngestError::keys(name))?;
        let seal = Seal::of(&newest.data, name);
        let (pending, versions, met) = (HashSet::new(), Vec::new(), Mutex::default());
        let mut session = Self { ingest, newest, seal, pending, versions, met };
        let register = optout::fits(&ingest.vault.join(name.as_str()), &session.header());
        if let Some(register) = register.map_err(IngestError::optouts(name))? {
            session.pending = optout::pending(&register, &session.header()).collect();
            session.versions = session.pending.iter().map(|(version, _)| *version).collect();
            session.versions.sort_unstable();
            session.versions.dedup();
        }
        Ok(session)
    }

    /// What the dataset's register of opt-outs must be about, so that its entries are about the people who are ingested.
    pub(crate) fn header(&self) -> Header {
        let declaration = self.ingest.declaration;
        let key_columns = declaration.tables.first().map_or(0, |table| table.key.len());
        Header { dataset: declaration.schema().name.clone(), key_columns, pseudonyms: self.newest.pseudonyms }
    }

    /// The pseudonyms of `identifiers`. Whose opt-out stands under an older one is met.
    pub(super) fn pseudonyms(&self, identifiers: &Identifiers) -> Result<Vec<Pseudonym>, IngestError> {
        let name = &self.ingest.declaration.schema().name;
        let ask = |version| {
            let made = self.ingest.keys.pseudonyms(name, version, identifiers)?;
            let wrong = || KeyError::Refused("the key holder gave too few pseudonyms".into());
            if made.len() == identifiers.len() { Ok(made) } else { Err(wrong()) }
        };
        if identifiers.is_empty() {
            return Ok(Vec::new());
        }
        let new = ask(self.newest.pseudonyms.version).map_err(IngestError::keys(name))?;
        for version in &self.versions {
            let old = ask(*version).map_err(IngestError::keys(name))?;
            let met =
                old.into_iter().map(|old| (*version, old)).zip(&new).filter(|(old, _)| self.pending.contains(old));
            self.met.lock().unwrap_or_else(PoisonError::into_inner).extend(met.map(|(old, new)| (old, *new)));
        }
        Ok(new)
    }

    /// Who was met, by the older pseudonyms.
    pub(crate) fn met(&self) -> HashMap<Versioned, Pseudonym> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
