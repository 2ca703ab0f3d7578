//! What a node leaves to its officers: jobs that its rules do not run by themselves, and answers that are to be checked.

use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    officer::{Duty, Matter, Verdict},
    refusal::{Refusal, Stop},
};

use crate::{
    journal::Pending,
    rules::{Question, Ruling},
    site::Site,
};

/// What came of asking the officers.
pub(crate) enum Asked {
    /// One agreed.
    Agreed(Verdict),
    /// Nobody has decided yet.
    Waits,
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
        Ruling::Run => Ok(None),
        Ruling::Refuse(grounds) => Err(Refusal::PolicyForbids { rule: grounds.to_string() }.into()),
        Ruling::Ask(grounds) => Ok(Some(ToApprove(json!({ "question": question, "because": grounds.to_string() })))),
    }
}

/// Whether an officer has approved it.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn approved(site: &Site, admitted: &Admitted, ToApprove(about): &ToApprove) -> Result<bool, Stop> {
    let asked = ask(site, admitted, Matter::Run(admitted.job().digest()), about)?;
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

/// The officers' verdict about `matter`, which waits for one from now on.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn ask(site: &Site, admitted: &Admitted, matter: Matter, about: &serde_json::Value) -> Result<Asked, Stop> {
    let records = site.records();
    if let Some(envelope) = records.verdict(matter)? {
        // It was verified when it was recorded; officers who leave take nothing back.
        let verdict = Verdict::recorded(&envelope)?;
        verdict.agreed()?;
        return Ok(Asked::Agreed(verdict));
    }
    has_officer(site, matter.duty())?;
    if !records.is_officers(matter)? && records.officers_are_busy()? {
        return Err(Refusal::Unavailable {
            what: "an officer of the node, who has too much to decide already,".into(),
        }
        .into());
    }
    records.wait_for_officer(matter, &admitted.charge().permit, about)?;
    Ok(Asked::Waits)
}

impl Site {
    /// What waits for an officer, the oldest first.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn waiting(&self) -> Result<Vec<Pending>, Stop> {
        Ok(self.records().pending()?)
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
        if asked.and_then(|person| person.as_str()) == Some(verdict.body().officer.as_str()) {
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
