//! Whether permits and persons still stand, and the end of what runs under those that do not (Arts. 63(3) and 68 of Regulation
//! (EU) 2025/327).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use spe_kernel::{
    dsse::PublicKey,
    fault::Fault,
    ids::PermitNumber,
    job::Job,
    permit::{Permit, PermitId},
    refusal::{Refusal, Stop},
    revocation::Revocation,
};
use spe_sandbox::Interrupt;

use crate::{
    journal::{Mark, PermitReport, Records, login},
    site::Site,
};

/// The revocations that a node knows, and what runs.
#[derive(Default)]
pub(crate) struct Standing {
    revocations: Mutex<Vec<Revocation>>,
    /// By what excluded persons are known here, besides their names.
    marks: Mutex<BTreeSet<Mark>>,
    /// The lines of permits of which one that is not the first was revoked, and since when.
    lines: Mutex<BTreeMap<PermitId, Timestamp>>,
    runs: Mutex<Vec<Run>>,
}

/// What runs, and by whose leave.
struct Run {
    permit: Permit,
    job: Job,
    interrupt: Interrupt,
}

/// A run that ends when its permit or person does; it is forgotten when this is dropped.
pub(crate) struct Watched<'a> {
    /// Raised when they end.
    pub(crate) interrupt: Interrupt,
    site: &'a Site,
    permit: &'a Permit,
    job: &'a Job,
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
                let at = revocation.body().effective_at;
                self.lines().entry(line).and_modify(|since| *since = at.min(*since)).or_insert(at);
            }
        }
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<PermitId, Timestamp>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `revocation` excludes a person who had jobs admitted with the key or the login of `job`.
    fn is_known_by(&self, job: &Job, revocation: &Revocation) -> bool {
        let login = job.identity().map(|identity| login(identity.who()));
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let used = [Some(job.signer().to_string()), login];
        used.into_iter().flatten().any(|mark| marks.contains(&(revocation.digest(), mark)))
    }

    /// Since when one of the permits of those numbers is revoked by its `issuer`: whichever of a line's permits is named, all of
    /// the line end.
    pub(crate) fn revoked_since(&self, issuer: PublicKey, numbers: &[PermitNumber]) -> Option<Timestamp> {
        let revocations = self.revocations();
        let named = |r: &&Revocation| r.line().is_some_and(|l| l.issuer == issuer && numbers.contains(&l.number));
        let lines = self.lines();
        let of_lines = lines.iter().filter(|(line, _)| line.issuer == issuer && numbers.contains(&line.number));
        let named = revocations.iter().filter(named).map(|r| r.body().effective_at);
        named.chain(of_lines.map(|(_, since)| *since)).min()
    }

    /// Nothing, if the permit has neither expired at `now` nor been revoked, and the person who asks is not excluded.
    ///
    /// # Errors
    /// [`Refusal::PermitExpired`], [`Refusal::PermitRevoked`] or [`Refusal::PersonExcluded`].
    pub(crate) fn check(&self, permit: &Permit, job: &Job, now: Timestamp) -> Result<(), Refusal> {
        let (body, issuer) = (permit.body(), permit.id().issuer);
        if body.valid_until <= now {
            return Err(Refusal::PermitExpired { until: body.valid_until.to_string() });
        }
        let numbers: Vec<_> = [&body.number, &body.original].into_iter().chain(&body.replaces).cloned().collect();
        if let Some(since) = self.revoked_since(issuer, &numbers).filter(|since| *since <= now) {
            return Err(Refusal::PermitRevoked { number: body.number.clone(), since: since.to_string() });
        }
        let identity = job.identity().map(spe_kernel::person::Identity::who);
        let person = &job.body().person;
        let is_out = |r: &Revocation| {
            r.excludes(person, identity, issuer, now) || (r.is_in_force(issuer, now) && self.is_known_by(job, r))
        };
        if self.revocations().iter().any(is_out) {
            return Err(Refusal::PersonExcluded { person: person.clone() });
        }
        Ok(())
    }

    /// Ends what runs and stands no more: after a revocation, and as time goes on.
    pub(crate) fn end(&self, now: Timestamp) {
        for Run { permit, job, interrupt } in self.runs().iter() {
            if let Err(why) = self.check(permit, job, now) {
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
        self.site.standing.check(self.permit, self.job, self.site.now())?;
        // An exclusion may be over by now; that it ended the run must not depend on how far the run was.
        match self.interrupt.raised() {
            Some(why) if *why != Refusal::DeadlineMissed => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.site.standing.runs().retain(|run| run.job.digest() != self.job.digest());
    }
}

impl Site {
    /// The permits that jobs came under, or of which the hub told, and how each stands.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn permits(&self) -> Result<Vec<PermitReport>, Fault> {
        self.records().permits(|issuer, numbers| self.standing.revoked_since(issuer, numbers), self.now())
    }

    /// Has what is about to run end when its permit or person does.
    pub(crate) fn watch<'a>(&'a self, permit: &'a Permit, job: &'a Job) -> Watched<'a> {
        let interrupt = self.sandbox.interrupt();
        let run = Run { permit: permit.clone(), job: job.clone(), interrupt: interrupt.clone() };
        self.standing.runs().push(run);
        // One that ended just before would otherwise go unnoticed.
        self.standing.end(self.now());
        Watched { interrupt, site: self, permit, job }
    }

    /// Makes a revocation known, ends what runs under it, and wakes what waits; nothing if it is known, as after each reconnection.
    ///
    /// # Errors
    /// One that no trusted data access body signed. A fault of the records: what is known by then has ended what it ends.
    pub fn revoke(&self, envelope: &[u8]) -> Result<(), Stop> {
        let revocation = Revocation::verify(envelope, &self.policy.access_bodies)?;
        if !self.records().revoke(&revocation, envelope)? {
            return Ok(());
        }
        let body = revocation.body();
        tracing::warn!(document = %revocation.digest(), "revoked from {} on: {}", body.effective_at, body.reason);
        self.standing.revocations().push(revocation);
        self.standing.end(self.now());
        self.stir();
        self.standing.learn(self.records())?;
        self.standing.end(self.now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use spe_kernel::{
        document::{self, Document},
        dsse::SecretKey,
        ids::Digest,
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
            let since = |standing: &Standing| standing.revoked_since(line.issuer, &[number("p-1")]);
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
