//! Who may ask what: permit, person, purpose, dataset, columns, module, plan and node policy must all agree.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::Offer,
    dsse::PublicKey,
    exact::{ExactGrant, ExactRules},
    gate::OutputRules,
    ids::{Digest, NodeName},
    job::{Job, Purpose},
    ledger::{AnswerKey, Charge, delta_allowed},
    officer::Officer,
    pace::Pace,
    permit::{Modules, Permit, PermitBody, PermitPerson, covers},
    person::{Identity, People},
    plan::{Plan, record_bytes_max},
    refusal::Refusal,
    units::Loss,
};

/// The operator's rules; `policies/` holds samples. Every limit is checked on top of the permit (**sovereign**).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePolicy {
    /// Keys of the data access bodies whose permits this node accepts.
    pub access_bodies: Vec<PublicKey>,
    /// Purposes that this node serves.
    pub purposes: Vec<Purpose>,
    /// Modules that this node runs whatever a permit says: `"any"` or a list.
    pub modules: Modules,
    /// Whether permits with an exception from opt-outs (Art. 71(4)) are accepted: then people who opted out are in the data.
    #[serde(default)]
    pub opt_out_exceptions: bool,
    /// Least loss of one job, an entry for each measure it matters for: what does not go through the ledger, such as the time
    /// that a job takes, must not be had for nothing.
    pub loss_per_job_min: Vec<Loss>,
    /// Most loss that one job may take, one entry for each measure in use.
    pub loss_per_job_max: Vec<Loss>,
    /// Most fuel for one data subject.
    pub fuel_per_subject_max: u64,
    /// Most linear memory of a guest in bytes.
    pub guest_memory_bytes_max: u64,
    /// Noisy counts below it are not shown: a plan must suppress at least as much. 0 = no rule.
    #[serde(default)]
    pub suppress_below_min: u32,
    /// When answers leave.
    #[serde(default)]
    pub release: Pace,
    /// Oldest signature under which a job is accepted: a hub cannot spend a budget with questions of long ago.
    pub job_age_days_max: u32,
    /// Days after which what waits for an officer waits no longer.
    #[serde(default = "officer_days")]
    pub officer_days_max: u32,
    /// How persons are proven.
    #[serde(default)]
    pub people: People,
    /// Who answers for answers that leave.
    #[serde(default)]
    pub outputs: OutputRules,
    /// Who decides for this node what it leaves to persons.
    #[serde(default)]
    pub officers: Vec<Officer>,
    /// Whether exact tables are released, and which: none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_tables: Option<ExactRules>,
}

const fn officer_days() -> u32 {
    30
}

/// A job that this node will run. Made only by [`admit`].
#[derive(Debug, Clone)]
pub struct Admitted {
    job: Job,
    charge: Charge,
    longest: SignedDuration,
    exact: Option<ExactGrant>,
}

impl Admitted {
    /// What is asked.
    pub const fn plan(&self) -> &Plan {
        &self.job.body().plan
    }

    /// What it costs, and against which caps.
    pub const fn charge(&self) -> &Charge {
        &self.charge
    }

    /// That it asks for an exact table and may; nothing where it asks for noise.
    pub const fn exact(&self) -> Option<&ExactGrant> {
        self.exact.as_ref()
    }

    /// The same charge for something that leaves at that time.
    #[must_use]
    pub fn charge_until(&self, leaves_at: Timestamp) -> Charge {
        Charge { leaves_at, ..self.charge.clone() }
    }

    /// The same job about the cohort of that digest, in place of the whole snapshot.
    #[must_use]
    pub fn about(mut self, cohort: Digest) -> Self {
        self.charge.key.snapshot = cohort;
        self
    }

    /// The job.
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// How long the slowest run that the plan allows takes, for each round.
    pub const fn longest(&self) -> SignedDuration {
        self.longest
    }
}

/// Checks everything that can be checked without the module and without the data.
///
/// # Privacy
/// A function of request, permit, policy and public schema (**data-blind refusal**).
///
/// # Errors
/// The first clause that does not hold, by name.
pub fn admit(
    job: Job,
    permit: &Permit,
    offer: &Offer,
    policy: &NodePolicy,
    node: &NodeName,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    if !job.asks(node) {
        return Err(Refusal::NodeNotAsked { node: node.clone() });
    }
    fresh(&job, policy, now)?;
    person(&job, permit, &policy.people)?;
    let plan = &job.body().plan;
    plan.fits_schema(&offer.schema).map_err(|e| Refusal::PlanUnfit { why: e.0 })?;
    covers(permit, &job, offer, node)?;
    if permit.body().opt_out_exception.is_some() && !policy.opt_out_exceptions {
        let rule = "permits with an exception from opt-outs, Art. 68(10)(c) and 71(4), are not accepted".into();
        return Err(Refusal::PolicyForbids { rule });
    }
    operator(&job, offer, policy)?;
    let exact = ExactGrant::of(plan, &permit.body().environment, policy.exact_tables.as_ref())?;
    let longest = policy.release.longest(plan, &offer.schema)?;
    let key = AnswerKey { plan: plan.digest(), dataset: plan.dataset().clone(), snapshot: offer.snapshot, round: 0 };
    let charge = Charge {
        key,
        permit: permit.id(),
        person: job.body().person.clone(),
        job: job.digest(),
        loss: plan.charge(),
        dataset_cap: offer.budget,
        permit_cap: permit.body().environment.loss_cap,
        overlap: plan.overlap(),
        subjects_max: offer.schema.subjects_max,
        leaves_at: now,
        release: plan.release(),
    };
    Ok(Admitted { job, charge, longest, exact })
}

/// How far the clock of who signed a document may be from the clock of who reads it.
pub const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

fn fresh(job: &Job, policy: &NodePolicy, now: Timestamp) -> Result<(), Refusal> {
    let age = now.duration_since(job.body().signed_at);
    let days = policy.job_age_days_max;
    if age > SignedDuration::from_hours(24 * i64::from(days)) || age < -CLOCK_SLACK {
        return Err(Refusal::JobNotFresh { signed_at: job.body().signed_at.to_string(), days });
    }
    Ok(())
}

fn person(job: &Job, permit: &Permit, people: &People) -> Result<(), Refusal> {
    let (asked, allowed) = (job.body(), permit.body());
    if asked.permit != allowed.number {
        return Err(Refusal::WrongPermit { named: asked.permit.to_string(), given: allowed.number.to_string() });
    }
    let stranger = || Refusal::PersonNotInPermit { person: asked.person.clone() };
    let person = allowed.persons.iter().find(|p| p.name == asked.person).ok_or_else(stranger)?;
    if job.identity().is_none() && (people.login_required || person.identity.is_some()) {
        return Err(people.login_missing());
    }
    if is(person, job) { Ok(()) } else { Err(stranger()) }
}

/// Whether `job` was signed by `person`: by the key, if the permit says one, and with the login, if it says one.
fn is(person: &PermitPerson, job: &Job) -> bool {
    let PermitPerson { key, identity, .. } = person;
    let key_fits = key.is_none_or(|key| key == job.signer());
    let identity_fits = identity.as_ref().is_none_or(|who| job.identity().is_some_and(|proven| proven.who() == who));
    (key.is_some() || identity.is_some()) && key_fits && identity_fits
}

/// Whether `permit` names who signed `job`, by the key or by the login in it. Anybody can sign with a key that was made a moment ago.
pub fn names(permit: &PermitBody, job: &Job) -> bool {
    let login = job.identity().map(Identity::who);
    let is = |p: &PermitPerson| p.key == Some(job.signer()) || (login.is_some() && p.identity.as_ref() == login);
    permit.persons.iter().any(is)
}

fn operator(job: &Job, offer: &Offer, policy: &NodePolicy) -> Result<(), Refusal> {
    let plan = &job.body().plan;
    let forbid = |rule: String| Err(Refusal::PolicyForbids { rule });
    if !policy.purposes.iter().any(|served| served.covers(job.body().purpose)) {
        return forbid(format!("purpose {} is not served", job.body().purpose));
    }
    policy.modules.allow(plan).map_err(|why| Refusal::PolicyForbids { rule: format!("modules: {why}") })?;
    if plan.measure() != offer.budget.measure() {
        let measure = offer.budget.measure().parameter();
        return forbid(format!("dataset {} is accounted in {measure}; ask with {measure}=<loss>", plan.dataset()));
    }
    let cap = policy.loss_per_job_max.iter().find(|cap| cap.measure() == plan.measure());
    let Some(cap) = cap else { return forbid(format!("no job in {} is served", plan.measure().parameter())) };
    delta_allowed(plan.charge(), *cap, "this node's policy (loss_per_job_max)")?;
    if !plan.charge().fits(*cap) {
        return forbid(format!("a job may cost at most {cap}, not {}", plan.charge()));
    }
    // Each round has its own time to be looked at.
    let least = policy.loss_per_job_min.iter().find(|least| least.measure() == plan.measure());
    let least = least.map(|least| least.times(plan.rounds()).unwrap_or(*least));
    if let Some(least) = least.filter(|least| !least.fits(plan.charge())) {
        return forbid(format!("a job must cost at least {least}, not {}", plan.charge()));
    }
    if plan.suppress_below() < policy.suppress_below_min {
        let least = policy.suppress_below_min;
        return forbid(format!("noisy counts below {least} must not be shown (--suppress-below {least})"));
    }
    let (fuel, memory) = (policy.fuel_per_subject_max, policy.guest_memory_bytes_max);
    if plan.fuel_per_subject() > fuel {
        return forbid(format!("fuel for one data subject is at most {fuel}, not {}", plan.fuel_per_subject()));
    }
    if plan.memory_bytes_max() > memory {
        return forbid(format!("a guest has at most {memory} bytes of memory, not {}", plan.memory_bytes_max()));
    }
    let record = record_bytes_max(plan, &offer.schema);
    if record > plan.memory_bytes_max() / 2 {
        let rule = format!(
            "one record may take {record} bytes, more than half of the guest's memory; lower max_rows or raise memory"
        );
        return Err(Refusal::PolicyForbids { rule });
    }
    Ok(())
}
