//! The key holder at work.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use spe_kernel::{
    ids::{DatasetName, Digest, NodeName},
    keys::{Identifiers, Newest},
    optout::Subject,
    refusal::Refusal,
};
use spe_wire::{
    keyholder::{KeyHolder, serve_keys},
    listen,
    tls::ServerTls,
};

use crate::{
    config::Config,
    founding::tls_files,
    store::{Store, StoreError},
};

/// Serves the nodes until `shutdown` resolves.
///
/// # Errors
/// A file that cannot be used, or an address that is taken.
pub async fn serve(config: &Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), StoreError> {
    let [ca, cert, key] = tls_files(&config.dir);
    let tls = ServerTls::mutual(&ca, &cert, &key)?;
    let holder = Arc::new(Holder(Mutex::new(Store::open(&config.dir)?)));
    let transport = |e: io::Error| StoreError::Transport(e.to_string());
    let listener = listen(config.listen).await.map_err(transport)?;
    tracing::info!(listen = %config.listen, public = config.public, "the key holder is here");
    serve_keys(listener, tls, config.seats(), holder, shutdown).await.map_err(transport)
}

/// Answers nodes, each about its own datasets only.
///
/// # Privacy
/// Identifiers are hashed and forgotten: no field, file or line of the log has one. Keys are read from the store for each request, so that
/// one that was destroyed by another process is gone at once.
struct Holder(Mutex<Store>);

impl Holder {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Every change is one transaction, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn node(store: &Store, caller: Digest) -> Result<NodeName, Refusal> {
    let stranger = || Refusal::NotAllowed { who: format!("the certificate {caller}"), what: "ask for keys".into() };
    store.node(caller).map_err(refused)?.ok_or_else(stranger)
}

fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::Gone(what) => Refusal::NotFound { what },
        // What is wrong here is this operator's to read.
        other => {
            tracing::error!("{other}");
            Refusal::Internal { id: "keyholder".into() }
        }
    }
}

impl KeyHolder for Holder {
    async fn keys(&self, caller: Digest, dataset: DatasetName, version: Option<u32>) -> Result<Newest, Refusal> {
        let mut store = self.store();
        let node = node(&store, caller)?;
        let given = match version {
            None => store.newest(&node, &dataset),
            Some(version) => store.keys(&node, &dataset, version),
        };
        store.asked(&node, &dataset, "keys", 1).map_err(refused)?;
        match (&given, version) {
            (Err(why), _) => tracing::warn!(%node, %dataset, "asked for keys in vain: {why}"),
            (Ok(_), None) => tracing::info!(%node, %dataset, "gave the newest keys"),
            // Every node asks for those that it has again and again.
            (Ok(_), Some(version)) => tracing::debug!(%node, %dataset, version, "gave a data key"),
        }
        given.map_err(refused)
    }

    async fn pseudonymise(
        &self,
        caller: Digest,
        dataset: DatasetName,
        version: u32,
        identifiers: Identifiers,
    ) -> Result<Vec<Subject>, Refusal> {
        let key = {
            let mut store = self.store();
            let node = node(&store, caller)?;
            store.asked(&node, &dataset, "pseudonyms", identifiers.len()).map_err(refused)?;
            store.pseudonym_key(&node, &dataset, version).map_err(refused)?
        };
        Ok(key.pseudonyms(&dataset, &identifiers))
    }
}
