//! Receipts for what leaves, cosigned by the hub as the witness of this node's log.

use std::time::Duration;

use spe_kernel::{
    disclosure::Released,
    dsse::PublicKey,
    fault::Fault,
    ids::Digest,
    receipt::{Receipt, witness_key},
    refusal::Refusal,
    tlog::{Reply, SignedCheckpoint},
};
use spe_wire::HubClient;
use tokio::time::timeout;

use crate::site::Site;

/// How long an answer waits for the witness. It leaves without a cosignature then, and its receipt says so by having none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Asked again this often where the hub has seen more of the log than the node remembers.
const QUESTIONS_MAX: usize = 3;

/// Why a checkpoint is not cosigned.
enum Unwitnessed {
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

/// The receipt of what may leave. Everything here is public and after the hold: which answers were logged, and hashes.
pub(crate) async fn receipt(
    site: &Site,
    hub: &HubClient,
    pinned: Option<PublicKey>,
    released: &Released,
) -> Option<Receipt> {
    let made = |checkpoint: &SignedCheckpoint| site.audit().receipt(Digest::of(released.envelope()), checkpoint);
    let plain = site.publish(false).map_or_else(|| site.audit().checkpoint(&site.log_files, &site.key), Ok);
    let plain = plain.inspect_err(|fault| tracing::error!("{fault}")).ok()?;
    let asked = timeout(PATIENCE, cosigned(site, hub, pinned, &plain)).await;
    let why = match asked {
        Ok(Ok(cosigned)) => return made(&cosigned).inspect_err(|fault| tracing::error!("{fault}")).ok(),
        Ok(Err(Unwitnessed::Refused(refusal))) => refusal.to_string(),
        Ok(Err(Unwitnessed::Failed(fault))) => fault.to_string(),
        Err(_) => format!("the hub said nothing within {} s", PATIENCE.as_secs()),
    };
    tracing::error!("an answer leaves with a receipt that no witness cosigned: {why}");
    made(&plain).inspect_err(|fault| tracing::error!("{fault}")).ok()
}

/// The checkpoint with the hub's cosignature, which is kept.
async fn cosigned(
    site: &Site,
    hub: &HubClient,
    pinned: Option<PublicKey>,
    checkpoint: &SignedCheckpoint,
) -> Result<SignedCheckpoint, Unwitnessed> {
    let failed = |why: String| Unwitnessed::Failed(Fault::new("asking the witness", why));
    let log = site.audit();
    let before = log.witnessed()?;
    let pinned = pinned.or(before.as_ref().map(|before| before.key));
    let mut old = before.map_or(0, |before| before.size);
    for _ in 0..QUESTIONS_MAX {
        let (reply, key) = hub.witness(&log.ask(old, checkpoint)?).await.map_err(Unwitnessed::Refused)?;
        if let Some(pinned) = pinned.filter(|pinned| *pinned != key) {
            return Err(failed(format!("the hub's key is {key}, and {pinned} is pinned since the node first came")));
        }
        match reply {
            Reply::From(size) if size > checkpoint.checkpoint().size => {
                return Err(failed(format!("the hub has seen {size} entries of this log, which has fewer")));
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
