//! What a node leaves to its officers: jobs that its rules do not run by themselves, and answers that are to be checked.

use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    dataset::DatasetSchema,
    officer::{Matter, Verdict},
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

/// Asks the operator's rules, and the officers where rules leave it to them; whether the job may go on. Only about a job's first round: what has begun is
/// ended by a revocation.
///
/// # Errors
/// [`Refusal::PolicyForbids`] by a rule, [`Refusal::OfficerRefused`]; nothing else depends on who decides.
pub(crate) fn approved(site: &Site, admitted: &Admitted, schema: &DatasetSchema) -> Result<bool, Stop> {
    let question = Question::of(admitted, schema, site.now())?;
    match site.rules.decide(&question)? {
        Ruling::Run => Ok(true),
        Ruling::Refuse(grounds) => Err(Refusal::PolicyForbids { rule: grounds.to_string() }.into()),
        Ruling::Ask(grounds) => {
            let about = json!({ "question": question, "because": grounds.to_string() });
            let asked = ask(site, Matter::Run(admitted.job().digest()), &about)?;
            Ok(matches!(asked, Asked::Agreed(_)))
        }
    }
}

/// The officers' verdict about `matter`, which waits for one from now on.
///
/// # Errors
/// [`Refusal::OfficerRefused`]; [`Refusal::PolicyForbids`] where there is no officer for it.
pub(crate) fn ask(site: &Site, matter: Matter, about: &serde_json::Value) -> Result<Asked, Stop> {
    let records = site.records();
    if let Some(envelope) = records.verdict(matter)? {
        // Again by the policy of today: who is no officer any more decides nothing more.
        let verdict = Verdict::verify(&envelope, &site.name, &site.policy.officers)?;
        verdict.agreed()?;
        return Ok(Asked::Agreed(verdict));
    }
    if !site.policy.officers.iter().any(|officer| officer.duties.contains(&matter.duty())) {
        let rule = format!("an officer would have to decide, and the node has none with the duty {}", matter.duty());
        return Err(Refusal::PolicyForbids { rule }.into());
    }
    records.wait_for_officer(matter, about)?;
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
        self.records().decide(&verdict, envelope)?;
        let body = verdict.body();
        tracing::info!(officer = %body.officer, allowed = body.allowed, matter = ?body.matter, "an officer decided");
        self.stir();
        Ok(body.matter)
    }
}
