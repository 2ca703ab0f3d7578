//! What costs the hub much, a member does once at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use spe_kernel::ids::Digest;
use tokio::sync::OwnedMutexGuard;

/// How many times as long as a member has kept the hub busy it then waits.
const REST: u32 = 4;

/// The turns of members, by their certificates.
///
/// # Security
/// Every member may have the hub verify some thousand signatures. One after the other and with rests in between, that is a fifth of one
/// processor's time, whatever the number of its connections. Watched by `a_member_waits_for_its_own_turn_and_for_no_others` beside this.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>>);

/// A member's turn, until [`Turn::rest`].
pub(crate) struct Turn(OwnedMutexGuard<()>);

impl Turns {
    /// Waits until the member of that certificate is done with what it asked before.
    pub(crate) async fn of(&self, member: Digest) -> Turn {
        let turn = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(member).or_default());
        Turn(turn.lock_owned().await)
    }
}

impl Turn {
    /// Ends the turn, after which the next one begins when the hub has rested. The caller does not wait for that.
    pub(crate) fn rest(self, busy: Duration) {
        tokio::spawn(async move {
            tokio::time::sleep(busy * REST).await;
            drop(self.0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a member that keeps the hub busy all the time, or that another waits for.
    #[tokio::test]
    async fn a_member_waits_for_its_own_turn_and_for_no_others() {
        let (turns, [north, south]) = (Turns::default(), [Digest::of(b"north"), Digest::of(b"south")]);
        let within = |member, time| tokio::time::timeout(time, turns.of(member));
        let (soon, late) = (Duration::from_millis(50), Duration::from_secs(60));
        let first = turns.of(north).await;
        assert!(within(north, soon).await.is_err(), "two at once");
        first.rest(late);
        assert!(within(north, soon).await.is_err(), "it works all the time");
        within(south, late).await.expect("another waits for it").rest(Duration::from_millis(1));
        // One that is refused in the middle keeps nobody waiting, and a rest is over some time.
        drop(within(south, late).await.expect("a rest is never over"));
        within(south, late).await.expect("what was refused keeps its turn");
    }
}
