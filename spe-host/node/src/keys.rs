//! The node's way to its key holder: another process, folder and trust zone (Art. 66(3)).
//!
//! # Privacy
//! The node has data keys in memory, and never a pseudonym key. Identifiers leave it for the key holder, over mutual TLS, at ingest and
//! when somebody opts out, and at no other time.

use std::{path::Path, sync::Arc, thread, time::Duration};

use spe_kernel::{
    ids::DatasetName,
    keys::{DataKey, Identifiers, KeyError, KeySource, Newest},
    optout::Subject,
    refusal::Refusal,
};
use spe_wire::{Connection, FileError, keyholder::KeyHolderClient};
use tokio::runtime::Runtime;

use crate::site::Site;

/// How often a node that runs asks whether its data keys are still given.
pub const RECHECK: Duration = Duration::from_secs(5);

/// A key holder in another process.
pub struct Holder {
    client: KeyHolderClient,
    /// Of its own, so that it can be asked from any thread; `None` when dropped.
    runtime: Option<Runtime>,
}

impl Holder {
    /// The key holder of the `connection.toml` in that file. Nothing is sent yet.
    ///
    /// # Errors
    /// Which file or field is wrong.
    pub fn open(connection_file: &Path) -> Result<Self, FileError> {
        let connection = Connection::read(connection_file)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(FileError::at(connection_file))?;
        let inside = runtime.enter();
        let client = KeyHolderClient::new(&connection)?;
        drop(inside);
        Ok(Self { client, runtime: Some(runtime) })
    }

    /// Waits for the answer, on whatever thread this is: also on one that an asynchronous runtime owns.
    fn ask<T: Send>(&self, answer: impl Future<Output = Result<T, Refusal>> + Send) -> Result<T, KeyError> {
        let gone = || KeyError::Away("the way to the key holder is closed".into());
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let answer = thread::scope(|scope| scope.spawn(|| runtime.block_on(answer)).join());
        answer.map_err(|_| gone())?.map_err(|refusal| match refusal {
            Refusal::Unavailable { .. } | Refusal::Internal { .. } => KeyError::Away(refusal.to_string()),
            Refusal::NotFound { .. } => KeyError::Gone(refusal.to_string()),
            refusal => KeyError::Refused(refusal.to_string()),
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl KeySource for Holder {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        self.ask(self.client.keys(dataset, None))
    }

    fn data_key(&self, dataset: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        self.ask(self.client.keys(dataset, Some(version))).map(|keys| keys.data)
    }

    fn pseudonyms(
        &self,
        dataset: &DatasetName,
        version: u32,
        identifiers: &Identifiers,
    ) -> Result<Vec<Subject>, KeyError> {
        self.ask(self.client.pseudonyms(dataset, version, identifiers))
    }
}

/// Asks for the site's keys again and again as long as it is there, and drops each dataset whose key is no longer given; the hub is told
/// that it is not offered any more. A key holder that is away changes nothing.
pub fn watch(site: &Arc<Site>) {
    let site = Arc::downgrade(site);
    thread::spawn(move || {
        loop {
            thread::sleep(RECHECK);
            let Some(site) = site.upgrade() else { return };
            for (dataset, why) in site.vault.recheck(&*site.keys) {
                tracing::error!(%dataset, "not served any more: {why}");
                site.withdrawn.notify_one();
                if let Err(fault) = site.log_keys(&dataset, &why) {
                    tracing::error!("{fault}");
                }
            }
        }
    });
}
