//! The hub as the witness of this node's log: receipts for what leaves are cosigned by it, and it knows if an old log is put back.

use std::{sync::Arc, time::Duration};

use spe_kernel::{
    disclosure::Released,
    document,
    dsse::PublicKey,
    fault::Fault,
    ids::Digest,
    permit::PermitBody,
    receipt::{Receipt, witness_key},
    refusal::Refusal,
    tlog::{Reply, SignedCheckpoint},
};
use spe_wire::HubClient;
use tokio::time::timeout;

use crate::{journal::ShownBy, site::Site};

/// How long an answer waits for the witness. It leaves without a cosignature then, and its receipt says so by having none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Asked again this often where the hub has seen more of the log than the node remembers, or two histories of it, each of a size that is a power of
/// two: then it asks from the next size, too.
const QUESTIONS_MAX: usize = 6;

/// Why a checkpoint is not cosigned.
enum Unwitnessed {
    /// The witness has seen nothing of this log, nor the node's key: it comes for the first time.
    New,
    /// It goes by another history of this log, which the operator has acknowledged.
    Acknowledged,
    /// The hub's reasons.
    Refused(Refusal),
    /// The node's own, or what the hub sent is no cosignature.
    Failed(Fault),
}

impl From<Fault> for Unwitnessed {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Asks the witness whether this is the log that it knows. One that is not is noted, and nothing is answered from then on.
///
/// # Security
/// The hub's word is taken for it: one that lies can stop the node, as it can by giving it no job.
pub(crate) async fn look(site: &Arc<Site>, hub: &HubClient, pinned: Option<PublicKey>) {
    if let Err(Some(why)) = asked(site, hub, pinned).await {
        tracing::warn!("the witness has not cosigned this log: {why}");
    }
}

/// The receipt of what may leave, for who asked under the signed document `permit`. Everything here is public and after the hold: which answers were logged, and hashes.
pub(crate) async fn receipt(
    site: &Arc<Site>,
    hub: &HubClient,
    pinned: Option<PublicKey>,
    (released, permit): (&Released, &[u8]),
) -> Option<Receipt> {
    // It was opened when the job was admitted.
    let document = document::open::<PermitBody>(permit).ok()?.digest();
    let checkpoint = match asked(site, hub, pinned).await {
        Ok(cosigned) => Ok(cosigned),
        Err(why) => {
            let why = why.unwrap_or_else(|| "the hub does not know the node's key".into());
            tracing::error!("an answer leaves with a receipt that no witness cosigned: {why}");
            plain(site)
        }
    };
    let made = checkpoint.and_then(|signed| site.audit().receipt(Digest::of(released.envelope()), document, &signed));
    made.inspect_err(|fault| tracing::error!("{fault}")).ok()
}

/// The log as it is, signed.
fn plain(site: &Site) -> Result<SignedCheckpoint, Fault> {
    site.publish(false).map_or_else(|| site.audit().checkpoint(&site.log_files, &site.key), Ok)
}

/// The log as it is, cosigned; or why it is not, in words, where there is something to say.
async fn asked(
    site: &Arc<Site>,
    hub: &HubClient,
    pinned: Option<PublicKey>,
) -> Result<SignedCheckpoint, Option<String>> {
    let (at, hub) = (Arc::clone(site), hub.clone());
    // Goes on when nobody waits for it any more: a hub that is slow would else see the next checkpoint before this one, and an old log in it.
    let asking = tokio::spawn(async move { cosigned(&at, &hub, pinned).await });
    match timeout(PATIENCE, asking).await {
        Ok(Ok(Ok(cosigned))) => Ok(cosigned),
        Ok(Ok(Err(Unwitnessed::New))) => Err(None),
        Ok(Ok(Err(Unwitnessed::Acknowledged))) => Err(Some(
            "it goes by a history of it that was acknowledged as lost (`spe audit acknowledge`): the node answers, and nothing is cosigned \
             under its name any more"
                .into(),
        )),
        Ok(Ok(Err(Unwitnessed::Refused(refusal)))) => Err(Some(refusal.to_string())),
        Ok(Ok(Err(Unwitnessed::Failed(fault)))) => Err(Some(fault.to_string())),
        Ok(Err(panicked)) => Err(Some(panicked.to_string())),
        Err(_) => Err(Some(format!("the hub said nothing within {} s", PATIENCE.as_secs()))),
    }
}

/// The checkpoint with the hub's cosignature, which is kept.
async fn cosigned(site: &Site, hub: &HubClient, pinned: Option<PublicKey>) -> Result<SignedCheckpoint, Unwitnessed> {
    let failed = |why: String| Unwitnessed::Failed(Fault::new("asking the witness", why));
    let _one = site.witnessing.lock().await;
    let (log, checkpoint) = (site.audit(), plain(site)?);
    let before = log.witnessed()?;
    let pinned = pinned.or(before.as_ref().map(|before| before.key));
    let mut old = before.map_or(0, |before| before.size);
    for _ in 0..QUESTIONS_MAX {
        let (reply, key) = match hub.witness(&log.ask(old, &checkpoint)?).await {
            Ok(said) => said,
            Err(Refusal::RolledBack { why, .. }) => return Err(rolled_back(site, why)?),
            Err(Refusal::NotFound { .. }) => return Err(Unwitnessed::New),
            Err(refusal) => return Err(Unwitnessed::Refused(refusal)),
        };
        if let Some(pinned) = pinned.filter(|pinned| *pinned != key) {
            return Err(failed(format!("the hub's key is {key}, and {pinned} is pinned since the node first came")));
        }
        match reply {
            Reply::From(size) if size > checkpoint.checkpoint().size => {
                let why = format!("its witness has seen {size} entries of its log, which has fewer");
                return Err(rolled_back(site, why)?);
            }
            Reply::From(size) => old = size,
            Reply::Cosigned(line) => {
                let key_of_note = witness_key(key).map_err(|why| failed(why.to_string()))?;
                let cosigned =
                    checkpoint.with_cosignature(&line, &key_of_note).map_err(|why| failed(why.to_string()))?;
                log.keep_witnessed(key, &cosigned)?;
                return Ok(cosigned);
            }
        }
    }
    Err(failed("the hub has seen the log grow each time that it was asked".into()))
}

/// Notes durably that the witness has seen another log than this one, unless that is acknowledged.
fn rolled_back(site: &Site, why: String) -> Result<Unwitnessed, Fault> {
    let log = site.log_files.key(site.key.public())?.vkey();
    site.records().found_rolled_back(ShownBy::Witness(&log), &why)?;
    if site.records().rolled_back()?.is_empty() {
        return Ok(Unwitnessed::Acknowledged);
    }
    Ok(Unwitnessed::Refused(Refusal::RolledBack { node: site.name.clone(), why }))
}
