//! Which jobs may wait for their turn, and what is told of those that may not.

use std::sync::Arc;

use spe_kernel::{
    ids::JobId,
    permit::Permit,
    refusal::{Refusal, Stop},
    rounds::NextRound,
};
use spe_wire::{HubClient, Submission, encode};
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    arrives,
    queue::{Queue, Work},
    trouble::Trouble,
    unavailable,
};
use crate::{run::Submitted, site::Site};

/// Has a job or a later round of it wait for its turn; one that nobody permitted or that there is no room for is refused, and the
/// connection lasts.
pub(super) async fn put(
    site: &Arc<Site>,
    queue: &Queue,
    client: &HubClient,
    trouble: &mut Trouble,
    (job, submission, next): (&JobId, Submission, Option<NextRound>),
) -> Result<(), Refusal> {
    let refused = match permitted(site, submission, next).await {
        Ok(work) => queue.put(job, work),
        Err(why) => {
            trouble.refused(job, &why);
            Err(why)
        }
    };
    match refused {
        Ok(()) => Ok(()),
        Err(why) => client.report(job, encode(&why)).await,
    }
}

/// A job that may wait for its turn.
async fn permitted(site: &Arc<Site>, submission: Submission, next: Option<NextRound>) -> Result<Work, Refusal> {
    let site = Arc::clone(site);
    let looked = spawn_blocking(move || {
        let (leave, share) = site.is_permitted(&submission)?;
        let share = next.is_none().then_some(share);
        Ok(Work { submission, next, leave, share })
    })
    .await;
    looked.unwrap_or_else(|panicked| {
        tracing::error!("looking at a job: {panicked}");
        Err(unavailable("the node"))
    })
}

/// Refuses what waits and stands no more, one after the other: what the hub says meanwhile does not wait for it.
pub(super) async fn turn_away(site: &Site, queue: &Queue, hub: &watch::Receiver<Option<HubClient>>) {
    let mut trouble = Trouble::default();
    loop {
        let (job, Work { submission, next, .. }, why) = queue.next_over().await;
        trouble.refused(&job, &why);
        let submitted = Submitted { job: submission.job, permit: submission.permit, next };
        // A permit that is shown only to be refused makes its line known all the same, as in the corridor.
        if let Ok(permit) = Permit::verify(&submitted.permit, &site.policy.access_bodies, site.clock())
            && let Err(Stop::Failed(fault)) = site.see(&permit)
        {
            tracing::error!("{fault}");
        }
        site.log_stopped(&submitted, &Stop::Refused(why.clone())).await;
        let client = hub.borrow().clone();
        if let Some(client) = client
            && !arrives(&client, &job, &encode(&why)).await
        {
            queue.lost.notify_one();
        }
    }
}
