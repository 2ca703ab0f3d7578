//! Whether permits and persons still stand, and the end of what runs under those that do not (Arts. 63(3) and 68 of Regulation
//! (EU) 2025/327).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use spe_kernel::{
    audit::Who,
    dsse::PublicKey,
    fault::Fault,
    ids::{Digest, PermitNumber},
    permit::PermitId,
    refusal::{Refusal, Stop},
    revocation::Revocation,
};
use spe_sandbox::Interrupt;

use crate::{
    journal::{Mark, PermitReport, Records, login},
    leave::Leave,
    site::Site,
};

/// The revocations that a node knows, and what runs.
#[derive(Default)]
pub(crate) struct Standing {
    revocations: Mutex<Vec<Revocation>>,
    /// By what excluded persons are known here, besides their names.
    marks: Mutex<BTreeSet<Mark>>,
    /// Of a revocation that names a permit which was seen here, the line.
    lines: Mutex<BTreeMap<Digest, PermitId>>,
    runs: Mutex<Vec<Run>>,
}

/// What runs, and by whose leave.
struct Run {
    job: Digest,
    leave: Leave,
    interrupt: Interrupt,
}

/// A run that ends when its permit or person does; it is forgotten when this is dropped.
pub(crate) struct Watched<'a> {
    /// Raised when they end.
    pub(crate) interrupt: Interrupt,
    site: &'a Site,
    job: Digest,
    leave: Leave,
}

impl Standing {
    /// Those that `records` keep, as far as a data access body signed them that is still trusted.
    pub(crate) fn open(records: &Records, trusted: &[PublicKey]) -> Result<Self, Fault> {
        let kept = records.revocations()?;
        let known = kept.iter().filter_map(|envelope| Revocation::verify(envelope, trusted).ok()).collect();
        let standing = Self { revocations: Mutex::new(known), ..Self::default() };
        standing.learn(records)?;
        Ok(standing)
    }

    fn revocations(&self) -> MutexGuard<'_, Vec<Revocation>> {
        // Each change is one push, so a panic elsewhere leaves nothing half-done.
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns by what excluded persons are known here, also by what they used between a revocation and the time from which it holds; and of
    /// which lines revoked permits are.
    pub(crate) fn learn(&self, records: &Records) -> Result<(), Fault> {
        // A copy: whoever has the records may ask for the revocations, and must not wait for this.
        let known = self.revocations().clone();
        let marks = records.excluded(&known)?;
        // Added to, and never put in their place: another thread may have learnt more meanwhile. Those of an exclusion that is over do nothing.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).extend(marks);
        for revocation in &known {
            if let Some(named) = revocation.line()
                && let Some(line) = records.line_of(&named)?
            {
                self.lines().insert(revocation.digest(), line);
            }
        }
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Digest, PermitId>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `revocation` excludes a person who had jobs admitted with that key or that login.
    fn is_known_by(&self, leave: &Leave, revocation: &Revocation) -> bool {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let used = [Some(leave.signer.to_string()), leave.login.as_ref().map(login)];
        used.into_iter().flatten().any(|mark| marks.contains(&(revocation.digest(), mark)))
    }

    /// Since when one of the permits of those numbers is revoked by its `issuer`, by a clock that shows `now`: whichever of a line's
    /// permits is named, all of the line end.
    pub(crate) fn revoked_since(
        &self,
        issuer: PublicKey,
        numbers: &[PermitNumber],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (revocations, lines) = (self.revocations(), self.lines());
        let named = |permit: &PermitId| permit.issuer == issuer && numbers.contains(&permit.number);
        let ends = |r: &&Revocation| r.line().as_ref().is_some_and(named) || lines.get(&r.digest()).is_some_and(named);
        revocations.iter().filter(ends).map(|r| r.body().since(now)).min()
    }

    /// Nothing, if the permit has neither expired at `now` nor been revoked, and the person who asks is not excluded.
    ///
    /// # Security
    /// A revocation that is to hold at once does, whatever the node's clock shows: [`spe_kernel::revocation::RevocationBody::since`]. Watched
    /// by `what_holds_at_once_does_where_the_clock_is_behind` in `spe-host/cli/tests/it/standing/at_once.rs`.
    ///
    /// # Errors
    /// [`Refusal::PermitExpired`], [`Refusal::PermitRevoked`] or [`Refusal::PersonExcluded`].
    pub(crate) fn check(&self, leave: &Leave, now: Timestamp) -> Result<(), Refusal> {
        let Leave { issuer, number, numbers, valid_until, person, login, .. } = leave;
        if *valid_until <= now {
            return Err(Refusal::PermitExpired { until: valid_until.to_string() });
        }
        if let Some(since) = self.revoked_since(*issuer, numbers, now).filter(|since| *since <= now) {
            return Err(Refusal::PermitRevoked { number: number.clone(), since: since.to_string() });
        }
        let is_out = |r: &Revocation| {
            r.excludes(person, login.as_ref(), *issuer, now)
                || (r.is_in_force(*issuer, now) && self.is_known_by(leave, r))
        };
        if self.revocations().iter().any(is_out) {
            return Err(Refusal::PersonExcluded { person: person.clone() });
        }
        Ok(())
    }

    /// Ends what runs and stands no more: after a revocation, and as time goes on.
    pub(crate) fn end(&self, now: Timestamp) {
        for Run { leave, interrupt, .. } in self.runs().iter() {
            if let Err(why) = self.check(leave, now) {
                interrupt.raise(why);
            }
        }
    }
}

impl Watched<'_> {
    /// Nothing, if permit and person still stand.
    ///
    /// # Privacy
    /// Asked when the hold is over, also of a run that was ended long before: what is told of a charged run leaves at the time that it
    /// always would have, or its end would tell how far the run was (**data-blind time**).
    ///
    /// # Errors
    /// As [`Standing::check`]: the same whether the run was done or not.
    pub(crate) fn stands(&self) -> Result<(), Refusal> {
        self.site.stands(&self.leave)?;
        // An exclusion may be over by now; that it ended the run must not depend on how far the run was.
        match self.interrupt.raised() {
            Some(why) if *why != Refusal::DeadlineMissed => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.site.standing.runs().retain(|run| run.job != self.job);
    }
}

impl Site {
    /// The permits that jobs came under, or of which the hub told, and how each stands.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn permits(&self) -> Result<Vec<PermitReport>, Fault> {
        let now = self.now();
        self.records().permits(|issuer, numbers| self.standing.revoked_since(issuer, numbers, now), now)
    }

    /// Has what is about to run end when its permit or person does.
    pub(crate) fn watch(&self, job: Digest, leave: Leave) -> Watched<'_> {
        let interrupt = self.sandbox.interrupt();
        self.standing.runs().push(Run { job, leave: leave.clone(), interrupt: interrupt.clone() });
        // One that ended just before would otherwise go unnoticed.
        self.standing.end(self.now());
        Watched { interrupt, site: self, job, leave }
    }

    /// [`Site::revoke_by`], of what came over the hub.
    ///
    /// # Errors
    /// Those of that.
    pub fn revoke(&self, envelope: &[u8]) -> Result<(), Stop> {
        self.revoke_by(envelope, &Who::Node)
    }

    /// Makes a revocation known that `who` handed in, ends what runs under it, and has what waits under it refused; nothing if it is known,
    /// as after each reconnection.
    ///
    /// # Errors
    /// One that no trusted data access body signed. A fault of the records: what is known by then has ended what it ends.
    pub fn revoke_by(&self, envelope: &[u8], who: &Who) -> Result<(), Stop> {
        let revocation = Revocation::verify(envelope, &self.policy.access_bodies)?;
        if !self.records().revoke(&revocation, envelope, who)? {
            return Ok(());
        }
        let body = revocation.body();
        tracing::warn!(document = %revocation.digest(), "revoked from {} on: {}", body.effective_at, body.reason);
        self.standing.revocations().push(revocation);
        self.standing.end(self.now());
        self.stir();
        Ok(self.learn_standing()?)
    }

    /// Learns what follows of all that is known, and ends and has refused what does not stand after all.
    ///
    /// # Errors
    /// The records.
    pub(crate) fn learn_standing(&self) -> Result<(), Fault> {
        self.standing.learn(self.records())?;
        self.standing.end(self.now());
        self.stir();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use spe_kernel::{
        document::{self, Document},
        dsse::SecretKey,
        permit::{Status, Version},
        revocation::{RevocationBody, Target},
    };

    use super::*;
    use crate::journal::tests::File;

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn number(text: &str) -> PermitNumber {
        text.parse().expect("a number")
    }

    /// A revocation of the permit of that number, by the data access body of that key.
    fn revocation(of: &str, effective_at: Timestamp, body: &SecretKey) -> Revocation {
        let revocation = RevocationBody {
            format: RevocationBody::FORMAT.into(),
            issuer: "Body".into(),
            issued_at: at("2026-01-01T00:00:00Z"),
            effective_at,
            reason: "the conditions were not kept".into(),
            target: Target::Permit(number(of)),
        };
        Revocation::verify(&document::sign(&revocation, body), &[body.public()]).expect("a revocation")
    }

    /// What would be a bug: a line that goes on until the later of two revocations, or until the one that came last; one that ends though another
    /// body took a permit of that number back.
    #[test]
    fn of_two_revocations_of_a_line_the_earlier_counts_in_whatever_order_they_come() {
        let (file, body, another) =
            (File::new("standing"), SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let records = Records::open(&file.0).expect("a file");
        let line = PermitId { number: number("p-1"), issuer: body.public() };
        let amended = Version {
            digest: Digest::of(b"p-2"),
            number: number("p-2"),
            status: Status::Amended,
            replaces: Some(number("p-1")),
            issued_at: at("2026-01-01T00:00:00Z"),
            valid_from: at("2026-01-01T00:00:00Z"),
            valid_until: at("2027-01-01T00:00:00Z"),
        };
        assert!(records.learn(&line, &amended, at("2026-02-01T00:00:00Z")).expect("its line may have it"));
        let (earlier, later) = (at("2026-03-01T00:00:00Z"), at("2026-09-01T00:00:00Z"));
        for order in [[later, earlier], [earlier, later]] {
            let standing = Standing::default();
            standing.revocations().push(revocation("p-2", at("2026-02-01T00:00:00Z"), &another));
            let now = at("2026-02-01T00:00:00Z");
            let since = |standing: &Standing| standing.revoked_since(line.issuer, &[number("p-1")], now);
            standing.learn(&records).expect("readable");
            assert_eq!(since(&standing), None, "another body's revocation");
            for effective_at in order {
                standing.revocations().push(revocation("p-2", effective_at, &body));
                standing.learn(&records).expect("readable");
            }
            assert_eq!(since(&standing), Some(earlier), "learnt in the order {order:?}");
        }
    }
}
