//! What a node leaves to its officers: jobs that its rules do not run by themselves, and answers that are to be checked.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    fault::Fault,
    officer::{Duty, Matter, Officer, Verdict},
    refusal::{Refusal, Stop},
};

use crate::{
    journal::{Earlier, Pending},
    rules::{Question, Ruling},
    site::Site,
};

/// What came of asking the officers.
pub(crate) enum Asked {
    /// As many as have to.
    Agreed(Vec<Verdict>),
    /// Not yet; so many have.
    Waits(usize),
}

/// Something that an officer has to approve before it is run, and what that officer needs to know.
pub(crate) struct ToApprove(serde_json::Value);

/// Asks the operator's rules; what they leave to an officer, if they do.
///
/// # Errors
/// [`Refusal::PolicyForbids`] by a rule.
pub(crate) fn ruling(site: &Site, admitted: &Admitted, schema: &DatasetSchema) -> Result<Option<ToApprove>, Stop> {
    let question = Question::of(admitted, schema, site.now())?;
    match site.rules.decide(&question)? {
        Ruling::Run if admitted.exact().is_some() => Ok(Some(ToApprove(exact_run(site, admitted, &question)?))),
        Ruling::Run => Ok(None),
        Ruling::Refuse(grounds) => Err(Refusal::PolicyForbids { rule: grounds.to_string() }.into()),
        Ruling::Ask(grounds) => Ok(Some(ToApprove(
            json!({ "question": question, "because": grounds.to_string(), "signer": admitted.job().signer() }),
        ))),
    }
}

/// An exact table is never run unattended: without noise, only who has read a module knows what its cells tell.
fn exact_run(site: &Site, admitted: &Admitted, question: &Question) -> Result<serde_json::Value, Stop> {
    let because = "an exact table, NOT differentially private: whoever approves it has read the source of this very module, and vouches that its \
                   cells count people by what their labels say and by nothing else";
    Ok(json!({ "question": question, "because": because, "signer": admitted.job().signer(),
        "earlier_exact_tables": earlier_exact(site, admitted)? }))
}

/// The exact tables that were bought of the same dataset before: two that differ in few people tell of those.
pub(crate) fn earlier_exact(site: &Site, admitted: &Admitted) -> Result<Vec<Earlier>, Stop> {
    let key = &admitted.charge().key;
    Ok(site.records().earlier_exact(&key.dataset, (key.plan, key.snapshot))?)
}

/// Whether an officer has approved it.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn approved(site: &Site, admitted: &Admitted, ToApprove(about): &ToApprove) -> Result<bool, Stop> {
    let asked = ask(site, admitted, (Matter::Run(admitted.job().digest()), 1), about)?;
    Ok(matches!(asked, Asked::Agreed(_)))
}

/// Whether there is an officer with that duty.
///
/// # Errors
/// [`Refusal::PolicyForbids`].
pub(crate) fn has_officer(site: &Site, duty: Duty) -> Result<(), Refusal> {
    if site.policy.officers.iter().any(|officer| officer.duties.contains(&duty)) {
        return Ok(());
    }
    let rule = format!("an officer would have to decide, and the node has none with the duty {duty}");
    Err(Refusal::PolicyForbids { rule })
}

/// Whether two persons check outputs here, neither of whom is who asks.
///
/// # Errors
/// [`Refusal::PolicyForbids`].
pub(crate) fn has_two_checkers(site: &Site, admitted: &Admitted) -> Result<(), Refusal> {
    let (asks, key) = (&admitted.job().body().person, admitted.job().signer());
    let checks = |o: &&Officer| o.duties.contains(&Duty::CheckOutputs) && o.name != *asks && o.key != key;
    let checkers: Vec<_> = site.policy.officers.iter().filter(checks).collect();
    if checkers.iter().any(|a| checkers.iter().any(|b| a.name != b.name && a.key != b.key)) {
        return Ok(());
    }
    let rule = "two officers have to sign for an exact table, and the node has not two persons, other than who asks, with the duty check-outputs";
    Err(Refusal::PolicyForbids { rule: rule.into() })
}

/// The officers' verdicts about `matter`, which waits for so many from now on.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::OfficerSilent`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn ask(
    site: &Site,
    admitted: &Admitted,
    (matter, wanted): (Matter, u32),
    about: &serde_json::Value,
) -> Result<Asked, Stop> {
    let records = site.records();
    // They were verified when they were recorded; officers who leave take nothing back.
    let verdicts = records.verdicts(matter)?.iter().map(|v| Verdict::recorded(v)).collect::<Result<Vec<_>, _>>()?;
    verdicts.iter().try_for_each(Verdict::agreed)?;
    if u32::try_from(verdicts.len()).is_ok_and(|signed| signed >= wanted) {
        return Ok(Asked::Agreed(verdicts));
    }
    has_officer(site, matter.duty())?;
    // Whoever signs again asks again.
    if records.lapsed_at(matter)?.is_some_and(|lapsed| admitted.job().body().signed_at <= lapsed) {
        return Err(Refusal::OfficerSilent { days: site.policy.officer_days_max }.into());
    }
    if !records.is_officers(matter)? && records.officers_are_busy()? {
        return Err(Refusal::Unavailable {
            what: "an officer of the node, who has too much to decide already,".into(),
        }
        .into());
    }
    records.wait_for_officer((matter, wanted), &admitted.charge().permit, about)?;
    Ok(Asked::Waits(verdicts.len()))
}

impl Site {
    /// What waits for an officer, the oldest first.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn waiting(&self) -> Result<Vec<Pending>, Stop> {
        Ok(self.records().pending()?)
    }

    /// Has what waited too long for an officer wait no more, and whoever asked told so.
    ///
    /// # Errors
    /// The records cannot be written.
    pub(crate) fn lapse(&self) -> Result<(), Fault> {
        let longest = SignedDuration::from_hours(24 * i64::from(self.policy.officer_days_max));
        if self.records().lapse(self.now().saturating_sub(longest).unwrap_or(Timestamp::MIN))? > 0 {
            self.stir();
        }
        Ok(())
    }

    /// Records an officer's signed verdict, and wakes what waits for it.
    ///
    /// # Errors
    /// A verdict of nobody whose duty it is, about nothing that waits, or after another one.
    pub fn decide(&self, envelope: &[u8]) -> Result<Matter, Stop> {
        let verdict = Verdict::verify(envelope, &self.name, &self.policy.officers)?;
        let waits = self.waiting()?;
        let about = waits.iter().find(|pending| pending.matter == verdict.body().matter).map(|pending| &pending.about);
        let asked = about.and_then(|about| about.get("person").or_else(|| about.get("question")?.get("person")));
        let by_name = asked.and_then(|person| person.as_str()) == Some(verdict.body().officer.as_str());
        let signer = about.and_then(|about| about.get("signer")?.as_str()?.parse().ok());
        if by_name || signer == Some(verdict.signer()) {
            let what = "decide about what they asked themselves".into();
            return Err(Refusal::NotAllowed { who: verdict.body().officer.to_string(), what }.into());
        }
        self.records().decide(&verdict, envelope)?;
        let body = verdict.body();
        tracing::info!(officer = %body.officer, allowed = body.allowed, matter = ?body.matter, "an officer decided");
        self.stir();
        Ok(body.matter)
    }
}
