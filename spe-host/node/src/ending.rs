//! The end of a permit's life at this node: what it brought is deleted, and a certificate says so (Art. 68(12) of Regulation (EU)
//! 2025/327, which allows six months).
//!
//! A permit brings modules, which are compiled, and jobs that wait to be approved. Charges and answers stay: they are the record of what was
//! disclosed of people, without which nobody could know what may still be. An answer that an officer was to check stays to be checked.

use std::{sync::Arc, time::Duration};

use spe_kernel::{
    deletion::{DELETION_FORMAT, Deleted, DeletedKind, DeletionBody},
    fault::Fault,
    ids::Digest,
};

use crate::{
    journal::{Over, Told},
    site::Site,
};

/// How often a node looks at what may have ended.
pub const EVERY: Duration = Duration::from_secs(60);

/// Ends what is over, now and `every` so often, until dropped: permits, with what they brought, and what waited too long for an officer; and
/// tells of refusals that were counted.
pub async fn keep_ending(site: Arc<Site>, every: Duration) {
    loop {
        let at = Arc::clone(&site);
        if let Err(panicked) = tokio::task::spawn_blocking(move || at.keep_time()).await {
            tracing::error!("ending what is over: {panicked}");
        }
        tokio::time::sleep(every).await;
    }
}

impl Site {
    /// What is to be done as time goes on. One thing that fails keeps no other from being done.
    fn keep_time(&self) {
        let counted = || {
            if self.records().tell_counted(self.clock())? == Told::New {
                self.publish(false);
            }
            Ok(())
        };
        let learnt = || self.standing.learn(self.records());
        for done in [self.end_permits().map(drop), self.lapse(), learnt(), counted()] {
            if let Err::<(), Fault>(fault) = done {
                tracing::error!("{fault}");
            }
        }
    }

    /// Deletes what permits brought that are over, each with a certificate; how many lines of permits that were.
    ///
    /// A crash in between leaves nothing half-said: the certificate is kept when everything is gone, or it is done again. Watched by
    /// `a_death_between_the_deletion_and_its_certificate_leaves_one_certificate` in `spe-host/cli/tests/it/endings.rs`.
    ///
    /// # Errors
    /// A file that cannot be deleted, or the records.
    pub fn end_permits(&self) -> Result<usize, Fault> {
        let now = self.now();
        let over = self.records().over(|issuer, numbers| self.standing.revoked_since(issuer, numbers, now), now)?;
        for line in &over {
            for module in &line.modules {
                self.sandbox.forget(*module)?;
            }
            let certificate = self.certificate(line);
            self.records().end(line, certificate.as_deref())?;
            tracing::info!(permit = %line.line.number, "{}: what it brought is deleted", line.why);
        }
        if !over.is_empty() {
            self.publish(false);
            // What waits for an officer under them waits no more.
            self.stir();
        }
        Ok(over.len())
    }

    fn certificate(&self, over: &Over) -> Option<Vec<u8>> {
        let one = |module: &Digest| Deleted { kind: DeletedKind::CompiledModule, version: None, id: *module };
        let deleted: Vec<_> = over.modules.iter().map(one).collect();
        let body = DeletionBody {
            format: DELETION_FORMAT.into(),
            node: self.name.clone(),
            dataset: None,
            permit: Some(over.line.number.clone()),
            deleted_at: self.now(),
            by: "the node, by itself".into(),
            reason: over.why.clone(),
            deleted,
        };
        (!body.deleted.is_empty()).then(|| body.sign(&self.key))
    }
}
