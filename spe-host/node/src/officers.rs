//! What a node leaves to its officers: jobs that its rules do not run by themselves, and answers that are to be checked.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    dsse::PublicKey,
    fault::Fault,
    ids::PersonName,
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
    let question = Question::of(admitted, schema, site.clock())?;
    let because = match (site.rules.decide(&question)?, admitted.exact()) {
        (Ruling::Refuse(grounds), _) => return Err(Refusal::PolicyForbids { rule: grounds.to_string() }.into()),
        (Ruling::Run, None) => return Ok(None),
        (Ruling::Ask(grounds), None) => grounds.to_string(),
        (Ruling::Run, Some(_)) => EXACT_RUN.into(),
        (Ruling::Ask(grounds), Some(_)) => format!("{EXACT_RUN}; besides, {grounds}"),
    };
    Ok(Some(ToApprove(json!({
        "question": question, "plan": admitted.plan(), "cohort": admitted.charge().key.snapshot,
        "because": because, "signer": admitted.job().signer(),
    }))))
}

/// An exact table is never run unattended: without noise, only who has read a module knows what its cells tell.
const EXACT_RUN: &str = "an exact table, NOT differentially private: whoever approves it has read the source of this very module, and vouches that \
                         its cells count people by what their labels say and by nothing else";

/// Whether an officer has approved it.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn approved(site: &Site, admitted: &Admitted, ToApprove(about): &ToApprove) -> Result<bool, Stop> {
    let asked = ask(site, admitted, (Matter::Run(admitted.job().digest()), 1), about)?;
    let approved = matches!(asked, Asked::Agreed(_));
    if approved && admitted.exact().is_some() {
        site.records().keep_plan(admitted.plan())?;
    }
    Ok(approved)
}

/// The officer's word that let the run happen; none where there is none yet.
///
/// # Errors
/// The records cannot be read.
pub(crate) fn approval(site: &Site, admitted: &Admitted) -> Result<Option<Verdict>, Stop> {
    let verdicts = site.records().run_verdicts(admitted.charge())?;
    let verdicts = verdicts.iter().map(|v| Verdict::recorded(v)).collect::<Result<Vec<_>, _>>()?;
    Ok(verdicts.into_iter().find(|verdict| verdict.body().allowed))
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

/// Whether three persons can answer for an exact table, none of whom asks: one approves the run, or has, and two others sign.
///
/// # Errors
/// [`Refusal::PolicyForbids`].
pub(crate) fn has_two_checkers(site: &Site, admitted: &Admitted) -> Result<(), Stop> {
    let (asks, key) = (&admitted.job().body().person, admitted.job().signer());
    let with = |duty| {
        let others = site.policy.officers.iter().filter(move |o| o.duties.contains(&duty));
        others.filter(|o| o.name != *asks && o.key != key).map(|o| (o.name.clone(), o.key)).collect::<Vec<_>>()
    };
    let approver = approval(site, admitted)?.map(|verdict| vec![(verdict.body().officer.clone(), verdict.signer())]);
    let (approvers, checkers) = (approver.unwrap_or_else(|| with(Duty::ApproveRuns)), with(Duty::CheckOutputs));
    let differ = |a: &(PersonName, PublicKey), b: &(PersonName, PublicKey)| a.0 != b.0 && a.1 != b.1;
    let two_besides = |approver: &(PersonName, PublicKey)| {
        let others: Vec<_> = checkers.iter().filter(|checker| differ(checker, approver)).collect();
        others.iter().any(|a| others.iter().any(|b| differ(a, b)))
    };
    if approvers.iter().any(two_besides) {
        return Ok(());
    }
    let rule = "an exact table takes three persons other than who asks: one approves the run, and two officers who did not approve it sign for \
                the table; the node's policy does not name so many with the duties approve-runs and check-outputs";
    Err(Refusal::PolicyForbids { rule: rule.into() }.into())
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
    let lapsed_at = records.lapsed_at(matter)?;
    if lapsed_at.is_some_and(|lapsed| admitted.job().body().signed_at <= lapsed) {
        return Err(Refusal::OfficerSilent { days: site.policy.officer_days_max }.into());
    }
    let known = records.is_officers(matter)?;
    if known && lapsed_at.is_none() {
        return Ok(Asked::Waits(verdicts.len()));
    }
    let asks_to_run = matches!(matter, Matter::Run(_));
    if !known && asks_to_run && records.officers_are_busy(&admitted.charge().permit)? {
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
        if self.records().lapse(self.clock().saturating_sub(longest).unwrap_or(Timestamp::MIN))? > 0 {
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
        let about = self.records().about(verdict.body().matter)?;
        let about = about.as_ref();
        let asked = about.and_then(|about| about.get("person").or_else(|| about.get("question")?.get("person")));
        let signer = about.and_then(|about| about.get("signer"));
        let approved = |field| about.and_then(|about| about.get("run_approved_by")?.get(field));
        let body = verdict.body();
        let is_of = |name: Option<&serde_json::Value>, key: Option<&serde_json::Value>| {
            let key = key.and_then(|key| key.as_str()?.parse().ok());
            name.and_then(|name| name.as_str()) == Some(body.officer.as_str()) || key == Some(verdict.signer())
        };
        let not = |what: &str| Err(Refusal::NotAllowed { who: body.officer.to_string(), what: what.into() }.into());
        if is_of(asked, signer) {
            return not("decide about what they asked themselves");
        }
        if is_of(approved("name"), approved("key")) {
            return not("sign for an exact table whose run they approved: two others have to");
        }
        self.records().decide(&verdict, envelope)?;
        tracing::info!(officer = %body.officer, allowed = body.allowed, matter = ?body.matter, "an officer decided");
        self.stir();
        Ok(body.matter)
    }
}
